"""Logins of servers that are started here: made where the user set none, and told to no other server."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from components.core.files import write_json
from flows.system import environment, login, paths, processes

NAMES = ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING", "MLFLOW_TRACKING_USERNAME",
         "MLFLOW_TRACKING_PASSWORD", "PREFECT_API_URL", "MLFLOW_TRACKING_URI")  # fmt: skip
ADDRESSES = {"PREFECT_API_URL": "http://127.0.0.1:4200/api", "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}
MADE = {
    "PREFECT_API_AUTH_STRING": "greenhouse:key",
    "MLFLOW_TRACKING_USERNAME": "greenhouse",
    "MLFLOW_TRACKING_PASSWORD": "key",
}


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of these; what a test sets is gone afterwards."""
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def variables() -> dict[str, str]:
    """Those of the login that are set now."""
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def test_one_is_made_for_each_server_that_is_ours() -> None:
    assert login.make_logins("key", prefect=False, mlflow=False) == {} == variables()
    made = login.make_logins("key", prefect=True, mlflow=True)
    assert made == MADE == variables()
    assert login.prefect_auth() == login.mlflow_login() == ("greenhouse", "key")
    assert len({login.new_key() for _ in range(100)}) == 100
    assert len(login.new_key()) >= 43, "256 bits"


@pytest.mark.parametrize("name", ["PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"])
def test_that_of_the_user_is_kept_and_not_told_as_made(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {name: "me:secret", "MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "secret"}
    for variable, value in own.items():
        monkeypatch.setenv(variable, value)
    assert login.make_logins("key", prefect=True, mlflow=True) == {}
    assert variables() == own | {"PREFECT_API_AUTH_STRING": "me:secret"}
    assert login.prefect_login() == "me:secret"


@pytest.fixture
def record(checkout: Path) -> dict[str, Any]:
    """`make up` runs in this process, and has recorded itself so."""
    me = os.getpid()
    record = {"pid": me, "started": processes.start_of(me), "state": str(paths.STATE)} | ADDRESSES | MADE
    write_json(paths.SERVERS, record)
    return record


def test_commands_take_addresses_and_logins_of_the_servers_that_run(
    record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of those that are gone, nor of the checkout that this one is a copy of, nor of a damaged record."""
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "of:another")
    assert environment.environment().items() >= (ADDRESSES | MADE).items()
    others = record | {"started": "never"}, record | {"state": "/original/.greenhouse"}, {"pid": "x", "started": 3}
    for text in (*map(json.dumps, others), "", "{", "[]", "{}", '{"pid": 1}'):
        paths.SERVERS.write_text(text)
        assert environment.running_servers() == {}
        assert environment.environment()["PREFECT_API_AUTH_STRING"] == "of:another"
        assert "MLFLOW_TRACKING_PASSWORD" not in environment.environment()


def test_no_other_server_is_told_the_login(record: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "https://prefect.team/api")
    settings = environment.environment()
    assert settings["PREFECT_API_URL"] == "https://prefect.team/api"
    assert "PREFECT_API_AUTH_STRING" not in settings
    assert settings["MLFLOW_TRACKING_PASSWORD"] == "key", "MLflow's address is still that of `make up`"
