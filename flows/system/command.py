"""Code that all commands share: one sentence for an error of the user's, and whole numbers."""

import errno
import os
import re
import select
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from components.core.errors import UserError
from flows.system import paths
from flows.system.mlflow_server import refusal_of


def whole(kind: type, tokens: Sequence[Any]) -> int:
    """A converter of cyclopts, which would take 4.5 for 4.

    Raises:
        ValueError: it is no whole number.
    """
    text = str(tokens[0].value)
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f"{text} is no whole number")
    return int(text)


OF_MACHINE = {
    errno.ENOSPC: "free space on the disk",
    errno.EDQUOT: "free space within your quota",
    errno.EROFS: "put the checkout where you can write",
    errno.EACCES: "let this user read and write there",
    errno.EFBIG: "allow larger files (`ulimit -f`)",
    errno.EMFILE: "allow more open files (`ulimit -n`)",
    errno.EEXIST: "move what lies there out of the way",
    errno.ENOTDIR: "move the file that lies in the place of a folder out of the way",
}
"""Errors of the machine, which no traceback explains -> what to do."""


SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
"""What numpy says of a full disk."""
NO_MEMORY = re.compile(
    "memory allocation of [0-9]+ bytes failed|bad_alloc|could not spawn threads|can't start new thread"
    "|cannot allocate memory|can't allocate memory|out of memory",
    re.IGNORECASE,
)
"""What libraries say for want of memory: polars (in a panic, or as it aborts), C++, Python's threads, torch."""
OUT_OF_MEMORY = (
    "out of memory; lower the batch of the stage, or runtime.workers, in params.yaml, or let a process have more "
    "(`ulimit -v unlimited`)"
)
PROBE_BYTES = 1 << 20
"""What is written beside a database to learn why it cannot be."""


def words_of(error: BaseException) -> str:
    """Sentence on what the machine lacks and what to do; "" if that is not known, or the error is another."""
    is_panic = type(error).__name__ == "PanicException"  # of Rust; no `Exception`
    if isinstance(error, MemoryError) or ((isinstance(error, Exception) or is_panic) and NO_MEMORY.search(str(error))):
        return OUT_OF_MEMORY
    cause: BaseException | None = error
    while cause and not isinstance(cause, sqlite3.Error):  # MLflow's own error is raised from it
        cause = cause.__cause__
    if isinstance(cause, sqlite3.Error):
        return database_words(cause, paths.STATE / "mlflow.db")
    if not isinstance(error, OSError):
        return ""
    if SHORT_WRITE.fullmatch(str(error)):
        error = OSError(errno.ENOSPC, "")
    if error.errno not in OF_MACHINE:
        return ""
    file = error.filename2 or error.filename  # of a move or a copy: where to
    where = f"{file}: " if file else ""
    if error.errno == errno.ENOSPC and _lacks_inodes(str(file or ".")):
        return f"{where}no inode is free for another file, however much space is; delete files and run again"
    return f"{where}{os.strerror(error.errno)}; {OF_MACHINE[error.errno]} and run again"


def database_words(error: sqlite3.Error, database: Path) -> str:
    """Sentence on what keeps SQLite from a database, and what to do; "" if that is neither disk nor another process.

    SQLite names no reason, so a file beside the database is written as far as that one goes.
    """
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"{database}: another process writes there; wait until it has ended and run again"
    if not name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return ""
    number = errno.ENOSPC if name == "SQLITE_FULL" else errno.EACCES
    try:
        with tempfile.TemporaryFile(dir=database.parent) as file:
            file.seek(database.stat().st_size if database.exists() else 0)
            file.write(bytes(PROBE_BYTES))
            file.flush()
        if name.startswith("SQLITE_IOERR"):
            return f"{database}: {error}; look for errors of the disk (`dmesg`), and run again"
    except OSError as met:
        number = met.errno or number
    return words_of(OSError(number, "", str(database))) or f"{database}: {os.strerror(number)}; fix that and run again"


def _lacks_inodes(file: str) -> bool:
    """Whether a file system has inodes, as most, and none is free."""
    with suppress(OSError):
        disk = os.statvfs(file if os.path.exists(file) else os.path.dirname(os.path.abspath(file)))
        return disk.f_files > 0 and disk.f_favail == 0
    return False


def reader_left() -> bool:
    """Whether nobody reads the standard output any more, as after `| head`."""
    if sys.platform == "win32" or sys.stdout is None:  # Windows has no poll
        return False
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)  # for errors alone
    return bool(output.poll(0))


def run_command(name: str, main: Callable[[], int | None]) -> NoReturn:
    """End this process with the status of `main`: 1 and a sentence for an error of user or machine, 130 for Ctrl-C.

    Where the reader of its output left (`| head`), it ends silently with 141, as a shell says of SIGPIPE.
    """
    try:
        status = main() or 0
        print(end="", flush=True)  # sys.stdout is None where it was closed before
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr)
        status = 130
    except BaseException as error:
        if isinstance(error, BrokenPipeError) and reader_left():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is not written yet goes nowhere
            status = 128 + signal.SIGPIPE
        elif words := words_of(error) or refusal_of(error):
            print(f"{name}: {words}", file=sys.stderr)
            status = 1
        else:
            raise
    sys.exit(status)
