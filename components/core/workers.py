"""Work on many items at once, with the same results as one after the other.

    with pool(workers) as workers_pool:
        for result in workers_pool.map(function, items):   # in the order of `items`, whatever finishes first
            ...

With one worker everything runs in this process. Otherwise each worker is a fresh Python process (`spawn`: forking a
process that holds threads of Arrow, torch or Prefect can deadlock), so `function` must be importable by name and it,
its items and its results must pickle; bind constants with `functools.partial`. Items are handed out a few at a time and
results are taken in order, so memory is bounded by the items in flight. Workers use one thread each, ignore Ctrl-C
(the parent ends them) and die with the parent, even when that is killed.

Instead of a number, an `Engine` may be given: another place where the work is done
(`components.cluster.ray_pool.Cluster`). There a worker may not see this machine's disk, so `map` is told what an item
reads.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from components.core.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")
Reads = Callable[[Item], Sequence[Path] | None]
"""The files an item reads; None for one to be worked on here: it is done already, or its input cannot travel."""

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal this process gets when its parent dies. Linux only."""
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
"""Loaded here, since a forked child must not load libraries."""

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "POLARS_MAX_THREADS",
        "RAYON_NUM_THREADS",
    ),
    "1",
) | {"TOKENIZERS_PARALLELISM": "false"}
"""Environment of a worker: the processes are the parallelism, threads inside them would only fight over the cores."""


class Pool(Protocol):
    """Pool of workers, as `pool` yields it."""

    workers: int

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], reads: Reads[Item] | None = None
    ) -> Iterator[Result]:
        """`function` of each item, in the order of the items, lazily.

        Args:
            reads: the files an item reads, for workers without this machine's disk. What it writes needs no naming.
        """


class Engine(Protocol):
    """A place where items are worked on, other than processes of this machine."""

    def pool(self) -> AbstractContextManager[Pool]:
        """Its pool, open."""


Workers = int | Engine
"""Workers of a stage: a number of processes, or an engine. Neither changes a byte."""


class InProcess:
    """A pool of one: this process."""

    workers = 1

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], reads: Reads[Item] | None = None
    ) -> Iterator[Result]:
        """`function` of each item, one after the other."""
        return map(function, items)


class Processes:
    """A pool of worker processes. Made by `pool`."""

    def __init__(self, executor: ProcessPoolExecutor, workers: int) -> None:
        self.workers = workers
        self._executor = executor

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], reads: Reads[Item] | None = None
    ) -> Iterator[Result]:
        """`function` of each item, in the order of the items; at most four items per worker are in flight.

        Raises `UserError`: a worker was killed from outside, most likely for want of memory.
        """
        waiting: deque[Future[Result]] = deque()
        source = iter(items)
        try:
            while True:
                for item in islice(source, 4 * self.workers - len(waiting)):
                    waiting.append(self._submit(function, item))
                if not waiting:
                    return
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                f"a worker process of the {self.workers} was killed, most likely for want of memory; "
                "set runtime.workers lower, or give the machine more memory"
            ) from None
        finally:
            for future in waiting:  # their results are not needed any more
                future.cancel()

    def _submit(self, function: Callable[[Item], Result], item: Item) -> "Future[Result]":
        with _main_hidden():
            return self._executor.submit(function, item)


@contextmanager
def pool(workers: Workers) -> Iterator[Pool]:
    """A pool of `workers` processes, of this one alone if `workers` is 1, or an engine's. Ends them all on leaving.

    Args:
        workers: how many items are worked on at once, >= 1, or where. Never changes a result.

    Raises `UserError`: the engine is not there.
    """
    if not isinstance(workers, int):
        with workers.pool() as engine_pool:
            yield engine_pool
        return
    assert workers >= 1, f"a pool of {workers} workers"
    if workers == 1:
        yield InProcess()
        return
    executor = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(os.getpid(),)
    )
    try:
        yield Processes(executor, workers)
    except BaseException:
        _end_workers(executor)
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def at_most(workers: Workers, number: int) -> Workers:
    """As many of `workers` as are worth starting for `number` items; for one, this process."""
    if isinstance(workers, int):
        return min(workers, number)
    return workers if number > 1 else 1


def _end_workers(executor: ProcessPoolExecutor) -> None:
    """End the workers now: their results are not needed (an error, a cancel, Ctrl-C)."""
    for process in list((getattr(executor, "_processes", None) or {}).values()):
        process.terminate()


def _start_worker(parent: int) -> None:
    """Run first in every worker, before it imports anything heavy."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.update(ONE_THREAD)


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent `parent` dies; elsewhere do nothing.

    Workers elsewhere still end when the pipe to a dead parent breaks, after the item they are at.
    """
    if sys.platform != "linux":
        return
    set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


def set_parent_death_signal(number: int) -> None:
    """Ask Linux to signal this process when the thread that started it ends; else do nothing."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, number)


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep a worker that starts inside from importing the program's main module again.

    `spawn` does so by default, to find functions defined there; ours never are, and main here is a flow: importing it
    means importing Prefect, seconds per worker.
    """
    main: Any = sys.modules["__main__"]
    hidden = {name: main.__dict__[name] for name in ("__spec__", "__file__") if name in main.__dict__}
    main.__spec__ = None
    main.__dict__.pop("__file__", None)
    try:
        yield
    finally:
        main.__dict__.update(hidden)


def return_memory() -> None:
    """Give the system back what was freed: the C library and Arrow keep it for later, which may never come."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        with suppress(AttributeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)
