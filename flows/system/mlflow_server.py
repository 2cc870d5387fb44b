"""Whether the MLflow server that the environment names can be asked: its own client tries for two minutes per call.

And whether it takes the login that the environment holds: its client would end a command with a
traceback.
"""

import os
import sys
import time

from components.core.errors import UserError, clause
from flows.system.login import mlflow_login


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
    """Refuse to go on without the server that `MLFLOW_TRACKING_URI` names.

    Raises:
        UserError: it does not answer within 10 seconds, or refuses the login.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if reason := silence(10):
        raise UserError(
            f"MLFLOW_TRACKING_URI={uri} does not answer ({reason}); start that server, or unset the variable"
        )
    if uri.startswith(("http://", "https://")) and _refuses_login(uri):
        todo = "takes another login: correct" if mlflow_login() else "wants a login: set"
        raise UserError(f"MLflow at {uri} {todo} MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")


def refusal_of(error: BaseException) -> str:
    """Sentence for an error of MLflow, such as of a server that ended meanwhile; "" of any other error."""
    mlflow = sys.modules.get("mlflow.exceptions")
    if mlflow is None or not isinstance(error, mlflow.MlflowException):
        return ""
    if reason := silence(0):
        uri = os.environ["MLFLOW_TRACKING_URI"]
        return f"the MLflow server at {uri} does not answer any more ({reason}); run the command again"
    return f"MLflow refuses what is asked of it: {clause(error)}"


def _refuses_login(uri: str) -> bool:
    """Whether it does, of the login above and of the others that MLflow's client knows (a token, a file)."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        MlflowClient(uri).search_experiments(max_results=1)
    except MlflowException as error:
        return error.get_http_status_code() in (401, 403)
    return False
