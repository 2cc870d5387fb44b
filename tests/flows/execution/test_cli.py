"""A flow run from a terminal: how its end is told, and the exit status."""

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect.states import Cancelled, Completed, Failed, State

from components.params import parse
from flows import pipeline
from flows.execution import cli
from flows.system import paths
from flows.system.run_folder import StageResult
from flows.system.work_folder import sole_writer
from tests.errors import shows


@pytest.mark.parametrize(
    ("state", "status", "says"),
    [
        (Completed(), 0, "\nthe report\nsweep: Completed after 0 s: \n"),
        (Cancelled(name="BudgetReached", message="spent"), 75, "sweep: BudgetReached after 0 s: spent\n"),
        (Failed(message="sweep: no such version"), 1, "sweep: Failed after 0 s: no such version\n"),
    ],
)
def test_the_end_of_a_flow_in_a_terminal(
    state: State, status: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A failure names its flow once."""

    def flow(return_state: bool) -> State:
        return state

    flow.name = "sweep"  # type: ignore[attr-defined]
    monkeypatch.setattr(cli, "with_prefect", lambda stop: nullcontext())
    (tmp_path / "report.md").write_text("the report")
    assert cli.run(flow, tmp_path / "report.md") == status
    assert capsys.readouterr().out == says


WAY = "saved as DVC experiment calm-otter: `greenhouse compare workspace calm-otter`, `dvc exp apply calm-otter`"


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("Completed", "", WAY),
        ("Cached", "nothing to do", f"nothing to do; {WAY}"),
        ("BudgetReached", "1 g is spent", "1 g is spent"),
    ],
)
def test_an_experiment_ends_with_how_to_go_on_unless_it_stopped(
    name: str, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way on stood in a log alone; DVC refused one that stopped, for outputs that were not made yet."""
    result = StageResult(name, before)
    run = SimpleNamespace(stopped=result if result.stopped else None, stale=[])
    for module, attribute, fake in (
        (pipeline, "flow_run", SimpleNamespace(name="calm-otter", id="1")),
        (pipeline, "PipelineRun", lambda *_: run),
        (pipeline, "RUNS", {}),
        (pipeline, "_run_stages", lambda run: result.state),
        (pipeline.recovery, "label_flow_run", lambda id: None),
        (pipeline.experiment, "worktree", lambda name, params: nullcontext(Path())),
        (pipeline, "find", lambda name: None),
        (pipeline.run_view, "show_result", lambda *_: None),
    ):
        monkeypatch.setattr(module, attribute, fake)
    state = pipeline.run_pipeline(parse({"evaluate": {"heldout_kilobytes": 11}}), "", [])
    assert (state.name, state.message) == (name, after)


def test_a_second_run_of_the_workspace_is_refused_before_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended after seconds in DVC's own text on its lock, its stage's earlier outputs gone."""
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    monkeypatch.setattr(pipeline, "flow_run", SimpleNamespace(name="calm-otter", id="1"))
    monkeypatch.setattr(pipeline.recovery, "label_flow_run", lambda id: None)
    with sole_writer(tmp_path):
        state = pipeline.run_pipeline(None, "", [])
    shows(state.message, "sole_writer", f"process {os.getpid()}")


LOSING = """
import gc, os, signal, time, weakref
from flows.execution import cli
cli.LEAVE_S = 1
signal.signal(signal.SIGTERM, cli._terminate)
class Held: pass
one = Held()
kept = weakref.ref(one, lambda _: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(0.01)))
del one
time.sleep(600)
"""


def test_who_is_told_to_end_where_python_drops_the_exception_ends_all_the_same() -> None:
    """In a callback of an object's end, or of an import, it is printed and lost; such a process ran on to its end."""
    process = subprocess.run(
        [sys.executable, "-c", LOSING], cwd=paths.ROOT, capture_output=True, text=True, timeout=120
    )
    assert "Exception ignored in" in process.stderr
    assert process.returncode == -signal.SIGALRM
