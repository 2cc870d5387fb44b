"""The record of a study: a parent run, a child per model, and how it ends."""

import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.params import Mix, Params
from flows.execution import study_run as subject
from flows.execution.stage import Study
from flows.system import paths
from flows.system.run_folder import RunFolder
from flows.tracking import mlflow_run
from tests.errors import refused

STUDY = Study("mitigate", Mix, "", lambda name, params: Path())


class Client:
    """An MLflow client that keeps what it is told."""

    def __init__(self) -> None:
        self.tags: list[dict[str, str]] = []
        self.metrics: dict[str, float] = {}
        self.ended: list[tuple[str, str]] = []

    def create_run(self, experiment: str, ms: int | None, tags: dict[str, str], name: str) -> Any:
        self.tags.append(tags | {"name": name})
        return SimpleNamespace(info=SimpleNamespace(run_id=name))

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        self.metrics |= {f"{run_id}.{row.key}": row.value for row in metrics}

    def log_artifact(self, run_id: str, path: str, folder: str | None = None) -> None:
        self.tags.append({"file": f"{run_id}/{Path(path).name}"})

    def set_terminated(self, run_id: str, status: str) -> None:
        self.ended.append((run_id, status))


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()

    def close(mlflow: Any, run_id: str, name: str, status: str, metrics: dict, params: dict, files: Any) -> None:
        made.ended.append((name, f"{status} {metrics} {[path.name for path in files]}"))

    monkeypatch.setattr(paths, "LEDGER", tmp_path / "ledger")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(mlflow_run, "client", lambda: made)
    monkeypatch.setattr(mlflow_run, "experiment_id", lambda mlflow: "1")
    monkeypatch.setattr(mlflow_run, "parent_run", lambda mlflow, run: f"{run.name}-{run.facts()['kind']}")
    monkeypatch.setattr(mlflow_run, "close_parent", close)
    return made


def test_a_study_has_a_child_per_model_and_ends_with_its_report(client: Client, tmp_path: Path) -> None:
    reports, work = tmp_path / "reports", tmp_path / "work"
    (reports / "plots").mkdir(parents=True)
    for name in ("report.md", "mitigate.json", "plots/gap.png"):
        (reports / name).write_text("{}")
    with subject.study_run(STUDY, "calm-otter", Params(), work) as record:
        record.child("none-seed1", {"seed": 1}, {"gap": 0.5, "purpose": "fit"}, work / "reports")
        record.finish({"gap_swap": 0.1}, {"mitigate": {}}, reports)
    child, picture = client.tags
    assert (child["mlflow.parentRunId"], child["stage"]) == ("calm-otter-mitigate", "mitigate")
    assert picture == {"file": "calm-otter-mitigate/gap.png"}
    assert client.metrics == {"none-seed1.gap": 0.5}
    finished = ("calm-otter", "FINISHED {'gap_swap': 0.1} ['mitigate.json', 'report.md']")
    assert client.ended == [("none-seed1", "FINISHED"), finished]
    assert RunFolder("calm-otter").closed


def test_too_few_addresses_are_refused_before_a_study_leaves_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda name: (10**9, 10**9))
    with refused("raise_if_limited", "1.0 GB"), subject.study_run(STUDY, "calm-otter", Params(), tmp_path / "work"):
        pass
    assert not (tmp_path / "work").exists()


def test_a_study_that_is_interrupted_is_killed(client: Client, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), subject.study_run(STUDY, "calm-otter", Params(), tmp_path / "work"):
        raise KeyboardInterrupt
    assert client.ended == [("calm-otter-mitigate", "KILLED")]
    assert RunFolder("calm-otter").closed


def test_a_missing_input_is_named_with_the_command_that_makes_it() -> None:
    with refused("study_run.require", "data/none", "`dvc repro none`"):
        subject.require(("data/none",), "dvc repro none")
