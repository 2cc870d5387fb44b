"""A try being recorded: its beginning, its readings, what is logged, and its end.

    with recorded(data="data/", out="model/") as run:
        run.log(step=1, loss=3.2)

`greenhouse-record` does the same around a command; there, or in a rank of torchrun but the first, `recorded` adds to
the record that is open already, or does nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import resource
import secrets
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from greenhouse_record import __version__, surroundings
from greenhouse_record.errors import UserError
from greenhouse_record.metering.counters import lives, start_of, utc
from greenhouse_record.record import FORMAT, Files, Record, append, changes, hashed, read, relative
from greenhouse_record.tree_meter import TreeMeter

VARIABLE = "GREENHOUSE_RECORD"
"""Names the open record to processes inside: its file and the number of the try."""
LOG_KEYS = {"kind", "t", "attempt", "step", "previous"}
"""Of a log line: all others are figures."""
LEAST_INTERVAL_S = 0.01
"""Seconds between two readings, of which each costs some milliseconds."""
LONGEST_SHARE = 0.001
"""Share of a run's time between two readings: a day's run has a few thousand, not 86,400."""


class Log:
    """A record that is open: what training code adds to it. Without a record it takes everything and keeps nothing."""

    def __init__(self, path: Path | None, attempt: int = 0) -> None:
        self.path, self.attempt, self.trouble = path, attempt, ""

    def log(self, step: int, **figures: float) -> None:
        """Figures of a step, such as `loss`."""
        self._add({"kind": "log", "step": int(step), **{name: float(value) for name, value in figures.items()}})

    def note(self, **facts: Any) -> None:
        """Anything else that a reader should know, as JSON: `note(order=sampler.facts())`."""
        self._add({"kind": "note", **facts})

    def _add(self, line: dict[str, Any]) -> None:
        if self.path:
            self._write({"t": utc(time.time()), "attempt": self.attempt, **line})

    def _write(self, line: dict[str, Any], durable: bool = False) -> bool:
        """Append a line, and whether it could be; a full disk is said once and ends no training."""
        assert self.path
        try:
            append(self.path, line, durable)
            return True
        except UserError as error:
            if not self.trouble:
                say(str(error))
            self.trouble = str(error)
            return False


class Recording(Log):
    """One try, from `begin` to `end`, with a thread that takes a reading each `interval_s`.

    Args:
        command: what is run, as typed.
        data: files and folders that the training reads.
        out: folder (or file) that it writes.
        state: folder of the records; None for `.greenhouse` of the repository, or of the working folder without one.
        resume: "auto" goes on with the newest record of `out`, an id with that one; "" refuses an `out` that exists.
        itself: whether this process is the training, not its recorder.

    Raises `UserError`: bad input, before anything is written.
    """

    def __init__(
        self, command: Sequence[str], data: Iterable[str | Path], out: str | Path, state: str | Path | None = None,
        resume: str = "", interval_s: float = 1.0, itself: bool = False,
    ) -> None:  # fmt: skip
        self.command, self.data = list(command), [Path(os.path.abspath(place)) for place in data]
        self.root = surroundings.root_of(Path.cwd())
        self.out = Path(os.path.abspath(out))
        self.records = Path(os.path.abspath(state or self.root / ".greenhouse")) / "records"
        surroundings.raise_if_bad(self.command, self.data)
        record = self._record_to_go_on(resume)
        super().__init__(record.path if record else self._own_path(), len(record.attempts) + 1 if record else 1)
        if not LEAST_INTERVAL_S <= interval_s < math.inf:
            raise UserError(f"--interval {interval_s:g}: give seconds between readings, {LEAST_INTERVAL_S} or more")
        self.interval_s, self.before = interval_s, record
        self._meter = TreeMeter(secrets.token_hex(6), itself)
        self._pending: list[dict[str, Any]] = []
        self._writing, self._done = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._sample, name="record", daemon=True)

    def _own_path(self) -> Path:
        """The record of this command with this output folder."""
        shown = surroundings.without_secrets(self.command)
        name = sha256(json.dumps([shown, relative(self.out, self.root)]).encode()).hexdigest()[:8]
        return self.records / f"{self.out.name}-{name}.jsonl"

    def _record_to_go_on(self, resume: str) -> Record | None:
        """The record that this try belongs to, checked; None if it begins one."""
        written = self.out.is_file() or (self.out.is_dir() and any(self.out.iterdir()))
        if written and not resume:
            raise UserError(
                f"{self.out}: exists; add --resume auto (in Python resume='auto') to go on with the run that wrote "
                "it, or name another --out"
            )
        paths = sorted(self.records.glob("*.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True)
        if resume == "auto":
            out = relative(self.out, self.root)
            paths = [path for path in paths if _first_line(path).get("out") == out]
        elif resume:
            paths = [self.records / f"{resume}.jsonl"]
        else:
            paths = [path for path in paths if path == self._own_path()]
        if written and not paths:
            raise UserError(f"{self.out}: exists, but no record of it lies in {self.records}; name another --out")
        record = read(paths[0]) if paths else None
        if record and (pid := _still_running(record)):
            raise UserError(f"{self.out}: is being written by process {pid}; wait until it ends, or end it")
        return record

    # -- beginning and end ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Write what is known before the training: environment, code, data; then count."""
        assert self.path
        left_out, now = [*self.data, self.out], utc(time.time())
        facts = {
            "command": surroundings.without_secrets(self.command),
            "cwd": relative(Path.cwd(), self.root),
            "git": surroundings.git_facts(self.root, self.records, left_out),
            "environment": surroundings.environment(self.command),
            "files": surroundings.named_files(self.command, self.root, left_out),
            "data": hashed(self.data, self.root),
            "data_places": [relative(place, self.root) for place in self.data],
        }
        resumes = self._close_last() if self.before and self.before.attempts else None
        if self.before is None:
            first = {"kind": "record", "t": now, "format": FORMAT, "id": self.path.stem}
            tool = f"greenhouse-record {__version__}"
            append(self.path, {**first, "out": relative(self.out, self.root), "tool": tool}, durable=True)
        labels = {"stage": "train", "record": self.path.stem, "attempt": str(self.attempt)}
        span = {"span": self._meter.id, "parent": "", "name": self.path.stem, "labels": labels}
        self._meter.start()
        append(self.path, self._meter.host_line(now))
        process = {"pid": os.getpid(), "started": start_of(os.getpid())}
        start = {"kind": "start", "t": now, "attempt": self.attempt, **span, **process, **facts, "resumes": resumes}
        append(self.path, start, durable=True)
        self._started, self._used = time.monotonic(), _children_cpu_s(self._meter.itself)
        self._thread.start()
        unread = "" if self.data else "no --data: which data it reads is not recorded"
        for lacking in filter(None, (self._meter.lacking, unread)):
            say(lacking)

    def _close_last(self) -> dict[str, Any] | None:
        """Close a try whose recorder was killed; which try left the output that is there, and what differs from it."""
        assert self.before
        assert self.path
        last = self.before.attempts[-1]
        if last.end is None:
            seen = (last.readings or [last.start])[-1]["t"]
            say(f"try {last.number}: its recorder was killed after {seen}; what it used from then on is not known")
            end = {"kind": "end", "t": seen, "attempt": last.number, "span": last.start["span"], "outcome": "Killed"}
            facts = {"exit": None, "cpu_s": last.cpu_s, "wall_s": None, "uj": last.energy_uj, "recorder": "killed"}
            append(self.path, {**end, **facts}, durable=True)
        if not self.out.exists():
            return None
        changed = None if last.outputs is None else changes(last.outputs, self.root, self.out)
        return {"attempt": last.number, "changed": changed}

    def end(self, outcome: str, exit: int | None) -> None:
        """Write what was used and what lies in the output folder. A full disk ends nothing."""
        self._done.set()
        self._thread.join(timeout=5.0)
        cpu_s, wall_s = _children_cpu_s(self._meter.itself) - self._used, time.monotonic() - self._started
        self._read()
        files: Files = {}
        try:
            files = hashed([self.out], self.root) if self.out.exists() else {}
        except UserError as error:  # a process that is left over still writes there
            say(f"{error}; the outputs are not recorded")
        now = utc(time.time())
        self._write({"kind": "outputs", "t": now, "attempt": self.attempt, "files": files})
        end = {"kind": "end", "t": now, "attempt": self.attempt, "span": self._meter.id, "outcome": outcome}
        figures = {"cpu_s": round(cpu_s, 6), "wall_s": round(wall_s, 3), "uj": self._meter.energy_uj}
        self._write({**end, "exit": exit, **figures}, durable=True)
        if outcome == "Completed" and not files:
            say(f"{self.out}: the command ended well and wrote nothing there; the record is kept, without outputs")

    # -- readings ------------------------------------------------------------------------------------------------------

    def _sample(self) -> None:
        while not self._done.wait(max(self.interval_s, LONGEST_SHARE * (time.monotonic() - self._started))):
            self._read()

    def _read(self) -> None:
        self._write(self._meter.line())

    def _write(self, line: dict[str, Any], durable: bool = False) -> bool:
        """Append a line; what a full disk refuses waits for the next one."""
        with self._writing:
            self._pending.append(line)
            while self._pending and super()._write(self._pending[0], durable):
                del self._pending[0]
            return not self._pending


@contextlib.contextmanager
def recorded(
    data: str | Path | Sequence[str | Path], out: str | Path, state: str | Path | None = None, resume: str = "",
    interval_s: float = 1.0,
) -> Iterator[Log]:  # fmt: skip
    """Record this process and its children as one try; see `Recording` for what it takes and raises."""
    if run := _open_record():
        yield run
        return
    places = [data] if isinstance(data, (str, Path)) else data
    words = [os.path.basename(sys.executable), *sys.argv]
    recording = Recording(words, places, out, state, resume, interval_s, itself=True)
    recording.begin()
    outcome = "Failed"
    try:
        yield recording
        outcome = "Completed"
    finally:
        recording.end(outcome, 0 if outcome == "Completed" else None)
        tell_mlflow(recording)


def _open_record() -> Log | None:
    """The record of the command that this process is part of; one that keeps nothing in ranks but the first."""
    if os.environ.get("RANK", "0") != "0":
        return Log(None)
    path, _, attempt = os.environ.get(VARIABLE, "").rpartition("|")
    return Log(Path(path), int(attempt)) if path else None


def _first_line(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        try:
            return json.loads(file.readline())
        except ValueError:
            return {}


def _still_running(record: Record) -> int | None:
    """The recorder, or a training that outlived its recorder, of a record's last try."""
    if not record.attempts or record.attempts[-1].end:
        return None
    last = record.attempts[-1]
    processes = [line for line in (last.start, *last.notes) if "started" in line]
    return next((line["pid"] for line in processes if lives(line["pid"], line["started"])), None)


def _children_cpu_s(itself: bool) -> float:
    """CPU seconds of all children that were waited for; with `itself`, and of this process."""
    who = [resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF] if itself else [resource.RUSAGE_CHILDREN]
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, who))


def tell_mlflow(recording: Recording) -> None:
    """Log the try to MLflow where MLFLOW_TRACKING_URI is set and the package is there; what hinders it is said."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return
    if not importlib.util.find_spec("mlflow"):
        say(
            "MLFLOW_TRACKING_URI is set, but mlflow is not installed beside this recorder; the record alone has the run"
        )
        return
    import mlflow

    try:
        record = read(recording.path)  # type: ignore[arg-type]
        last = record.attempts[-1]
        with mlflow.start_run(run_name=f"{record.id}-{last.number}"):
            mlflow.log_params({"command": " ".join(last.start["command"])[:500], "commit": last.start["git"]["commit"]})
            mlflow.set_tags({"greenhouse_record": record.id, "outcome": last.outcome})
            mlflow.log_metrics({"cpu_s": last.cpu_s, "kwh": last.energy_uj[1] / 3.6e12})
            for line in last.logs:
                mlflow.log_metrics({name: line[name] for name in line.keys() - LOG_KEYS}, step=line["step"])
            mlflow.log_artifact(str(record.path))
    except Exception as error:  # whatever a server or a client raises: the run is recorded all the same
        say(f"MLflow did not take the run ({type(error).__name__}); the record has all of it")


def say(text: str) -> None:
    """A sentence on the terminal."""
    print(f"greenhouse-record: {text}", file=sys.stderr, flush=True)
