"""The lock of a work folder: at most one process works in it."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.core.errors import UserError


@contextmanager
def sole_writer(work: Path, shown: str = "", waits: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock of a work folder: two processes never work in one.

    Args:
        shown: what messages call it; by default its path.
        waits: told the pid of the process that holds it, before waiting for that to end; without it that is an error.

    Raises:
        UserError: another process holds it; its pid is named.
    """
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read()
            if waits is None:
                raise UserError(f"{shown or work}: process {pid} works here; wait for it or stop it") from None
            waits(pid)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def in_use(folder: Path) -> bool:
    """Whether a process holds the lock of a work folder."""
    return bool(holder(folder))


def holder(folder: Path) -> str:
    """The pid of the process that holds the lock of a work folder; empty if none does."""
    try:
        with open(folder / "lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return lock.read() or "0"  # it writes it in a moment
    except FileNotFoundError:
        pass
    return ""
