"""The meter of what a command uses before its pipeline run begins: its imports, a Prefect server."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from components.params import Params
from flows.system import paths
from greenhouse_record.metering.meter import Meter

_open: list[tuple[Meter, float]] = []
"""The one of this process, and when it began (Unix seconds), until its first run begins."""


@contextmanager
def metered(params: Params) -> Iterator[None]:
    """A span of the ledger from here to `end`, or to the end of the block if no run begins.

    Raises:
        UserError: the ledger cannot be written.
    """
    began = time.time()
    _open.append((Meter(paths.LEDGER, params.runtime.meter_interval_s, {"command": "pipeline"}).__enter__(), began))
    try:
        yield
    finally:
        end()


def end(**labels: str) -> float:
    """End the span, if one is open; with the label `run` it is that run's. Returns when it began, else the time now."""
    began = time.time()
    while _open:
        meter, began = _open.pop()
        meter.note(**labels)
        meter.__exit__(*sys.exc_info())
    return began
