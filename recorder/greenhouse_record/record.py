"""Record of a model's training: JSON lines, each with the sha256 of the bytes of the line before it (`previous`).

One file, `.greenhouse/records/<id>.jsonl`, holds all tries and resumes of one command with one output folder:

    record    first line: `format`, `id`, `out`, `tool`
    host      the machine, as in a ledger: `host`, cpu, threads, memory, watts
    start     a try: `attempt` (from 1), `command`, `cwd`, `git`, `environment`, `files` (those that the command names),
              `data` (below `data_places`); `resumes`, if the output was there: which try left it, and what was
              `changed` in it since
    reading   energy and CPU time since the last reading, as in a ledger: `host_uj`, `spans` (that of the try alone)
    log       `attempt`, `step` and figures: what `run.log` was given; `note`: anything else said about the run
    outputs   `attempt`, `files`: what lies in the output folder as the try ends
    end       `attempt`, `outcome` (Completed, Failed, Killed, Interrupted), `exit`, `cpu_s`, `wall_s`, `uj`

Hashes of files are `{path: {"sha256": hex, "bytes": n}}`; paths are relative to the folder that holds `.greenhouse`
where they lie below it. `<id>.head` beside it names the last line but readings, so that lines cut off the end show too.
`host`, `start`, `reading` and `end` have the keys of a ledger's lines: a ledger's reader reads them as spans.

A try without `end` was recorded by a process that was killed. Against a recorder who lies no record helps.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from greenhouse_record.errors import UserError, clause
from greenhouse_record.lock import locked

FORMAT = 1
FIRST = "0" * 64
"""`previous` of the first line."""
Files = dict[str, dict[str, Any]]
"""sha256 and bytes of files, by path."""


@dataclass
class Attempt:
    """A try: its lines. `end` is None if the recorder was killed, or still runs.

    Attributes:
        start: its `start` line.
        readings: its `reading` lines.
        logs: its `log` lines, in order.
        notes: its `note` lines.
        outputs: files of the output folder as it ended, by path; None if they were never hashed.
        end: its `end` line.
    """

    start: dict
    readings: list[dict] = field(default_factory=list)
    logs: list[dict] = field(default_factory=list)
    notes: list[dict] = field(default_factory=list)
    outputs: Files | None = None
    end: dict | None = None

    @property
    def number(self) -> int:
        """From 1."""
        return self.start["attempt"]

    @property
    def outcome(self) -> str:
        """As its `end` line has it; Killed without one."""
        return self.end["outcome"] if self.end else "Killed"

    @property
    def cpu_s(self) -> float:
        """CPU seconds of its process tree by rusage, or by readings if its end is not recorded."""
        return self.end["cpu_s"] if self.end else sum(part["cpu_us"] for part in self._parts()) / 1e6

    @property
    def energy_uj(self) -> list[int]:
        """Microjoules of its process tree: low, mid, high."""
        bounds = [uj for part in self._parts() for uj in part["uj"].values()]
        return [sum(uj[i] for uj in bounds) for i in range(3)]

    def _parts(self) -> list[dict]:
        return [line["spans"][self.start["span"]] for line in self.readings if self.start["span"] in line["spans"]]


@dataclass
class Record:
    """A record whose chain is whole.

    Attributes:
        path: its file.
        id: names the record.
        out: the output folder, relative to the folder that holds `.greenhouse` if it lies below.
        attempts: tries and resumes, in order.
        hosts: `host` lines, by `host`.
        head: sha256 of its last line: who signs this signs the record.
        torn_bytes: of a line at the end that was never written whole (kill, power cut, full disk).
    """

    path: Path
    id: str
    out: str
    attempts: list[Attempt] = field(default_factory=list)
    hosts: dict[str, dict] = field(default_factory=dict)
    head: str = FIRST
    torn_bytes: int = 0


def append(path: Path, line: dict, durable: bool = False) -> None:
    """Append a line; any process may, at any time. With `durable` it is on disk on return, and `<id>.head` names it.

    Raises `UserError`: it cannot be written (a full disk); the record stays as it was.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(path.with_name(f".{path.stem}.lock")):
            head = _append(path, line, durable)
            if durable:
                temporary = path.with_suffix(".head.new")
                temporary.write_text(head + "\n")
                os.replace(temporary, path.with_suffix(".head"))
    except OSError as error:
        raise UserError(
            f"{path}: the record cannot be written ({error.strerror or error}); what it holds is kept, make room there"
        ) from None


def _append(path: Path, line: dict, durable: bool) -> str:
    """Append under the lock: sha256 of the new line. A torn line at the end is cut off first."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        last, size = _last_line(handle)
        os.ftruncate(handle, size)
        row = {**line, "previous": sha256(last).hexdigest() if last else FIRST}
        text = json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
        os.lseek(handle, size, os.SEEK_SET)
        written = 0
        try:
            while written < len(text):  # a disk that fills takes a part, and only then refuses
                written += os.write(handle, text[written:])
            if durable:
                os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise
        return sha256(text).hexdigest()
    finally:
        os.close(handle)


def _last_line(handle: int) -> tuple[bytes, int]:
    """The last whole line of a file, and where it ends."""
    size, block = os.lseek(handle, 0, os.SEEK_END), 1 << 16
    while True:
        begin = max(0, size - block)
        os.lseek(handle, begin, os.SEEK_SET)
        tail = os.read(handle, size - begin)
        tail = tail[: tail.rfind(b"\n") + 1]
        if begin == 0 or tail.count(b"\n") > 1:
            return tail[tail[:-1].rfind(b"\n") + 1 :], begin + len(tail)
        block *= 8


def read(path: Path) -> Record:
    """Read a record and check its chain.

    Raises:
        UserError: there is none, or it was edited or damaged: a sentence that names the first such line.
    """
    beside = path.with_suffix(".head")
    head = beside.read_text(errors="replace").strip() if beside.exists() else FIRST  # first: a record may be growing
    try:
        *texts, torn = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"{path}: this record cannot be read ({error.strerror})") from None
    lines, hashes = [], [FIRST]
    for number, text in enumerate(texts, start=1):
        line = _parsed(path, number, text)
        if line.get("previous") != hashes[-1]:
            raise UserError(
                f"{path}: line {max(1, number - 1)} was edited, or a line was taken out or put in after it: its sha256 "
                "is not the one that the next line names; take the file from a copy"
            )
        lines.append(line)
        hashes.append(sha256(text + b"\n").hexdigest())
    if head not in hashes:
        raise UserError(
            f"{path}: line {len(lines)} was edited, or lines after it were cut off: {beside.name} names a line that is "
            "not there; take the file from a copy"
        )
    try:
        return _record(path, lines, hashes[-1], len(torn))
    except (KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"{path}: no record of a run: a line lacks {clause(error)}; take the file from a copy"
        ) from None


def _parsed(path: Path, number: int, text: bytes) -> dict:
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    if not isinstance(line, dict) or (number == 1) != (line.get("kind") == "record"):
        raise UserError(f"{path}: line {number} is no line of a record; take the file from a copy")
    return line


def _record(path: Path, lines: list[dict], head: str, torn_bytes: int) -> Record:
    if not lines or lines[0].get("format") != FORMAT:
        raise UserError(f"{path}: no record of format {FORMAT}; read it with the version that made it")
    record = Record(path, lines[0]["id"], lines[0]["out"], head=head, torn_bytes=torn_bytes)
    for line in lines[1:]:
        kind = line["kind"]
        if kind == "host":
            record.hosts[line["host"]] = line
        elif kind == "start":
            record.attempts.append(Attempt(line))
        elif kind == "reading":
            record.attempts[-1].readings.append(line)
        elif kind == "log":
            record.attempts[-1].logs.append(line)
        elif kind == "note":
            record.attempts[-1].notes.append(line)
        elif kind == "outputs":
            record.attempts[-1].outputs = line["files"]
        elif kind == "end":
            record.attempts[-1].end = line
    return record


def hashed(places: list[Path], root: Path) -> Files:
    """sha256 and size of each file of these files and folders, sorted by path; links to folders are not followed.

    Raises `UserError`: one is missing or cannot be read.
    """
    files: Files = {}
    for place in places:
        try:
            for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
                if not path.is_dir():
                    files[relative(path, root)] = hashed_file(path)
        except OSError as error:
            raise UserError(
                f"{error.filename or place}: cannot be read ({error.strerror}); name what is there"
            ) from None
    return files


def hashed_file(path: Path) -> dict[str, Any]:
    """sha256 and size of a file, read in pieces."""
    digest, size = sha256(), 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            size += len(piece)
    return {"sha256": digest.hexdigest(), "bytes": size}


def relative(path: Path, root: Path) -> str:
    """A path as records name it: relative to the root where it lies below, with slashes."""
    path = Path(os.path.abspath(path))
    return path.relative_to(root).as_posix() if root in (path, *path.parents) else path.as_posix()


def changes(files: Files, root: Path, *folders: Path) -> list[str]:
    """Paths whose file is missing or not as recorded, and new files in these folders."""
    wrong = []
    for name, facts in files.items():
        try:
            same = hashed_file(root / name) == facts
        except OSError:
            same = False
        if not same:
            wrong.append(name)
    new = hashed([folder for folder in folders if folder.exists()], root).keys() - files.keys()
    return sorted(wrong) + sorted(new)
