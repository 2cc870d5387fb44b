"""When a checkpoint is written: at once, or beside the training where that would cost over 1% of its time.

Writing at once is the plain way, and all there is as long as it is cheap. Where the last checkpoint took more than
`MOST` of the time since the one before, the next is a copy of the state in memory, written by a thread while the
training goes on. Checkpoints are the same bytes either way. One is on its way at most: whoever needs the newest (the
next save, a step back, the end) waits for it, and a write that failed fails there.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from types import TracebackType

MOST = 0.01
"""Share of the time that may be spent on writing checkpoints at once."""


class Saves:
    """The writes of one training run; `with` it, as it waits for the last one."""

    def __init__(self) -> None:
        self.costly = False
        self._ended_s: float | None = None
        self._pending: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, "checkpoint")

    def write(self, write: Callable[[], object], beside: bool) -> None:
        """Carry out `write`: now, or `beside` what follows. The one before must have been settled."""
        assert self._pending is None
        if beside:
            self._pending = self._thread.submit(self._timed, write)
        else:
            self._timed(write)

    def settle(self) -> None:
        """Wait for the write that is on its way; raises what it raised."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _timed(self, write: Callable[[], object]) -> None:
        started_s = perf_counter()
        write()
        ended_s = perf_counter()
        if self._ended_s is not None:
            self.costly = ended_s - started_s > MOST * (ended_s - self._ended_s)
        self._ended_s = ended_s

    def __enter__(self) -> "Saves":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if error is None:
            self.settle()
