"""Writer of checkpoints: at once, or on a thread while training goes on, where writing would cost over 1% of the time.

Where the last checkpoint took more than `MAX_SHARE` of the time since the one before, the next is written from a copy
in memory by a thread, if there is room. The files are the same either way. At most one write is pending: whoever needs
the newest checkpoint (the next save, a rollback, the end) waits for it in `finish`, which raises the error of a write
that failed.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from types import TracebackType

MAX_SHARE = 0.01
"""Share of the time that synchronous writes may take."""


class CheckpointWriter:
    """Context manager of a run's checkpoint writes; leaving it waits for the last one."""

    def __init__(self) -> None:
        self.slow = False
        self._ended_s: float | None = None
        self._pending: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, "checkpoint")

    def write(self, write: Callable[[], object], asynchronous: bool) -> None:
        """Call `write`: now, or on a thread if `asynchronous`. The write before must have been finished."""
        assert self._pending is None
        if asynchronous:
            self._pending = self._thread.submit(self._timed, write)
        else:
            self._timed(write)

    def finish(self) -> None:
        """Wait for the pending write; raises what it raised."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _timed(self, write: Callable[[], object]) -> None:
        started_s = perf_counter()
        write()
        ended_s = perf_counter()
        if self._ended_s is not None:
            self.slow = ended_s - started_s > MAX_SHARE * (ended_s - self._ended_s)
        self._ended_s = ended_s

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if error is None:
            self.finish()
