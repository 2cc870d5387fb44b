"""Processes: which one a record names, whether it still runs, and children that end with their parent."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from components.core.errors import UserError
from components.core.workers import set_parent_death_signal
from greenhouse_record.metering.counters import read_stat

STOP_S = 8.0
"""Between asking a process to end and killing it."""


def start_of(pid: int) -> str:
    """Text that names the start of a process, and never changes while it runs.

    On Linux it is the boot's id and the clock ticks since that boot: the wall-clock start that psutil computes moves
    with every step of the clock. Other systems store the wall-clock start itself, in seconds.

    Raises:
        psutil.NoSuchProcess: there is no such process.
    """
    if sys.platform != "linux":
        return str(int(psutil.Process(pid).create_time()))
    if (stat := read_stat(f"/proc/{pid}/stat")) is None:
        raise psutil.NoSuchProcess(pid)
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}.{stat.start}"


def alive(pid: int, start: str) -> bool:
    """Whether the process that had `pid` and `start_of` still runs."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and start_of(pid) == start
    except psutil.NoSuchProcess:
        return False


_TAG = re.compile(r"proc:([^:]+):([0-9]{1,9}):([0-9a-f.-]+)")


def process_tag(pid: int | None = None) -> str:
    """`proc:<host>:<pid>:<start>`: names a process for recovery.py."""
    pid = os.getpid() if pid is None else pid
    return f"proc:{os.uname().nodename}:{pid}:{start_of(pid)}"


def is_process_tag(text: object) -> bool:
    """Whether `text` is a `process_tag`."""
    return isinstance(text, str) and _TAG.fullmatch(text) is not None


def tag_alive(tag: str) -> bool:
    """Whether the process of a `process_tag` still runs.

    One of another host counts as alive, for it cannot be seen; so does a text that names no process.
    """
    if not (match := _TAG.fullmatch(tag)):
        return True
    host, pid, start = match.groups()
    return host != os.uname().nodename or alive(int(pid), start)


def dies_with_parent(sig: int = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` after which the kernel sends `sig` when the thread that started the child ends (Linux only).

    SIGTERM is for a child that ends by it at once, or within seconds. One that answers it at length, as the pipeline,
    which closes its records, is killed: it would outlive a parent that nobody waits for any more.
    """
    return partial(_end_with, os.getpid(), sig)


def _end_with(parent: int, sig: int) -> None:
    set_parent_death_signal(sig)
    if os.getppid() != parent:  # it died before the call above, and no signal will come
        os._exit(1)


def end_with_dvc(pipeline: str = "") -> None:
    """Have the kernel kill this process when DVC is gone: else a killed DVC leaves a trainer that nobody owns.

    Args:
        pipeline: `process_tag` of the pipeline that started DVC, if one did.
    """
    if sys.platform != "linux":
        return
    set_parent_death_signal(signal.SIGKILL)
    # DVC starts a stage in its own session; who adopts one that had not come so far has another.
    if (pipeline and not tag_alive(pipeline)) or os.getsid(os.getppid()) != os.getsid(0):
        os._exit(1)


def stop(process: subprocess.Popen) -> None:
    """End a process, then what it leaves of all below it: asked first, killed after `STOP_S` seconds."""
    below: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        below = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    left = [child for child in below if child.is_running()]
    for child in left:
        child.terminate()
    for child in psutil.wait_procs(left, STOP_S)[1]:
        child.kill()


def busy(text: str) -> str:
    """A sentence if DVC says in `text` that another process has the files it needs; else ""."""
    match = re.search(r"' is busy, it is being blocked by:\s*(?:\(PID (\d+)\))?", text)
    run = f"another run (PID {match[1]})" if match and match[1] else "another run"
    return f"{run} works on the same files; wait until it has ended, then run this again" if match else ""


def output(command: list[str], root: Path, given: bytes = b"") -> bytes:
    """Output of a command of git or DVC, run in `root` with `given` as its input.

    Raises:
        UserError: it fails; the line that says why is shown.
    """
    done = subprocess.run(command, cwd=root, env=os.environ, input=given, capture_output=True)
    if done.returncode:
        lines = os.fsdecode(done.stderr.strip() or done.stdout.strip() or b"no output").splitlines()
        reason = next((line for line in lines if line.startswith(("ERROR: ", "fatal: ", "error: "))), lines[0])
        if why := busy("\n".join(lines)):
            raise UserError(why)
        words = " ".join(command[2:] if command[1] == "-m" else command)
        raise UserError(f"{words} ended with status {done.returncode}: {reason.removeprefix('ERROR: ')}")
    return done.stdout
