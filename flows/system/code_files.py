"""Which file of a folder changed: DVC gives a folder that a stage depends on one hash.

So that `why` and `compare` can name the file, each stage records, under a folder's hash, what its files were:
`.greenhouse/code/<hash>.json`, path -> MD5. A folder without a record (another clone made it) is named as a whole.
"""

from pathlib import Path

from components.core.files import md5_file, read_json, write_json
from flows.system import paths

CODE = ("components/", "recorder/")
"""Folders whose files are the code among a stage's dependencies."""
FOLDER = "code"
"""Name of the records' folder in the state folder."""


def present(folder: str, root: Path) -> dict[str, str]:
    """Path relative to the root -> MD5 of every file below a folder as it is now, but for compiled ones."""
    files = (path for path in sorted((root / folder).rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix(): md5_file(path) for path in files}


def record(hashes: dict[str, str], root: Path) -> None:
    """Keep the files of each folder of code among a stage's dependencies (path -> DVC hash), once per hash."""
    for path, value in hashes.items():
        if value.endswith(".dir") and path.startswith(CODE) and not _file(value).exists():
            write_json(_file(value), present(path, root))


def of_folder(value: str) -> dict[str, str]:
    """Path -> MD5 of the files of a folder whose DVC hash is `value`; empty if it was not recorded here."""
    return read_json(_file(value)) if value.endswith(".dir") and _file(value).exists() else {}


def _file(value: str) -> Path:
    return paths.STATE / FOLDER / f"{value}.json"


def changed(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Paths whose hash differs, of files on either side."""
    return sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))


def expanded(hashes: dict[str, str]) -> dict[str, str]:
    """Path -> hash with each recorded folder replaced by its files."""
    files: dict[str, str] = {}
    for path, value in hashes.items():
        files |= of_folder(value) or {path: value}
    return files
