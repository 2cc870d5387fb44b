"""Where things are, and the environment every process of the house runs in.

`ROOT` is the checkout the code runs in (a worktree has its own). `STATE` is `.greenhouse/` of the *main* checkout, also
for worktrees: databases, logs, ledger, work folders; what DVC must neither delete nor hash. Nothing is written to the
home folder. Servers and remotes that a team already has are honoured: what is set in the environment wins.
"""

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from components.carbon.counters import read_stat
from components.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENT = "greenhouse"


def _main_checkout() -> Path:
    """The checkout that owns this one: itself, or for a worktree the one it was made from.

    Raises:
        UserError: git is missing or refuses the folder, or this is no git repository.
    """
    if known := os.environ.get("GREENHOUSE_STATE"):
        return Path(known).parent
    try:
        shown = subprocess.run(
            ["git", "rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir"],
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise UserError("git: no such command; install git, DVC and experiments need it") from None
    if shown.returncode and "dubious ownership" in shown.stderr:
        raise UserError(
            f"{ROOT}: belongs to another user, so git refuses it; clone it as yourself, chown it, or trust it: "
            f"git config --global --add safe.directory '{ROOT}'"
        )
    lines = shown.stdout.splitlines()
    if shown.returncode or Path(lines[0]) != ROOT:
        raise UserError(f"{ROOT}: no git repository; clone the project with git, or run `git init` here")
    return Path(lines[1]).parent


try:
    STATE = _main_checkout() / ".greenhouse"
except UserError as error:  # every command imports this module first, before it can catch anything
    sys.exit(str(error))
LEDGER = STATE / "ledger"
LOGS = STATE / "logs"
WORK = STATE / "work"
WORKTREES = STATE / "worktrees"
DVC_CACHE, DVC_CONFIG = STATE / "dvc", STATE / "dvc-config"
"""DVC's site cache, from which it unpickles, and its configuration: apart, since DVC opens the former to everyone."""


def environment() -> dict[str, str]:
    """`os.environ` with what the house needs added; what a user or a team has set is kept."""
    own = {
        "GREENHOUSE_STATE": str(STATE),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PREFECT_HOME": str(STATE / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",  # seconds; by default a click or a cancel may wait for ten
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR",
        "MLFLOW_TRACKING_URI": f"sqlite:///{STATE / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "DO_NOT_TRACK": "true",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(DVC_CACHE),
        "DVC_GLOBAL_CONFIG_DIR": str(DVC_CONFIG),
        "DVC_SYSTEM_CONFIG_DIR": str(DVC_CONFIG),
        "HF_HOME": str(STATE / "huggingface"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MPLCONFIGDIR": str(STATE / "matplotlib"),
        "TORCHINDUCTOR_CACHE_DIR": str(STATE / "inductor"),
        "TOKENIZERS_PARALLELISM": "false",
        # `dvc exp save` commits; a first run needs no git identity.
        "GIT_AUTHOR_NAME": "greenhouse", "GIT_AUTHOR_EMAIL": "greenhouse@localhost",
        "GIT_COMMITTER_NAME": "greenhouse", "GIT_COMMITTER_EMAIL": "greenhouse@localhost",
    }  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if value and name != "PATH"}
    return own | running_servers() | kept


def settle() -> None:
    """Put `environment()` into this process; call before Prefect, MLflow or DVC are imported."""
    os.environ.update(environment())
    private(STATE)
    _drop_exposed_cache()
    for folder in (DVC_CACHE, DVC_CACHE / "repo", DVC_CONFIG):  # DVC would make the second one writable for everyone
        private(folder)


def private(folder: Path) -> None:
    """Make a folder that its owner alone can enter, also of one that exists with wider modes.

    Raises:
        SystemExit: it belongs to another user, who could have this one run code.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _mode(folder) & 0o077:
        return
    try:
        folder.chmod(0o700)
    except PermissionError:
        if folder.stat().st_uid != os.geteuid():  # else a file system without modes
            sys.exit(f"{folder}: belongs to another user, who could run code as you; remove it, or `chown` it to you")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _drop_exposed_cache() -> None:
    """Remove a site cache that others could write, as earlier versions left it: DVC unpickles what is in it.

    All of it can be computed anew. It is renamed first, so that two processes that start now do not meet in it.
    """
    if _mode(STATE) & 0o077:  # a file system without modes: they say nothing
        return
    exposed = (folder for folder in (DVC_CACHE, DVC_CACHE / "repo") if folder.exists() and _mode(folder) & 0o022)
    if next(exposed, None):
        aside = STATE / f"dvc.{os.getpid()}.exposed"
        with contextlib.suppress(FileNotFoundError):
            DVC_CACHE.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


SERVERS = STATE / "servers.json"
"""Written by `make up`: {"pid", "started" (`start_of`), "PREFECT_API_URL", "MLFLOW_TRACKING_URI"}."""


def running_servers() -> dict[str, str]:
    """Addresses of the servers that `make up` runs now (environment variables), or nothing."""
    try:
        record = json.loads(SERVERS.read_text())
        if not alive(int(record["pid"]), str(record["started"])):
            return {}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError):  # cut short by a power cut: whoever wrote it is gone
        return {}
    return {name: record[name] for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI") if record.get(name)}


def start_of(pid: int) -> str:
    """Text that names the start of a process, and never changes while it runs.

    On Linux it is the boot's id and the clock ticks since that boot: the wall-clock start that psutil computes moves
    with every step of the clock. Other systems store the wall-clock start itself, in seconds.

    Raises:
        psutil.NoSuchProcess: there is no such process.
    """
    if sys.platform != "linux":
        return str(int(psutil.Process(pid).create_time()))
    if (found := read_stat(f"/proc/{pid}/stat")) is None:
        raise psutil.NoSuchProcess(pid)
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}.{found.start}"


def alive(pid: int, start: str) -> bool:
    """Whether the process that had `pid` and `start_of` still runs.

    A start of digits alone is of an earlier version on Linux too: whole seconds of the wall clock.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - int(start)) < 2 if start.isdecimal() else start_of(pid) == start
    except psutil.NoSuchProcess:
        return False


_TAG = re.compile(r"proc:([^:]+):([0-9]{1,9}):([0-9a-f.-]+)")


def process_tag(pid: int | None = None) -> str:
    """`proc:<host>:<pid>:<start>`: names a process for `open_runs.py`."""
    pid = os.getpid() if pid is None else pid
    return f"proc:{os.uname().nodename}:{pid}:{start_of(pid)}"


def is_process_tag(text: object) -> bool:
    """Whether `text` is a `process_tag`, of this version or an earlier one."""
    return isinstance(text, str) and _TAG.fullmatch(text) is not None


def tag_alive(tag: str) -> bool:
    """Whether the process of a `process_tag` still runs.

    One of another host counts as alive, for it cannot be seen; so does a text that names no process.
    """
    if not (found := _TAG.fullmatch(tag)):
        return True
    host, pid, start = found.groups()
    return host != os.uname().nodename or alive(int(pid), start)


def dies_with_parent(sig: int = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` after which the kernel sends `sig` when the thread that started the child ends (Linux only)."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def arm() -> None:
        if libc is not None:
            libc.prctl(1, sig)  # 1 = PR_SET_PDEATHSIG

    return arm


def dvc(*arguments: str) -> list[str]:
    """DVC's command line, of this environment."""
    return [sys.executable, "-m", "dvc", *arguments]
