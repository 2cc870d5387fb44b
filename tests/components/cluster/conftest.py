"""One Ray cluster for all tests here; a process left at its end is a failure."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from components.core.files import read_json
from tests.local_store import store  # noqa: F401 - a fixture

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on loopback
    "RAY_health_check_timeout_ms": "60000",  # a busy machine is not a lost one
    "RAY_prestart_worker_first_driver": "0",  # those would be without our runtime_env
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0" * 64,
}


@pytest.fixture(autouse=True, scope="module")
def _environment() -> Iterator[None]:
    """Ray reads its settings when it is imported, so they are there from the first test on; the nodes inherit them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


class Nodes:
    """The cluster of `ray_nodes`."""

    def __init__(self, address: str, pid: int) -> None:
        self.address, self.pid = address, pid

    def lose_one(self) -> None:
        """Have a node killed, and return when the cluster knows."""
        before = self._lost()
        os.kill(self.pid, signal.SIGUSR1)
        until = time.monotonic() + 120
        while self._lost() == before:
            assert time.monotonic() < until, "no node was lost"
            time.sleep(0.05)

    @staticmethod
    def _lost() -> int:
        import ray

        return sum(not node["Alive"] for node in ray.nodes())


@pytest.fixture(scope="module")
def nodes(store: str) -> Iterator[Nodes]:  # noqa: F811 - the fixture
    """One cluster for all tests. Every process of it ends with it, or the tests fail."""
    folder = Path(tempfile.mkdtemp(prefix="gh", dir="/tmp"))  # short: Ray's sockets lie in it
    ready = folder / "ready.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        with open(folder / "log", "wb") as log:
            command = [sys.executable, str(HERE / "ray_nodes.py"), str(ready)]
            program = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        while not ready.exists():
            assert program.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield Nodes(**read_json(ready))
        below = psutil.Process(program.pid).children(recursive=True)
        assert {"raylet", "gcs_server"} <= {process.name() for process in below}
        program.terminate()
        program.wait()
    left = psutil.wait_procs(below, timeout=60)[1]
    for process in left:
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)
    assert not left, "processes of Ray are left"
