"""Access control of both servers: loopback names, own origin, login."""

import asyncio
from datetime import timedelta

import pytest
from docket import Docket, Worker
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from flows.serving.access_control import prefect_app, protected

PORT = 4200
SOCKET = f"ws://127.0.0.1:{PORT}/ws"


async def hello(_: object) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def greet(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")


def client(login: str = "") -> TestClient:
    app = Starlette(
        routes=[Route(path, hello, methods=["GET", "POST"]) for path in ("/", "/health")]
        + [WebSocketRoute("/ws", greet)]
    )
    return TestClient(protected(app, PORT, login, ("/health",)), base_url=f"http://127.0.0.1:{PORT}")


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
    assert client().post("/", headers=headers).status_code == status


def test_prefects_server_looks_for_background_work_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """At four times a second it took a quarter of a core here while nothing ran."""
    granularity = "SERVER_EVENTS_PROACTIVE_GRANULARITY"
    for name in ("API_URL", "UI_API_URL", "SERVER_CORS_ALLOWED_ORIGINS", "_SERVER_FINAL", granularity):
        monkeypatch.setenv(f"PREFECT_{name}", "")
        monkeypatch.delenv(f"PREFECT_{name}")
    monkeypatch.setattr("prefect.server.api.server.create_app", lambda: None)
    from prefect.server.api import background_workers

    monkeypatch.setattr(background_workers, "Worker", background_workers.Worker)
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


def test_login_is_asked_for_except_by_the_health_check() -> None:
    guarded = client("me:secret")
    assert guarded.get("/").status_code == 401
    assert guarded.get("/").headers["www-authenticate"].startswith("Basic")
    assert guarded.get("/", auth=("me", "wrong")).status_code == 401
    assert guarded.get("/", auth=("me", "secret")).status_code == 200
    assert guarded.get("/health").status_code == 200


def test_websockets_are_guarded_too() -> None:
    with client().websocket_connect(SOCKET) as socket:
        assert socket.receive_text() == "hello"
    with pytest.raises(WebSocketDisconnect), client().websocket_connect(SOCKET, headers={"Origin": "https://evil.com"}):
        pass
    with pytest.raises(WebSocketDisconnect), client().websocket_connect(SOCKET, headers={"Host": "evil.com"}):
        pass
