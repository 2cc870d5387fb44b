"""The memory of a process and all it starts, watched from outside."""

import math
import threading
import time

import psutil


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
