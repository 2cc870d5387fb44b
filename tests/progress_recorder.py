"""Progress for tests: records what a stage reports, and can ask it to stop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from components.core.errors import Stopped
from components.core.progress import Progress


class Recorder(Progress):
    """`Progress` that keeps all it is told.

    Args:
        stop: called at each check, with this recorder; the stage is asked to stop where it returns True.
        joules: readings of the energy meter, one for each time it is asked; none if nobody meters.
    """

    def __init__(
        self, stop: Callable[["Recorder"], bool] = lambda _: False, joules: Iterator[float] | None = None
    ) -> None:
        self.stop, self.meter = stop, joules
        self.lines: list[str] = []
        self.rows: dict[int, dict[str, float]] = {}
        self.done: list[int] = []
        self.totals: set[tuple[int | None, str]] = set()
        self.notes: list[str] = []
        self.checks: dict[str, int] = {"": 0}  # by phase; "" outside of all
        self.current = ""

    @property
    def num_checks(self) -> int:
        return sum(self.checks.values())

    def update(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        self.done.append(done)
        self.totals.add((total, unit))
        self.notes.append(note)

    def log_metrics(self, step: int, values: dict[str, float]) -> None:
        self.rows[step] = self.rows.get(step, {}) | values

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        outer, self.current = self.current, name
        try:
            yield
        finally:
            self.current = outer

    def joules(self) -> float | None:
        return None if self.meter is None else next(self.meter)

    def raise_if_stopped(self) -> None:
        self.checks[self.current] = self.checks.get(self.current, 0) + 1
        if self.stop(self):
            raise Stopped("Cancelled", "the test asks to stop")

    def log(self, text: str) -> None:
        self.lines.append(text)


def stops_at(check: int) -> Recorder:
    """A recorder that asks to stop at this check (the first is 1) and at every later one."""
    return Recorder(lambda seen: seen.num_checks >= check)
