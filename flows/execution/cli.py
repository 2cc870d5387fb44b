"""A flow run from a terminal: with a Prefect server of its own if none answers."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.core.errors import STOPPED_EXIT

LEAVE_S = 60
"""Seconds in which whoever got SIGTERM has stopped its stages, its record and its server, or is ended."""
Stop = Callable[[str, str], bool]
_interrupted = threading.Event()
"""Set once Ctrl-C was pressed in this process."""


def _nothing_runs(name: str, message: str) -> bool:
    return False


@contextmanager
def with_prefect(stop: Stop = _nothing_runs, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
    """A server for the flows in this process; runs whose process is gone are closed first. SIGTERM ends it in order.

    Args:
        stop: ends what runs, in order, by the name of a state and a sentence; False if nothing runs. Ctrl-C calls it,
            and raises KeyboardInterrupt where nothing runs; the end of the temporary server calls it, and exits.
        meanwhile: what can be done while a server of its own starts; not called where one runs.
    """
    from flows.system.mlflow_server import require_mlflow
    from flows.system.prefect_server import prefect_server
    from flows.tracking import recovery

    require_mlflow()

    def server_ended(message: str) -> None:
        _leave_without_server(message, stop)

    signal.signal(signal.SIGTERM, _terminate)
    _interrupted.clear()
    signal.signal(signal.SIGINT, _on_interrupt(stop))
    with prefect_server(server_ended, meanwhile) as url:
        from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        with temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            recovery.recover()
            os.environ["PREFECT_API_URL"] = url
            if _interrupted.is_set():  # Python drops an exception that a signal raises inside a callback of an import
                raise KeyboardInterrupt
            yield


def _terminate(*_: Any) -> None:
    """Leave in order. Told again meanwhile, go on leaving: a second exception would cut that short.

    After `LEAVE_S` the kernel ends the process: Python drops an exception that a signal raises inside a callback.
    """
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LEAVE_S)
    sys.exit(143)


def _on_interrupt(stop: Stop) -> Callable[..., None]:
    """The handler of Ctrl-C.

    An exception in the middle of a flow would end it as crashed, with a traceback.
    """
    stopping = threading.Event()

    def handle(*_: Any) -> None:
        if stopping.is_set():
            return  # pressed again: `stop` waits for seconds only
        stopping.set()
        _interrupted.set()
        if not stop("Cancelled", "interrupted; run it again, it resumes"):
            stopping.clear()
            raise KeyboardInterrupt

    return handle


def _leave_without_server(message: str, stop: Stop) -> None:
    """End this process with one sentence: the client would try for minutes to reach a server that is gone."""
    logging.disable(logging.CRITICAL)
    stderr, sys.stderr = sys.stderr, open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    stop("Failed", message)
    print(message, file=stderr, flush=True)
    os._exit(1)


def run(flow: Any, report: Path, stop: Stop = _nothing_runs, **parameters: Any) -> int:
    """Run a flow with these parameters and print its report. Returns the exit status."""
    started = time.perf_counter()
    with with_prefect(stop):
        state = flow(**parameters, return_state=True)
    done = state.is_completed()
    if done:
        print("\n" + report.read_text(encoding="utf-8"))
    message = (state.message or "").removeprefix(f"{flow.name}: ")  # which Prefect's page needs
    print(f"{flow.name}: {state.name} after {time.perf_counter() - started:.0f} s: {message}")
    return exit_status(state)


def exit_status(state: Any) -> int:
    """Of a command whose flow ended so: 130 after Ctrl-C, 75 where it stopped on purpose, as at a budget."""
    if state.is_completed():
        return 0
    if _interrupted.is_set():
        return 128 + signal.SIGINT
    return 1 if state.is_failed() else STOPPED_EXIT
