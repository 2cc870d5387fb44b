"""How many stages run at once: the run's own value of `runtime.parallel_stages`, also where a form has another one.

And a stage that waits for a longer one holds no place: what could run meanwhile does.
"""

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


@pytest.mark.long
def test_a_runs_own_value_decides_how_many_stages_run_at_once(migrated_clone: PipelineClone) -> None:
    (migrated_clone.root / "dvc.yaml").write_text(DVC_YAML)
    (migrated_clone.root / "components" / "meet.py").write_text(PROGRAM)
    made = [migrated_clone.root / f"{name}.txt" for name in ("first", "second", "third")]
    with migrated_clone.prefect():
        for parallel in ("1", "3"):  # params.yaml has 2
            more = {"TOGETHER": parallel}
            shown = migrated_clone.run("greenhouse", "run", f"runtime.parallel_stages={parallel}", **more)
            assert max(path.read_text() for path in made) == parallel, shown
            for path in [*made, migrated_clone.root / "dvc.lock"]:
                path.unlink()


BRANCHES = """
stages:
  long:
    cmd: exec python components/wait.py long.txt after_short.txt
    outs: [long.txt]
  after_long:
    cmd: exec python components/wait.py after_long.txt
    deps: [long.txt]
    outs: [after_long.txt]
  short:
    cmd: exec python components/wait.py short.txt
    outs: [short.txt]
  after_short:
    cmd: exec python components/wait.py after_short.txt
    deps: [short.txt]
    outs: [after_short.txt]
"""

WAIT = """
# Write whether the file that is named second came to be within a minute.
import sys, time
from pathlib import Path

own, *others = map(Path, sys.argv[1:])
until = time.monotonic() + 60
while not all(other.exists() for other in others) and time.monotonic() < until:
    time.sleep(0.02)
own.write_text("in time" if all(other.exists() for other in others) else "in vain")
"""


@pytest.mark.long
def test_a_stage_that_waits_for_a_longer_one_does_not_hold_up_the_other_branch(migrated_clone: PipelineClone) -> None:
    (migrated_clone.root / "dvc.yaml").write_text(BRANCHES)
    (migrated_clone.root / "components" / "wait.py").write_text(WAIT)
    shown = migrated_clone.run("greenhouse", "run")
    assert (migrated_clone.root / "long.txt").read_text() == "in time", shown
