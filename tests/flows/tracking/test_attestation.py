"""What a check of an attestation recomputes from dvc.lock."""

import json
from pathlib import Path

import pytest

from components.core.files import folder_md5
from flows.tracking import attestation
from flows.tracking.snapshots import ObjectCache


def test_an_input_that_is_a_part_of_an_output_follows_from_its_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObjectCache, "__post_init__", lambda self: setattr(self, "folder", tmp_path))
    (tmp_path / "ab").mkdir()
    rows = [{"relpath": name, "md5": name[-1]} for name in ("train/1", "train/2", "dropped/3")]
    (tmp_path / "ab" / "c.dir").write_text(json.dumps(rows))
    part = folder_md5({"1": "1", "2": "2"})
    lock = {
        "bias": {"outs": [{"path": "data/bias", "md5": "abc.dir"}]},
        "finetune": {"deps": [{"path": "data/bias/train", "md5": part}]},
    }
    assert attestation.chain(lock) == ([], [])
    lock["finetune"]["deps"][0]["md5"] = "other.dir"
    broken = ["dvc.lock: finetune was run on another data/bias/train than the stage before made"]
    assert attestation.chain(lock) == (broken, [])
    (tmp_path / "ab" / "c.dir").unlink()
    assert attestation.chain(lock) == ([], ["the listing of the output that data/bias/train is a part of"])
