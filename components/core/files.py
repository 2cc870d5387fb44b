"""Files written so that nothing half-written is ever taken for whole.

Every write goes to a temporary name in the same folder, is synced, and is renamed. JSON is
canonical (sorted keys, two spaces, a final newline), so that equal content means equal bytes.
"""

import errno
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from components.core.errors import UserError, clause

T = TypeVar("T")


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5_file(path: Path) -> str:
    """Hex MD5 of a file's bytes, as DVC names them."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def raise_if_linked_out(folder: Path) -> None:
    """Refuse a folder from outside in which a link leads out of it: what it leads to would be copied, and sent on.

    Links of a snapshot in the Hugging Face hub's cache to that cache's own `blobs` are allowed.

    Raises:
        UserError: there is such a link.
    """
    whole = folder.resolve()
    blobs = whole.parents[1] / "blobs" if whole.parent.name == "snapshots" else whole
    for root, folders, files in os.walk(whole):
        for path in (Path(root) / name for name in [*folders, *files]):
            if path.is_symlink() and not any(path.resolve().is_relative_to(inside) for inside in (whole, blobs)):
                raise UserError(
                    f"{folder / path.relative_to(whole)}: a link that leads out of the folder, to {path.resolve()}; it "
                    "is not followed: put the file itself there, or remove the link"
                )


def folder_md5(files: Mapping[str, str]) -> str:
    """DVC's hash of a folder, from the MD5 of each of its files by relative path."""
    rows = [{"md5": md5, "relpath": path} for path, md5 in sorted(files.items())]
    return hashlib.md5(json.dumps(rows, sort_keys=True).encode()).hexdigest() + ".dir"


def md5s_below(root: Path) -> dict[str, str]:
    """Relative path -> MD5 of the files of a folder; of a file under ""."""
    if root.is_file():
        return {"": md5_file(root)}
    return {str(path.relative_to(root)): md5_file(path) for path in sorted(root.rglob("*")) if path.is_file()}


def md5_of(path: Path) -> str:
    """DVC's hash of a file or folder as it lies there."""
    files = md5s_below(path)
    return files[""] if "" in files else folder_md5(files)


def canonical_json(value: Any) -> str:
    """`value` as canonical JSON text. NaN and infinity are refused: they are no JSON."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def fingerprint(value: Any) -> str:
    """16 hex digits that name `value` (anything JSON can hold)."""
    return sha256_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())[:16]


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it to `path`, on failure remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable; does nothing on Windows, which cannot open folders."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole."""
    with written_whole(path) as temporary:
        temporary.write_bytes(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as canonical JSON, whole."""
    write_text(path, canonical_json(value))


def read_json(path: Path) -> Any:
    """Parse a JSON file."""
    return json.loads(path.read_bytes())


def read_fields(path: Path, todo: str, *needed: str) -> dict[str, Any]:
    """The JSON object that a file of a folder holds, with the fields it must have.

    Raises:
        UserError: it is damaged (with what to do).
        OSError: it cannot be read.
    """
    try:
        fields = read_json(path)
    except (ValueError, RecursionError) as error:
        reason = clause(error)
    else:
        if isinstance(fields, dict) and fields.keys() >= set(needed):
            return fields
        reason = f"no JSON object with {', '.join(needed)}" if needed else "no JSON object"
    raise UserError(f"{path.parent}: {path.name} is damaged ({reason}); {todo}")


def read_manifest_file(folder: Path, noun: str, kind: type[T]) -> T:
    """`manifest.json` of a finished corpus or of token shards (`noun`), as the dataclass `kind`.

    Raises `UserError`: there is none, or it is damaged.
    """
    path, todo = folder / "manifest.json", "run the stage that writes it again"
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        raise UserError(f"{folder}: no manifest.json, so this is no finished {noun}; {todo}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: damaged ({where} {first['msg']}); remove {folder} and {todo}") from None


def raise_if_changed(path: Path, sha256: str) -> None:
    """Hash a file against its manifest. Raises `UserError`: it is missing or changed."""
    todo = "run the stage that writes it again"
    try:
        present = sha256_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: is missing, though the manifest names it; {todo}") from None
    if present != sha256:
        raise UserError(f"{path}: its sha256 is not the manifest's, so its bytes were changed; remove it and {todo}")


def rounded(value: Any, digits: int = 6) -> Any:
    """`value` with every float rounded to `digits` significant digits: in a report more only hides the number."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else value
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    return value


def nested(values: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """A tree from keys that name the way to a leaf: `{"a.b": 1}` as `{"a": {"b": 1}}`."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *path, leaf = key.split(separator)
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = value
    return tree


def move(source: Path, target: Path) -> None:
    """Move a file or folder to `target`, replacing what is there: whole or not at all, onto another disk too.

    Raises `OSError`: of the machine; `source` is as it was, and on another disk `target` too.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        near = target.with_name(f".{target.name}.tmp")  # names no process, so what a killed one left is removed
        try:
            _remove(near)
            _copy(source, near)
            _replace(near, target)
        finally:
            _remove(near)
        sync_folder(target.parent)
        _remove(source)


def _replace(source: Path, target: Path) -> None:
    """Rename, over a folder too."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR):
            raise
        shutil.rmtree(target)
        os.replace(source, target)


def _copy(source: Path, target: Path) -> None:
    """Copy a file or folder, synced. `shutil.copytree` gathers what fails, and what a full disk said is lost in it."""
    if source.is_dir() and not source.is_symlink():
        target.mkdir()
        for path in source.iterdir():
            _copy(path, target / path.name)
        shutil.copystat(source, target)
    else:
        shutil.copy2(source, target, follow_symlinks=False)
    if not target.is_symlink():
        sync_folder(target)  # a file just as well


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def unreadable(path: Path) -> str:
    """Why neither ingest nor DVC, which versions the folder, can read a path; "" if they can."""
    if not os.path.exists(path):
        return "a link to nothing"
    if not os.path.isdir(path) and not os.path.isfile(path):
        return "no regular file"
    return "its name is not UTF-8" if re.search("[\ud800-\udfff]", str(path)) else ""
