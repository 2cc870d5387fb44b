"""Prefect's and MLflow's servers behind access control: loopback, own origin, and a login if one is set.

    python -m flows.serving.access_control prefect --port 4200
    python -m flows.serving.access_control mlflow --port 5000

Both bind to loopback by themselves, and that is not enough: any page in the user's browser can reach a loopback port,
and Prefect answers every `Host` and every `Origin`. The checks stand before the whole application, websockets too. They
refuse a request whose `Host` is no loopback name (a page that rebinds its own DNS name to 127.0.0.1) and one whose
`Origin` is not the server's own (a page that posts across origins). Programs send no `Origin`: they pass.

Logins come from the environment only. Prefect has its own: `PREFECT_SERVER_API_AUTH_STRING=user:password`. MLflow gets
one here, as HTTP Basic, which its clients speak: `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`.
"""

import base64
import os
import secrets
from datetime import timedelta
from functools import partial

from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.system import paths
from flows.system.command import parser_of, run_command
from flows.system.mlflow_server import login

LOOPBACK_NAMES = ["127.0.0.1", "localhost"]
BETWEEN_LOOKS = timedelta(seconds=1)
"""Between looks for Prefect's background work (late runs, cancelled children): an idle server should use little."""


class AccessControl:
    """ASGI middleware: 403 for a foreign `Origin`, 401 without the login if there is one.

    Args:
        app: what is protected.
        port: the server's; its own origins are the loopback names at this port, and a tunnel's (`Origin` is `Host`).
        login: `user:password`; empty for none.
        open_paths: paths that need no login (health checks).
    """

    def __init__(self, app: ASGIApp, port: int, login: str = "", open_paths: tuple[str, ...] = ()) -> None:
        self.app = app
        self.origins = {f"http://{name}:{port}" for name in LOOPBACK_NAMES}
        self.expected = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""
        self.open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self.refusal(HTTPConnection(scope)) if scope["type"] in ("http", "websocket") else None
        await (refusal or self.app)(scope, receive, send)

    def refusal(self, request: HTTPConnection) -> Response | None:
        """The answer to a request that must not pass."""
        origin = request.headers.get("origin", "")
        if origin and origin not in self.origins and origin != f"http://{request.headers.get('host', '')}":
            return PlainTextResponse("this server answers pages of its own origin only", 403)
        sent = request.headers.get("authorization", "").encode()
        if not self.expected or request.url.path in self.open_paths:
            return None
        if secrets.compare_digest(sent, self.expected.encode()):
            return None
        return PlainTextResponse(
            "login needed: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            401,
            {"WWW-Authenticate": 'Basic realm="MLflow"'},
        )


def protected(app: ASGIApp, port: int, login: str = "", open_paths: tuple[str, ...] = ()) -> ASGIApp:
    """The application behind both checks: loopback names only (400 else), own origin and login."""
    return TrustedHostMiddleware(AccessControl(app, port, login, open_paths), LOOPBACK_NAMES, www_redirect=False)


def prefect_app(port: int) -> ASGIApp:
    """Prefect's API, its UI and its background services, over the database in `PREFECT_HOME`."""
    own = f"http://127.0.0.1:{port}"
    os.environ["PREFECT_UI_API_URL"] = f"{own}/api"  # the UI would call port 4200 whatever the port is
    os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = f"{own},http://localhost:{port}"
    os.environ["PREFECT__SERVER_FINAL"] = "1"
    os.environ.pop(
        "PREFECT_API_URL", None
    )  # a server that takes itself for a client of another would not use its database
    os.environ.setdefault("PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY", "PT1M")  # by default every 5 s
    from docket import Worker
    from prefect.server.api import background_workers
    from prefect.server.api.server import create_app

    # Prefect has no setting for it; at docket's 250 ms an idle server wakes up 230 times a second.
    rarely = partial(Worker, minimum_check_interval=BETWEEN_LOOKS, scheduling_resolution=BETWEEN_LOOKS)
    background_workers.Worker = rarely  # type: ignore[misc, assignment]
    return protected(create_app(), port)


def mlflow_app(port: int, store: str) -> ASGIApp:
    """MLflow's tracking server and UI over `store`; artifacts are read and written by the clients, on this host."""
    from mlflow.server import constants

    artifacts = (paths.STATE / "mlartifacts").as_uri()
    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = store
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = artifacts
    os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = f"http://127.0.0.1:{port},http://localhost:{port}"
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(store, store, artifacts)
    from mlflow.server.fastapi_app import app

    return protected(app, port, ":".join(login() or ()), open_paths=("/health",))


def main() -> None:
    """Serve until stopped."""
    parser = parser_of("serving.access_control", __doc__)
    parser.add_argument("server", choices=["prefect", "mlflow"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", default=f"sqlite:///{paths.STATE / 'mlflow.db'}", help="MLflow's database")
    arguments = parser.parse_args()
    import uvicorn

    app = prefect_app(arguments.port) if arguments.server == "prefect" else mlflow_app(arguments.port, arguments.store)
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", timeout_graceful_shutdown=3)


if __name__ == "__main__":
    run_command("access_control", main)
