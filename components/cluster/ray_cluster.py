"""Joining a Ray cluster, or starting one for a while: see `cluster`.

A cluster that is started here runs under a supervisor (components/cluster/supervisor.py), listens on loopback with a
token of its own, writes to a temporary folder, and ends with all its processes when the context is left.
"""

import os
import platform
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from components.cluster.supervisor import supervised
from components.core.errors import UserError
from components.core.workers import ONE_THREAD

ANSWER_S = 10.0
"""Seconds for a cluster's head to answer."""
START_S = 120.0
"""Seconds for one to start: three are usual, a busy machine takes longer."""
TRIES = 3
"""Ray gives its own processes 30 s, which a busy machine may not have."""
START = ("-m", "ray.scripts.scripts", "start", "--head", "--block", "--port=0", "--include-dashboard=false")
"""Arguments of Python that start a head, as the command `ray` does, which may not be on the path."""
CODE = Path(__file__).resolve().parents[1]
"""Sent to the nodes by Ray, so that they run this checkout's code."""
TOKEN = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Variables of a cluster's authentication. Ray reads its settings from the environment, once, when it is imported."""


@contextmanager
def joined(address: str, workers: int) -> Iterator[Any]:
    """The `ray` module, connected; disconnected on leaving unless it was connected before.

    Args:
        address: host:port of a head; `auto` for that of this machine; "" starts one of `workers` cores.

    Raises:
        UserError: Ray is not installed, or no cluster answers or starts.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing phones home
    if not address:
        _keep_to_this_machine()
    try:
        import ray
    except ImportError:
        raise UserError(
            "runtime.engine is ray, but Ray is not installed; `pip install -c constraints.txt -e '.[ray]'`"
        ) from None
    with ExitStack() as stack:
        if not ray.is_initialized():
            here = address or stack.enter_context(started(workers))
            stack.callback(ray.shutdown)
            with _signals_kept():
                _connect(ray, here)
        yield ray


def _keep_to_this_machine() -> None:
    """A cluster started here is on loopback and has a token, in memory: Ray would write one to the home folder."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # there Ray listens on loopback; so it does here then
    os.environ.setdefault("RAY_health_check_timeout_ms", "60000")  # a busy machine is not a lost one
    os.environ.setdefault("RAY_prestart_worker_first_driver", "0")  # those would be without our runtime_env
    if not any(name in os.environ for name in TOKEN):
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextmanager
def started(workers: int) -> Iterator[str]:
    """A cluster of `workers` cores on this machine; its address. It is gone on leaving.

    Raises:
        UserError: it does not start.
    """
    log = ""
    for _ in range(TRIES):
        short = "/tmp" if Path("/tmp").is_dir() else None  # sockets lie in it, whose paths have 107 bytes at most
        folder = Path(tempfile.mkdtemp(prefix="gh-ray-", dir=short))
        with supervised(
            [sys.executable, *START, f"--num-cpus={workers}", f"--temp-dir={folder}"], folder
        ) as supervisor:
            if address := _address_of(supervisor, folder):
                yield address
                return
            log = " ".join((folder / "log").read_text(errors="replace").split())[-300:]
    raise UserError(f"runtime.engine: no Ray cluster starts on this machine ({log}); set it to local, or fix that")


def _address_of(supervisor: Any, folder: Path) -> str:
    """The head's address, which it writes when it is ready; "" if it does not."""
    until = time.monotonic() + START_S
    written = folder / "ray_current_cluster"
    while supervisor.poll() is None and time.monotonic() < until:
        if written.exists() and (address := written.read_text().strip()):
            return address
        time.sleep(0.05)
    return ""


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM when it connects, which asks a stage to save."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _connect(ray: Any, address: str) -> None:
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), ANSWER_S).close()  # Ray itself would try for a minute
        ray.init(
            address=address,
            runtime_env={"env_vars": ONE_THREAD, "py_modules": [str(CODE)], "excludes": ["__pycache__"]},
            configure_logging=False,
            log_to_driver=False,
        )
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"runtime.ray_address: no Ray cluster to use at {address} ({reason}); start one (ray start --head), write "
            "the address as host:port, or leave it empty, which starts one for the time of a stage"
        ) from None


def refuse_other_machines(ray: Any) -> None:
    """Without a work path all nodes must be on this disk."""
    others = sorted({node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]} - {platform.node()})
    if others:
        raise UserError(
            f"runtime.work_path is empty, but the Ray cluster has other machines ({', '.join(others[:3])}); set it to "
            "a path that all of them reach (s3://bucket/prefix, or a shared folder)"
        )
