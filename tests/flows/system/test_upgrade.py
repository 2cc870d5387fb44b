"""Databases of an earlier version."""

import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from components.core.files import read_json, write_json
from flows.system.upgrade import upgrade_databases
from tests.errors import refuses


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """MLflow's database as an earlier version made it."""
    database = tmp_path / "mlflow.db"
    from mlflow.store.tracking.dbmodels.initial_models import Base

    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    Base.metadata.create_all(engine)
    config = Config()
    config.set_main_option("script_location", str(Path(mlflow.__file__).parent / "store/db_migrations"))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{database}")
    steps = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    command.upgrade(config, steps[2])
    return database


def revision(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def test_an_old_database_is_upgraded_with_a_copy_aside(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, prefect = revision(old), old.parent / "prefect/prefect.db"  # its server upgrades that one
    prefect.parent.mkdir()
    with closing(sqlite3.connect(prefect)) as connection:
        connection.execute("CREATE TABLE flow_run (id)")
    upgrade_databases(old.parent)
    (aside,) = prefect.parent.glob("prefect-before-prefect-*.db")
    assert b"CREATE TABLE flow_run" in aside.read_bytes()
    (copy,) = old.parent.glob("mlflow-before-mlflow-*.db")
    assert revision(copy) == before != revision(old)
    assert f"its database as it was: {copy}" in capsys.readouterr().err
    mlflow.MlflowClient(f"sqlite:///{old}").search_experiments()
    changed = old.stat().st_mtime_ns
    upgrade_databases(old.parent)  # nothing more to do
    assert (capsys.readouterr().err, old.stat().st_mtime_ns) == ("", changed)


def test_a_database_that_cannot_be_upgraded_is_as_it_was(old: Path) -> None:
    write_json(old.with_name("versions.json"), {"mlflow": "1.0", "prefect": "1.0"})
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of a later version'")
        connection.commit()
    refuses(lambda: upgrade_databases(old.parent), "_upgrade_mlflow", old)
    assert revision(old) == "of a later version"
    assert read_json(old.with_name("versions.json"))["mlflow"] == "1.0"
