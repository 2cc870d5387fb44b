"""Running a flow from a terminal: with a Prefect server of its own if none answers, and an exit code at the end."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.errors import STOPPED_EXIT, UserError
from flows import open_runs


@contextmanager
def with_prefect() -> Iterator[None]:
    """A server for the flows in this process; runs whose process is gone are closed first. SIGTERM ends it in order."""
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.servers import prefect_server

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with prefect_server() as url, temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        open_runs.recover()
        os.environ["PREFECT_API_URL"] = url
        try:
            yield
        finally:
            _drain()


def _drain() -> None:
    """Send what Prefect still holds back, while its server is there: at exit it would wait a minute for it in vain."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for service in (APILogWorker, EventsWorker):
        service.drain_all(timeout=10)


def run(flow: Any, report: Path, **parameters: Any) -> None:
    """Run a flow with these parameters, print its report, and exit; 75 if it stopped on purpose."""
    started = time.perf_counter()
    try:
        with with_prefect():
            state = flow(**parameters, return_state=True)
    except UserError as error:
        sys.exit(f"{flow.name}: {error}")
    done = state.name == "Completed"  # a run that stopped on purpose is of that type too, under another name
    if done:
        print("\n" + report.read_text(encoding="utf-8"))
    print(f"{flow.name}: {state.name} after {time.perf_counter() - started:.0f} s: {state.message}")
    sys.exit(0 if done else 1 if state.is_failed() else STOPPED_EXIT)
