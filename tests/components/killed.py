"""Kill a process at a chosen moment, as the machine may."""

import os
import subprocess
import sys
import time
from collections.abc import Callable


def killed_when(
    ready: Callable[[], object], code: str, *arguments: object, wait_s: float = 0.0, **variables: str
) -> None:
    """Run Python `code` with these arguments and environment; SIGKILL it `wait_s` after `ready`."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], env=os.environ | variables)
    deadline = time.monotonic() + 120
    while not ready() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(wait_s)
    process.kill()
    process.wait()
