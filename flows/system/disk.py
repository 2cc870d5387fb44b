"""Disk space: sizes, and removable items with what they hold."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Removable:
    """Something that can be removed: its description, its size, and how to remove it."""

    what: str
    num_bytes: int
    remove: Callable[[], object]


def size_of(path: Path) -> int:
    """Bytes on disk of a file or a folder (links are not followed)."""
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum((Path(folder) / name).lstat().st_size for folder, _, names in os.walk(path) for name in names)


def human(num_bytes: float) -> str:
    """Bytes as a person reads them (decimal units)."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} GB"


def remove_path(path: Path) -> None:
    """Remove a file or a folder, read-only ones (DVC's cache) too; nothing if it is gone."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        shutil.rmtree(path, onerror=_make_writable)


def _make_writable(function: Callable, path: str, _: object) -> None:
    Path(path).parent.chmod(0o755)
    Path(path).chmod(0o755)
    function(path)
