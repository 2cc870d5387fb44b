"""The folder of a run: what its processes tell each other and its record, as files that survive them.

    .greenhouse/runs/<run>/
        run.json            the process the run hangs on, its kind, the commit, the packages
        <stage>/
            events.jsonl    what the stage said, a JSON object a line: begin, progress, metrics, phase, log
            result.json     how it ended; written whole, and not before its outputs are in place
            kept/           copies of what its record holds, until there is one
            recorded        mark: MLflow has all of it
            stage.log, dvc.log      for people
        end.json            how the run ended, and what its record holds; its files lie in kept/
        closed              mark: MLflow has all of the run

A stage's process writes, whoever shows and records the run reads (flows/tracking/record.py). What a
kill leaves is a folder without mark: whoever starts next closes it (flows/tracking/recovery.py).
"""

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.core.errors import STOPPED_EXIT
from components.core.files import canonical_json, fingerprint, read_json, written_whole
from flows.system import paths
from flows.system.processes import is_process_tag, process_tag, tag_alive

ALIVE_S = 20.0
"""A stage that says nothing for so long says that it lives: a line comes at least every 30 seconds."""
SMALL_BYTES = 1 << 20
"""Files up to this size are kept as copies."""
PIPELINE, REPRO = "pipeline", "dvc repro"
"""Kinds of runs that stages are part of; a study's is its own name."""


def own_run() -> "RunFolder":
    """The run that this stage's process is part of: a pipeline's, or one for the `dvc repro` above this process."""
    if name := os.environ.get("GREENHOUSE_RUN"):
        return RunFolder(name)
    tag = process_tag(os.getppid())
    return RunFolder(f"dvc-repro-{os.getppid()}-{fingerprint(tag)[:6]}")


@dataclass(frozen=True)
class RunFolder:
    """The folder of the run `name`."""

    name: str

    @property
    def path(self) -> Path:
        return paths.RUNS / self.name

    def open(self, kind: str, process: str = "", **facts: Any) -> None:
        """Begin the run anew, of this process or another one; what an earlier run of the name left goes."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        write_private(
            self.path / "run.json", {"kind": kind, "process": process or process_tag(), "t": _now_ms()} | facts
        )

    def note(self, **facts: Any) -> None:
        """Add to what is known of the run."""
        write_private(self.path / "run.json", self.facts() | facts)

    def facts(self) -> dict[str, Any]:
        """Content of run.json; empty if it is not there or damaged."""
        with suppress(FileNotFoundError, ValueError, NotADirectoryError):
            facts = read_json(self.path / "run.json")
            return facts if isinstance(facts, dict) and is_process_tag(facts.get("process")) else {}
        return {}

    @property
    def alive(self) -> bool:
        """Whether the process that the run hangs on still runs; one whose record is damaged does not."""
        process = self.facts().get("process", "")
        return bool(process) and tag_alive(process)

    @property
    def closed(self) -> bool:
        return (self.path / "closed").exists()

    def end(self, status: str, files: Iterable[Path] = (), root: Path = paths.ROOT, **record: Any) -> None:
        """Leave how the run ended (a status of MLflow) and what its record holds; `files` of `root` are kept for it."""
        names = _keep(self.kept, files, root)
        facts = {"status": status, "files": names, "ms": _now_ms()}
        write_private(self.path / "end.json", facts | record)

    def ending(self) -> dict[str, Any]:
        """Record that `end` left; empty if the run did not come that far."""
        with suppress(FileNotFoundError, ValueError, NotADirectoryError):
            return dict(read_json(self.path / "end.json"))
        return {}

    @property
    def kept(self) -> Path:
        return self.path / "kept"

    def close(self) -> None:
        """Mark the run as recorded, its end too."""
        with suppress(FileNotFoundError, NotADirectoryError):
            (self.path / "closed").touch()
            shutil.rmtree(self.kept, ignore_errors=True)

    def stage(self, name: str) -> "StageFolder":
        return StageFolder(self.path / name, self)

    def stages(self) -> "list[StageFolder]":
        """Those that began, in the order in which they did."""
        stages = [StageFolder(file.parent, self) for file in self.path.glob("*/events.jsonl")]
        began = [(stage.begin["t"], stage.name, stage) for stage in stages if stage.begin]
        return [stage for _, _, stage in sorted(began, key=lambda row: row[:2])]

    @contextmanager
    def sole_recorder(self) -> Iterator[bool]:
        """Within, no other process writes this run's record, if that is what is yielded."""
        with open(self.path / "lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


@dataclass(frozen=True)
class StageFolder:
    """The folder of a stage in its run."""

    path: Path
    run: RunFolder

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def log(self) -> Path:
        return self.path / "stage.log"

    @property
    def dvc_log(self) -> Path:
        return self.path / "dvc.log"

    @property
    def kept(self) -> Path:
        return self.path / "kept"

    @property
    def begin(self) -> dict[str, Any]:
        """The first event: process, fingerprint, parameters, hashes; empty if it did not come so far, whole."""
        with suppress(FileNotFoundError, NotADirectoryError), open(self.path / "events.jsonl", "rb") as file:
            for event in _parsed(file.readline()):
                return event if event.get("kind") == "begin" else {}
        return {}

    def clear(self) -> None:
        """Remove what an earlier try of the stage in this run left, but for the log of DVC, which runs."""
        self.path.mkdir(parents=True, exist_ok=True)
        for path in self.path.iterdir():
            if path != self.dvc_log:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def result(self) -> "StageResult | None":
        """How the stage ended; None if it did not come that far, or has not yet."""
        with suppress(FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            raw = read_json(self.path / "result.json")
            return StageResult(**raw | {"kwh": tuple(raw["kwh"])})
        return None

    def write_result(self, result: "StageResult") -> None:
        """Leave the result for whoever shows and records the run."""
        write_private(self.path / "result.json", vars(result))

    @property
    def ended(self) -> bool:
        """Whether nothing more will come: it left its result, or its process is gone."""
        process = self.begin.get("process")
        return (self.path / "result.json").exists() or not (is_process_tag(process) and tag_alive(str(process)))

    @property
    def recorded(self) -> bool:
        return (self.path / "recorded").exists()

    def mark_recorded(self) -> None:
        """MLflow has all of it: what was kept for that goes."""
        (self.path / "recorded").touch()
        shutil.rmtree(self.kept, ignore_errors=True)

    def keep(self, files: Iterable[Path], root: Path) -> list[str]:
        """Keep files and folders of a checkout until they are recorded; those there are, relative to its root."""
        return _keep(self.kept, files, root)


def _keep(folder: Path, files: Iterable[Path], root: Path) -> list[str]:
    """Keep files below a folder, as links where they are large and the disk can.

    The bytes stay, whatever becomes of the checkout: what a stage or DVC writes takes the place of
    a file whole.
    """
    names = list[str]()
    for path in files:
        if not path.exists():
            continue
        name = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, copy_function=_link, dirs_exist_ok=True)
        else:
            _link(path, target)
        names.append(name.as_posix())
    return names


def _link(source: str | Path, target: str | Path) -> None:
    """A second name for a large file, a copy of a small one."""
    if os.stat(source).st_size > SMALL_BYTES:
        with suppress(OSError):  # another disk, or one without links
            os.link(source, target)
            return
    shutil.copy(source, target)


def open_runs(closed: set[str] | None = None) -> list[RunFolder]:
    """Runs without the mark of their end; those that have it are added to `closed`, and not looked at when in it."""
    closed = set() if closed is None else closed
    names = {file.parent.name for file in paths.RUNS.glob("*/run.json")}  # one without is only just being opened
    runs = [RunFolder(name) for name in sorted(names - closed)]
    closed |= {run.name for run in runs if run.closed}
    return [run for run in runs if run.name not in closed]


@dataclass
class StageResult:
    """How a stage ended: one sentence, the log, seconds of its function, `Spent` as a mapping, and its energy.

    `name` is `Completed`, `Failed`, what DVC did without it (`Cached`, `Restored`), or the name of
    a stop on purpose. `metrics` are those of its record, `record` says what else that holds
    (flows/tracking/record.py).
    """

    name: str
    message: str
    log: str = ""
    function_s: float = 0.0
    spent: dict[str, float] = field(default_factory=dict)
    kwh: tuple[float, float, float] = (0.0, 0.0, 0.0)
    metrics: dict[str, float] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def stopped(self) -> bool:
        return self.name not in ("Completed", "Failed", "Cached", "Restored")

    @property
    def exit_status(self) -> int:
        return STOPPED_EXIT if self.stopped else int(self.name == "Failed")

    @property
    def run_status(self) -> str:
        """The status of its run in MLflow."""
        return {"Completed": "FINISHED", "Failed": "FAILED"}.get(self.name, "KILLED")

    @property
    def state(self) -> Any:
        """The Prefect state of the run that ended so: a stop on purpose, unfinished, is of the type Cancelled."""
        from prefect.states import Cancelled, Completed, Failed

        if self.name == "Failed":
            return Failed(message=self.message)
        kind = Cancelled if self.stopped else Completed
        return kind(name=self.name, message=self.message)


# -- events ------------------------------------------------------------------------------------------------------------


class EventWriter:
    """The events of a stage's process: each a whole line, there for readers when the call returns.

    Args:
        folder: of the stage, cleared.
        begin: facts of the first event.
    """

    def __init__(self, folder: StageFolder, **begin: Any) -> None:
        self._file = open(folder.path / "events.jsonl", "ab", buffering=0)  # noqa: SIM115 - closed with the process
        self._lock, self._last, self._cut = threading.Lock(), 0.0, False
        self.write("begin", process=process_tag(), **begin)
        threading.Thread(target=self._keep_alive, name="alive", daemon=True).start()

    def write(self, kind: str, **facts: Any) -> None:
        """Append an event. A disk that is full loses the event, not the work."""
        event = {"t": _now_ms(), "kind": kind} | facts
        line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            written, line = 0, (b"\n" + line if self._cut else line)
            with suppress(OSError):
                written = self._file.write(line)
            self._cut, self._last = written < len(line), time.monotonic()

    def _keep_alive(self) -> None:
        while True:
            time.sleep(ALIVE_S / 4)
            if time.monotonic() - self._last > ALIVE_S:
                self.write("alive")


class EventReader:
    """The events of a stage that were not read before. A line that a kill cut, or a full disk, is left out."""

    def __init__(self, folder: StageFolder) -> None:
        self._lines = LineReader(folder.path / "events.jsonl")

    def new(self) -> list[dict[str, Any]]:
        """Events since the last call, oldest first."""
        return [event for line in self._lines.new() for event in _parsed(line)]


class LineReader:
    """Whole lines that are appended to a file, which may not be there yet."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0

    def new(self) -> list[bytes]:
        """Lines since the last call; one without an end comes when it has one."""
        try:
            with open(self._path, "rb") as file:
                if file.seek(0, os.SEEK_END) < self._offset:
                    self._offset = 0  # begun anew
                file.seek(self._offset)
                whole, end, _ = file.read().rpartition(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return []
        self._offset += len(whole) + len(end)
        return whole.split(b"\n") if end else []


def _parsed(line: bytes) -> Iterator[dict[str, Any]]:
    with suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict):
            yield event


def _now_ms() -> int:
    return int(time.time() * 1000)


def write_private(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON record that its owner alone can read."""
    with written_whole(path) as temporary:
        temporary.touch(0o600)
        temporary.write_text(canonical_json(record), encoding="utf-8")
