"""Which commit rebuilds a model: by what dvc.lock recorded of its stages, whatever lies in the workspace."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.core.files import md5_file, md5_of
from components.params import layout
from components.stages.account.answers import NotKnown
from flows.system import params_file
from flows.tracking import model_origin
from flows.tracking.rebuild_commit import rebuild_commit
from flows.tracking.snapshots import Snapshot
from tests.flows.pipeline_clone import PipelineClone

STAGE = "finetune@instruct"
FOREIGN = {"finetune.instruct.base": "/hub/base", "finetune.instruct.data": "own.csv"}


@pytest.fixture
def root(checkout: Path, tmp_path: Path) -> Path:
    """A checkout with one commit of parameters and code."""
    (tmp_path / "components/core").mkdir(parents=True)
    for name in ("core/files.py", "core/report.py", "scores.py"):
        (tmp_path / "components" / name).write_text(f"# {name}\n")
    PipelineClone(tmp_path).git("init", "--quiet")
    committed(tmp_path)
    return tmp_path


def committed(root: Path) -> str:
    repository = PipelineClone(root)
    repository.git("add", "-A")
    repository.git("commit", "--quiet", "--allow-empty", "-m", "A state")
    return head(root)


def head(root: Path) -> str:
    return PipelineClone(root).git("rev-parse", "HEAD").strip()


def edit(root: Path, values: dict[str, Any]) -> None:
    path = root / "params.yaml"
    path.write_text(params_file.edited(path.read_text(), values))


def run_of(root: Path) -> dict[str, dict[str, Any]]:
    """The entry that a run of fine-tuning leaves in dvc.lock now."""
    keys = ("finetune.instruct", "finetune_defaults", "numerics")
    trees = {name: yaml.safe_load((root / name).read_text()) for name in ("params.yaml", "defaults.yaml")}
    deps = [
        {"path": "components/core", "md5": md5_of(root / "components/core")},
        {"path": "components/scores.py", "md5": md5_file(root / "components/scores.py")},
        {"path": "/hub/base", "md5": "0.dir"},
        {"path": "own.csv", "md5": "1"},
    ]
    params = {name: {key: layout.value_at(tree, key) for key in keys} for name, tree in trees.items()}
    return {STAGE: {"params": params, "deps": deps, "outs": [{"path": "models/finetune/instruct", "md5": "2.dir"}]}}


def reason(answer: str | NotKnown) -> str:
    assert isinstance(answer, NotKnown), answer
    return answer.not_known


def test_what_the_workspace_has_by_now_changes_no_answer(root: Path) -> None:
    first, lock = head(root), run_of(root)
    assert rebuild_commit(lock, [STAGE]) == first
    edit(root, {"finetune.instruct.base": "/hub/other", "dedup.threshold": 0.9})
    (root / "components/scores.py").write_text("# another\n")
    assert rebuild_commit(lock, [STAGE]) == first
    committed(root)
    assert rebuild_commit(lock, [STAGE]) == first, "a commit before HEAD has all of it"


def test_a_commit_that_names_neither_base_nor_rows_rebuilds_no_model_of_them(root: Path) -> None:
    """The card named it as soon as params.yaml was put back."""
    before = (root / "params.yaml").read_text()
    edit(root, FOREIGN)
    lock = run_of(root)
    (root / "params.yaml").write_text(before)
    one = Snapshot("workspace", "workspace", lock, head(root))
    said = reason(model_origin.origin(one, "finetune/instruct").rebuild.commit)
    assert said.startswith("its run had finetune.instruct.")
    assert said.endswith(f" otherwise than {head(root)[:10]} or a commit before it; commit them with dvc.lock")
    assert all(key in said for key in FOREIGN)
    edit(root, FOREIGN)
    second = committed(root)
    assert model_origin.origin(one, "finetune/instruct").rebuild.commit == second


@pytest.mark.parametrize("name", ["components/scores.py", "components/core/files.py"])
def test_code_that_no_commit_has_is_named(root: Path, name: str) -> None:
    (root / name).write_text("# not committed\n")
    lock = run_of(root)
    assert (name if name.endswith("scores.py") else "components/core") in reason(rebuild_commit(lock, [STAGE]))


def test_what_was_read_and_is_recorded_no_more_is_not_known(root: Path) -> None:
    lock = run_of(root)
    assert reason(rebuild_commit(lock, ["pretrain@causal", STAGE])) == "dvc.lock has no pretrain@causal"
    lock["pretrain@causal"] = {"outs": [{"path": "/hub/base", "md5": "3.dir"}]}
    assert "/hub/base was made anew since" in reason(rebuild_commit(lock, ["pretrain@causal", STAGE]))
