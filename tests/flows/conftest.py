"""Clones of the project that tests share or get to themselves; what a clone is, pipeline_clone.py and toy.py say."""

import shutil
from pathlib import Path

import pytest

from tests.flows.pipeline_clone import PipelineClone, make_clone
from tests.flows.toy import BIN, DVC_YAML, PROGRAM


@pytest.fixture
def fresh_clone(tmp_path: Path) -> PipelineClone:
    """A clone in which nothing has run."""
    return make_clone(tmp_path)


@pytest.fixture(scope="session")
def finished_clone(tmp_path_factory: pytest.TempPathFactory) -> PipelineClone:
    """A clone in which the pipeline has run once. Tests share it: each leaves params, dvc.lock and git as they were."""
    clone = make_clone(tmp_path_factory.mktemp("finished"))
    (clone.root / "first-run.log").write_text(clone.run("flows.pipeline"))
    return clone


@pytest.fixture(scope="session")
def toy_pattern(tmp_path_factory: pytest.TempPathFactory) -> PipelineClone:
    """The miniature clone that each test gets a copy of."""
    clone = make_clone(tmp_path_factory.mktemp("toy"))
    (clone.root / "dvc.yaml").write_text(DVC_YAML)
    (clone.root / "components" / "toy.py").write_text(PROGRAM)
    clone.run("dvc", "repro", **BIN)
    clone.git("add", "--all")
    clone.git("commit", "--quiet", "--message", "in miniature")
    clone.git("tag", "first")
    return clone


@pytest.fixture
def toy_clone(toy_pattern: PipelineClone, tmp_path: Path) -> PipelineClone:
    """A clone whose DAG is the miniature one, run once, dvc.lock committed and tagged `first`."""
    shutil.copytree(toy_pattern.root.parent, tmp_path / "copy", symlinks=True)
    return PipelineClone(tmp_path / "copy" / toy_pattern.root.name)
