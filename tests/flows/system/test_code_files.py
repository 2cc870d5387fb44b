"""A change inside a folder that a stage depends on is told by the file's name."""

from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.system import code_files, dvc, paths
from flows.tracking.snapshots import Snapshot

DVC_YAML = "stages:\n  one:\n    cmd: 'true'\n    deps: [components/core]\n"


@pytest.fixture
def project(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository with one stage that depends on a folder, run once and recorded."""
    root = tmp_path / "project"
    (root / "components/core").mkdir(parents=True)
    for name in ("files", "errors"):
        (root / "components/core" / f"{name}.py").write_text(f"name = {name!r}\n")
    (root / "dvc.yaml").write_text(DVC_YAML)
    monkeypatch.chdir(root)
    with Repo.init(str(root), no_scm=True) as repo:
        repo.reproduce()
    code_files.record(dvc.inputs("one", root).hashes, root)
    return root


def test_the_changed_file_of_a_folder_is_named(project: Path) -> None:
    (project / "components/core/files.py").write_text("name = 'other'\n")
    (project / "components/core/errors.py").unlink()
    (project / "components/core/new.py").write_text("")
    became = {"errors": "deleted", "files": "modified", "new": "added"}
    assert dvc.stale(project) == {"one": [f"file components/core/{name}.py: {what}" for name, what in became.items()]}


def test_a_file_that_the_stage_did_not_depend_on_before_is_added(project: Path) -> None:
    (project / "rows.jsonl").write_text("{}\n")
    (project / "dvc.yaml").write_text(DVC_YAML.replace("core]", "core, rows.jsonl]"))
    assert dvc.stale(project) == {"one": ["file rows.jsonl: added"]}


def test_without_a_record_the_folder_is_named(project: Path) -> None:
    for path in (paths.STATE / code_files.FOLDER).iterdir():
        path.unlink()
    (project / "components/core/files.py").write_text("name = 'other'\n")
    assert dvc.stale(project) == {"one": ["file components/core: modified"]}


def test_two_runs_differ_in_files(project: Path) -> None:
    before = Snapshot("a", "run", dvc.lock(project)).code()
    (project / "components/core/files.py").write_text("name = 'other'\n")
    with Repo(str(project)) as repo:
        repo.reproduce()
    code_files.record(dvc.inputs("one", project).hashes, project)
    after = Snapshot("b", "run", dvc.lock(project)).code()
    assert code_files.changed(before, after) == ["components/core/files.py"]
