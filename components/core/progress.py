"""Progress of a running stage: `flows/tracking/progress.py` shows it in terminal, Prefect, MLflow and ledger."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
CHECK_EVERY = 200
"""Items between two checks whether the run was stopped."""


class Progress:
    """Receiver of a stage's progress, metrics and phases; this one ignores them."""

    def update(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        """`done` of `total` `unit`s (documents, steps, items) are finished; `note` is a few words beside the bar."""

    def log_metrics(self, step: int, values: dict[str, float]) -> None:
        """Metrics of a training run at `step` (loss, bits per byte, tokens per second). Not part of any output."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Named part of the stage (`encode`, `compile`), metered in the ledger as a nested span."""
        yield

    def joules(self) -> float | None:
        """Energy that the stage has used so far (mid estimate, as of the last reading); None if it is not metered."""
        return None

    def raise_if_stopped(self) -> None:
        """Raise `Stopped` if the run should end here; called between steps, when all is saved that resuming needs."""

    def checked(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items; raises `Stopped` between two of them."""
        for number, item in enumerate(items):
            if number % CHECK_EVERY == 0:
                self.raise_if_stopped()
            yield item

    def log(self, text: str) -> None:
        """A line for the log."""
