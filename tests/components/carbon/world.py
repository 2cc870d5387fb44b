"""A made-up machine: processes that burn CPU, fork, end and are reaped; a busy counter; RAPL counters that wrap."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from greenhouse_record.metering.attribution import MeterState, OpenSpan, reading_line, remember
from greenhouse_record.metering.counters import Host, Process, Reading

HOST = Host("box", "b0071234", "Linux test", "Some CPU", threads=4, usable_threads=4, memory_bytes=8_000_000_000)
WRAP_UJ = 262_143_328_850 // 1000
"""A thousandth of a real zone's range, so that it wraps often."""


@dataclass
class Task:
    """A process of the made-up machine."""

    start: int
    parent: int
    own_us: int = 0
    children_us: int = 0
    zombie: bool = False


@dataclass
class World:
    """pid 1 is init, pid 2 a shell outside any span."""

    rapl: bool = False
    now_us: int = 1_000_000
    busy_us: int = 5_000_000
    rapl_uj: int = 0
    rapl_true_uj: int = 0
    next_pid: int = 3
    tasks: dict[int, Task] = field(default_factory=lambda: {1: Task(0, 0), 2: Task(1, 1)})
    state: MeterState = field(default_factory=MeterState)
    lines: list[dict] = field(default_factory=list)

    # -- what happens ------------------------------------------------------------------------------------------------

    def pass_time(self, us: int) -> None:
        self.now_us += us
        used = us * 12  # 12 W
        self.rapl_true_uj += used
        self.rapl_uj = (self.rapl_uj + used) % WRAP_UJ

    def burn(self, pid: int, us: int) -> None:
        self.tasks[pid].own_us += us
        self.busy_us += us

    def fork(self, parent: int) -> int:
        pid, self.next_pid = self.next_pid, self.next_pid + 1
        self.tasks[pid] = Task(self.now_us, parent)
        return pid

    def end(self, pid: int, reap: bool = True) -> None:
        """The process ends; its children go to init. Its parent waits for it, or leaves a zombie."""
        for child in self.tasks.values():
            if child.parent == pid:
                child.parent = 1
        self.tasks[pid].zombie = True
        for other, task in list(self.tasks.items()):
            if task.zombie and (reap or task.parent == 1):
                self.reap(other)

    def reap(self, pid: int) -> None:
        task = self.tasks.pop(pid)
        self.tasks[task.parent].children_us += task.own_us + task.children_us

    # -- what the meter does -----------------------------------------------------------------------------------------

    def reading(self) -> Reading:
        processes = {
            pid: Process(task.start, task.parent, task.own_us, task.children_us, 10_000_000)
            for pid, task in self.tasks.items()
        }
        energy = {"rapl:package-0": self.rapl_uj, "rapl:dram-0": self.rapl_uj} if self.rapl else {}
        return Reading(
            self.now_us, f"2026-01-01T{self.now_us // 3_600_000_000 % 24:02d}:00:00.000Z", self.busy_us, processes,
            energy, dict.fromkeys(energy, WRAP_UJ),
        )  # fmt: skip

    def line(self, host: Host = HOST, **counters: Any) -> Any:
        """The ledger line of a reading with these counters in place of the machine's."""
        return reading_line(self.state, replace(self.reading(), **counters), host)

    def step(self, us: int, burned: Mapping[int, int] | None = None) -> dict:
        """Processes (by pid) burn CPU time while `us` pass; then a reading is taken. Its line, the last there is."""
        for pid, amount in (burned or {}).items():
            self.burn(pid, amount)
        self.pass_time(us)
        self.sample()
        return self.lines[-1] if self.lines else {}

    def begun(self, name: str, parent: int = 2, inside: str = "") -> int:
        """A new process of `parent`, which opens a span."""
        pid = self.fork(parent)
        self.open(pid, name, inside)
        return pid

    def sample(self) -> None:
        reading = self.reading()
        if line := reading_line(self.state, reading, HOST):
            self.lines.append(line)
        for span in list(self.state.spans.values()):
            if not self.state.alive(span, reading):
                del self.state.spans[span.id]

    def open(self, pid: int, name: str, parent: str = "") -> None:
        self.sample()
        self.state.spans[name] = OpenSpan(name, parent, name, {}, pid, self.tasks[pid].start, self.now_us)
        remember(self.state, self.reading())

    def close(self, name: str) -> None:
        self.sample()
        self.state.spans.pop(name, None)

    # -- what came of it ---------------------------------------------------------------------------------------------

    def cpu_us(self, name: str) -> int:
        return sum(line["spans"].get(name, {}).get("cpu_us", 0) for line in self.lines)

    def tree_us(self, pid: int) -> int:
        """CPU time of a process, its children, and those it has reaped."""
        task = self.tasks[pid]
        below = sum(self.tree_us(child) for child, one in self.tasks.items() if one.parent == pid)
        return task.own_us + task.children_us + below
