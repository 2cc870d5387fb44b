"""The addresses of artifacts in MLflow's database: absolute ones, so that of a copied checkout they name the original.

They are made right where the environment is set, before any client or server opens the database:
else `clean` in a copy deletes the weights of the original.
"""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from flows.system.command import database_words
from flows.system.paths import EXPERIMENT, ROOT

ARTIFACTS = "mlartifacts"
"""The folder of artifacts in the state folder."""
COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Columns with addresses, by table."""
WAIT_S = 60.0
"""For another process that writes."""


def follow_checkout(state: Path) -> None:
    """Make the addresses in the MLflow database of a state folder those of that folder.

    Raises:
        SystemExit: they are of another place and cannot be changed: what follows would write and
            delete there.
    """
    database = state / "mlflow.db"
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(database, timeout=WAIT_S, isolation_level=None)) as connection:
            if _moves(connection, state):
                connection.execute("BEGIN IMMEDIATE")
                for old, new in _moves(connection, state).items():  # again: another process may have been first
                    _relocate(connection, old, new)
                connection.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        if words := database_words(error, database):
            sys.exit(f"{words} (its addresses cannot be read or corrected: {error})")
        todo = "put a copy of it there that is whole, or move it away: runs from then on are recorded anew"
        if sys.argv[1:2] != [
            "clean"
        ]:  # which gives room back all the same, and opens it only where it asks what it names
            sys.exit(f"{database}: is damaged ({error}); {todo}")


def _moves(connection: sqlite3.Connection, state: Path) -> dict[str, str]:
    """Old beginning of addresses -> the one they should have; empty if all is well.

    Two folders are known: that of our experiment, also of one that a server made (in a folder of
    the experiment's number), and that of MLflow's own experiment, which lies where the first client
    was started.
    """
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
        return {}
    known = dict(connection.execute("SELECT name, artifact_location FROM experiments").fetchall())
    moves = dict[str, str]()
    for name, folder, expected in (
        (EXPERIMENT, ARTIFACTS, [state / ARTIFACTS]),
        ("Default", "mlruns", [state, state.parent, ROOT]),
    ):
        old, suffix, _ = (known.get(name) or "").rpartition(f"/{folder}")
        if suffix and not any(_lies_in(f"{old}{suffix}", base) for base in expected):
            target = state / folder
            moves[f"{old}{suffix}"] = target.as_uri() if old.startswith("file:") else str(target)
    return moves


def _lies_in(address: str, folder: Path) -> bool:
    """Whether an address, a `file:` one or a path, is in a folder or is that."""
    return f"{address}/".startswith((f"{folder.as_uri()}/", f"{folder}/"))


def _relocate(connection: sqlite3.Connection, old: str, new: str) -> None:
    for table, columns in COLUMNS.items():
        for column in columns:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR "
                f"substr({column}, 1, ?) = ?",
                (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
            )
