"""Access control of both servers: loopback names, own origin, login of programs and browsers, no foreign frames."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from docket import Docket, Worker
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from flows.serving.access_control import COOKIE, prefect_app, protected
from flows.system import login, paths
from tests.errors import refuses, shows

PORT = 4200
LOGIN, KEY = "greenhouse:secret-key", "secret-key"
SOCKET = f"ws://127.0.0.1:{PORT}/ws"


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"hello {request.url.query}")


async def greet(socket: WebSocket) -> None:
    """As Prefect's server greets: the first message, of whatever login, is answered."""
    await socket.accept(subprotocol="prefect" if "prefect" in socket.scope["subprotocols"] else None)
    if socket.scope["subprotocols"]:
        assert (await socket.receive_json())["type"] == "auth"
    await socket.send_text("hello")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(login.KEY, KEY)


def client(credentials: str = LOGIN, host: str = "127.0.0.1", first_message: bool = True) -> TestClient:
    """A browser or a program, without login, of a server that wants `credentials`."""
    app = Starlette(
        routes=[Route(path, hello, methods=["GET", "POST"]) for path in ("/", "/page", "/health")]
        + [WebSocketRoute("/ws", greet)]
    )
    checked = protected(app, PORT, credentials, ("/health",), first_message)
    return TestClient(checked, base_url=f"http://{host}:{PORT}", follow_redirects=False)


def user_of(credentials: str = LOGIN) -> tuple[str, str]:
    """User and password, as httpx takes them."""
    user, _, password = credentials.partition(":")
    return user, password


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": f"localhost:{PORT}"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:4200"}, 400),  # the servers listen on 127.0.0.1 alone
        ({"Host": "evil.com"}, 400),
        ({"Host": f"evil.com:{PORT}"}, 400),
        ({"Host": "127.0.0.1.evil.com"}, 400),
        ({"Origin": f"http://127.0.0.1:{PORT}"}, 200),
        ({"Origin": f"http://localhost:{PORT}"}, 200),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "https://evil.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:14200", "Origin": "http://localhost:14200"}, 200),  # through a tunnel
    ],
)
def test_host_and_origin(headers: dict[str, str], status: int) -> None:
    assert client().post("/", headers=headers, auth=user_of()).status_code == status


def test_prefects_server_looks_for_background_work_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """At four times a second it took a quarter of a core here while nothing ran."""
    granularity = "SERVER_EVENTS_PROACTIVE_GRANULARITY"
    for name in ("API_URL", "UI_API_URL", "SERVER_CORS_ALLOWED_ORIGINS", "_SERVER_FINAL", granularity):
        monkeypatch.setenv(f"PREFECT_{name}", "")
        monkeypatch.delenv(f"PREFECT_{name}")
    monkeypatch.setattr("prefect.server.api.server.create_app", lambda **_: None)
    from prefect.server.api import background_workers

    monkeypatch.setattr(background_workers, "Worker", background_workers.Worker)
    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    refuses(lambda: prefect_app(PORT), "access_control.protected", "`make up`")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", LOGIN)
    prefect_app(PORT)
    started: list[Worker] = []

    async def start(worker: Worker) -> None:
        started.append(worker)
        raise EOFError

    monkeypatch.setattr(Worker, "__aenter__", start)

    async def serve() -> None:
        async with background_workers.background_worker(Docket(name="x", url="memory://")):
            pass

    with pytest.raises(EOFError):
        asyncio.run(serve())
    assert started[0].scheduling_resolution == started[0].minimum_check_interval == timedelta(seconds=1)


def test_a_program_needs_the_login_except_for_the_health_check() -> None:
    guarded = client()
    refused = guarded.get("/")
    assert refused.status_code == 401
    assert refused.text.startswith("login needed: open the link that `make up` printed")
    assert guarded.get("/", auth=("greenhouse", "wrong")).status_code == 401
    assert guarded.get("/", auth=user_of()).status_code == 200
    assert guarded.get("/", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert guarded.get("/", headers={"Authorization": "Bearer "}).status_code == 401
    assert guarded.get("/health").status_code == 200
    assert guarded.post("/health").status_code == 401


@pytest.mark.parametrize(("credentials", "scheme"), [(LOGIN, "Bearer"), ("me:secret", "Basic")])
def test_a_browser_asks_for_a_password_only_where_the_user_chose_it(credentials: str, scheme: str) -> None:
    guarded = client(credentials)
    assert guarded.get("/").headers["www-authenticate"] == f'{scheme} realm="greenhouse"'
    assert guarded.get("/", auth=user_of(credentials)).status_code == 200


def test_the_link_logs_a_browser_in_and_leaves_no_key_in_its_address() -> None:
    browser = client()
    assert browser.get(f"/page?a=1&{login.LINK}=wrong").status_code == 401
    assert not browser.cookies
    answer = browser.get(f"/page?a=1&{login.LINK}={KEY}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/page?a=1")
    assert answer.headers["cache-control"] == "no-store"
    flags = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=lax"} <= flags
    assert browser.get(answer.headers["location"]).text == "hello a=1"
    assert browser.post("/", headers={"Origin": "https://evil.com"}).status_code == 403
    again = browser.get(f"/page?{login.LINK}={KEY}")
    assert (again.status_code, again.headers["location"]) == (303, "/page"), "also of one that is logged in"
    assert client().get("/page", headers={"Cookie": f"{COOKIE}=wrong"}).status_code == 401


def test_the_link_leads_to_no_other_host() -> None:
    answer = client().get(f"http://127.0.0.1:{PORT}//evil.com/page?{login.LINK}={KEY}")
    assert answer.headers["location"] == "/evil.com/page"


def test_a_page_of_localhost_moves_to_the_host_that_has_the_cookie() -> None:
    browser = client(host="localhost")
    answer = browser.get(f"/page?{login.LINK}={KEY}", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (
        307,
        f"http://127.0.0.1:{PORT}/page?{login.LINK}={KEY}",
    )
    assert browser.get("/page", headers={"Accept": "application/json"}, auth=user_of()).status_code == 200


def test_no_page_of_another_origin_may_frame_any_answer() -> None:
    guarded = client()
    refused = guarded.get("/", headers={"Host": "evil.com"})
    for answer in (refused, guarded.get("/"), guarded.get("/", auth=user_of()), guarded.get(f"/?{login.LINK}={KEY}")):
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert answer.headers["content-security-policy"] == "frame-ancestors 'self'"


def test_websockets_are_guarded_too() -> None:
    logged_in = {"Authorization": f"Bearer {KEY}"}
    with client().websocket_connect(SOCKET, headers=logged_in) as socket:
        assert socket.receive_text() == "hello"
    with client().websocket_connect(SOCKET, headers={"Cookie": f"{COOKIE}={KEY}"}) as socket:
        assert socket.receive_text() == "hello"
    refused = {"Origin": "https://evil.com"}, {"Host": "evil.com"}, {"Authorization": "Bearer no"}
    for headers in refused:
        with (
            pytest.raises(WebSocketDisconnect) as raised,
            client().websocket_connect(SOCKET, headers=logged_in | headers),
        ):
            pass
        assert isinstance(raised.value, WebSocketDenialResponse)
    with pytest.raises(WebSocketDenialResponse) as denied, client().websocket_connect(SOCKET):
        pass
    assert denied.value.status_code == 401


@pytest.mark.parametrize("token", [LOGIN, KEY])
def test_a_websocket_of_prefects_client_logs_in_by_its_first_message(token: str) -> None:
    with client().websocket_connect(SOCKET, subprotocols=["prefect"]) as socket:
        socket.send_json({"type": "auth", "token": token})
        assert socket.receive_text() == "hello"
    with (
        pytest.raises(WebSocketDenialResponse),
        client(first_message=False).websocket_connect(SOCKET, subprotocols=["prefect"]),
    ):
        pass


@pytest.mark.parametrize(
    "message",
    ["", "hello", "[]", "[" * 100_000, '{"type": "auth"}', '{"type": "auth", "token": null}',
     '{"type": "auth", "token": "\\ud800"}', '{"type": "auth", "token": "wrong"}',
     json.dumps({"type": "subscribe", "token": KEY})],
)  # fmt: skip
def test_any_other_first_message_ends_it_before_the_application_is_asked(message: str) -> None:
    with client().websocket_connect(SOCKET, subprotocols=["prefect"]) as socket:
        socket.send_text(message)
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_text()
    assert (ended.value.code, ended.value.reason) == (1008, "login needed: PREFECT_API_AUTH_STRING")


def test_a_websocket_that_says_nothing_ends_without_the_application() -> None:
    with client().websocket_connect(SOCKET, subprotocols=["prefect"]) as socket:
        socket.close()


@pytest.mark.parametrize("credentials", ["", ":"])
def test_nothing_is_served_without_a_login(credentials: str) -> None:
    refuses(lambda: client(credentials), "access_control.protected", "`make up`")


def test_a_server_that_is_started_by_hand_without_a_login_ends(tmp_path: Path) -> None:
    """MLflow's; Prefect's is asked above."""
    names = ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_USERNAME")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = subprocess.run(
            [sys.executable, "-m", "flows.serving.access_control", "mlflow", str(listening.fileno())],
            cwd=paths.ROOT, env=kept | {"GREENHOUSE_STATE": str(tmp_path / ".greenhouse")},
            pass_fds=[listening.fileno()], capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    shows(done.stderr, "access_control.protected", "access_control")
