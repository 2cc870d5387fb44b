"""A bench that was cut short goes on where it was, and counts the CPU seconds of whole trainings alone."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.finetune_gain import kept


def test_what_is_done_is_kept_and_what_was_cut_short_begins_anew(tmp_path: Path) -> None:
    calls = []

    def make(work: Path) -> dict[str, Any]:
        assert not (work / "checkpoint").exists()
        work.mkdir()
        (work / "checkpoint").write_text("half")
        calls.append(work)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return {"accuracy": len(calls)}

    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "arm", make)
    assert kept(tmp_path / "arm", make) == {"accuracy": 2}
    assert kept(tmp_path / "arm", make) == {"accuracy": 2}
    assert len(calls) == 2
