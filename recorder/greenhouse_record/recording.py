"""A try being recorded: its beginning, its readings, what is logged, and its end.

    with recorded(data="data/", out="model/") as run:
        run.log(step=1, loss=3.2)

`greenhouse-record` does the same around a command; there, or in a rank of torchrun but the first,
`recorded` adds to the record that is open already, or does nothing.
"""

from __future__ import annotations

import math
import os
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from greenhouse_record import __version__, surroundings
from greenhouse_record.errors import UserError
from greenhouse_record.metering.counters import lives, start_of, utc
from greenhouse_record.metering.meter import Meter
from greenhouse_record.record import FORMAT, Attempt, Files, append, changes, figures, hashed, on_disk, read, relative
from greenhouse_record.tree_meter import RecordWriter, TreeCounters

VARIABLE = "GREENHOUSE_RECORD"
"""Names the open record to processes inside: its file and the number of the try."""
RESERVED = 16_384
"""Bytes that are kept free while a training runs: where it fills the disk, how it ended is written all the same."""
LEAST_INTERVAL_S = 0.01
"""Seconds between two readings, of which each costs some milliseconds."""


class Log:
    """A record that is open, for training code to add to; without a record it keeps nothing."""

    def __init__(self, path: Path | None, attempt: int = 0) -> None:
        self.path, self.attempt, self.trouble = path, attempt, ""
        self.exit: int | None = 0

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        pass

    def log(self, step: int, **figures: float) -> None:
        """Figures of a step, such as `loss`."""
        self._add("log", step=int(step), **{name: float(value) for name, value in figures.items()})

    def note(self, **facts: Any) -> None:
        """Anything else that a reader should know, as JSON: `note(order=sampler.facts())`."""
        self._add("note", **facts)

    def _add(self, kind: str, /, **facts: Any) -> None:
        """Append a line; a full disk is said once and ends no training."""
        try:
            if self.path:
                append(self.path, {**facts, "kind": kind, "t": utc(time.time()), "attempt": self.attempt})
        except UserError as error:
            if not self.trouble:
                say(str(error))
            self.trouble = str(error)


class Recording(Log):
    """One try, from the beginning of a `with` block to its end.

    Args:
        command: what is run, as typed.
        data: files and folders that the training reads.
        out: folder (or file) that it writes.
        state: folder of the records; None for `.greenhouse` of the repository or working folder.
        resume: "auto" goes on with the record of `out`; "" refuses an `out` that exists.
        interval_s: seconds between readings, at first.
        itself: whether this process is the training, not its recorder.

    `exit` is the status that the training ends with: -n for signal n, None for an exception.

    Raises `UserError`: bad input, before anything is written.
    """

    def __init__(
        self, command: Sequence[str], data: Iterable[str | Path], out: str | Path, state: str | Path | None = None,
        resume: str = "", interval_s: float = 1.0, itself: bool = False,
    ) -> None:  # fmt: skip
        self.command, self.data = list(command), [Path(os.path.abspath(source)) for source in data]
        self.root, self.out = surroundings.root_of(Path.cwd()), Path(os.path.abspath(out))
        self.home = Path(os.path.abspath(state or self.root / ".greenhouse"))
        if not LEAST_INTERVAL_S <= interval_s < math.inf:
            raise UserError(f"--interval {interval_s:g}: give seconds between readings, {LEAST_INTERVAL_S} or more")
        name = sha256(relative(self.out, self.home.parent).encode()).hexdigest()[:8]
        path = self.home / "records" / f"{self.out.name}-{name}.jsonl"
        self.before = self._tries_before(path, resume)
        super().__init__(path, len(self.before) + 1)
        self.interval_s, self.itself = interval_s, itself

    def _tries_before(self, path: Path, resume: str) -> list[Attempt]:
        """The tries in the record of this output, which is checked; none if there is no record."""
        written = self.out.is_file() or (self.out.is_dir() and any(self.out.iterdir()))
        if written and not resume:
            raise UserError(
                f"{self.out}: exists; add --resume auto (in Python resume='auto') to go on with the run that wrote "
                "it, or name another --out"
            )
        if written and not path.exists():
            raise UserError(f"{self.out}: exists, but no record of it lies in {path.parent}; name another --out")
        tries = read(path).attempts if path.exists() else []
        if tries and (pid := _still_running(tries[-1])):
            raise UserError(f"{self.out}: is being written by process {pid}; wait until it ends, or end it")
        return tries

    def __enter__(self) -> Recording:
        """Write what is known before the training: environment, code, data; then count."""
        assert self.path
        left_out = [*self.data, self.out, self.home]
        counters = TreeCounters(self.itself)
        facts: dict[str, Any] = {
            "data": hashed(self.data, self.root),  # first: what is missing is said before anything is written
            "attempt": self.attempt,
            "started": start_of(os.getpid()),
            "command": surroundings.without_secrets(self.command),
            "cwd": relative(Path.cwd(), self.root),
            "git": surroundings.git_facts(self.root, self.path.parent, left_out),
            "environment": surroundings.environment([sys.executable] if self.itself else self.command),
            "gpus": counters.gpus,
            "files": surroundings.named_files(self.command, self.root, left_out),
            "resumes": self._resumed(),
        }
        if not self.before:
            tool = {"format": FORMAT, "tool": f"greenhouse-record {__version__}"}
            append(self.path, {"kind": "record", "t": utc(time.time()), "out": relative(self.out, self.root), **tool})
        self._reserve = self.path.with_suffix(".reserve")
        with on_disk(self._reserve):
            self._reserve.write_bytes(bytes(RESERVED))
        labels = {"stage": "train", "record": self.path.stem, "attempt": str(self.attempt)}
        self._meter = Meter(self.path.parent, self.interval_s, labels, counters, RecordWriter(self.path))
        self._meter.facts = facts
        self._started, self._used = time.monotonic(), _cpu_s(self.itself)
        self._meter.__enter__()
        unread = "" if self.data else "no --data: which data it reads is not recorded"
        links = [path for source in self.data for path in source.rglob("*") if path.is_symlink() and path.is_dir()]
        unhashed = f"{links[0]}: links to a folder, which is not hashed; name that with --data too" if links else ""
        more = facts["git"].get("unrecorded") and f"{facts['git']['unrecorded']} files in no commit are not recorded"
        for lacking in filter(None, (counters.lacking, unread, unhashed, more)):
            say(lacking)
        return self

    def _resumed(self) -> dict[str, Any] | None:
        """Which try left the output that is there, and what differs since; None without an output."""
        if not self.before:
            return None
        last = self.before[-1]
        if last.end is None:
            seen = (last.of["reading"] or [last.start])[-1]["t"]
            say(f"try {self.attempt - 1}: its recorder was killed after {seen}; what it used since is not known")
        if not self.out.exists():
            return None
        changed = changes(last.outputs, self.root, self.out) if last.of["outputs"] else None
        return {"attempt": self.attempt - 1, "changed": changed}

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        """Write what was used and what lies in the output folder. A full disk ends nothing."""
        self._reserve.unlink(missing_ok=True)
        cpu_s, wall_s = _cpu_s(self.itself) - self._used, time.monotonic() - self._started
        exit, outcome = None if error else self.exit, "Completed"
        if exit != 0:
            outcome = "Killed" if exit and exit < 0 else "Failed"
        used = {"cpu_s": round(cpu_s, 6), "wall_s": round(wall_s, 3)}
        joules = self._meter.totals_now().joules
        self._meter.outcome, self._meter.facts = outcome, {"attempt": self.attempt, "exit": exit, **used}
        self._meter.__exit__(None, None, None)
        self.trouble = self.trouble or self._meter.trouble
        files: Files = {}
        try:
            files = hashed([self.out], self.root) if self.out.exists() else {}
        except UserError as error:  # a process that is left over still writes there
            say(f"{error}; the outputs are not recorded")
        self._add("outputs", files=files)
        if outcome == "Completed" and not files:
            say(f"{self.out}: the command ended well and wrote nothing there; the record is kept, without outputs")
        tell_mlflow(self)
        ended = "an exception" if exit is None else f"exit {exit}"
        low, wh, high = (joule / 3600 for joule in joules.as_list())
        say(f"{self.path}: {ended}, {wall_s:.1f} s, {wh:.3g} Wh ({low:.3g} to {high:.3g})")


def recorded(
    data: str | Path | Sequence[str | Path], out: str | Path, state: str | Path | None = None, resume: str = "",
    interval_s: float = 1.0,
) -> Log:  # fmt: skip
    """Record this process and its children as one try, in a `with` block; see `Recording`.

    In a process that a recorded command started it adds to that command's record; ranks but the
    first add nothing.
    """
    path, _, attempt = os.environ.get(VARIABLE, "").rpartition("|")
    if os.environ.get("RANK", "0") != "0":
        return Log(None)
    if path:
        return Log(Path(path), int(attempt))
    words = [os.path.basename(sys.executable), *sys.argv]
    sources = [data] if isinstance(data, (str, Path)) else data
    return Recording(words, sources, out, state, resume, interval_s, itself=True)


def _still_running(last: Attempt) -> int | None:
    """The recorder of a try, or a training that outlived it."""
    lines = [] if last.end else [last.start, *last.of["note"]]
    return next((line["pid"] for line in lines if "started" in line and lives(line["pid"], line["started"])), None)


def _cpu_s(itself: bool) -> float:
    """CPU seconds of all children that were waited for; with `itself`, and of this process."""
    who = [resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF] if itself else [resource.RUSAGE_CHILDREN]
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, who))


def tell_mlflow(recording: Recording) -> None:
    """Log the try to MLflow where MLFLOW_TRACKING_URI is set; what hinders it is said."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return
    try:
        import mlflow

        path: Any = recording.path
        last = read(path).attempts[-1]
        end: Any = last.end
        with mlflow.start_run(run_name=f"{path.stem}-{recording.attempt}", nested=bool(mlflow.active_run())):
            mlflow.log_params({"command": " ".join(last.start["command"])[:500], "commit": last.start["git"]["commit"]})
            mlflow.set_tags({"greenhouse_record": path.stem, "outcome": last.outcome})
            mlflow.log_metrics({"cpu_s": end["cpu_s"], "kwh": end["uj"][1] / 3.6e12})
            for line in last.of["log"]:
                mlflow.log_metrics(figures(line), step=line["step"])
            mlflow.log_artifact(str(path))
    except Exception as error:  # it is not installed, or whatever a server raises: the run is recorded all the same
        say(f"MLflow did not take the run ({type(error).__name__}); the record has all of it")


def say(text: str) -> None:
    """A sentence on the terminal."""
    print(f"greenhouse-record: {text}", file=sys.stderr, flush=True)
