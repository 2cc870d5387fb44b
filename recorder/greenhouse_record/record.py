"""Record of a training: JSON lines, each with the sha256 of the line before it (`previous`).

One file, `.greenhouse/records/<id>.jsonl`, holds all tries and resumes of one output folder:

    record    first line: `format`, `out`, `tool`
    host      the machine, as in a ledger: `host`, cpu, threads, memory, watts
    start     a try: `attempt` (from 1), `data`, `command`, `cwd`, `files` (those that the command names), `git`,
              `environment`, `gpus`; `resumes`, if the output was there: which try left it, and what was `changed`
              in it since
    reading   energy and CPU time since the last reading, as in a ledger: `host_uj`, `spans` (that of the try alone)
    log       `attempt`, `step` and figures: what `run.log` was given; `note`: anything else said about the run
    end       `attempt`, `outcome` (Completed, Failed, Killed), `exit`, `cpu_s`, `wall_s`, `uj`
    outputs   `attempt`, `files`: what lies in the output folder as the try ends

Hashes of files are `{path: {"sha256": hex, "bytes": n}}`; paths are relative to the folder that
holds `.greenhouse` where they lie below it. `<id>.head` beside it names the last of the `DURABLE`
lines, so that lines cut off the end show too; `<id>.reserve` keeps room for the end while a try
runs. `host`, `start`, `reading` and `end` have the keys of a ledger's lines: a ledger's reader
reads them as spans.

A try without `end` was recorded by a process that was killed. Against a recorder who lies no record
helps.
"""

from __future__ import annotations

import json
import mmap
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from greenhouse_record.errors import UserError, clause
from greenhouse_record.shared_file import append_at, locked, replace

FORMAT = 1
FIRST = "0" * 64
"""`previous` of the first line."""
DURABLE = ("record", "start", "end", "outputs")
"""Kinds of lines that are on disk before anything else is done, and named by `<id>.head`."""
Files = dict[str, dict[str, Any]]
"""sha256 and bytes of files, by path."""


@dataclass
class Attempt:
    """A try.

    Attributes:
        start: its `start` line.
        host: the `host` line of its machine.
        of: its other lines, by kind.
    """

    start: dict
    host: dict
    of: dict[str, list[dict]] = field(default_factory=lambda: defaultdict(list))

    @property
    def end(self) -> dict | None:
        """Its `end` line; None if the recorder was killed, or still runs."""
        return self.of["end"][0] if self.of["end"] else None

    @property
    def outputs(self) -> Files:
        """Files of the output folder as it ended, by path; none if they were never hashed."""
        return self.of["outputs"][0]["files"] if self.of["outputs"] else {}

    @property
    def outcome(self) -> str:
        """As its `end` line has it; Killed without one."""
        return self.end["outcome"] if self.end else "Killed"


@dataclass
class Record:
    """A record whose chain is whole.

    Attributes:
        path: its file.
        out: the output folder, relative to the folder that holds `.greenhouse` if it lies below.
        attempts: tries and resumes, in order.
    """

    path: Path
    out: str = ""
    attempts: list[Attempt] = field(default_factory=list)


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Within, a file beside or of a record is written.

    Raises `UserError`: it cannot be (a full disk).
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(
            f"{path}: the record cannot be written ({error.strerror or error}); what it holds is kept, make room there"
        ) from None


def append(path: Path, line: dict) -> None:
    """Append a line; any process may, at any time. A torn line at the end is cut off first.

    Raises `UserError`: it cannot be written (a full disk); what the record holds is kept.
    """
    with on_disk(path), locked(path.with_name(f".{path.stem}.lock")):
        last, size = _last_line(path)
        row = {**line, "previous": sha256(last).hexdigest() if last else FIRST}
        text = json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
        append_at(path, size, text, line["kind"] in DURABLE)
        if line["kind"] in DURABLE:
            replace(path.with_suffix(".head"), sha256(text).hexdigest() + "\n")


def _last_line(path: Path) -> tuple[bytes, int]:
    """The last whole line of a file, and where it ends."""
    if not path.exists() or not path.stat().st_size:
        return b"", 0
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = data.rfind(b"\n") + 1
        return data[data.rfind(b"\n", 0, max(0, end - 1)) + 1 : end], end


def read(path: Path) -> Record:
    """Read a record and check its chain.

    Raises:
        UserError: there is none, or it was edited or damaged, with the first such line.
    """
    beside = path.with_suffix(".head")
    try:  # the head first: a record may be growing
        head = beside.read_text(errors="replace").strip() if beside.exists() else ""
        texts = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise UserError(f"{path}: this record cannot be read ({error.strerror})") from None
    if not head and (path.parent.name != "records" or len(texts) < 2):
        head = FIRST  # a copy without it, whose folder has a hash; or its writer was killed before it was there
    hashes = [FIRST, *(sha256(text + b"\n").hexdigest() for text in texts)]
    try:
        lines = [json.loads(text) for text in texts]
        edited = [number for number, line in enumerate(lines) if line["previous"] != hashes[number]]
        if edited or head not in hashes:
            number = max(1, edited[0]) if edited else len(lines)
            raise UserError(
                f"{path}: line {number} was edited, or lines after it were taken out, put in or cut off: its sha256 "
                f"is not the one that the next line or {beside.name} names; take the file from a copy"
            )
        return _record(path, lines)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path}: no record of a run, or damaged ({clause(error)}); take it from a copy") from None


def _record(path: Path, lines: list[dict]) -> Record:
    record, host = Record(path), dict[str, Any]()
    for line in lines:
        kind = line["kind"]
        if kind == "record":
            record.out = line["out"]
            if line["format"] != FORMAT:
                raise UserError(f"{path}: no record of format {FORMAT}; read it with the version that made it")
        elif kind == "host":
            host = line
        elif kind == "start":
            record.attempts.append(Attempt(line, host))
        else:
            record.attempts[-1].of[kind].append(line)
    return record


def figures(line: dict) -> dict[str, float]:
    """The figures of a `log` line."""
    return {name: value for name, value in line.items() if isinstance(value, float)}


def hashed(paths: list[Path], root: Path) -> Files:
    """sha256 and size of each file of these paths, sorted by path; no link to a folder is followed.

    Raises `UserError`: one is missing or cannot be read.
    """
    files: Files = {}
    for path in sorted({path for given in paths for path in (given.rglob("*") if given.is_dir() else [given])}):
        try:
            if not path.is_dir():
                files[relative(path, root)] = _hash(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); name what is there") from None
    return files


def _hash(path: Path) -> dict[str, Any]:
    digest = sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
        return {"sha256": digest.hexdigest(), "bytes": file.tell()}


def relative(path: Path, root: Path) -> str:
    """A path as records name it: relative to the root where it lies below, with slashes."""
    path = Path(os.path.abspath(path))
    return path.relative_to(root).as_posix() if root in (path, *path.parents) else path.as_posix()


def changes(files: Files, root: Path, *folders: Path) -> list[str]:
    """Paths whose file is missing or not as recorded, then new files in these folders.

    Raises `UserError`: one cannot be read.
    """
    here = hashed([path for path in (*(root / name for name in files), *folders) if path.exists()], root)
    return sorted(name for name in files if here.get(name) != files[name]) + sorted(here.keys() - files.keys())
