"""The environment that every command and its children run in.

Nothing is written to the home folder. Servers and remotes that a team already has are honoured:
what is set in the environment wins. `flows/__init__.py` applies it before Prefect, MLflow or DVC
are imported.
"""

import json
import os
import stat
import sys
from pathlib import Path

from flows.system import paths
from flows.system.login import CLIENT_VARIABLES
from flows.system.mlflow_location import follow_checkout
from flows.system.processes import alive
from flows.system.upgrade import upgrade_databases


def environment() -> dict[str, str]:
    """`os.environ` with our settings added; what a user or a team has set is kept."""
    defaults = {
        "GREENHOUSE_STATE": str(paths.STATE),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PREFECT_HOME": str(paths.STATE / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",  # seconds; by default a click or a cancel may wait for ten
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR",
        "MLFLOW_TRACKING_URI": f"sqlite:///{paths.STATE / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default a server that ended is asked for minutes
        "MLFLOW_LOGGING_LEVEL": "WARNING",  # a first run shows no lines about the tables of its database
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a stage; `up` prints the one that matters
        "DO_NOT_TRACK": "true",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(paths.DVC_CACHE),
        "DVC_GLOBAL_CONFIG_DIR": str(paths.DVC_CONFIG),
        "DVC_SYSTEM_CONFIG_DIR": str(paths.DVC_CONFIG),
        "HF_HOME": str(paths.CACHES / "huggingface"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MPLCONFIGDIR": str(paths.CACHES / "matplotlib"),
        "TORCHINDUCTOR_CACHE_DIR": str(paths.CACHES / "inductor"),
        "TOKENIZERS_PARALLELISM": "false",
        # `dvc exp save` commits; a first run needs no git identity.
        "GIT_AUTHOR_NAME": "greenhouse", "GIT_AUTHOR_EMAIL": "greenhouse@localhost",
        "GIT_COMMITTER_NAME": "greenhouse", "GIT_COMMITTER_EMAIL": "greenhouse@localhost",
    }  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if value and name != "PATH"}
    running = running_servers()
    settings = defaults | {address: running[address] for address in CLIENT_VARIABLES if address in running} | kept
    return settings | _logins(running, settings)


def _logins(running: dict[str, str], settings: dict[str, str]) -> dict[str, str]:
    """Logins of the running servers, each only where its own address is used: another server must not be told it."""
    used = (names for address, names in CLIENT_VARIABLES.items() if settings.get(address) == running.get(address))
    return {name: running[name] for names in used for name in names if name in running}


def apply_environment() -> None:
    """Put `environment()` into this process; call before Prefect, MLflow or DVC are imported."""
    os.environ.update(environment())
    private(paths.STATE)
    paths.mark_state()
    follow_checkout(paths.STATE)
    upgrade_databases(paths.STATE)
    # DVC would make the second one writable for everyone.
    for folder in (paths.DVC_CACHE, paths.DVC_CACHE / "repo", paths.DVC_CONFIG):
        private(folder)


def private(folder: Path) -> None:
    """Make a folder that its owner alone can enter, also of one that exists with wider modes.

    Raises:
        SystemExit: it cannot be made, or belongs to another user, who could have this one run code.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"{folder}: {error.strerror}; make room or permission there, or name another by GREENHOUSE_STATE")
    if not stat.S_IMODE(folder.stat().st_mode) & 0o077:
        return
    try:
        folder.chmod(0o700)
    except PermissionError:
        if folder.stat().st_uid != os.geteuid():  # else a file system without modes
            sys.exit(f"{folder}: belongs to another user, who could run code as you; remove it, or `chown` it to you")


def mlflow_address() -> str:
    """MLflow's address for a line of Python that is run in the checkout: its own database, or the server of a team."""
    uri, default_uri = os.environ["MLFLOW_TRACKING_URI"], f"sqlite:///{paths.STATE / 'mlflow.db'}"
    if uri not in (default_uri, running_servers().get("MLFLOW_TRACKING_URI")):
        return uri
    return "sqlite:///.greenhouse/mlflow.db" if paths.STATE.name == ".greenhouse" else default_uri


def running_servers() -> dict[str, str]:
    """Addresses and logins of the servers that `make up` of this checkout runs now (environment variables), or nothing.

    In a copied checkout the record is that of the original, whose servers write there.
    """
    try:
        record = json.loads(paths.SERVERS.read_text())
        if record["state"] != str(paths.STATE) or not alive(int(record["pid"]), str(record["started"])):
            return {}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError):  # cut short by a power cut: whoever wrote it is gone
        return {}
    names = [name for address, logins in CLIENT_VARIABLES.items() for name in (address, *logins)]
    return {name: record[name] for name in names if record.get(name)}
