"""Batches made one ahead on a thread, while a GPU computes the one before."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Ahead(Generic[Result]):
    """Callable that gives the batches of another one; asked for batch n, it has n + 1 begun.

    Args:
        batches: a function of the number alone, so that it does not matter when it is called.
        begin: called first on the thread, which has a device of its own: pinned memory belongs to
            one.
    """

    def __init__(self, batches: Callable[[int], Result], begin: Callable[[], object] | None = None) -> None:
        self.batches, self.thread = batches, ThreadPoolExecutor(1, "batches", begin)
        self.begun: dict[int, Future[Result]] = {}

    def __call__(self, number: int) -> Result:
        now, after = (self.begun.get(one) or self.thread.submit(self.batches, one) for one in (number, number + 1))
        self.begun = {number + 1: after}
        return now.result()
