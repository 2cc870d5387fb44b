"""How many stages run at once: the run's own value of `runtime.parallel_stages`, also where a form has another one."""

import json

import pytest

from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline, pytest.mark.slow, pytest.mark.timeout(600)]

DVC_YAML = """
stages:
  meet:
    foreach: [first, second, third]
    do:
      cmd: exec python components/meet.py ${item}
      outs: ['${item}.txt']
"""

PROGRAM = """
# Stay until as many stages as TOGETHER says are here at once, or long enough for more to show; write how many were.
import os, sys, time
from pathlib import Path

here, name, wanted = Path("here"), sys.argv[1], int(os.environ["TOGETHER"])
here.mkdir(exist_ok=True)
(here / name).touch()
most, until = 0, time.monotonic() + (120 if wanted > 1 else 2)
while most < max(wanted, 2) and time.monotonic() < until:
    most = max(most, len(list(here.iterdir())))
    time.sleep(0.02)
time.sleep(0.5)  # so that the others see this one, too
(here / name).unlink()
Path(f"{name}.txt").write_text(str(most))
"""

RUN = """
from flows.system import paths
from components import params as schema
from flows.execution import cli
from flows.execution.form import PipelineForm
from flows.execution.pipeline_flow import pipeline

own = schema.load(paths.ROOT / "params.yaml")
form = PipelineForm(settings=["runtime.parallel_stages=PARALLEL"])
with cli.with_prefect():
    state = pipeline(form, return_state=True)
print(own.runtime.parallel_stages, state.is_completed())
"""


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_runs_own_value_decides_how_many_stages_run_at_once(
    migrated_clone: PipelineClone, monkeypatch: pytest.MonkeyPatch, parallel: int
) -> None:
    (migrated_clone.root / "dvc.yaml").write_text(DVC_YAML)
    (migrated_clone.root / "components" / "meet.py").write_text(PROGRAM)
    monkeypatch.setenv("TOGETHER", str(parallel))
    shown = migrated_clone.run_code(RUN.replace("PARALLEL", str(parallel)))
    assert shown.splitlines()[-1] == "2 True", shown
    seen = [int((migrated_clone.root / f"{name}.txt").read_text()) for name in ("first", "second", "third")]
    assert max(seen) == parallel, json.dumps(seen)
