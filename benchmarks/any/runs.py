"""A trainer under the recorder: killed once, resumed, and its CPU seconds counted by a cgroup beside the recorder."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.any.trainers import ENVIRONMENT, Trainer
from flows.system.paths import ROOT
from greenhouse_record.record import Record, read

CPUACCT = Path("/sys/fs/cgroup/cpuacct")
UNIFIED = Path("/sys/fs/cgroup")
KILL_WAIT_S = 900


@dataclass
class Run:
    """A trainer that was recorded, killed and resumed.

    Attributes:
        trainer: which.
        folder: its repository.
        record: its record, of two tries.
        cgroup_s: CPU seconds of its process trees by their cgroup; None where none can be made.
    """

    trainer: Trainer
    folder: Path
    record: Record
    cgroup_s: float | None


class Cgroup:
    """A cgroup for the training's processes alone: version 1's cpuacct, else version 2's, else none."""

    def __init__(self, name: str) -> None:
        self.folder: Path | None = None
        for root, figure in ((CPUACCT, "cpuacct.usage"), (UNIFIED, "cpu.stat")):
            with contextlib.suppress(OSError):
                (root / name).mkdir(exist_ok=True)
                if (root / name / figure).exists():
                    self.folder, self.figure = root / name, figure
                    return

    def around(self, command: tuple[str, ...]) -> list[str]:
        """The command, begun inside."""
        if self.folder is None:
            return list(command)
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs; exec "$@"', "sh", *command]

    def close(self) -> float | None:
        """CPU seconds of all that ran inside; removes it."""
        if self.folder is None:
            return None
        text = (self.folder / self.figure).read_text().split()
        self.folder.rmdir()
        return int(text[0]) / 1e9 if self.figure == "cpuacct.usage" else int(text[text.index("usage_usec") + 1]) / 1e6


def record_killed_and_resumed(trainer: Trainer, folder: Path) -> Run:
    """Prepare, record, kill at the first checkpoint, resume to the end. A run that lies there whole is taken."""
    counted = folder / ".git" / "cgroup.json"
    if counted.exists():
        (path,) = (folder / ".greenhouse/records").glob("*.jsonl")
        return Run(trainer, folder, read(path), json.loads(counted.read_text()))
    folder.mkdir(parents=True)
    trainer.prepare(folder)
    cgroup = Cgroup(f"greenhouse-any-{os.getpid()}")
    recorder = start(trainer, folder, cgroup.around(trainer.command))
    deadline = time.monotonic() + KILL_WAIT_S
    while not any((folder / trainer.out).glob(trainer.saved)):
        assert recorder.poll() is None and time.monotonic() < deadline, f"{trainer.name}: see {folder}/.git/log.txt"  # noqa: PT018
        time.sleep(0.1)
    time.sleep(0.5)
    (path,) = (folder / ".greenhouse/records").glob("*.jsonl")
    os.kill(next(line["pid"] for line in read(path).attempts[0].notes if "pid" in line), signal.SIGKILL)
    assert recorder.wait() == 128 + signal.SIGKILL
    again = start(trainer, folder, cgroup.around(trainer.resume(folder)), "--resume", "auto")
    assert again.wait() == 0, f"{trainer.name}: see {folder}/.git/log.txt"
    cgroup_s = cgroup.close()
    counted.write_text(json.dumps(cgroup_s))
    return Run(trainer, folder, read(path), cgroup_s)


def start(trainer: Trainer, folder: Path, command: list[str], *options: str) -> subprocess.Popen:
    """The recorder around a command, in a trainer's repository."""
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT / "recorder"),
                   "NANOCHAT_BASE_DIR": str(folder / "base")}  # fmt: skip
    words = [sys.executable, "-m", "greenhouse_record.command", "--data", trainer.data, "--out", trainer.out, *options]
    with open(folder / ".git" / "log.txt", "a") as log:
        return subprocess.Popen([*words, "--", *command], cwd=folder, env=environment, stdout=log, stderr=log)
