"""A flow run from a terminal: how its end is told."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from prefect.states import Failed

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
