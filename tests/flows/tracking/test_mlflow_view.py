"""Links to MLflow's pages: the stored view once there is one, the comparison once there are two runs."""

import json
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest

from flows.tracking.mlflow_view import links, run_page, store_view


@pytest.mark.usefixtures("mlflow_tables")
def test_the_view_shows_quality_before_cost(tmp_path: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.create_experiment("greenhouse")
    store_view(client, experiment, ["cost/run_kwh", "ability/recall", "bias/pronoun_gap"])
    state = json.loads(client.get_experiment(experiment).tags["mlflow.sharedViewState.quality"])
    metrics = [column for column in state["selectedColumns"] if column.startswith("metrics.")]
    assert metrics == ["metrics.`ability/recall`", "metrics.`bias/pronoun_gap`", "metrics.`cost/run_kwh`"]
    stage, parent = (client.create_run(experiment, tags=tags).info.run_id for tags in ({}, {"run": "calm-otter"}))
    for run in (stage, parent):
        client.set_terminated(run, "FINISHED")
    assert [run.info.run_id for run in client.search_runs([experiment], state["searchFilter"])] == [parent]


@pytest.mark.parametrize("runs", [0, 1, 2])
def test_links(monkeypatch: pytest.MonkeyPatch, runs: int) -> None:
    tags = [{"key": "mlflow.sharedViewState.quality", "value": "{}"}] if runs else []
    rows = [{"info": {"run_id": f"r{number}"}} for number in range(runs)]

    def answer(content: dict[str, Any]) -> Any:
        return lambda *_, **__: httpx.Response(200, json=content)

    monkeypatch.setattr(httpx, "get", answer({"experiment": {"experiment_id": "7", "tags": tags}} if runs else {}))
    monkeypatch.setattr(httpx, "post", answer({"runs": rows}))
    pages = links("http://host")
    stored = "experiments/7/runs?workflowType=machine_learning&viewStateShareKey=quality"
    assert pages["runs"] == f"http://host/#/{stored if runs else 'experiments?workflowType=machine_learning'}"
    compare = "http://host/#/compare-runs?runs=[%22r1%22,%22r0%22]&experiments=[%227%22]&workflowType=machine_learning"
    assert pages.get("compare") == (compare if runs == 2 else None)


def test_a_server_that_does_not_answer_has_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(httpx, "get", refuse)
    assert links("http://host") == {"runs": "http://host"}


def test_a_server_with_a_login_is_asked_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make up` with a login showed no stored view and no comparison."""

    def guarded(url: str, auth: object = None, **_: object) -> httpx.Response:
        found = {"experiment": {"experiment_id": "7"}, "runs": [{"info": {"run_id": name}} for name in "ab"]}
        return httpx.Response(200, json=found) if auth == ("me", "secret") else httpx.Response(401, text="login needed")

    for name, value in (("get", guarded), ("post", guarded)):
        monkeypatch.setattr(httpx, name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    assert links("http://host").keys() == {"runs", "compare"}


def test_the_page_of_a_run_is_the_one_for_training() -> None:
    """MLflow's side for agents has no such runs."""
    assert run_page("http://host", "7", "r0") == "http://host/#/experiments/7/runs/r0?workflowType=machine_learning"
