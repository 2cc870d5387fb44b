"""The record of a run, from its folder into MLflow: complete, once, whoever writes it and however often."""

import threading
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest

from flows.system import environment, paths, processes
from flows.system.run_folder import PIPELINE, REPRO, EventWriter, RunFolder, StageFolder, StageResult
from flows.tracking import mlflow_run, model_registry, record, recovery
from flows.tracking.record import Recorder

RESULT = StageResult(
    "Completed", "mix: done", function_s=2.0, metrics={"documents": 7.0},
    record={"ms": 1_700_000_000_000, "reports": "reports/mix", "besides": []},
)  # fmt: skip


@pytest.fixture(autouse=True)
def state(checkout: Path, tmp_path: Path, mlflow_tables: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with an MLflow database of its own."""
    monkeypatch.setattr(environment, "running_servers", dict)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    return tmp_path


@pytest.fixture
def client() -> mlflow.MlflowClient:
    return mlflow_run.client()


def begun(kind: str = PIPELINE, process: str = "", stage: str = "mix") -> tuple[StageFolder, EventWriter]:
    """A run with a stage at work."""
    run = RunFolder("calm-otter")
    if not run.facts():
        run.open(kind, process, commit="abc+changes")
    folder = run.stage(stage)
    folder.clear()
    hashes = {"data/bias": "0123456789abcdef0123456789abcdef.dir"}
    events = EventWriter(folder, fingerprint="print", params={"mix": {"seed": 1}}, hashes=hashes)
    events.write("metrics", step=1, values={"loss": 2.5})
    events.write("metrics", step=2, values={"loss": 2.0})
    return folder, events


def completed(folder: StageFolder, root: Path, result: StageResult = RESULT) -> None:
    """The stage's end, with a report that its checkout loses."""
    report = root / f"reports/{folder.name}/details/report.md"
    report.parent.mkdir(parents=True)
    report.write_text("the report")
    folder.keep([report], root)
    report.unlink()
    folder.write_result(result)


def killed(folder: StageFolder, process: str) -> None:
    """Have the stage's process be another one, which has ended."""
    path = folder.path / "events.jsonl"
    path.write_text(path.read_text().replace(processes.process_tag(), process))


def rows(client: mlflow.MlflowClient) -> dict[str, Any]:
    """Name -> run; there is one of each."""
    runs = client.search_runs([mlflow_run.experiment_id(client)])
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {run.info.run_name: run for run in runs}


def losses(client: mlflow.MlflowClient, run: Any) -> list[tuple[int, float]]:
    return [(row.step, row.value) for row in client.get_metric_history(run.info.run_id, "loss")]


def cut(*_: object, **__: object) -> None:
    raise ConnectionError("the process was killed here")


def test_a_stage_is_recorded_while_it_works_and_whole_at_its_end(client: mlflow.MlflowClient, tmp_path: Path) -> None:
    folder, events = begun()
    recorder = Recorder(folder.run)
    recorder.advance()
    found = rows(client)["mix"]
    assert (found.info.status, losses(client, found)) == ("RUNNING", [(1, 2.5), (2, 2.0)])
    assert not folder.recorded
    events.write("metrics", step=3, values={"loss": 1.5})
    recorder.advance()
    assert losses(client, found)[-1] == (3, 1.5)
    completed(folder, tmp_path / "worktree")
    recorder.advance()
    found, parent = rows(client)["mix"], rows(client)["calm-otter"]
    assert (found.info.status, found.info.end_time) == ("FINISHED", 1_700_000_000_000)
    assert found.data.params == {"mix.seed": "1"}
    assert found.data.metrics["documents"] == 7
    assert found.inputs.dataset_inputs[0].dataset.name == "data/bias"
    tags = {"stage": "mix", "kind": "pipeline", "outcome": "Completed", "fingerprint": "print"}
    assert tags.items() <= found.data.tags.items()
    assert found.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert found.data.tags["mlflow.source.git.commit"] == "abc"
    assert {file.path for file in client.list_artifacts(found.info.run_id)} == {"made_with.json", "report.md"}
    assert folder.recorded
    assert not folder.kept.exists()
    assert parent.info.status == "RUNNING"


@pytest.mark.parametrize("broken", ["log_inputs", "log_artifact", "set_terminated"])
def test_a_record_that_was_cut_short_anywhere_is_completed_and_not_made_twice(
    broken: str, client: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder, _ = begun()
    completed(folder, tmp_path / "worktree")
    with monkeypatch.context() as patched:
        patched.setattr(mlflow.MlflowClient, broken, cut)
        Recorder(folder.run).advance()
    assert "ConnectionError: the process was killed here; it is recorded at the next start" in capsys.readouterr().out
    assert not folder.recorded
    Recorder(folder.run).advance()
    found = rows(client)["mix"]
    assert (found.info.status, folder.recorded) == ("FINISHED", True)
    assert losses(client, found) == [(1, 2.5), (2, 2.0)]
    assert len(found.inputs.dataset_inputs) == 1
    Recorder(folder.run).advance()  # the mark is there
    assert len(rows(client)) == 2


def test_a_model_that_is_registered_already_gets_no_second_version(
    client: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = []

    def registered(client: mlflow.MlflowClient, run_id: str, folder: Path, model: model_registry.ModelRecord) -> str:
        logged.append(run_id)
        client.create_registered_model(model.name)
        return client.create_model_version(model.name, "file:///somewhere", run_id).version

    monkeypatch.setattr(model_registry, "_registered", registered)
    folder, _ = begun(stage="pretrain@causal")
    model = {"stage": "pretrain", "branch": "causal", "name": "m", "licence": "", "md5": "1", "fingerprint": "print"}
    result = StageResult("Completed", "done", record=RESULT.record | {"model": model})
    completed(folder, tmp_path / "worktree", result)
    with monkeypatch.context() as patched:
        patched.setattr(mlflow.MlflowClient, "set_model_version_tag", cut)
        Recorder(folder.run).advance()
    Recorder(folder.run).advance()
    (version,) = client.search_model_versions("name = 'm'")
    assert len(logged) == 1
    assert version.tags == {"dvc.path": "models/pretrain/causal", "dvc.md5": "1", "fingerprint": "print"}
    assert client.get_model_version_by_alias("m", "champion").version == version.version
    assert folder.recorded


@pytest.mark.parametrize(
    ("name", "status"), [("Failed", "FAILED"), ("BudgetReached", "KILLED"), ("Cancelled", "KILLED")]
)
def test_a_stage_that_failed_or_stopped_says_why(name: str, status: str, client: mlflow.MlflowClient) -> None:
    folder, _ = begun()
    folder.write_result(StageResult(name, "mix: no", metrics={"energy/kwh": 0.1}, record={"ms": 1_700_000_000_000}))
    Recorder(folder.run).advance()
    found = rows(client)["mix"]
    assert (found.info.status, found.data.tags["error"], found.data.tags["outcome"]) == (status, "mix: no", name)
    assert found.data.metrics["energy/kwh"] == 0.1


def test_the_end_of_a_run_is_its_parents(client: mlflow.MlflowClient, tmp_path: Path) -> None:
    folder, _ = begun()
    completed(folder, tmp_path / "worktree")
    (tmp_path / "params.yaml").write_text("a: 1")
    scores = {"bpb": 1.9, "instruct": 0.8}
    end = {"metrics": scores, "params": {"a": 1}, "tags": {"stages": "[]"}, "figures": {"f": 1.0}}
    folder.run.end("FAILED", [tmp_path / "params.yaml"], tmp_path, summary="", **end)
    Recorder(folder.run).finish()
    parent = rows(client)["calm-otter"]
    assert (parent.info.status, parent.data.params) == ("FAILED", {"a": "1"})
    assert parent.data.metrics == scores | {"mix/loss": 2.0}, "its stages' curves too: two runs lie over each other"
    assert next(iter(parent.data.metrics)) == "instruct", "MLflow's comparison opens with the first; it was of the CPU"
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files == {"figures.json", "params.yaml"}
    assert folder.run.closed


def test_what_a_killed_pipeline_left_is_recorded_at_the_next_start(
    client: mlflow.MlflowClient, tmp_path: Path, ended: str
) -> None:
    """A stage that had ended is FINISHED, the one at work and the run are KILLED."""
    earlier = client.create_run(
        mlflow_run.experiment_id(client), 1, {"kind": PIPELINE, mlflow_run.NAME_TAG: "before"}, "before"
    )
    mlflow_run.log_params(client, earlier.info.run_id, {"mix": {"seed": 1}})
    client.set_terminated(earlier.info.run_id)
    done, _ = begun(process=ended)
    done.run.note(params={"mix": {"seed": 2}})
    completed(done, tmp_path / "worktree")
    working, _ = begun(stage="tokenize")
    killed(working, ended)
    said: list[str] = []
    recovery.recover_records(said.append)
    assert said == ["closing calm-otter: its process ended without closing it"]
    found = {name: run.info.status for name, run in rows(client).items()}
    killed_run = "mix.seed 1 -> 2 (calm-otter)"
    assert found == {"before": "FINISHED", "mix": "FINISHED", "tokenize": "KILLED", killed_run: "KILLED"}
    assert rows(client)["tokenize"].data.tags["error"].startswith("tokenize: its process ended without a result")
    run = rows(client)[killed_run].data
    assert run.tags["changed"] == "seed 1 -> 2 (mix)"
    assert run.tags["result"].startswith("Killed: its process ended without a result")
    assert (run.metrics["cost/run_kwh"], run.tags["cost"]) == (0, "0 Wh"), "what it used until then: of no reading"
    assert done.run.closed
    recovery.recover_records(said.append)
    assert len(said) == 1


def test_a_run_that_ended_without_its_record_keeps_its_own_end(
    client: mlflow.MlflowClient, tmp_path: Path, ended: str
) -> None:
    """As of a tracking server that was away: it is recorded as if it had been there."""
    done, _ = begun(process=ended)
    completed(done, tmp_path / "worktree")
    done.run.end("FINISHED", metrics={}, params={"a": 1})
    recovery.recover_records(lambda _: None)
    parent = rows(client)["calm-otter"]
    assert (parent.info.status, parent.data.params) == ("FINISHED", {"a": "1"})


def test_a_run_that_goes_on_is_left_alone(client: mlflow.MlflowClient) -> None:
    folder, _ = begun()
    recovery.recover_records(lambda said: pytest.fail(said))
    assert rows(client) == {}
    assert not folder.run.closed


def test_a_server_that_is_away_costs_a_sentence_and_no_record(
    ended: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun(process=ended)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    said: list[str] = []
    recovery.recover_records(said.append)
    assert len(said) == 1
    assert "does not answer" in said[0]
    assert not RunFolder("calm-otter").closed


@pytest.mark.parametrize("text", [b"", b"{", b"\0" * 40, b"[]", b"{}", b'{"process": 7}', b"\xff"])
def test_a_damaged_record_is_left_as_it_is_with_one_sentence(text: bytes) -> None:
    begun()
    path = paths.RUNS / "calm-otter" / "run.json"
    path.write_bytes(text)
    assert not RunFolder("calm-otter").alive
    said: list[str] = []
    for _ in range(2):
        recovery.recover_records(said.append)
    assert len(said) == 2
    assert "damaged, perhaps by a power cut" in said[1]
    assert path.read_bytes() == text


def test_a_stage_of_plain_dvc_records_itself_and_the_last_one_ends_the_run(
    client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    folder, _ = begun(REPRO)
    completed(folder, tmp_path / "worktree")
    record.record_repro(folder.run)
    found = {name: run.info.status for name, run in rows(client).items()}
    assert found == {"mix": "FINISHED", "calm-otter": "FINISHED"}  # nobody knows whether another one follows
    assert not folder.run.closed
    scored, _ = begun(stage="evaluate")
    scores = {"bpb": 1.9, "bpb_high": 2.0, "bpb_low": 1.8, "book": 0.5}
    completed(
        scored, tmp_path / "worktree", StageResult("Completed", "done", record=RESULT.record | {"scores": scores})
    )
    record.record_repro(folder.run)
    parent = rows(client)["calm-otter"]
    assert (parent.data.tags["primary"], parent.data.metrics) == ("1.900±.10 bpb", scores)
    failing, _ = begun(stage="tokenize")
    failing.write_result(StageResult("Failed", "tokenize: no", record={"ms": 1_700_000_000_000}))
    record.record_repro(folder.run)
    assert rows(client)["calm-otter"].info.status == "FAILED"
    last, _ = begun(stage="account")
    last.write_result(StageResult("Completed", "account: done", record={"ms": 1_700_000_000_000}))
    last.run.end("FINISHED", metrics={}, params={"a": 1}, summary="")
    record.record_repro(folder.run)
    parent = rows(client)["calm-otter"]
    assert (parent.info.status, parent.data.params, folder.run.closed) == ("FINISHED", {"a": "1"}, True)


def test_while_make_up_runs_it_alone_records_a_repro(
    client: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "running_servers", lambda: {"PREFECT_API_URL": "http://up"})
    folder, events = begun(REPRO)
    record.record_repro(folder.run)
    assert rows(client) == {}
    held: dict[str, Any] = {}
    pipelines = RunFolder("wry-newt")
    pipelines.open(PIPELINE)
    record._follow(pipelines, held)
    assert held == {}, "it is left to the pipeline"
    record._follow(folder.run, held)
    assert losses(client, rows(client)["mix"]) == [(1, 2.5), (2, 2.0)]  # while it works
    with folder.run.sole_recorder() as mine:
        assert not mine
    events.write("metrics", step=3, values={"loss": 1.5})
    completed(folder, tmp_path / "worktree")
    folder.run.end("FINISHED", metrics={}, params={})
    record._follow(folder.run, held)
    assert losses(client, rows(client)["mix"])[-1] == (3, 1.5)
    assert folder.run.closed
    assert held == {}
    with folder.run.sole_recorder() as mine:
        assert mine


@pytest.mark.timeout(120)
def test_make_up_goes_on_after_trouble(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    begun(REPRO)
    looks, other = threading.Event(), RunFolder("wry-newt")

    def follow(run: RunFolder, held: object) -> None:
        if run.name == "calm-otter":
            raise ConnectionError("away")
        looks.set()

    monkeypatch.setattr(record, "_follow", follow)
    monkeypatch.setattr(record, "EVERY_S", 0.01)
    threading.Thread(target=record.follow, daemon=True).start()
    time.sleep(0.1)
    other.open(REPRO)
    assert looks.wait(60)
    assert capsys.readouterr().out.count("ConnectionError: away") == 1
