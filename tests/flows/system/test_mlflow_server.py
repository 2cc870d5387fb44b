"""A tracking server that is away is refused before work starts, in seconds and one sentence."""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from components.core.errors import UserError
from flows.execution import stage_run
from flows.filter import STAGE
from flows.system import mlflow_server
from flows.system.prefect_server import free_port


def test_a_dead_server_is_refused_before_a_stage_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_server, "silence", lambda seconds, real=mlflow_server.silence: real(0.3))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(stage_run.schema, "load", lambda path: pytest.fail("work began"))
    result = stage_run.perform(STAGE, "")
    assert result.name == "Failed"
    assert "MLFLOW_TRACKING_URI=http://127.0.0.1:" in result.message
    assert result.message.endswith("start that server, or unset the variable")


@pytest.mark.parametrize("uri", ["", "sqlite:///mlflow.db", "databricks"])
def test_what_is_no_server_is_not_asked(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow_server.require_mlflow()


@pytest.mark.parametrize("uri", ["http://[", "http://127.0.0.1:1/x"])
def test_an_address_that_is_none_is_a_sentence(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert mlflow_server.silence(0)
    monkeypatch.setattr(mlflow_server, "silence", lambda seconds: "refused")
    with pytest.raises(UserError, match="does not answer \\(refused\\)"):
        mlflow_server.require_mlflow()


def test_a_server_that_starts_late_and_wants_a_password_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Locked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")

    def serve() -> None:
        time.sleep(0.3)
        with HTTPServer(("127.0.0.1", port), Locked) as server:
            server.handle_request()

    threading.Thread(target=serve, daemon=True).start()
    assert mlflow_server.silence(10) == ""
