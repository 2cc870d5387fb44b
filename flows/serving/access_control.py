"""Prefect's and MLflow's servers behind access control: loopback, own origin, and a login.

    python -m flows.serving.access_control prefect 3
    python -m flows.serving.access_control mlflow 4

`make up`, and a run that starts a Prefect server of its own, start them, with a socket that
listens. Both servers bind to loopback by themselves, and that is not enough: every account of the
machine and any page in the user's browser can reach a loopback port, Prefect answers every `Host`
and every `Origin`, and whoever can start a flow runs code as its owner. The checks stand before the
whole application, websockets too. They refuse a request whose `Host` is no loopback name (a page
that rebinds its own DNS name to 127.0.0.1), one whose `Origin` is not the server's own (a page that
posts across origins; programs send none), and one without the login.

The login comes from the environment (flows/system/login.py). Programs send it as HTTP Basic, as the
clients of Prefect and MLflow do, or its key as a Bearer token; the websockets of Prefect's clients,
in their first message. A browser opens the link that `make up` prints: its answer sets a cookie and
redirects, so that the key leaves the address bar.
"""

import base64
import hashlib
import json
import os
import secrets
import socket
import sys
from contextlib import suppress
from datetime import timedelta
from functools import partial

from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.core.errors import UserError
from flows.system import paths
from flows.system.command import run_command
from flows.system.login import KEY, LINK, USER, mlflow_login, new_key, prefect_login

LOOPBACK_NAMES = ["127.0.0.1", "localhost"]
COOKIE = f"greenhouse-{hashlib.sha256(str(paths.STATE).encode()).hexdigest()[:8]}"
"""One name for both servers: browsers send the cookies of a host to all its ports."""
LOGIN_NEEDED = (
    "login needed: open the link that `make up` printed; programs need PREFECT_API_AUTH_STRING, or "
    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, as it printed them or as you set them for it"
)
POLICY_VIOLATION = 1008
"""Code with which Prefect's servers close a websocket that is not logged in (RFC 6455, 7.4.1)."""
BETWEEN_LOOKS = timedelta(seconds=1)
"""Between looks for Prefect's background work (late runs, cancelled children): an idle server should use little."""


class AccessControl:
    """ASGI middleware: 403 for a foreign `Origin`, 401 without the login.

    Args:
        app: what is protected.
        port: the server's; its own origins are the loopback names at this port, and a tunnel's
            (`Origin` is `Host`).
        login: `user:password` of programs.
        key: of the link and its cookie, and a Bearer token.
        open_paths: paths that may be read without login (health checks).
        first_message: whether websockets may log in as Prefect's clients do, by their first
            message.
    """

    def __init__(
        self, app: ASGIApp, port: int, login: str, key: str, open_paths: tuple[str, ...], first_message: bool
    ) -> None:
        self.app = app
        self.port = port
        self.origins = {f"http://{name}:{port}" for name in LOOPBACK_NAMES}
        self.headers = (f"Basic {base64.b64encode(login.encode()).decode()}", f"Bearer {key}")
        self.tokens = (login, key)
        self.key = key
        self.asks_user = not login.startswith(f"{USER}:")
        self.open_paths = open_paths
        self.first_message = first_message

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        answer = self._foreign(request) or self._moved(request) or self._by_link(request)
        if answer is None and not self._logged_in(request):
            if self.first_message and "prefect" in scope.get("subprotocols", ()):
                await self._by_first_message(scope, receive, send)
                return
            answer = self._login_needed()
        await (answer or self.app)(scope, receive, send)

    def _foreign(self, request: HTTPConnection) -> Response | None:
        """The refusal of a page of another origin."""
        origin = request.headers.get("origin", "")
        if not origin or origin in self.origins or origin == f"http://{request.headers.get('host', '')}":
            return None
        return PlainTextResponse("this server answers pages of its own origin only", 403)

    def _moved(self, request: HTTPConnection) -> Response | None:
        """The way of a page from `localhost` to 127.0.0.1, which Prefect's page calls, and which has the cookie."""
        is_page = request.scope.get("method") == "GET" and "text/html" in request.headers.get("accept", "")
        if not is_page or request.headers.get("host") != f"localhost:{self.port}":
            return None
        return RedirectResponse(str(request.url.replace(hostname="127.0.0.1")))

    def _by_link(self, request: HTTPConnection) -> Response | None:
        """Answer to the link that `make up` prints: the page without the key, and the cookie."""
        key = request.query_params.get(LINK)
        if key is None or request.scope.get("method") != "GET":
            return None
        if not _is_one_of(key, (self.key,)):
            return self._login_needed()
        url = request.url.remove_query_params(LINK)
        page = "/" + url.path.lstrip("/") + (f"?{url.query}" if url.query else "")
        answer = RedirectResponse(page, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        # Lax: a link in the page of a terminal (another site) must find the cookie that it has just
        # set.
        answer.set_cookie(COOKIE, self.key, httponly=True, samesite="lax")
        return answer

    def _logged_in(self, request: HTTPConnection) -> bool:
        """Whether a request needs no login, or has it in a header or its cookie."""
        # The path as it was sent: `request.url` is made of `Host` too.
        if request.scope["path"] in self.open_paths and request.scope.get("method") in ("GET", "HEAD"):
            return True
        by_header = _is_one_of(request.headers.get("authorization", ""), self.headers)
        return by_header or _is_one_of(request.cookies.get(COOKIE, ""), (self.key,))

    def _login_needed(self) -> Response:
        """The refusal; a browser asks for a password only where the user chose it."""
        challenge = "Basic" if self.asks_user else "Bearer"
        return PlainTextResponse(LOGIN_NEEDED, 401, {"WWW-Authenticate": f'{challenge} realm="{USER}"'})

    async def _by_first_message(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a websocket through once its first message has the login; the application is not asked before."""
        waiting = [await receive()]
        await send({"type": "websocket.accept", "subprotocol": "prefect"})
        waiting.append(await receive())
        if waiting[-1]["type"] == "websocket.disconnect":
            return
        if not _is_one_of(_token(waiting[-1]), self.tokens):
            reason = "login needed: PREFECT_API_AUTH_STRING"
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": reason})
            return

        async def replayed() -> Message:
            return waiting.pop(0) if waiting else await receive()

        async def accepted(message: Message) -> None:
            if message["type"] != "websocket.accept":
                await send(message)

        await self.app(scope, replayed, accepted)


def _is_one_of(sent: str, wanted: tuple[str, ...]) -> bool:
    """Whether a secret is one of the right ones, compared in constant time."""
    data = sent.encode(errors="replace")
    return any(secrets.compare_digest(data, accepted.encode()) for accepted in wanted)


def _token(message: Message) -> str:
    """The token in the message by which Prefect's clients log in; "" in any other."""
    with suppress(ValueError, RecursionError):  # no JSON, or nested too deep
        content = json.loads(message.get("text") or message.get("bytes") or "")
        if isinstance(content, dict) and content.get("type") == "auth":
            return str(content.get("token") or "")
    return ""


def _unframed(send: Send) -> Send:
    """Answers that only pages of the same origin may show in a frame."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message.setdefault("headers", [])
            headers = MutableHeaders(scope=message)
            headers["X-Frame-Options"] = "SAMEORIGIN"
            headers.append("Content-Security-Policy", "frame-ancestors 'self'")
        await send(message)

    return sent


def protected(
    app: ASGIApp, port: int, login: str, open_paths: tuple[str, ...] = (), first_message: bool = False
) -> ASGIApp:
    """The application behind all checks: loopback names only (400 else), own origin and login; no answer in a frame.

    Raises `UserError`: there is no login.
    """
    if not login.strip(":"):
        raise UserError("no login in the environment; start the servers by `make up`, which makes one")
    checked = AccessControl(app, port, login, os.environ.get(KEY) or new_key(), open_paths, first_message)
    hosts = TrustedHostMiddleware(checked, LOOPBACK_NAMES, www_redirect=False)

    async def unframed(scope: Scope, receive: Receive, send: Send) -> None:
        await hosts(scope, receive, _unframed(send))

    return unframed


def prefect_app(port: int, ephemeral: bool = False) -> ASGIApp:
    """Prefect's API, its UI and its background services, over the database in `PREFECT_HOME`.

    Args:
        ephemeral: without the services that a server of one command does not need.
    """
    origin = f"http://127.0.0.1:{port}"
    os.environ["PREFECT_UI_API_URL"] = f"{origin}/api"  # the UI would call port 4200 whatever the port is
    os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = f"{origin},http://localhost:{port}"
    login = prefect_login()
    # Asked for above: Prefect's page would ask for it again, and know no cookie.
    os.environ.pop("PREFECT_SERVER_API_AUTH_STRING", None)
    # A server that takes itself for a client of another would not use its database.
    os.environ.pop("PREFECT_API_URL", None)
    os.environ.setdefault("PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY", "PT1M")  # by default every 5 s
    from docket import Worker
    from prefect.server.api import background_workers
    from prefect.server.api.server import create_app

    # Prefect has no setting for it; at docket's 250 ms an idle server wakes up 230 times a second.
    rarely = partial(Worker, minimum_check_interval=BETWEEN_LOOKS, scheduling_resolution=BETWEEN_LOOKS)
    background_workers.Worker = rarely  # type: ignore[misc, assignment]
    return protected(
        create_app(ephemeral=ephemeral, final=True), port, login, open_paths=("/api/health",), first_message=True
    )


def mlflow_app(port: int, store: str) -> ASGIApp:
    """MLflow's tracking server and UI over a database; artifacts are read and written by the clients, on this host."""
    from mlflow import MlflowClient
    from mlflow.server import constants

    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = store
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = (paths.STATE / "mlartifacts").as_uri()
    os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = f"http://127.0.0.1:{port},http://localhost:{port}"
    MlflowClient(store).search_experiments(max_results=1)  # which makes the tables, before anyone asks for them
    from mlflow.server.fastapi_app import app

    return protected(app, port, ":".join(mlflow_login() or ()), open_paths=("/health",))


def main() -> None:
    """Serve until stopped."""
    server, descriptor = sys.argv[1:]
    import uvicorn

    listening = socket.socket(fileno=int(descriptor))
    port = listening.getsockname()[1]
    if server == "mlflow":
        app = mlflow_app(port, os.environ["MLFLOW_TRACKING_URI"])
    else:
        app = prefect_app(port, ephemeral=server == "ephemeral-prefect")
    uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3)).run([listening])


if __name__ == "__main__":
    run_command("access_control", main)
