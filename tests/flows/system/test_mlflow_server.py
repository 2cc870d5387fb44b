"""A tracking server that is away is refused before work starts, in seconds and one sentence."""

import base64
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import pytest

from flows.execution import cli
from flows.system import mlflow_server
from flows.system.command import run_command
from flows.system.prefect_server import free_port
from flows.tracking import mlflow_run
from tests.errors import refused, refuses


def test_a_dead_server_is_refused_before_a_flow_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_server, "silence", lambda seconds, real=mlflow_server.silence: real(0.3))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address := f"http://127.0.0.1:{free_port()}")
    with refused("require_mlflow.1", address), cli.with_prefect():
        raise AssertionError("work began")


def test_a_server_that_ends_while_a_command_works_is_a_sentence_in_seconds(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Empty(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = answer

    with HTTPServer(("127.0.0.1", 0), Empty) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        client = mlflow_run.client()
        server.shutdown()
        thread.join()
    capfd.readouterr()  # the server's own lines
    began = time.monotonic()
    with pytest.raises(SystemExit) as left:
        run_command("verify", lambda: client.search_experiments())
    assert left.value.code == 1
    assert time.monotonic() - began < 30
    said = f"verify: the MLflow server at http://127.0.0.1:{server.server_port} does not answer any more"
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(said)


@pytest.mark.parametrize("uri", ["http://[", "http://127.0.0.1:1/x"])
def test_an_address_that_is_none_is_a_sentence(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert mlflow_server.silence(0)
    monkeypatch.setattr(mlflow_server, "silence", lambda seconds: "refused")
    refuses(lambda: mlflow_server.require_mlflow(), "require_mlflow.1", uri, "refused")


def test_a_server_that_starts_late_and_wants_a_password_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")

    def serve() -> None:
        time.sleep(0.3)
        with HTTPServer(("127.0.0.1", port), Locked) as server:
            server.handle_request()

    threading.Thread(target=serve, daemon=True).start()
    assert mlflow_server.silence(10) == ""


class Locked(BaseHTTPRequestHandler):
    """Takes one login, and a token."""

    def do_GET(self) -> None:
        sent, login = self.headers.get("Authorization", ""), base64.b64encode(b"me:secret").decode()
        passes = self.path == "/health" or sent in (f"Basic {login}", "Bearer token")
        self.send_response(200 if passes else 401)
        self.end_headers()
        self.wfile.write(b"{}" if passes else b"login needed")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server that wants a login; the environment names it, and holds none."""
    server = HTTPServer(("127.0.0.1", 0), Locked)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    yield address
    server.shutdown()
    server.server_close()


def test_a_login_that_is_missing_or_wrong_is_a_sentence(
    locked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was a traceback, or a run that trained without a record."""
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", f"sqlite:///{tmp_path}/another.db")
    variables = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    refuses(lambda: mlflow_server.require_mlflow(), "require_mlflow.2", locked, f"wants a login: set {variables}")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    for first_asked_by in (mlflow_server.require_mlflow, mlflow_run.client):
        with refused("require_mlflow.2", locked, f"takes another login: correct {variables}"):
            first_asked_by()
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    mlflow_server.require_mlflow()
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token")
    mlflow_server.require_mlflow()
