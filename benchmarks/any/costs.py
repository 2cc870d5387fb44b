"""What the recorder costs: CPU at one reading a second, its import, its wheel, and a look-up in the order of data."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "recorder")}
NUM_TOKENS, NUM_DOCUMENTS = 100_000_000_000, 100_000_000
IMPORT = """
import time
start = time.process_time()
from greenhouse_record import recorded
print(time.process_time() - start)
"""
LOOK_UP = f"""
import re, sys, time
import numpy as np
import psutil
from greenhouse_record.order import Order
start = time.process_time()
starts = np.load(sys.argv[1], mmap_mode="r")
documents = Order({NUM_TOKENS}, context=2048, batch=512, seed=7).documents(int(sys.argv[2]), starts)
peak_kb = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]  # ru_maxrss would be its parent's too
print(time.process_time() - start, int(peak_kb) * 1.024e-6, len(documents))
"""


def overhead(folder: Path, seconds: int = 40) -> float:
    """Cores that the recorder's process uses at one reading a second, while its command sleeps."""
    words = ["--data", sys.executable, "--out", str(folder / "none"), "--state", str(folder / "state"), "--"]
    command = [sys.executable, "-m", "greenhouse_record", *words, "sleep", str(seconds + 10)]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
        time.sleep(5)  # it has begun
        used: list[float] = []
        for wait_s in (seconds, 0):
            times = psutil.Process(process.pid).cpu_times()
            used.append(times.user + times.system)
            time.sleep(wait_s)
    return (used[1] - used[0]) / seconds


def import_cpu_s() -> float:
    """CPU seconds of the import, in a fresh process."""
    return float(
        subprocess.run([sys.executable, "-c", IMPORT], env=ENVIRONMENT, capture_output=True, check=True).stdout
    )


def wheel_kb() -> float:
    """Size of the wheel in 1000 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "recorder"
        subprocess.run(["cp", "-r", str(ROOT / "recorder"), str(source)], check=True)
        words = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, str(source)]
        subprocess.run([sys.executable, "-m", "pip", *words], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.stat().st_size / 1000


def order_lookups(folder: Path, count: int) -> list[tuple[float, float]]:
    """CPU seconds and GB of memory of finding a step's documents, among 100 million of 100 billion tokens.

    Each in a fresh process, at steps spread over the epoch. The one array that is read is the data's own: where each
    document begins.
    """
    path = folder / "starts.npy"
    starts = np.lib.format.open_memmap(path, mode="w+", dtype=np.int64, shape=(NUM_DOCUMENTS,))
    for first in range(0, NUM_DOCUMENTS, 10_000_000):
        starts[first : first + 10_000_000] = np.arange(first, first + 10_000_000) * (NUM_TOKENS // NUM_DOCUMENTS)
    del starts
    rows = []
    for number in range(count):
        step = number * NUM_TOKENS // (2048 * 512) // count
        words = [sys.executable, "-c", LOOK_UP, str(path), str(step)]
        seconds, gigabytes, windows = subprocess.run(
            words, env=ENVIRONMENT, capture_output=True, check=True
        ).stdout.split()
        assert int(windows) == 512
        rows.append((float(seconds), float(gigabytes)))
    path.unlink()
    return rows
