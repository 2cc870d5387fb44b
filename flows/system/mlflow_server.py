"""Whether the MLflow server that the environment names can be asked: its own client tries for two minutes per call."""

import os
import time

from components.core.errors import UserError


def silence(seconds: float) -> str:
    """Reason why `MLFLOW_TRACKING_URI` does not answer within `seconds`; "" if it does, or is no server."""
    import httpx

    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        return ""
    deadline = time.monotonic() + seconds
    while True:
        try:
            httpx.get(f"{uri.rstrip('/')}/health", timeout=2)
            return ""
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if time.monotonic() + 0.2 > deadline:
                return str(error) or type(error).__name__
            time.sleep(0.2)


def require_mlflow() -> None:
    """Raise `UserError` if the server that `MLFLOW_TRACKING_URI` names does not answer within 10 seconds."""
    if reason := silence(10):
        uri = os.environ["MLFLOW_TRACKING_URI"]
        raise UserError(
            f"MLFLOW_TRACKING_URI={uri} does not answer ({reason}); start that server, or unset the variable"
        )
