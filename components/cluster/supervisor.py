"""Run a command under a supervisor that ends its whole process tree when the caller exits or dies.

    with supervised(["ray", "start", "--head", "--block"], folder) as supervisor:
        ...

Between this process and the program runs a supervisor: this file as a script. On Linux it adopts every process below it
whose parent dies (PR_SET_CHILD_SUBREAPER), so it can list them all, orphans included. When this process closes its
pipe, or dies by any signal (the kernel closes the pipe then), the supervisor sends the program SIGTERM, kills what is
left, and exits when nothing is. It has a session of its own: Ctrl-C reaches this process alone, which ends the
supervisor.
"""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

PATIENCE_S = 15.0
"""Seconds that the program has to end after SIGTERM."""
FORCE_S = 20.0
"""Then all that is left is killed, again and again for so long; a killed process can only stay in a system call."""
LONGEST_S = PATIENCE_S + FORCE_S + 10.0
"""Seconds after which the supervisor itself is killed."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
"""prctl(2), Linux only: a signal when the parent dies; orphans below this process become its children."""


@contextmanager
def supervised(command: Sequence[str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `command` under a supervisor; on leaving, it, all it started and `folder` are gone.

    Args:
        folder: for what the program writes; its output is in `folder/log`.

    Raises:
        RuntimeError: a process could not be ended within `LONGEST_S`.
    """
    with open(folder / "log", "wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-P", __file__, str(folder), *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield supervisor
    finally:
        _end(supervisor)
        shutil.rmtree(folder, ignore_errors=True)


def _end(supervisor: "subprocess.Popen[bytes]") -> None:
    below = _below(supervisor.pid)
    assert supervisor.stdin
    supervisor.stdin.close()
    try:
        supervisor.wait(LONGEST_S)
    except subprocess.TimeoutExpired:
        below |= _below(supervisor.pid)
        supervisor.kill()
        supervisor.wait()
        _kill(below)
    remaining = sorted(process.pid for process in below if _alive(process))
    if remaining:
        raise RuntimeError(f"processes {remaining} could not be ended; end them (kill -9) before the next run")


def _below(pid: int) -> set[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return set(psutil.Process(pid).children(recursive=True))
    return set()


def _alive(process: psutil.Process) -> bool:
    """Whether a process still runs; a zombie does not, its parent has not reaped it yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kill(processes: set[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=1)


# -- the supervisor process --------------------------------------------------------------------------------------------


def supervise(folder: Path, command: Sequence[str]) -> int:
    """Run `command` until it ends or standard input closes, then end all there is; what was ended leaves no `folder`.

    Returns:
        An exit status: of the program if it ended by itself, 0 if it was ended, 1 if something could not be.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_supervisor)
    status = None
    try:
        while (status := program.poll()) is None and not select.select([sys.stdin], [], [], 0.5)[0]:
            pass
    finally:
        left = _end_all(program)
    if left:
        print(f"processes {left} could not be ended", flush=True)
        return 1
    if status is None:  # else what the program said at its end may yet be read
        shutil.rmtree(folder, ignore_errors=True)
    return status or 0


def _end_all(program: "subprocess.Popen[bytes]") -> list[int]:
    """End the program, then all below this process; where nothing adopts orphans, those that are known now."""
    known = _below(os.getpid())
    program.terminate()
    with suppress(subprocess.TimeoutExpired):
        program.wait(PATIENCE_S)
    until = time.monotonic() + FORCE_S
    while (
        left := _below(os.getpid()) | {process for process in known if _alive(process)}
    ) and time.monotonic() < until:
        _kill(left)
    program.poll()
    return sorted(process.pid for process in left)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        libc: Any = ctypes.CDLL(None, use_errno=True)
        libc.prctl(option, value, 0, 0, 0)


def _die_with_supervisor() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), sys.argv[2:]))
