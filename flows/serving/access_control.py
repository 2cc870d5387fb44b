"""Prefect's and MLflow's servers behind a guard: loopback, own origin, and a login if one is set.

    python -m flows.serving.access_control prefect --port 4200
    python -m flows.serving.access_control mlflow --port 5000

Both bind to loopback by themselves, and that is not enough: any page in the user's browser can reach a loopback port,
and Prefect answers every `Host` and every `Origin`. The guard stands before the whole application, websockets too. It
refuses a request whose `Host` is no loopback name (a page that rebinds its own DNS name to 127.0.0.1) and one whose
`Origin` is not the server's own (a page that posts across origins). Programs send no `Origin`: they pass.

Logins come from the environment only. Prefect has its own: `PREFECT_SERVER_API_AUTH_STRING=user:password`. MLflow gets
one here, as HTTP Basic, which its clients speak: `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`.
"""

import argparse
import base64
import os
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from flows.system import environment, paths

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Callable, Send], Awaitable[None]]

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """ASGI middleware: 403 for a foreign `Host` or `Origin`, 401 without the login if there is one.

    Args:
        app: what is guarded.
        port: the server's; its own origins are the loopback names at this port, and a tunnel's (`Origin` is `Host`).
        login: `user:password`; empty for none.
        open_paths: paths that need no login (health checks).
    """

    def __init__(self, app: Application, port: int, login: str = "", open_paths: tuple[str, ...] = ()) -> None:
        self.app = app
        self.origins = {f"http://{name}:{port}" for name in LOOPBACK_NAMES}
        self.expected = b"Basic " + base64.b64encode(login.encode()) if login else b""
        self.open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Callable, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and (fault := self.fault(scope)):
            await self._refuse(scope, receive, send, *fault)
        else:
            await self.app(scope, receive, send)

    def fault(self, scope: Scope) -> tuple[int, str] | None:
        """Status and sentence for a request that must not pass."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if host.rsplit(":", 1)[0] not in LOOPBACK_NAMES and host not in LOOPBACK_NAMES:
            return 403, "this server answers requests to 127.0.0.1 or localhost only"
        if origin and origin not in self.origins and origin != f"http://{host}":
            return 403, "this server answers pages of its own origin only"
        sent = headers.get(b"authorization", b"")
        if self.expected and scope["path"] not in self.open_paths and not secrets.compare_digest(sent, self.expected):
            return 401, "login needed: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        return None

    async def _refuse(self, scope: Scope, receive: Callable, send: Send, status: int, sentence: str) -> None:
        if scope["type"] == "websocket":
            await receive()  # the connect event; closing before accepting makes the server answer 403
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        if status == 401:
            headers.append((b"www-authenticate", b'Basic realm="MLflow"'))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": sentence.encode()})


def mlflow_login() -> str:
    """`user:password` from the environment; empty if none is set."""
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{part}", "") for part in ("USERNAME", "PASSWORD"))
    return f"{user}:{password}" if user and password else ""


def prefect_app(port: int) -> Application:
    """Prefect's API, its UI and its background services, over the database in `PREFECT_HOME`."""
    own = f"http://127.0.0.1:{port}"
    os.environ["PREFECT_UI_API_URL"] = f"{own}/api"  # the UI would call port 4200 whatever the port is
    os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = f"{own},http://localhost:{port}"
    os.environ["PREFECT__SERVER_FINAL"] = "1"
    os.environ.pop(
        "PREFECT_API_URL", None
    )  # a server that takes itself for a client of another would not use its database
    from prefect.server.api.server import create_app

    return Guard(create_app(), port)


def mlflow_app(port: int, store: str) -> Application:
    """MLflow's tracking server and UI over `store`; artifacts are read and written by the clients, on this host."""
    from mlflow.server import constants

    artifacts = (paths.STATE / "mlartifacts").as_uri()
    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = store
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = artifacts
    os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = f"http://127.0.0.1:{port},http://localhost:{port}"
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(store, store, artifacts)
    from mlflow.server.fastapi_app import app

    return Guard(app, port, mlflow_login(), open_paths=("/health",))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flows.serving.access_control")
    parser.add_argument("server", choices=["prefect", "mlflow"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", default=f"sqlite:///{paths.STATE / 'mlflow.db'}", help="MLflow's database")
    arguments = parser.parse_args()
    environment.settle()
    import uvicorn

    app = prefect_app(arguments.port) if arguments.server == "prefect" else mlflow_app(arguments.port, arguments.store)
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", timeout_graceful_shutdown=3)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
