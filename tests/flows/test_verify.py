"""`greenhouse verify`: rebuilt from the commit, identical or the first difference by name."""

from pathlib import Path

import pytest

from flows import verify
from flows.tracking.model_origin import target
from flows.tracking.snapshots import Snapshot
from tests.errors import refuses
from tests.flows.pipeline_clone import PipelineClone
from tests.flows.toy import BIN, change_seed

STAGES = ["ingest", "pretrain@causal", "pretrain@masked", "finetune@instruct"]


@pytest.mark.parametrize("name", ["causal", "pretrain/causal", "models/pretrain/causal", "pretrain@causal"])
def test_a_model_has_several_names(name: str) -> None:
    assert target(name, STAGES) == "pretrain@causal"


def test_a_model_of_a_stage_that_is_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "choose", lambda model, at: (Snapshot("workspace", "workspace", {}), model))
    refuses(lambda: verify.rebuilt_alike("finetune@prefer", "workspace"), "rebuilt_alike.1", "finetune@prefer")


def test_a_commit_without_defaults_yaml_is_refused(tmp_path: Path) -> None:
    refuses(lambda: verify.bring(Snapshot("v0.1", "revision", {}), tmp_path), "verify.bring", "v0.1", "defaults.yaml")


@pytest.mark.pipeline
@pytest.mark.usefixtures("toy_mlflow")
def test_identical_then_the_first_difference(toy_clone: PipelineClone) -> None:
    change_seed(toy_clone, 7)  # uncommitted: the workspace is rebuilt with its changes, a tag without them
    said = toy_clone.run("greenhouse", "verify", "pretrain/masked", **BIN)
    assert said.strip().splitlines()[-1].startswith("identical: ")
    assert "evaluate" not in said
    assert "identical" in toy_clone.run("greenhouse", "verify", "causal", "--at", "first", **BIN)
    said = toy_clone.run("greenhouse", "verify", "causal", expect=1, TOY_NOISE="1", **BIN)
    assert "differs: pretrain@causal: models/pretrain/causal/model.safetensors: recorded " in said
    assert ", rebuilt " in said
    assert "no record of where it was made" in said  # the stages in miniature keep none in MLflow
    assert "    torch " in said
    assert toy_clone.git("worktree", "list").count("\n") == 1
    assert "up to date" in toy_clone.run("dvc", "status")
