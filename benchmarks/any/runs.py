"""A trainer under the recorder: killed when its first checkpoint is whole, resumed to its end, in one record."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ROOT
from benchmarks.any.trainers import ENVIRONMENT, Trainer
from benchmarks.kill_and_resume import Job, there
from benchmarks.processes import Cgroup, of_module
from benchmarks.proof.clone import DROPPED
from greenhouse_record.record import Record, read


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

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all tries, by the record."""
        return sum(attempt.end["cpu_s"] for attempt in self.record.attempts if attempt.end)

    @property
    def energy_over_share(self) -> float:
        """The processor's energy of the run over its share of the host's, by the CPU seconds of its cgroup."""
        readings = [(attempt, line) for attempt in self.record.attempts for line in attempt.of["reading"]]
        parts = [line["spans"].get(attempt.start["span"], {"uj": {}}) for attempt, line in readings]
        ours = sum(part["uj"].get("cpu", (0, 0, 0))[1] for part in parts)
        host_uj, busy_us = (sum(values) for values in zip(
            *((line["host_uj"]["cpu"][1], line["busy_us"]) for _, line in readings), strict=True))  # fmt: skip
        return ours / (host_uj * (self.cgroup_s or 0) * 1e6 / busy_us)

    def rows(self) -> list[dict[str, object]]:
        """A row for each try."""
        return [
            {
                "trainer": self.trainer.name, "try": one.start["attempt"], "outcome": one.outcome,
                "cpu_s": end["cpu_s"], "wall_s": end["wall_s"], "kwh": end["uj"][1] / 3.6e12,
                "readings": len(one.of["reading"]), "logged": len(one.of["log"]), "cgroup_s_of_all": self.cgroup_s,
            }
            for one in self.record.attempts if (end := one.end)
        ]  # fmt: skip


def known(trainer: Trainer, folder: Path) -> Run:
    """The run that lies there whole."""
    (path,) = (folder / ".greenhouse/records").glob("*.jsonl")
    return Run(trainer, folder, read(path), json.loads((folder / ".git/cgroup.json").read_text()))


def record_killed_and_resumed(trainer: Trainer, folder: Path) -> Run:
    """Prepare, record, kill the training, resume to the end. A run that lies there whole is taken."""
    if (folder / ".git/cgroup.json").exists():
        return known(trainer, folder)
    folder.mkdir(parents=True)
    trainer.prepare(folder)
    cgroup = Cgroup()

    def training(_: int) -> int:
        (path,) = (folder / ".greenhouse/records").glob("*.jsonl")
        return next(line["pid"] for line in read(path).attempts[0].of["note"] if "pid" in line)

    first = job(trainer, folder, cgroup.around(trainer.command))
    assert first.kill(there(folder / trainer.out, trainer.saved), alone=True, victim=training).in_time, first.said
    job(trainer, folder, cgroup.around(trainer.resume(folder)), "--resume", "auto").run()
    (folder / ".git/cgroup.json").write_text(json.dumps(cgroup.close()))
    return known(trainer, folder)


def job(trainer: Trainer, folder: Path, command: list[str], *options: str) -> Job:
    """The recorder around a command, in a trainer's repository."""
    words = of_module("greenhouse_record", "--data", trainer.data, "--out", trainer.out, *options)
    env = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)} | ENVIRONMENT
    env |= {"PYTHONPATH": f"{ROOT / 'recorder'}", "NANOCHAT_BASE_DIR": f"{folder / 'base'}"}
    return Job([*words, "--", *command], folder, folder, env, folder / ".git/log.txt")
