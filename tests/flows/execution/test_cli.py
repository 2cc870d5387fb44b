"""A flow run from a terminal: how its end is told."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.states import Completed, Failed

from components.params import parse
from flows import pipeline
from flows.execution import cli


class NoVersion:
    """A flow that fails at once, as `promote` does without a registered model."""

    name = "promote"

    def __call__(self, **_: Any) -> Any:
        """The state as a study's flow returns it."""
        return Failed(message="promote: no such version")


def test_a_failure_names_its_flow_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "with_prefect", lambda stop: nullcontext())
    assert cli.run(NoVersion(), Path("report.md")) == 1
    assert capsys.readouterr().out == "promote: Failed after 0 s: no such version\n"


def test_an_experiment_ends_with_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who started it from a form saw an empty message: the way on stood in a log alone."""
    monkeypatch.setattr(pipeline, "flow_run", SimpleNamespace(name="calm-otter", id="1"))
    monkeypatch.setattr(pipeline.recovery, "tag_flow_run", lambda run: None)
    monkeypatch.setattr(pipeline.experiment, "worktree", lambda name, params: nullcontext(tmp_path))
    monkeypatch.setattr(pipeline.experiment, "save", lambda root, name: None)
    monkeypatch.setattr(pipeline, "PipelineRun", lambda *_: SimpleNamespace(stopped=None))
    monkeypatch.setattr(pipeline, "RUNS", {})
    way = "saved as DVC experiment calm-otter: `greenhouse compare workspace calm-otter`, `dvc exp apply calm-otter`"
    for name, before, after in (("Completed", "", way), ("Cached", "nothing to do", f"nothing to do; {way}")):
        end = Completed(name=name, message=before)
        monkeypatch.setattr(pipeline, "_run_stages", lambda run, end=end: end)
        state = pipeline.run_pipeline(parse({"evaluate": {"heldout_kilobytes": 11}}), "", [])
        assert (state.name, state.message) == (name, after)
