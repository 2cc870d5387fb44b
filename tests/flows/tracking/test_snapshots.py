"""States by name: a pipeline run that ended early is no finished state, but has the models that it came to."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from components.core.files import write_json
from flows.tracking import model_exposure, model_origin, snapshots
from tests.errors import refused, refuses

MADE = {"outs": [{"path": "models/pretrain/causal", "md5": "one"}]}


@pytest.fixture
def cancelled(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """MLflow with one run, which was cancelled after its first stage."""
    tags = {"run": "calm-otter", "unmade": "finetune@instruct, evaluate"}
    info = SimpleNamespace(run_id="m", status="KILLED")
    run = SimpleNamespace(info=info, data=SimpleNamespace(tags=tags), lock=True)

    class Recorded:
        def get_experiment_by_name(self, name: str) -> SimpleNamespace:
            return SimpleNamespace(experiment_id="1")

        def search_runs(self, experiments: list[str], query: str = "") -> list[SimpleNamespace]:
            return [run]

        def get_model_version_by_alias(self, model: str, alias: str) -> SimpleNamespace:
            return SimpleNamespace(run_id="m")

        def get_run(self, run_id: str) -> SimpleNamespace:
            return run

        def download_artifacts(self, run_id: str, path: str, folder: str) -> str:
            if not run.lock:
                raise OSError
            write_json(Path(folder) / path, {"stages": {"pretrain@causal": MADE}})
            return f"{folder}/{path}"

    for module in (snapshots, model_exposure):
        monkeypatch.setattr(module, "client", Recorded)
    return run


@pytest.mark.usefixtures("cancelled")
def test_a_run_that_ended_early_is_refused_but_for_a_model_it_made() -> None:
    for name in ("calm-otter", "Calm-Otter"):
        with refused("snapshots.find.3", "calm-otter", "KILLED", "finetune@instruct, evaluate"):
            snapshots.find(name)
    with refused("snapshots._of_run", "calm_otter"):  # an ILIKE finds it: _ is any character
        snapshots.find("calm_otter")
    with refused("model_origin.choose", "calm-otter", "KILLED", "finetune@instruct, evaluate"):
        model_origin.choose("instruct", "calm-otter")
    one, stage = model_origin.choose("causal", "calm-otter")
    assert (one.lock, stage) == ({"pretrain@causal": MADE}, "pretrain@causal")
    assert snapshots.find("greenhouse-causal-2@champion").lock == one.lock


@pytest.mark.parametrize(("name", "found"), [("sleek-opah", "Sleek-Opah"), ("two", "two"), ("TWO", "")])
@pytest.mark.usefixtures("cancelled")
def test_an_experiment_is_found_in_another_case_if_only_one_fits(
    name: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "experiments", lambda: dict.fromkeys(("Sleek-Opah", "two", "Two"), "c0ffee"))
    monkeypatch.setattr(snapshots, "_of_commit", lambda name, kind, commit: snapshots.Snapshot(name, kind, {}, commit))
    if not found:
        refuses(lambda: snapshots.find(name), "snapshots._of_run", "TWO")
        return
    assert (snapshots.find(name).name, snapshots.find(name).kind) == (found, "experiment")


def test_a_run_that_still_runs_is_called_so_and_not_unfinished(cancelled: SimpleNamespace) -> None:
    cancelled.info.status, cancelled.lock = "RUNNING", False
    refuses(lambda: snapshots.find("calm-otter"), "snapshots._of_record.1", "calm-otter")
