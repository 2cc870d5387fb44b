"""The meter of what a command uses before its pipeline run begins: its imports, a Prefect server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from components.params import Params
from flows.system import paths
from greenhouse_record.metering.meter import Meter

_open: list[Meter] = []
"""The one of this process, until its first run begins."""


@contextmanager
def metered(params: Params) -> Iterator[None]:
    """A span of the ledger from here to `end`, or to the end of the block if no run begins.

    Raises:
        UserError: the ledger cannot be written.
    """
    _open.append(Meter(paths.LEDGER, params.runtime.meter_interval_s, {"command": "pipeline"}).__enter__())
    try:
        yield
    finally:
        end()


def end(**labels: str) -> None:
    """End the span, if one is open; with the label `run` it is that run's."""
    while _open:
        meter = _open.pop()
        meter.note(**labels)
        meter.__exit__(*sys.exc_info())
