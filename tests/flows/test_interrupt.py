"""Ctrl-C, and a temporary Prefect server that ends by itself: everything stops in order, and one sentence says so."""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest
import yaml

from tests.flows.pipeline_clone import PipelineClone, until
from tests.flows.test_recover import assert_killed_in_mlflow, wait_for_work

pytestmark = [pytest.mark.pipeline, pytest.mark.slow, pytest.mark.timeout(600)]

HANGS_S = 120
"""Longer than any orderly end takes on a busy machine, shorter than the client's retries."""


def wait_for(pipeline: subprocess.Popen, words: list[str], seconds: float = 240) -> psutil.Process:
    """The process below the pipeline whose command line holds these words, as soon as there is one."""
    found: list[psutil.Process] = []

    def seen() -> bool:
        for one in psutil.Process(pipeline.pid).children(recursive=True):
            with suppress(psutil.Error):
                found.extend([one] if set(words) <= set(one.cmdline()) else [])
        return bool(found) or pipeline.poll() is not None

    until(seen, seconds)
    assert found, f"{words} was never seen: {pipeline.stdout.read() if pipeline.poll() is not None else ''}"
    return found[0]


def end_of(pipeline: subprocess.Popen, disturb: Callable[[], None]) -> tuple[int, str, list[psutil.Process]]:
    """Exit status, output, and the processes that outlived it, of a pipeline that is disturbed."""
    tree = psutil.Process(pipeline.pid).children(recursive=True)
    disturb()
    output, _ = pipeline.communicate(timeout=HANGS_S)
    _, left = psutil.wait_procs(tree, timeout=15)
    return pipeline.returncode, output, left


def test_ctrl_c_stops_the_stages_and_is_one_sentence(migrated_clone: PipelineClone) -> None:
    pipeline = migrated_clone.start("greenhouse", "run")
    wait_for(pipeline, ["flows.stage", "ingest"])
    wait_for_work(migrated_clone)  # it is in the stage
    status, output, left = end_of(pipeline, lambda: os.killpg(pipeline.pid, signal.SIGINT))
    assert (status, left) == (130, []), output
    assert_killed_in_mlflow(migrated_clone, output)
    assert "Traceback" not in output
    assert re.fullmatch(r"pipeline: Cancelled after \d+ s: interrupted; run it again, it resumes", last(output)), output
    assert len(output.splitlines()) < 15, output
    states = migrated_clone.prefect_rows("select state_name from flow_run")
    assert ("Running",) not in states
    assert ("Cancelled",) in states
    again = migrated_clone.run("greenhouse", "run", "--until", "ingest")
    assert re.search(r"pipeline: (Completed|Cached) after", again), again  # cached if the stage was just done


def start_slow(clone: PipelineClone) -> subprocess.Popen:
    """A pipeline in the middle of its one stage, which sleeps longer than any test waits."""
    program = f"import time; time.sleep({3 * HANGS_S})"
    slow = {"stages": {"slow": {"cmd": f"exec python -c '{program}'"}}}
    (clone.root / "dvc.yaml").write_text(yaml.safe_dump(slow))
    pipeline = clone.start("greenhouse", "run")
    wait_for(pipeline, [program])
    return pipeline


def test_ctrl_c_before_anything_runs_is_one_sentence(migrated_clone: PipelineClone) -> None:
    pipeline = migrated_clone.start("greenhouse", "run")
    wait_for(pipeline, ["flows.serving.access_control"])
    status, output, left = end_of(pipeline, lambda: os.killpg(pipeline.pid, signal.SIGINT))
    # Where an extension module that evaluates Python is being imported, CPython ends by the signal itself, even if the
    # KeyboardInterrupt is caught later; a shell says 130 of both.
    assert status in (130, -signal.SIGINT)
    assert (last(output), left) == ("run: interrupted", [])
    assert len(output.strip().splitlines()) == 3  # what is being read, an empty line after ^C, the sentence


@pytest.mark.long
def test_a_server_that_ends_by_itself_ends_the_pipeline(migrated_clone: PipelineClone) -> None:
    pipeline = start_slow(migrated_clone)
    server = wait_for(pipeline, ["flows.serving.access_control"])
    status, output, left = end_of(pipeline, server.kill)
    assert (status, left) == (1, []), output
    assert "Traceback" not in output
    assert "the temporary Prefect server ended (status -9" in last(output), output
    assert "run it again, it resumes" in last(output)


def last(output: str) -> str:
    """The last line of an output."""
    return output.strip().splitlines()[-1]
