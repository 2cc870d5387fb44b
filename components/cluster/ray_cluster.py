"""Joining a Ray cluster that runs: see `cluster`."""

import os
import platform
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.core.errors import UserError, clause
from components.core.workers import ONE_THREAD

ANSWER_S = 10.0
"""Seconds for a cluster's head to answer."""
CODE = Path(__file__).resolve().parents[1]
"""Sent to the nodes by Ray, so that they run this checkout's code."""


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """The `ray` module, connected; disconnected on leaving unless it was connected before.

    Args:
        address: host:port of a head; `auto` for that of this machine.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing phones home
    try:
        import ray
    except ImportError:
        raise UserError(
            "runtime.engine is ray, but Ray is not installed; `pip install -c constraints.txt -e '.[ray]'`"
        ) from None
    if ray.is_initialized():
        yield ray
        return
    try:
        with _signals_kept():
            _connect(ray, address)
        yield ray
    finally:
        ray.shutdown()


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
        raise UserError(
            f"runtime.ray_address: no Ray cluster to use at {address} ({clause(error)}); start one (ray start --head) "
            "and write the address as host:port, or auto for the one of this machine"
        ) from None


def refuse_other_machines(ray: Any) -> None:
    """Without a work path all nodes must be on this disk."""
    others = sorted({node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]} - {platform.node()})
    if others:
        raise UserError(
            f"runtime.work_path is empty, but the Ray cluster has other machines ({', '.join(others[:3])}); set it to "
            "a path that all of them reach (s3://bucket/prefix, or a shared folder)"
        )
