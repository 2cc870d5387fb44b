"""`greenhouse-record`: run a command and record it."""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

from greenhouse_record import __version__
from greenhouse_record.errors import UserError
from greenhouse_record.metering.counters import start_of
from greenhouse_record.recording import VARIABLE, Recording, say

EXAMPLE = "greenhouse-record --data data/ --out model/ -- torchrun train.py --config c.yaml"
PR_SET_CHILD_SUBREAPER = 36
"""Of prctl(2)."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status of the command; 128 + n if signal n ended it, 1 if nothing was started."""
    parser = argparse.ArgumentParser("greenhouse-record", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("--data", action="append", default=[], metavar="PATH", help="what it reads; repeatable")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="what it writes")
    parser.add_argument("--state", metavar="FOLDER", help="where records lie; .greenhouse of the repository")
    parser.add_argument("--resume", choices=["auto"], default="", help="go on with the record of --out")
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="between readings, at first")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --: the command, its arguments untouched")
    chosen = parser.parse_args(arguments)
    command = chosen.command[1:] if chosen.command[:1] == ["--"] else chosen.command
    program = command[0] if command else "(none)"
    if not shutil.which(program):
        say(f"{program}: no such command; put it after --, check its spelling, or activate its environment")
        return 1
    try:
        with Recording(command, chosen.data, chosen.out, chosen.state, chosen.resume, chosen.interval) as recording:
            recording.exit = code = _run(recording)
    except UserError as error:
        say(f"{error}; nothing was started")
        return 1
    return code if code >= 0 else 128 - code


def _run(recording: Recording) -> int:
    """Exit status of the command, -n if signal n ended it; signals to end are passed on to it."""
    environment = {**os.environ, VARIABLE: f"{recording.path}|{recording.attempt}"}
    process: subprocess.Popen | None = None
    early: list[int] = []

    def forward(number: int, _: Any = None) -> None:
        if process is None:
            early.append(number)
        elif process.returncode is None:  # Popen's own way to ask may reap it
            os.kill(process.pid, number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup's, which the command is to inherit
            signal.signal(number, forward)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored nobody can wait for the command
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches the command by itself: it decides how to end
    if sys.platform == "linux":  # an orphan below it becomes a child of this process: else its time is nobody's
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        process = subprocess.Popen(recording.command, env=environment)
    except OSError as error:
        say(f"{recording.command[0]}: cannot be started ({error.strerror}); the try is recorded as failed")
        return 127
    while early:
        forward(early.pop(0))
    recording.note(pid=process.pid, started=start_of(process.pid))
    while process.returncode is None:  # orphans that end meanwhile are reaped, so that their time counts
        pid, status = os.waitpid(-1, 0)
        if pid == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
    with suppress(ChildProcessError):
        if os.waitpid(-1, os.WNOHANG) == (0, 0):
            say("processes that the command started still run; what they use and write from now on is not recorded")
    return process.returncode
