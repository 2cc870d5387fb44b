"""What a check of an attestation recomputes from dvc.lock."""

from pathlib import Path

from components.core.files import folder_md5
from flows.tracking import attestation
from tests.flows.object_cache import listing


def test_an_input_that_is_a_part_of_an_output_follows_from_its_listing(cache: Path) -> None:
    whole = listing(cache, {name: name[-1] for name in ("train/1", "train/2", "dropped/3")})
    part = folder_md5({"1": "1", "2": "2"})
    lock = {
        "bias": {"outs": [{"path": "data/bias", "md5": whole}]},
        "finetune": {"deps": [{"path": "data/bias/train", "md5": part}]},
    }
    assert list(attestation.chain(lock)) == []
    lock["finetune"]["deps"][0]["md5"] = "other.dir"
    (broken,) = attestation.chain(lock)
    assert broken.text == "dvc.lock: finetune was run on another data/bias/train than the stage before made"
    (cache / whole[:2] / whole[2:]).unlink()
    (untold,) = attestation.chain(lock)
    fetch = "is not here; `greenhouse sync pull` fetches it if the remote has it"
    assert untold.text == f"the listing of the output that data/bias/train is a part of {fetch}"
    assert (broken.answer, untold.answer) == ("no", "unknown")
