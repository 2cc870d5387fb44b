"""`greenhouse-record`: run a command and record it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from typing import Any

from greenhouse_record import __version__
from greenhouse_record.errors import UserError
from greenhouse_record.metering.counters import start_of
from greenhouse_record.recording import VARIABLE, Recording, say, tell_mlflow

EXAMPLE = "greenhouse-record --data data/ --out model/ -- torchrun train.py --config c.yaml"


def main(arguments: list[str] | None = None) -> int:
    """Exit status of the command; 128 + n if signal n ended it, 1 if nothing was started."""
    parser = argparse.ArgumentParser("greenhouse-record", description=__doc__, epilog=EXAMPLE)
    parser.add_argument(
        "--data", action="append", default=[], metavar="PATH", help="what the training reads; repeatable"
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="what it writes")
    parser.add_argument("--state", metavar="FOLDER", help="where records lie; .greenhouse of the repository")
    parser.add_argument("--resume", default="", metavar="auto|ID", help="go on with the record of --out, or that one")
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="between readings, at first")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --: the command, its arguments untouched")
    chosen = parser.parse_args(arguments)
    command = chosen.command[1:] if chosen.command[:1] == ["--"] else chosen.command
    try:
        recording = Recording(command, chosen.data, chosen.out, chosen.state, chosen.resume, chosen.interval)
        recording.begin()
    except UserError as error:
        say(str(error))
        return 1
    except OSError as error:  # a full disk
        say(f"{error.filename or chosen.out}: cannot be written ({error.strerror}); nothing was started")
        return 1
    status = _run(recording)
    tell_mlflow(recording)
    return status


def _run(recording: Recording) -> int:
    """Run the command to its end; signals that ask this process to end go to it."""
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
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches the command by itself: it decides how to end
    try:
        process = subprocess.Popen(recording.command, env=environment)
    except OSError as error:
        say(f"{recording.command[0]}: cannot be started ({error.strerror}); the try is recorded as failed")
        recording.end("Failed", 127)
        return 127
    while early:
        forward(early.pop(0))
    recording.note(pid=process.pid, started=start_of(process.pid))
    code = _wait(process)
    if code < 0:
        recording.end("Killed", code)
        return 128 - code
    recording.end("Failed" if code else "Completed", code)
    return code


def _wait(process: subprocess.Popen) -> int:
    """Exit status of the command; orphans below it that end meanwhile are reaped, so that their time counts."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == process.pid:
            process.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
            return process.returncode


if __name__ == "__main__":
    sys.exit(main())
