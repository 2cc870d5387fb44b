"""The data stages' pool on a Ray cluster: the same jobs, the same results in the same order.

    dedup(..., workers=Cluster(workers=2, address="10.0.0.1:6379", work_path="s3://bucket/prefix"))

Each job needs one core of any node. A job whose node is lost is done again elsewhere; jobs write
aside and rename, so a half-done one leaves nothing. Ray is imported when a pool opens, not before.
No stage imports this module, so it is no dep of one in dvc.yaml:
tests/components/cluster/test_ray_pool.py holds its outputs against the local pool's.
"""

import platform
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

from components.cluster.file_exchange import Exchange, Sent, carried_out
from components.cluster.ray_cluster import joined, refuse_other_machines
from components.core.errors import UserError
from components.core.workers import Item, Pool, Reads, Result, pool

RETRIES = 10
"""A job is given up when its worker has died so often: it is the job then, not the machines (want of memory)."""
JOBS_PER_CORE = 2
"""In flight: one at work, one on its way. What bounds the results that wait for their turn."""
SENDERS = 8
"""Threads that send files: a store answers slowly but many at a time."""
SAME = ("numpy", "pyarrow", "polars", "regex", "scikit-learn", "scipy", "py3langid", "tokenizers")
"""Packages whose version can change bytes of the data stages."""


@dataclass(frozen=True)
class Cluster:
    """Ray cluster for the data stages' jobs, given as the `workers` of a stage.

    Attributes:
        workers: processes on this machine, for what is not spread.
        address: of the cluster's head (`10.0.0.1:6379`), or `auto` for the cluster that runs on
            this machine.
        work_path: fsspec path through which machines exchange files; "" if all share this one's
            disk.
    """

    workers: int
    address: str = "auto"
    work_path: str = ""

    @contextmanager
    def pool(self) -> Iterator[Pool]:
        """The pool; files in the exchange are removed on leaving.

        Raises:
            UserError: Ray is missing, no cluster answers, the work path cannot be reached, or there
                is none although the cluster has other machines.
        """
        with joined(self.address) as ray, pool(self.workers) as local:
            if not self.work_path:
                refuse_other_machines(ray)
            exchange = Exchange.under(self.work_path) if self.work_path else None
            try:
                yield RayPool(ray, exchange, local)
            finally:
                if exchange:
                    exchange.remove()


class RayPool:
    """A pool of a cluster's cores. Made by `Cluster.pool`."""

    def __init__(self, ray: Any, exchange: Exchange | None, local: Pool) -> None:
        self.workers = local.workers
        self._ray, self._exchange, self._local = ray, exchange, local
        self._sent: dict[Path, tuple[tuple[int, int], str]] = {}
        self._lock = threading.Lock()
        self._do = ray.remote(max_retries=RETRIES, num_cpus=1)(do)
        self._versions = versions()

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], reads: Reads[Item] | None = None
    ) -> Iterator[Result]:
        """`function` of each item, in the order of the items.

        With an exchange, items without `reads` are worked on by this machine's processes, and those
        whose `reads` are None by this one, when it is their turn.

        Raises:
            UserError: of the function; a worker died again and again; the exchange cannot be
                reached; a node has other versions of the packages that decide bytes.
        """
        if self._exchange and reads is None:
            yield from self._local.map(function, items)
            return
        waiting: deque[Future[Any] | Callable[[], Result]] = deque()
        source = iter(items)
        with ThreadPoolExecutor(SENDERS) as senders:
            try:
                while True:
                    for item in islice(source, max(0, self._limit() - len(waiting))):
                        wanted = reads(item) if reads and self._exchange else ()
                        if wanted is None:
                            waiting.append(partial(function, item))
                        else:
                            waiting.append(senders.submit(self._begin, function, item, wanted))
                    if not waiting:
                        return
                    first = waiting.popleft()
                    yield self._result(first.result()) if isinstance(first, Future) else first()
            finally:
                senders.shutdown(wait=True, cancel_futures=True)
                for future in waiting:  # their results are not needed any more
                    if isinstance(future, Future) and not future.cancelled() and not future.exception():
                        self._ray.cancel(future.result(), force=True)

    def _limit(self) -> int:
        """Most jobs in flight now; nodes come and go."""
        return JOBS_PER_CORE * max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _begin(self, function: Callable, item: Any, wanted: Sequence[Path]) -> Any:
        """Send what the job reads and hand it to the cluster; Ray's reference to its result."""
        sent = [(path, self._name_of(path)) for path in wanted]
        return self._do.remote(function, item, sent, self._exchange, self._versions)

    def _name_of(self, path: Path) -> str:
        """The file's name in the exchange; what is there already is not sent again."""
        assert self._exchange
        try:
            state = _state(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); fix that, then run again") from None
        with self._lock:
            known = self._sent.get(path)
        if known is None or known[0] != state:
            known = (state, self._exchange.send(path))
            with self._lock:
                self._sent[path] = known
        return known[1]

    def _result(self, reference: Any) -> Any:
        """A job's result, the files it wrote in place."""
        errors = self._ray.exceptions
        try:
            result, wrote = self._ray.get(reference)
        except errors.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from None
        except (errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
            raise UserError(
                f"a job's worker on the Ray cluster died {RETRIES + 1} times ({type(error).__name__}), most likely for "
                "want of memory; give the nodes more memory per core"
            ) from None
        except errors.RayError as error:
            raise UserError(
                f"the Ray cluster lost a job ({type(error).__name__}: {' '.join(str(error).split())[:200]}); see that "
                "its head and nodes run, and run again"
            ) from None
        for path, name in wrote:
            assert self._exchange
            self._exchange.fetch(name, path)
            with self._lock:
                self._sent[path] = (_state(path), name)
        return result


def _state(path: Path) -> tuple[int, int]:
    """Size and modification time (ns) of a file: they change when it does."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


# -- on a node ---------------------------------------------------------------------------------------------------------


def do(
    function: Callable[[Item], Result],
    item: Item,
    reads: list[Sent],
    exchange: Exchange | None,
    expected: dict[str, str],
) -> tuple[Result, list[Sent]]:
    """Do one job in a worker of the cluster; its result and the files it sent.

    Raises:
        UserError: of the job; or the packages here are not the driver's, so that bytes might
            differ.
    """
    if problem := difference(versions(), expected):
        raise UserError(problem)
    if exchange is not None:
        return carried_out(function, item, reads, exchange)
    return function(item), []


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of Python and of the packages in `SAME`; "" for one that is missing."""
    installed = {"Python": platform.python_version()}
    for name in SAME:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            installed[name] = ""
    return installed


def difference(actual: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """Sentence on versions of this node that differ from the driver's; "" if none does."""
    for name, known in actual.items():
        if known != expected[name]:
            return (
                f"node {platform.node()} of the Ray cluster has {name} {known or '(none)'}, this machine "
                f"{expected[name] or '(none)'}; install the same constraints.txt on every node"
            )
    return ""
