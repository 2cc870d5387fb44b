"""Disk space: sizes, and removable items with what they hold."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from components.core.errors import UserError
from flows.system import paths


@dataclass(frozen=True)
class Removable:
    """Something that can be removed: its description, its size, and how to remove it."""

    label: str
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


def is_own(path: Path) -> bool:
    """Whether a path lies in this checkout or its state folder, whatever links lead to it; neither of the two itself.

    A link lies where it is, not where it leads. What a state folder that is a link leads to is not
    the checkout's own: a copy of the checkout has the same link.
    """
    address, roots = path.parent.resolve() / path.name, (paths.ROOT, paths.STATE)
    return address not in roots and any(map(address.is_relative_to, roots))


def raise_if_foreign(path: Path) -> None:
    """Refuse to delete what is not this checkout's own.

    Raises:
        UserError: the path lies elsewhere, if only by a link.
    """
    if not is_own(path):
        raise UserError(
            f"{path} leads to {path.parent.resolve() / path.name}, which is neither in this checkout nor in its state "
            "folder, so it is not deleted; delete it there yourself, or put what the link leads to in its place"
        )


def removable(label: str, path: Path) -> Removable:
    """A file or a folder of this checkout as an item.

    Raises:
        UserError: it is not the checkout's own.
    """
    raise_if_foreign(path)
    return Removable(label, size_of(path), partial(remove_path, path))


def together(label: str, parts: list[Removable]) -> Removable:
    """Several things that are removed one after the other, as one item."""

    def remove() -> None:
        for one in parts:
            one.remove()

    return Removable(label, sum(one.num_bytes for one in parts), remove)


def remove_path(path: Path) -> None:
    """Remove a file or a folder of this checkout, read-only ones (DVC's cache) too; nothing if it is gone.

    All that `clean` and `forget --purge` delete of files goes through here.

    Raises:
        UserError: it is not the checkout's own.
    """
    raise_if_foreign(path)
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        shutil.rmtree(path, onerror=_make_writable)


def _make_writable(function: Callable, path: str, _: object) -> None:
    Path(path).parent.chmod(0o755)
    if not os.path.islink(path):  # what it leads to may be another's
        Path(path).chmod(0o755)
    function(path)
