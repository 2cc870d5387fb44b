"""`python -m flows.forget`: what it says of a document before anything is changed."""

from pathlib import Path

import pytest
import yaml

from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline]

A_TRAINED_ONE = """
from flows.system import paths
from components.corpus.corpus import read_corpus
print(next(iter(read_corpus(paths.ROOT / "data/bias/train"))).id)
"""


def test_a_dry_run_names_models_price_and_copies_and_changes_nothing(finished_clone: PipelineClone) -> None:
    before = finished_clone.outputs()
    identity = finished_clone.run_code(A_TRAINED_ONE)
    said = finished_clone.run("flows.forget", identity)
    assert all(word in said for word in ("causal", "masked", " Wh ", "data/mix/train", "nothing has changed"))
    assert finished_clone.outputs() == before
    assert "up to date" in finished_clone.run("dvc", "status")


def test_what_names_nothing_is_one_sentence(finished_clone: PipelineClone) -> None:
    said = finished_clone.run("flows.forget", "source:nowhere", expect=1)
    assert "Traceback" not in said


@pytest.mark.parametrize(("text", "says"), [("", "fewer than"), ("curriculum/copy", "text that mix generates")])
def test_what_no_removal_can_take_out_is_refused(finished_clone: PipelineClone, text: str, says: str) -> None:
    before = (finished_clone.root / "opt_out.txt").read_text()
    said = finished_clone.run("flows.forget", text, "--apply", expect=1)
    assert says in said
    assert "Traceback" not in said
    assert (finished_clone.root / "opt_out.txt").read_text() == before


def test_many_documents_are_left_out_only_where_the_user_agrees(finished_clone: PipelineClone) -> None:
    before = (finished_clone.root / "opt_out.txt").read_text()
    said = finished_clone.run("flows.forget", "python-docs", "--apply", expect=1)
    assert "documents are to be left out" in said
    assert "YES=1 in front of the command answers" in said
    assert (finished_clone.root / "opt_out.txt").read_text() == before


def test_a_clone_whose_objects_were_purged_says_so(fresh_clone: PipelineClone, tmp_path: Path) -> None:
    outs = [{"path": "data/ingest/train", "hash": "md5", "md5": f"{'0' * 32}.dir"}]
    lock = {"schema": "2.0", "stages": {"ingest": {"cmd": "exec python -m flows.ingest", "outs": outs}}}
    (fresh_clone.root / "dvc.lock").write_text(yaml.safe_dump(lock))
    (tmp_path / "remote" / "files" / "md5").mkdir(parents=True)
    fresh_clone.run("dvc", "remote", "add", "--default", "far", str(tmp_path / "remote"))
    _, said = fresh_clone.run("flows.forget", "0" * 16, expect=1).splitlines()
    assert said.startswith(
        "forget: 1 objects of dvc.lock are in neither DVC's cache nor a remote, such as data/ingest/train"
    )
    assert "purged after a removal; take a newer dvc.lock" in said
