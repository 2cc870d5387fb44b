"""Why a stage would run: a missing file is named, unless a stage before makes it."""

import shutil

import pytest

from tests.flows.pipeline_clone import PipelineClone

pytestmark = pytest.mark.pipeline


def paragraph(shown: str, stage: str) -> str:
    """What is said of one stage."""
    _, found, after = f"\n{shown}".partition(f"\n{stage}:\n")
    assert found, shown
    return after.splitlines()[0].strip()


def test_a_deleted_file_that_no_stage_makes_is_named(toy_clone: PipelineClone) -> None:
    (toy_clone.root / "components" / "toy.py").unlink()
    shown = toy_clone.run("greenhouse", "plan", "--why")
    for stage in ("ingest", "pretrain@causal", "evaluate"):
        assert paragraph(shown, stage) == "file components/toy.py: deleted"


def test_a_missing_output_is_explained_at_the_stage_that_makes_it(toy_clone: PipelineClone) -> None:
    shutil.rmtree(toy_clone.root / "data" / "ingest" / "train")
    shown = toy_clone.run("greenhouse", "plan", "--why")
    assert paragraph(shown, "ingest") == "output data/ingest/train: deleted"
    assert paragraph(shown, "pretrain@causal") == "what is before it changed"
