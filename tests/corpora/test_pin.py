"""Pinning the packages of the default corpus."""

import re
from pathlib import Path

import pytest

from components.stages.ingest.pinned_packages import load
from corpora import pin


@pytest.mark.long
def test_pinning_again_gives_the_same_pins(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    date = load()["packages"]["click"]["retrieved"]
    for name in ("click", "mpmath", "rich"):
        pinned = load()["packages"][name]
        assert pin.pin_package(name, pinned["include"], date, []) == pinned
    assert pin.main(["--date", date, "--output", str(tmp_path / "pins.json")]) == 1
    assert re.search(r"error: package \S+ has a wheel per platform.*--wheels", capsys.readouterr().err)
