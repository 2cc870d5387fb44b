"""Commands that are killed and started again: does each come to the same end, and is anything left over?

    job = Job(of_module("benchmarks.bases.tuned", "own-lora", place, target), target)
    job.run()                            to its end; an AssertionError with its last lines if it fails
    kill = job.kill(there(target, "work/checkpoints/step-000008"))    SIGKILL once a file is there,
    kill = job.kill(after(2.5))                                       or after so many seconds
    assert kill.in_time and not kill.left
    job.run()
    same = hashes(whole) == hashes(target)

A kill waits for the end of all that the command had started, and names what did not end: by itself where the command
alone is killed (`alone=True`: nothing may outlive its parent), else because it is killed too.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import ROOT
from components.core.files import sha256_file

ENDS_WITHIN_S = 30.0
"""What a killed command had started has ended by then."""
DUE_WITHIN_S = 900.0
Due = Callable[[], bool]
"""Whether the moment of the kill has come."""


def after(seconds: float) -> Due:
    """The moment so many seconds after this call."""
    at = time.monotonic() + seconds
    return lambda: time.monotonic() >= at


def there(folder: Path, pattern: str) -> Due:
    """The moment when the folder has a file or folder of this pattern."""
    return lambda: any(folder.glob(pattern))


def hashes(folder: Path, *parts: str, but: Sequence[str] = ()) -> dict[str, str]:
    """Relative path -> sha256 of the files of a folder, or of these parts of it; `but` names some to be left out."""
    found = [path for part in parts or (".",) for path in sorted((folder / part).rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in found if path.name not in but}


def at_work(folder: Path) -> list[psutil.Process]:
    """The processes whose current folder lies in a folder."""
    found = list[psutil.Process]()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def below(pid: int) -> list[psutil.Process]:
    """The processes that a process has started, and those that they have."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def words_of(process: psutil.Process) -> str:
    """The command line of a process; empty if it has ended."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline()) if process.status() != psutil.STATUS_ZOMBIE else ""
    return ""


@dataclass(frozen=True)
class Kill:
    """A kill: whether the command was still at work, and the command lines of what outlived it."""

    in_time: bool
    left: list[str]


@dataclass(frozen=True)
class Job:
    """A command that can be started again.

    Attributes:
        words: of the command line.
        place: a folder of this job alone. Processes that work in it are the job's, whoever started them.
        cwd: where it starts. env: its variables; this process's where there are none.
        log: takes what it says, the last start's alone. Default: a file beside `place`.
    """

    words: Sequence[str]
    place: Path
    cwd: Path = ROOT
    env: Mapping[str, str] | None = None
    log: Path | None = None

    def start(self) -> subprocess.Popen:
        """The command, at work."""
        self.said.parent.mkdir(parents=True, exist_ok=True)
        with self.said.open("w") as out:
            return subprocess.Popen(self.words, cwd=self.cwd, env=self.env, stdout=out, stderr=subprocess.STDOUT)

    @property
    def said(self) -> Path:
        """The file with what it said."""
        return self.log or self.place.with_name(f"{self.place.name}.log")

    def run(self) -> float:
        """Run to the end; the seconds that it took.

        Raises:
            AssertionError: its exit status is not 0.
        """
        began = time.monotonic()
        status = self.start().wait()
        assert status == 0, f"{' '.join(self.words[1:])} ended with {status}: {self.said.read_text()[-2000:]}"
        return time.monotonic() - began

    def kill(self, due: Due, alone: bool = False, victim: Callable[[int], int] = lambda pid: pid) -> Kill:
        """Start, send SIGKILL when it is due, and wait for the end of all that was started.

        Args:
            alone: the command alone is killed; what it started must end by itself.
            victim: the process that is killed first, of the command's; both are pids.
        """
        process, deadline = self.start(), time.monotonic() + DUE_WITHIN_S
        while not due() and process.poll() is None:
            assert time.monotonic() < deadline, f"{' '.join(self.words[1:])}: no moment to kill it in {DUE_WITHIN_S} s"
            time.sleep(0.005)
        tree = below(process.pid)
        in_time = process.poll() is None
        with suppress(ProcessLookupError):
            os.kill(victim(process.pid), signal.SIGKILL)
        for one in () if alone else tree:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()
        deadline = time.monotonic() + ENDS_WITHIN_S
        while (left := list(filter(words_of, {*tree, *at_work(self.place)}))) and time.monotonic() < deadline:
            time.sleep(0.1)
        names = sorted(words_of(one)[:100] for one in left)
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        return Kill(in_time and process.returncode != 0, names)
