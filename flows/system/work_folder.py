"""The lock of a work folder: at most one process works in it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.core.errors import UserError


@contextmanager
def sole_writer(work: Path, shown: str = "") -> Iterator[None]:
    """Hold the lock of a work folder: two processes never work in one.

    Args:
        shown: what messages call it; by default its path.

    Raises:
        UserError: another process holds it; its pid is named.
    """
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UserError(f"{shown or work}: process {lock.read()} works here; wait for it or stop it") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def in_use(folder: Path) -> bool:
    """Whether a process holds the lock of a work folder."""
    try:
        with open(folder / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
