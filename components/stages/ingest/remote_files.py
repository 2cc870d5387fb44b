"""Files on other file systems: `s3://`, `gs://`, `https://`, `memory://` and whatever else fsspec has a driver for.

DVC cannot watch such a path, so a source names the revision it means: a fingerprint of the listing (names, sizes, and
the checksums or versions that the store keeps). Another listing is refused with the new fingerprint; nothing changes
unseen. Each file is fetched whole into the work folder, read there like a local one, and removed. Credentials are those
of the driver (environment, profile): none belong in params.yaml.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.errors import UserError, clause
from components.core.files import fingerprint

VERSION_KEYS = ("ETag", "etag", "md5Hash", "md5", "content_md5", "crc32c", "checksum")
"""Names that stores give the hash or version of a file; the first one present is used."""


@dataclass(frozen=True)
class FoundFile:
    """A file of a source: path, or address for fsspec; name relative to the source; size in bytes."""

    url: str
    name: str
    size: int


def is_remote(path: str) -> bool:
    """Whether a source's path is an address of another file system."""
    return "://" in path


def listing(source: str, path: str, pattern: str, revision: str) -> list[FoundFile]:
    """The files of a remote folder (or one file) that match, in the order of their names.

    Raises:
        UserError: no driver, no access, nothing there, or another listing than `revision` names.
    """
    try:
        files = _matches(path, pattern)
    except (OSError, ImportError, ValueError) as error:
        raise UserError(
            f"ingest source {source}: {path} cannot be listed ({clause(error)}); check the address, the credentials "
            "and that its fsspec driver is installed (s3fs, gcsfs, adlfs)"
        ) from None
    if not files:
        raise UserError(f"ingest source {source}: nothing at {path} matches {pattern}; correct `path` or `pattern`")
    current = fingerprint([[file.name, file.size, version] for file, version in files])
    if revision != current:
        state = f"is no longer revision {revision}" if revision else "has no revision in params.yaml"
        raise UserError(
            f"ingest source {source}: {path} {state}; to use what is there now ({len(files)} files, "
            f"{sum(file.size for file, _ in files)} bytes) set `revision: {current}`"
        )
    return [file for file, _ in files]


def _matches(path: str, pattern: str) -> list[tuple[FoundFile, str]]:
    import fsspec

    system, root = fsspec.core.url_to_fs(path)
    root = root.rstrip("/")
    if system.isfile(root):
        infos, folder = [system.info(root)], root.rpartition("/")[0]
    else:
        infos, folder = list(system.glob(f"{root}/{pattern}", detail=True).values()), root
    files = []
    for info in infos:
        name = info["name"].removeprefix(folder).lstrip("/")
        if info["type"] != "file" or any(part.startswith(".") for part in name.split("/")):
            continue
        version = next((str(info[key]) for key in VERSION_KEYS if info.get(key)), "")
        files.append((FoundFile(system.unstrip_protocol(info["name"]), name, int(info["size"] or 0)), version))
    return sorted(files, key=lambda entry: entry[0].name)


@contextmanager
def fetched(url: str, folder: Path, name: str) -> Iterator[Path]:
    """A local copy of a remote file (under its own suffixes, which say how to read it), removed afterwards.

    Raises:
        UserError: it cannot be had.
    """
    import fsspec

    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / name
    system: Any
    system, path = fsspec.core.url_to_fs(url)
    try:
        system.get_file(path, str(copy))
    except (OSError, ValueError) as error:
        copy.unlink(missing_ok=True)
        raise UserError(f"{url}: cannot be fetched ({clause(error)}); run again") from None
    try:
        yield copy
    finally:
        copy.unlink(missing_ok=True)
