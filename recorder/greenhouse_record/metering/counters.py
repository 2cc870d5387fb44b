"""Counters of the machine: CPU-seconds per process, the host's busy time, RAPL and NVML energy.

Only counters that integrate are read, so nothing between two readings is lost: no power is polled, no load is guessed.
A reading has the CPU-seconds of every process and, apart from them, of its *reaped* children: eight children that lived
for half a second each are in their parent's figure, though no sampler ever saw them.

Linux is read from /proc and /sys directly (a psutil walk costs ten times as much); other systems through psutil, where
reaped children of other processes cannot be read. No network is ever touched.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from greenhouse_record.metering import nvml, rapl
from greenhouse_record.metering.rapl import text_of

TICK_US, PAGE_BYTES = 1_000_000 // os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """One process. `start` (ticks after boot) with the pid names it: pids are used again."""

    start: int
    parent: int
    own_us: int
    children_us: int
    rss_bytes: int


@dataclass(frozen=True)
class Host:
    """Description of a machine, written into its ledger file."""

    name: str
    boot: str
    system: str
    cpu: str
    threads: int
    usable_threads: int
    memory_bytes: int

    @property
    def file_stem(self) -> str:
        """Names the ledger file: one per host, boot and PID namespace (of a container)."""
        return f"{self.name}-{self.boot}"


@dataclass(frozen=True)
class Reading:
    """All counters at one moment.

    Attributes:
        at_us: monotonic clock, the same for all processes of a boot; stands still while the machine sleeps.
        time: UTC, ISO 8601.
        busy_us: CPU time the host has been busy since boot, over all threads; None if the system hides it.
        processes: by pid.
        energy_uj: counters of energy since some moment, by name (`rapl:package-0`, `rapl:dram-0`, `nvml:0`).
        wrap_uj: at what value a counter starts again from zero; absent for one that does not.
        gpu_pids: processes on each NVML device.
    """

    at_us: int
    time: str
    busy_us: int | None
    processes: dict[int, Process]
    energy_uj: dict[str, int] = field(default_factory=dict)
    wrap_uj: dict[str, int] = field(default_factory=dict)
    gpu_pids: dict[str, list[int]] = field(default_factory=dict)


class SystemCounters:
    """The counters of this machine. `warm_up` adds the slow one (NVML), so that starting a meter stays quick."""

    def __init__(self, powercap: Path = Path("/sys/class/powercap")) -> None:
        self.host = this_host()
        self._rapl = rapl.zones(powercap, self.host.cpu)
        self.nvml: Any = None

    def warm_up(self) -> tuple[bool, str]:
        """Open NVML if there is an NVIDIA device: whether that added counters, and what of the GPUs is not metered."""
        self.nvml, lacking = nvml.open_nvml()
        return self.nvml is not None, lacking

    def now_us(self) -> int:
        return time.monotonic_ns() // 1000

    def read(self) -> Reading:
        gpu_energy, gpu_pids = nvml.read_nvml(self.nvml) if self.nvml else ({}, {})
        return Reading(
            at_us=self.now_us(),
            time=utc(time.time()),
            busy_us=host_busy_us(),
            processes=processes(),
            energy_uj=rapl.read(self._rapl) | gpu_energy,
            wrap_uj={name: zone.wrap_uj for name, zone in self._rapl.items()},
            gpu_pids=gpu_pids,
        )


def utc(seconds: float) -> str:
    """Seconds after the epoch as ISO 8601 UTC with milliseconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"


# -- the host ----------------------------------------------------------------------------------------------------------


def this_host() -> Host:
    """The machine, without asking the network."""
    name = "".join(c if c.isalnum() else "-" for c in platform.node()) or "host"
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Host(
        name=name[:40],
        boot=hashlib.sha256("|".join(_boot()).encode()).hexdigest()[:8],
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=cpu_model(),
        threads=os.cpu_count() or 1,
        usable_threads=min(usable, _quota_threads()),
        memory_bytes=_memory_bytes(),
    )


def _boot() -> list[str]:
    """Identity of this boot (and PID namespace) of this machine."""
    if sys.platform == "linux":
        ids = [text_of(path) for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id")]
        return [*ids, os.readlink("/proc/self/ns/pid")]
    import psutil

    return [platform.node(), str(round(psutil.boot_time() / 10))]  # of two clocks, so it varies a little


INSTRUCTIONS = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-bf16", "avx512f": "AVX512", "avx2": "AVX2"}
"""Flag of the kernel -> the matrix instructions it stands for, the fastest first: speed and last bits depend on them,
and processors of one name differ in them."""


def cpu_model() -> str:
    """The processor's name, by the kernel or Python, and its fastest matrix instructions."""
    facts: dict[str, str] = {}
    for line in text_of("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    flags = facts.get("flags", "").split()
    fastest = next((f" with {words}" for flag, words in INSTRUCTIONS.items() if flag in flags), "")
    return (facts.get("model name") or platform.processor() or platform.machine()) + fastest


def _quota_threads() -> int:
    """Threads the container may keep busy (cgroup v2 `cpu.max`), rounded up."""
    quota, _, period = text_of("/sys/fs/cgroup/cpu.max").partition(" ")
    return max(1, -(-int(quota) // int(period))) if quota.isdigit() else 1 << 20


def _memory_bytes() -> int:
    """Memory of the machine, or what the container may use."""
    limit = text_of("/sys/fs/cgroup/memory.max")
    total = os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES
    return min(total, int(limit)) if limit.isdigit() else total


def host_busy_us() -> int | None:
    """CPU time spent on anything but idling, all threads together; None where it is hidden (some sandboxes)."""
    if sys.platform == "linux":
        user, nice, system, _idle, _iowait, irq, softirq, *_ = map(
            int, text_of("/proc/stat").split("\n", 1)[0].split()[1:]
        )
        return (user + nice + system + irq + softirq) * TICK_US or None
    import psutil

    times = psutil.cpu_times()
    return int((times.user + times.system + getattr(times, "nice", 0.0)) * 1e6)


# -- processes ---------------------------------------------------------------------------------------------------------


SWITCH_S, QUICK_SWITCH_S = sys.getswitchinterval(), 2e-5
"""Seconds that a thread computing in Python may keep the interpreter from another: usually, and during a reading. Each
file that is read gives the interpreter away three times; at the usual 5 ms a reading of 60 processes took a second."""


def processes() -> dict[int, Process]:
    """Every process that can be seen, zombies included: until it is reaped a dead child's time is with itself."""
    return _linux_processes() if sys.platform == "linux" else _psutil_processes()


def _linux_processes() -> dict[int, Process]:
    by_pid = {}
    sys.setswitchinterval(QUICK_SWITCH_S)
    try:
        for name in os.listdir("/proc"):
            if name.isdigit() and (stat := read_stat(f"/proc/{name}/stat")):
                by_pid[int(name)] = stat
    finally:
        sys.setswitchinterval(SWITCH_S)
    return by_pid


def read_stat(path: str) -> Process | None:
    """Parse /proc/<pid>/stat (proc(5)); None if the process is gone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        raw = os.read(handle, 1024)
    except OSError:
        return None
    finally:
        os.close(handle)
    fields = raw[raw.rindex(b")") + 2 :].split()  # the name before it may hold spaces and brackets
    user, system, reaped_user, reaped_system = (int(fields[i]) for i in (11, 12, 13, 14))
    return Process(
        start=int(fields[19]),
        parent=int(fields[1]),
        own_us=(user + system) * TICK_US,
        children_us=(reaped_user + reaped_system) * TICK_US,
        rss_bytes=int(fields[21]) * PAGE_BYTES,
    )


def start_of(pid: int) -> int:
    """Start of a process as `Process.start` counts it; 0 if it is gone."""
    if sys.platform == "linux":
        process = read_stat(f"/proc/{pid}/stat")
        return process.start if process else 0
    import psutil

    try:
        return int(psutil.Process(pid).create_time() * 100)
    except psutil.Error:
        return 0


def lives(pid: int, start: int) -> bool:
    """Whether the process that had this pid and `start_of` still runs; one that waits to be reaped does not."""
    zombie = sys.platform == "linux" and not text_of(f"/proc/{pid}/cmdline")
    return start != 0 and start_of(pid) == start and not zombie


def _psutil_processes() -> dict[int, Process]:
    import psutil

    by_pid = {}
    for process in psutil.process_iter(["create_time", "ppid", "cpu_times", "memory_info"]):
        info, times, memory = process.info, process.info["cpu_times"], process.info["memory_info"]
        if times and memory:  # else it is another user's, and may not be read
            own_us = int((times.user + times.system) * 1e6)
            by_pid[process.pid] = Process(int(info["create_time"] * 100), info["ppid"], own_us, 0, memory.rss)
    return by_pid
