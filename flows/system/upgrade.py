"""Databases that another version of Prefect or MLflow wrote: a copy is kept before a newer one changes them."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from components.core.files import read_json, write_json, written_whole

DATABASES = {"prefect": "prefect/prefect.db", "mlflow": "mlflow.db"}


def upgrade_databases(state: Path) -> None:
    """Copy each database of a state folder that another version wrote than is installed, and upgrade MLflow's.

    Prefect's server upgrades its own when it starts. Which versions wrote last is in `versions.json`.

    Raises:
        SystemExit: MLflow cannot upgrade its database, which is as it was.
    """
    record = state / "versions.json"
    installed = {name: version(name) for name in DATABASES}
    recorded = read_json(record) if record.exists() else {}
    if recorded == installed:
        return
    for name, path in DATABASES.items():
        database = state / path
        if database.exists() and recorded.get(name) != installed[name]:
            copy = database.with_name(f"{database.stem}-before-{name}-{installed[name]}.db")
            _copy(database, copy)
            print(f"{name} is {installed[name]} now; its database as it was: {copy}", file=sys.stderr, flush=True)
            if name == "mlflow":
                _upgrade_mlflow(database, copy)
    write_json(record, installed)


def _copy(database: Path, copy: Path) -> None:
    """Copy a database with what is still in its log; a copy that is there is of the first try."""
    if not copy.exists():
        with written_whole(copy) as part:
            part.touch(0o600)
            with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(part)) as target:
                source.backup(target)


def _upgrade_mlflow(database: Path, copy: Path) -> None:
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{database}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        os.replace(copy, database)
        reason = (done.stderr.strip().splitlines() or ["it says no more"])[-1]
        sys.exit(f"{database}: MLflow cannot upgrade it ({reason}); install the version that wrote it")
