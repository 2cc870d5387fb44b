"""Why a stage would run: a missing file is named, unless a stage before makes it."""

import shutil
from pathlib import Path

import pytest

from components import params as schema
from flows.planning.staleness import tuning_line
from tests.flows.pipeline_clone import PipelineClone


def test_steps_of_tuning_are_named_with_the_key_that_sets_them(checkout: Path) -> None:
    """instruct has a default of its own, which finetune_defaults.steps, in params.yaml beside it, does not change."""
    said = tuning_line(["mix", "finetune@instruct", "finetune@classify"], schema.read(checkout / "params.yaml"))
    named = "instruct 2,000 (default of finetune.instruct.steps), classify 100 (finetune_defaults.steps)"
    assert said == f"steps of tuning: {named}"


def paragraph(shown: str, stage: str) -> str:
    """What is said of one stage."""
    _, found, after = f"\n{shown}".partition(f"\n{stage}:\n")
    assert found, shown
    return after.splitlines()[0].strip()


@pytest.mark.pipeline
def test_a_deleted_file_that_no_stage_makes_is_named(toy_clone: PipelineClone) -> None:
    (toy_clone.root / "components" / "toy.py").unlink()
    shown = toy_clone.run("greenhouse", "plan", "--why")
    for stage in ("ingest", "pretrain@causal", "evaluate"):
        assert paragraph(shown, stage) == "file components/toy.py: deleted"


@pytest.mark.pipeline
def test_a_missing_output_is_explained_at_the_stage_that_makes_it(toy_clone: PipelineClone) -> None:
    shutil.rmtree(toy_clone.root / "data" / "ingest" / "train")
    shown = toy_clone.run("greenhouse", "plan", "--why")
    assert paragraph(shown, "ingest") == "output data/ingest/train: deleted"
    assert paragraph(shown, "pretrain@causal") == "what is before it changed"
