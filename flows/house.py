"""Where things are, and the environment every process of the house runs in.

`ROOT` is the checkout the code runs in (a worktree has its own). `STATE` is `.greenhouse/` of the *main* checkout, also
for worktrees: databases, logs, ledger, work folders; what DVC must neither delete nor hash. Nothing is written to the
home folder. Servers and remotes that a team already has are honoured: what is set in the environment wins.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from components.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENT = "greenhouse"


def _main_checkout() -> Path:
    """The checkout that owns this one: itself, or for a worktree the one it was made from.

    Raises:
        UserError: git is missing, or this is no git repository.
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
    lines = shown.stdout.splitlines()
    if shown.returncode or Path(lines[0]) != ROOT:
        raise UserError(f"{ROOT}: no git repository; clone the project with git, or run `git init` here")
    return Path(lines[1]).parent


STATE = _main_checkout() / ".greenhouse"
LEDGER = STATE / "ledger"
LOGS = STATE / "logs"
WORK = STATE / "work"
WORKTREES = STATE / "worktrees"


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
        "DVC_SITE_CACHE_DIR": str(STATE / "dvc"),
        "DVC_GLOBAL_CONFIG_DIR": str(STATE / "dvc"),
        "DVC_SYSTEM_CONFIG_DIR": str(STATE / "dvc"),
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
    STATE.mkdir(parents=True, exist_ok=True)


SERVERS = STATE / "servers.json"
"""Written by `make up`: {"pid", "started", "PREFECT_API_URL", "MLFLOW_TRACKING_URI"}."""


def running_servers() -> dict[str, str]:
    """Addresses of the servers that `make up` runs now (environment variables), or nothing."""
    try:
        record = json.loads(SERVERS.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    if not alive(record["pid"], record["started"]):
        return {}
    return {name: record[name] for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI") if record.get(name)}


def alive(pid: int, started: int) -> bool:
    """Whether the process that had `pid` at `started` (its create time, whole seconds) still runs."""
    try:
        process = psutil.Process(pid)
        return int(process.create_time()) == started and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def process_tag(pid: int | None = None) -> str:
    """`proc:<host>:<pid>:<create time>`: names a process for `open_runs.py`."""
    process = psutil.Process(pid)
    return f"proc:{os.uname().nodename}:{process.pid}:{int(process.create_time())}"


def tag_alive(tag: str) -> bool:
    """Whether the process of a `process_tag` still runs; one of another host counts as alive: it cannot be seen."""
    _, host, pid, started = tag.split(":")
    return host != os.uname().nodename or alive(int(pid), int(started))


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
