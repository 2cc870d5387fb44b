"""Processes that benchmarks start: their output, or the end of the benchmark; their memory and CPU seconds."""

import contextlib
import itertools
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks import ROOT
from components.core.files import read_json

TWO_THREADS = {"OMP_NUM_THREADS": "2", "RAYON_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1",
               "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip
"""Variables under which contestants and ours compute alike, offline."""
CPUACCT, UNIFIED = Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup")


def of_module(module: str, *arguments: object) -> list[str]:
    """The command line of a module with this Python, which is not to warn."""
    return [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)]


def output(words: Sequence[str], cwd: Path = ROOT, env: Mapping[str, str] | None = None, expect: int = 0) -> str:
    """What a command prints. One that ends otherwise than expected ends the benchmark with the last of what it said."""
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode != expect:
        sys.exit(f"{' '.join(words[1:])} failed in {cwd}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def result_of(module: str, job: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """What a module writes into the file `result` of its job, in a process of its own with a folder `work`."""
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as folder:
        places = {name: str(Path(folder) / name) for name in ("work", "result")}
        output(
            of_module(module, json.dumps({**job, **places})),
            env={**env, "TORCHINDUCTOR_CACHE_DIR": f"{folder}/kernels"},
        )
        return dict(read_json(Path(places["result"])))


def children_cpu_s() -> float:
    """CPU seconds of all ended processes that this one has started, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class PeakMemory(threading.Thread):
    """The largest sum of proportional set sizes (PSS) of a process tree, until the process ends.

    Args:
        pid: of the process.
        every_s: seconds between readings.
        limit_bytes: the process is killed when the sum is above it; its workers die with it.
    """

    def __init__(self, pid: int, every_s: float = 0.25, limit_bytes: float = math.inf) -> None:
        super().__init__(daemon=True)
        self.root, self.every_s, self.limit_bytes, self.peak_bytes = psutil.Process(pid), every_s, limit_bytes, 0
        self.start()

    def run(self) -> None:
        while self.root.is_running() and self.root.status() != psutil.STATUS_ZOMBIE:
            self.peak_bytes = max(self.peak_bytes, self._now())
            if self.peak_bytes > self.limit_bytes:
                self.root.kill()
                return
            time.sleep(self.every_s)

    def _now(self) -> int:
        total = 0
        for process in [self.root, *self.root.children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        return total


_NUMBERS = itertools.count()


class Cgroup:
    """A cgroup that counts the CPU seconds of what begins in it: version 1's cpuacct, else version 2's, else none."""

    def __init__(self, name: str = "") -> None:
        self.folder: Path | None = None
        for root, figure in ((CPUACCT, "cpuacct.usage"), (UNIFIED, "cpu.stat")):
            with contextlib.suppress(OSError):
                folder = root / (name or f"greenhouse-bench-{os.getpid()}-{next(_NUMBERS)}")  # none that one left
                folder.mkdir(exist_ok=bool(name))
                if (folder / figure).exists():
                    self.folder, self.figure = folder, figure
                    return

    def around(self, words: Sequence[str]) -> list[str]:
        """A command line, begun inside."""
        if self.folder is None:
            return list(words)
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs; exec "$@"', "sh", *words]

    def close(self) -> float | None:
        """CPU seconds of all that ran inside, None where no cgroup can be made; removes it."""
        if self.folder is None:
            return None
        text = (self.folder / self.figure).read_text().split()
        self.folder.rmdir()
        return int(text[0]) / 1e9 if self.figure == "cpuacct.usage" else int(text[text.index("usage_usec") + 1]) / 1e6
