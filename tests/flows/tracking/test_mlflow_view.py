"""Links to MLflow's pages: the stored view once there is one, the comparison once there are two runs."""

import json
from pathlib import Path

import mlflow
import pytest

from flows.tracking.mlflow_view import links, run_page, store_view


@pytest.mark.usefixtures("mlflow_tables")
def test_the_view_shows_what_changed_then_quality_and_cost(tmp_path: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.create_experiment("greenhouse")
    store_view(client, experiment)
    state = json.loads(client.get_experiment(experiment).tags["mlflow.sharedViewState.quality"])
    names = ("changed", "primary", "cost", "result")
    assert state["selectedColumns"] == [f"tags.`{name}`" for name in names]
    before_result = state["columnOrder"][: state["columnOrder"].index("tags.`result`")]
    assert 73 + sum(state["columnWidths"][name] for name in before_result) <= 698, (
        "as wide as it is beside the Assistant"
    )
    ends = {"FINISHED": {}, "FAILED": {"run": "calm-otter"}, "KILLED": {"run": "keen-wren"}}
    stage, *parents = (client.create_run(experiment, tags=tags).info.run_id for tags in ends.values())
    for run, end in zip((stage, *parents), ends, strict=True):
        client.set_terminated(run, end)
    # A failed run was not to be seen there.
    assert {run.info.run_id for run in client.search_runs([experiment], state["searchFilter"])} == set(parents)


@pytest.mark.parametrize("runs", [0, 1, 2])
@pytest.mark.usefixtures("mlflow_tables")
def test_links(tmp_path: Path, runs: int) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    number = client.create_experiment("greenhouse")
    names = []
    for start in range(runs):
        names.append(client.create_run(number, start_time=start + 1, tags={"run": f"r{start}"}).info.run_id)
        client.set_terminated(names[-1], "FINISHED")
    pages = links(client, lambda _: number, "http://host")
    at = f"http://host/#/experiments/{number}/runs?workflowType=machine_learning"
    assert pages["runs"] == f"{at}&viewStateShareKey=quality"
    assert "mlflow.sharedViewState.quality" in client.get_experiment(number).tags, "also before the first run"
    asked = ",".join(f"%22{name}%22" for name in names)
    compare = f"runs=[{asked}]&experiments=[%22{number}%22]&workflowType=machine_learning"
    assert pages.get("compare") == (f"http://host/#/compare-runs?{compare}" if runs == 2 else None)


def test_a_server_that_fails_has_its_address() -> None:
    def fails(_: object) -> str:
        raise mlflow.MlflowException("of the server")

    assert links(None, fails, "http://host") == {"runs": "http://host"}


def test_the_page_of_a_run_is_the_one_for_training() -> None:
    """MLflow's side for agents has no such runs."""
    assert run_page("http://host", "7", "r0") == "http://host/#/experiments/7/runs/r0?workflowType=machine_learning"
