"""File that several processes append to: a lock that dies with its process, an append, and a replacement.

The lock excludes this process's other threads too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from greenhouse_record.errors import UserError

TIMEOUT_S = 10.0
_threads = threading.Lock()
"""POSIX record locks exclude processes, not threads."""


def _fresh_lock() -> None:
    global _threads
    _threads = threading.Lock()


os.register_at_fork(after_in_child=_fresh_lock)  # the thread that held it does not exist in the child


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made.

    Raises:
        UserError: another process held it for ten seconds (it was stopped, or the disk hangs).
    """
    with _threads:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            deadline = time.monotonic() + TIMEOUT_S
            while not _try(handle):
                if time.monotonic() > deadline:
                    raise UserError(f"{path}: held by another process for {TIMEOUT_S:.0f} s; end one that is stopped")
                time.sleep(0.001)
            yield
        finally:
            os.close(handle)  # which frees the lock


def _try(handle: int) -> bool:
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except (BlockingIOError, PermissionError):  # EAGAIN, EACCES: another process holds it
        return False


def replace(path: Path, text: str) -> None:
    """Put text in the place of a file, which is made; a kill leaves the one or the other."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def append_at(path: Path, offset: int, data: bytes, durable: bool = False) -> None:
    """Put bytes at the end of a file, which is made; what a kill left half-written is cut off first.

    Args:
        offset: where the last whole line ends.
        durable: whether they are on disk on return.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.ftruncate(handle, min(offset, os.fstat(handle).st_size))
        os.lseek(handle, 0, os.SEEK_END)
        while data:  # a disk that fills takes a part, and only then refuses
            data = data[os.write(handle, data) :]
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)
