"""A Prefect server of others: refused if it is away, and a command ends if it goes while the command runs."""

import base64
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

from components.core.errors import UserError
from flows.system import paths
from flows.system import prefect_server as subject
from tests.errors import refused


class Healthy(BaseHTTPRequestHandler):
    """Answers 200 whatever is asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
    monkeypatch.setattr(subject, "LONGEST_SILENCE_S", 0.5)
    monkeypatch.setattr(subject, "BETWEEN_LOOKS_S", 0.1)
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("damage", [slice(0, 100), slice(4096, 9000)])
def test_a_damaged_database_is_moved_aside_and_said(
    damage: slice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paths, "STATE", tmp_path)
    subject.move_damaged_database()  # there is none yet
    database = tmp_path / "prefect" / "prefect.db"
    database.parent.mkdir()
    with closing(sqlite3.connect(database)) as made:
        made.execute("CREATE TABLE runs AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n LIMIT 9999) "
                     "SELECT hex(randomblob(40)) FROM n")  # fmt: skip
        made.commit()
    subject.move_damaged_database()
    assert capsys.readouterr().out == ""
    data = bytearray(database.read_bytes())
    data[damage] = b"!" * len(data[damage])
    database.write_bytes(data)
    subject.move_damaged_database()
    (moved,) = tmp_path.glob("prefect/damaged-*/prefect.db")
    assert moved.read_bytes() == data
    assert not database.exists()
    assert f"Prefect's database is damaged ({'file' if not damage.start else '***'}" in capsys.readouterr().out


def test_one_that_goes_while_a_command_runs_is_told(server: HTTPServer) -> None:
    told, said = threading.Event(), list[str]()

    def end(sentence: str) -> None:
        said.append(sentence)
        told.set()

    with subject.prefect_server(end) as url:
        server.shutdown()
        server.server_close()
        assert told.wait(60)
    assert said == [f"PREFECT_API_URL={url} has not answered for 0 s; start that server and run again, it resumes"]


def test_one_that_stays_and_one_that_goes_afterwards_are_not(server: HTTPServer) -> None:
    said: list[str] = []
    with subject.prefect_server(said.append, lambda: pytest.fail("there is nothing to wait for")):
        threading.Event().wait(1.0)
    server.shutdown()
    server.server_close()
    threading.Event().wait(1.0)
    assert said == []


def test_what_fails_while_one_starts_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(subject.paths, "LOGS", tmp_path)
    started = list[psutil.Process]()

    def fail() -> None:
        assert os.environ["PREFECT_API_URL"].startswith("http://127.0.0.1:")
        started.extend(one for one in psutil.Process().children() if "flows.serving.access_control" in one.cmdline())
        raise UserError("a reason")

    with pytest.raises(UserError, match="a reason"), subject.prefect_server(meanwhile=fail):
        pytest.fail("it went on")
    assert [one.is_running() for one in started] == [False]
    assert "PREFECT_API_URL" not in os.environ


def test_one_that_is_away_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "healthy", lambda url, seconds, real=subject.healthy: real(url, 0.3))
    with refused("require_prefect", "PREFECT_API_URL=http://127.0.0.1:9/api"):
        subject.require_prefect("http://127.0.0.1:9/api")


class Locked(Healthy):
    """Takes one login; answers as to its health without."""

    def do_GET(self) -> None:
        login = f"Basic {base64.b64encode(b'me:secret').decode()}"
        passes = self.path == "/api/health" or self.headers.get("Authorization") == login
        self.send_response(200 if passes else 401)
        self.end_headers()


ASKING = """
import os
import httpx
import prefect
from flows.system import login
from flows.system.prefect_server import prefect_server
from prefect.client.orchestration import get_client

with prefect_server() as url:
    asked = f"{url}/flows/filter"
    print(httpx.post(asked, json={}).status_code, httpx.post(asked, json={}, auth=login.prefect_auth()).status_code)
    with get_client(sync_client=True) as client:
        print(client.read_flows())
print([name for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING") if name in os.environ])
"""


@pytest.mark.pipeline
@pytest.mark.slow
def test_a_temporary_one_answers_nobody_but_this_command(tmp_path: Path) -> None:
    """Another account of the machine could start flows by it; Prefect is imported before its login is known."""
    outside = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in outside}
    done = subprocess.run(
        [sys.executable, "-c", ASKING], cwd=subject.paths.ROOT, capture_output=True, text=True,
        env=kept | {"GREENHOUSE_STATE": str(tmp_path / ".greenhouse")},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["401 200", "[]", "[]"], done.stderr


@pytest.mark.parametrize(
    ("login", "fact"),
    [
        (None, "wants a login: set PREFECT_API_AUTH_STRING"),
        ("me:wrong", "another login: correct PREFECT_API_AUTH_STRING"),
        ("me:secret", ""),
    ],
)
def test_a_login_that_is_missing_or_wrong_is_a_sentence(login: str | None, fact: str, server: HTTPServer) -> None:
    """It was a traceback of Prefect's client that named no variable."""
    server.RequestHandlerClass = Locked
    url = os.environ["PREFECT_API_URL"]
    with (
        temporary_settings({PREFECT_API_AUTH_STRING: login}),
        refused("_require_login", f"Prefect at {url}", fact) if fact else nullcontext(),
        subject.prefect_server() as answered,
    ):
        assert answered == url
