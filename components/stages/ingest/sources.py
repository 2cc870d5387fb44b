"""Lists of files to read, from the sources in params.yaml, in an order that depends on nothing but names.

Files are read in the order of their names. A source with a size limit is read in the order of a hash of the names
instead: what fits is then a fixed, even sample of the whole, and reading stops early.
"""

import functools
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from components.core.errors import UserError
from components.core.files import sha256_bytes, unreadable
from components.core.plain_text import plain_name
from components.params import Files, Hub, Ingest, Packages, PackageTexts
from components.stages.ingest import hub, pinned_packages, remote_files
from components.stages.ingest.file_reading import FileTask
from components.stages.ingest.licences import UNKNOWN, licence_param
from components.stages.ingest.readers import FORMATS, format_of
from components.stages.ingest.records import SURROGATE, TARGET_BYTES, Options, Origin, Skipped
from components.text.opening import COMPRESSION

OWN_RECORDS = ("jsonl", "json", "csv", "parquet", "warc")
"""Formats of many records, each a group of its own."""

LARGE_SHARE = 0.2
"""A file with more than this share of its source's bytes has shorter passages, so that a small corpus has several."""

PASSAGES_OF_LARGE = 40
"""Such a file is cut into at least so many passages, if they have `SHORTEST_PASSAGE` bytes each."""

SHORTEST_PASSAGE = 1000

SAMPLE_SHARE, SAMPLE_BYTES, SAMPLE_LEAST = 1 / 16, 8e6, 50_000
"""Of a source's records a sample has this share, and so many bytes at most; a file of which that share is so many
bytes is not looked at whole."""

UNPACKED = 4
"""Bytes of text per byte of a packed file, roughly."""


@dataclass
class Listing:
    """The files of a source: those to read, in order, and those skipped with the reason."""

    name: str
    max_bytes: int
    tasks: list[FileTask] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    @functools.cached_property
    def size(self) -> int:
        """Bytes of the files to read."""
        return sum(task.size for task in self.tasks)

    @property
    def num_bytes(self) -> int:
        """Bytes that will be read of them, at most the limit."""
        return min(self.max_bytes or self.size, self.size)


def sampled(listing: Listing) -> list[tuple[FileTask, int]]:
    """Local files of a user's, and of each how many bytes to look at: the same share of all records.

    Of large files that share of the bytes, of small ones that share of the files, whole; of few small ones, too, that
    share of the bytes.
    """
    tasks = [task for task in listing.tasks if task.reader in FORMATS.values() and isinstance(task.path, Path)]
    share = min(SAMPLE_SHARE * listing.num_bytes, SAMPLE_BYTES) / max(1, listing.size)
    large = [task for task in tasks if task.size * share >= SAMPLE_LEAST]
    small = [task for task in tasks if task.size * share < SAMPLE_LEAST]
    small.sort(key=lambda task: sha256_bytes(task.location.encode()))  # names may have a period
    whole = small[: round(len(small) * share)]
    in_part = large if whole else large + small
    beginnings = [(task, int(task.size * share * _unpacked(task))) for task in in_part if task.reader != "html"]
    return beginnings + [(task, task.size * UNPACKED) for task in whole]


def _unpacked(task: FileTask) -> int:
    """Bytes of text per byte of a file, roughly."""
    return UNPACKED if task.reader == "parquet" or Path(task.path).suffix.lower() in COMPRESSION else 1


def listings(params: Ingest, root: Path) -> list[Listing]:
    """The files of all sources.

    Args:
        root: folder of the project, to which relative paths refer.

    Raises:
        UserError: a source is missing, not pinned, not installed, not watched, or empty.
    """
    return [_listed(source, params, root) for source in params.sources]


def _listed(source: Packages | PackageTexts | Files | Hub, params: Ingest, root: Path) -> Listing:
    listing = Listing(source.name, int(source.max_megabytes * 1e6))
    options = Options(min_bytes=params.min_bytes, max_chars=params.max_chars, max_bytes=listing.max_bytes)
    if isinstance(source, Files):
        _files(source, params, replace(options, text_field=source.text_field), root, listing)
    elif isinstance(source, Hub):
        listing.tasks = [_hub(source, params, replace(options, text_field=source.text_field), root)]
    else:
        listing.tasks = list(_pinned_files(source, options))
    if listing.max_bytes:
        listing.tasks.sort(key=lambda task: sha256_bytes(f"{task.origin.source}\n{task.location}".encode()))
    return listing


def _pinned_files(source: Packages | PackageTexts, options: Options) -> Iterator[FileTask]:
    is_text = isinstance(source, PackageTexts)
    pinned = pinned_packages.load()["texts" if is_text else "packages"]
    for name in [source.package] if isinstance(source, PackageTexts) else sorted(source.packages or pinned):
        if name not in pinned:
            raise UserError(
                f"ingest source {source.name}: package {name!r} is not pinned in corpora/pins.json (there are: "
                f"{', '.join(sorted(pinned))}); pin it with "
                "`python -m corpora.pin`, or correct the name"
            )
        pin = pinned[name]
        folder, groups = pinned_packages.installed(name, pin), pin["groups"] if is_text else {}
        version = f"{name}=={pin['version']}"
        origin = Origin(source.name, version, pin["licence"], pin["licence_from"], pin["retrieved"])
        for file, digest in sorted(pin["files"].items()):
            path = folder / file
            size = path.stat().st_size if path.exists() else 0
            reader, location = "play" if is_text else "module", file
            if not is_text and file.endswith("/METADATA"):
                reader, location = "description", f"{name}/METADATA"
            yield FileTask(path, location, size, reader, origin, options, groups.get(file, name), digest)


def _origin(source: Files | Hub, version: str) -> Origin:
    """Provenance of a user's files or a data set, with the licence of params.yaml."""
    licence = licence_param(source.licence, f"ingest source {source.name} licence")
    return Origin(source.name, version, licence, "params" if licence != UNKNOWN else "", source.retrieved)


# -- a user's files ----------------------------------------------------------------------------------------------------


def watched_path(path: str, params: Ingest, root: Path, source: str) -> Path:
    """An existing path of a source, absolute; it must lie under `ingest.watch`, or DVC would not see it change.

    Raises:
        UserError: it does not exist, or is elsewhere.
    """
    full, watch = (Path(os.path.abspath(root / os.path.expanduser(name))) for name in (path, params.watch))
    if not os.path.exists(full):  # of a name that cannot be, too
        raise UserError(f"ingest source {source}: {path}: no such file or folder; correct `path` in params.yaml")
    inside = full.is_relative_to(watch) or full.resolve().is_relative_to(watch.resolve())
    if not inside:
        raise UserError(
            f"ingest source {source}: {path} does not lie under ingest.watch = {params.watch}, so DVC would not see "
            "it change; set ingest.watch to the file or folder that holds every source"
        )
    return full


def _files(source: Files, params: Ingest, options: Options, root: Path, listing: Listing) -> None:
    origin = _origin(source, "")
    on_disk = not remote_files.is_remote(source.path)
    if on_disk:
        files = list(_local(source, params, root, listing))
    else:
        files = remote_files.listing(source.name, source.path, source.pattern, source.revision)
    total = sum(file.size for file in files if format_of(file.name))
    for file in files:
        kind = format_of(file.name)
        if not kind:
            suffix = Path(file.name).suffix.lower() or "(no suffix)"
            reason = f"{plain_name(suffix)} is no format that ingest reads"
            listing.skipped.append(Skipped(plain_name(file.name), reason, file.size))
            continue
        group, target = _grouping(file.name, kind, file.size, total)
        fitting = replace(options, target_bytes=min(target, params.max_chars // 3))  # no passage is then too long
        path = Path(file.url) if on_disk else file.url
        listing.tasks.append(FileTask(path, file.name, file.size, kind, origin, fitting, group))
    if not listing.tasks:
        raise UserError(f"ingest source {source.name}: no file to read in {source.path}{why_none(listing.skipped)}")


def _local(source: Files, params: Ingest, root: Path, listing: Listing) -> Iterator[remote_files.FoundFile]:
    """The files of a local source, their paths as addresses."""
    path = watched_path(source.path, params, root, source.name)
    try:
        names = [path.name] if path.is_file() else sorted(names_under(path, source.pattern, listing.skipped))
    except (ValueError, NotImplementedError, IndexError):
        raise UserError(f"ingest source {source.name}: pattern = {source.pattern!r} is no glob; write one as **/*.txt"
                        ) from None  # fmt: skip
    folder = path.parent if path.is_file() else path
    for name in names:
        yield remote_files.FoundFile(str(folder / name), name, (folder / name).stat().st_size)


def names_under(folder: Path, pattern: str, skipped: list[Skipped]) -> Iterator[str]:
    """Files that match, as POSIX paths relative to the folder; what is left out is appended to `skipped`."""
    inside = folder.resolve()
    for path in folder.glob(pattern):
        name = path.relative_to(folder).as_posix()
        if reason := _unfit(path, name, inside):
            size = path.lstat().st_size if os.path.isfile(path) else 0
            skipped.append(Skipped(plain_name(SURROGATE.sub("?", name)), reason, size))
        elif not path.is_dir():
            yield name


def _unfit(path: Path, name: str, inside: Path) -> str:
    """Why a file, or all of a folder, is not read; "" if it is."""
    is_folder = path.is_dir()
    if any(part.startswith(".") for part in name.split("/")):
        return "" if is_folder else "hidden"
    if is_folder and path.is_symlink():
        return "a link to a folder, which is not followed"
    if is_folder:
        return "" if os.access(path, os.R_OK | os.X_OK) else "a folder that may not be read"
    if path.is_file() and not path.resolve().is_relative_to(inside):
        return "a link that leads out of the folder"
    return unreadable(path)


def _grouping(name: str, kind: str, size: int, total: int) -> tuple[str, int]:
    """The group of a file's documents ("" for one each), and the length of its passages."""
    if kind in OWN_RECORDS:
        return "", TARGET_BYTES
    if size <= LARGE_SHARE * total:
        return name, TARGET_BYTES
    return name, min(TARGET_BYTES, max(SHORTEST_PASSAGE, size // PASSAGES_OF_LARGE))


def why_none(skipped: list[Skipped]) -> str:
    """Why there is nothing to read, as the end of a clause."""
    counts = Counter(file.reason for file in skipped)
    seen = "; ".join(f"{count} x {reason}" for reason, count in sorted(counts.items()))
    if not seen:
        return "; it is empty, or `pattern` matches none"
    return f" (left out: {seen}); see docs/data.md for the formats"


def hub_dataset(source: Hub, params: Ingest, root: Path) -> hub.Dataset:
    """The data set of a source.

    Raises:
        UserError: no commit is named, or a local one is not watched.
    """
    local = os.path.exists(root / os.path.expanduser(source.dataset))
    if not local and not re.fullmatch(r"[0-9a-f]{40}", source.revision):
        raise UserError(
            f"ingest source {source.name}: hub data set {source.dataset!r} needs `revision`, the 40 hex digits of a "
            "commit (a branch name moves); find it on the data set's page under Files, History"
        )
    path = str(watched_path(source.dataset, params, root, source.name)) if local else source.dataset
    return hub.Dataset(path, source.config, source.split, source.revision, source.text_field, local)


def _hub(source: Hub, params: Ingest, options: Options, root: Path) -> FileTask:
    dataset = hub_dataset(source, params, root)
    origin = _origin(source, "local" if dataset.local else f"{source.dataset}@{source.revision}")
    location = "/".join(part for part in (source.config, source.split) if part)
    return FileTask("", location, options.max_bytes, "hub", origin, options, dataset=dataset)
