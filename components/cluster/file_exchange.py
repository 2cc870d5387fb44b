"""Exchange of a job's files with a machine that does not share this one's disk, through a folder that both reach.

The driver sends what a job reads; the job's machine fetches it to a folder of its own, in which the
driver's paths are mirrored, runs the unchanged function there and sends what it wrote; the driver
fetches that to where it belongs. Every file in the exchange gets a new random name and is written
once, so a job that ran twice (a machine was lost) has two sets of files, of which one is taken, and
nothing is ever overwritten while it is read.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
from pydantic import BaseModel

from components.core.errors import UserError, clause
from components.core.files import written_whole

Sent = tuple[Path, str]
"""A file: its path on the driver, and its name in the exchange."""
PLAIN = (str, bytes, int, float, type(None), np.ndarray, np.generic, BaseModel)
"""Holds no path of the driver: text, numbers, settings (which name no place on a machine)."""
Value = TypeVar("Value")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Exchange:
    """A folder of any file system that fsspec has a driver for (`s3://bucket/prefix`, `/mnt/shared`).

    Credentials are those of the driver (environment, profile) on each machine: none are passed on.
    """

    address: str

    @classmethod
    def under(cls, work_path: str) -> "Exchange":
        """A new folder under `work_path`.

        Raises:
            UserError: no fsspec driver for it, no access, or no such place.
        """
        exchange = cls(f"{work_path.rstrip('/')}/greenhouse-{uuid4().hex}")

        def try_it() -> None:
            system, root = exchange._file_system()
            if system.protocol == "file" or "file" in system.protocol:  # a store has no folders to make
                system.makedirs(root, exist_ok=True)
            system.pipe_file(f"{root}/driver", b"")

        _reached(exchange.address, "written", try_it)
        return exchange

    def send(self, path: Path) -> str:
        """Put a file into the exchange; the name it got.

        Raises:
            UserError: it cannot be read or written.
        """
        system, root = self._file_system()
        name = uuid4().hex
        _reached(self.address, "written", lambda: system.put_file(str(path), f"{root}/{name}"))
        return name

    def fetch(self, name: str, path: Path) -> None:
        """Get a file out of the exchange, whole or not at all.

        Raises:
            UserError: it is not there, or cannot be read.
        """
        system, root = self._file_system()
        with written_whole(path) as temporary:
            _reached(self.address, "read", lambda: system.get_file(f"{root}/{name}", str(temporary)))

    def remove(self) -> None:
        """Delete all that is in it; what cannot be deleted stays."""
        system, root = self._file_system()
        try:
            system.rm(root, recursive=True)
        except (OSError, ValueError):
            return

    def _file_system(self) -> tuple[Any, str]:
        import fsspec

        return fsspec.core.url_to_fs(self.address)


def _reached(address: str, done: str, act: Callable[[], Value]) -> Value:
    try:
        return act()
    except (OSError, ImportError, ValueError) as error:
        raise UserError(
            f"runtime.work_path: {address} cannot be {done} ({clause(error)}); it must be a folder that every machine "
            "reaches under this name, with the fsspec driver for it and credentials (s3fs, gcsfs, adlfs)"
        ) from None


# -- paths of the driver in a folder of the node -----------------------------------------------------------------------


def moved(value: Any, root: Path) -> Any:
    """A job, the driver's absolute paths in it moved under `root`.

    Raises:
        TypeError: it holds something that might hide a path.
    """
    if isinstance(value, Path):
        return mirrored(value, root) if value.is_absolute() else value
    if isinstance(value, PLAIN) or (callable(value) and hasattr(value, "__qualname__")):
        return value
    if isinstance(value, partial):
        keywords = moved(value.keywords, root)
        return partial(value.func, *moved(value.args, root), **keywords)
    if type(value) in (tuple, list):
        return type(value)(moved(item, root) for item in value)
    if type(value) is dict:
        return {moved(key, root): moved(item, root) for key, item in value.items()}
    if is_dataclass(value):
        return replace(value, **{item.name: moved(getattr(value, item.name), root) for item in fields(value)})  # type: ignore[type-var]
    raise TypeError(f"a {type(value).__qualname__} in a job cannot travel to another machine")


def mirrored(path: Path, root: Path) -> Path:
    """The place of a driver's absolute path under `root`."""
    return root / path.relative_to(path.anchor)


def carried_out(
    function: Callable[[Value], Result], item: Value, reads: Iterable[Sent], exchange: Exchange
) -> tuple[Result, list[Sent]]:
    """On a node: fetch what a job reads, do it in a folder of its own, and send what it wrote.

    Returns:
        Its result, and the files in the order they were written in (the last says that all are
        there).

    Raises:
        UserError: of the function (paths in it are the driver's), or the exchange cannot be
            reached.
    """
    root = Path(tempfile.mkdtemp(prefix="greenhouse-job-"))
    try:
        given = set()
        for path, name in reads:
            given.add(mirrored(path, root))
            exchange.fetch(name, mirrored(path, root))
        result = moved(function, root)(moved(item, root))
        wrote = [path for path in root.rglob("*") if path.is_file() and path not in given]
        wrote.sort(key=lambda path: (path.stat().st_mtime_ns, str(path)))
        return result, [(Path(os.sep) / path.relative_to(root), exchange.send(path)) for path in wrote]
    except UserError as error:
        raise UserError(str(error).replace(str(root), "")) from None
    finally:
        shutil.rmtree(root, ignore_errors=True)
