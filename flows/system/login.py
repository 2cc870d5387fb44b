"""Logins of the servers that are started here: what the user set in the environment, else one that is made.

A made login is a random key, new at each start, so that a program which later listens on a port
that we left learns nothing of use. It stands where other accounts of the machine cannot read: in
the environment of our processes, and in `.greenhouse/servers.json`, from where the commands of the
checkout take it. It is never an argument of a process.
"""

import os
import secrets

USER = "greenhouse"
KEY = "GREENHOUSE_LOGIN_KEY"
"""Variable by which a server is told the key of the link that `make up` prints."""
LINK = "login_key"
"""Parameter of a URL that logs a browser in."""
CLIENT_VARIABLES = {
    "PREFECT_API_URL": ("PREFECT_API_AUTH_STRING",),
    "MLFLOW_TRACKING_URI": ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
}
"""Variable with a server's address -> those with its login, as Prefect's and MLflow's clients read them."""


def new_key() -> str:
    """A key of 256 random bits, of characters that need no quoting in a URL or a shell."""
    return secrets.token_urlsafe(32)


def prefect_login() -> str:
    """`user:password` of Prefect's server as the user set it, for the server or for its clients; "" if not set."""
    return os.environ.get("PREFECT_SERVER_API_AUTH_STRING") or os.environ.get("PREFECT_API_AUTH_STRING", "")


def mlflow_login() -> tuple[str, str] | None:
    """User and password of MLflow's server and its clients, from the environment."""
    user, password = (os.environ.get(name, "") for name in CLIENT_VARIABLES["MLFLOW_TRACKING_URI"])
    return (user, password) if user and password else None


def prefect_auth() -> tuple[str, str] | None:
    """The login of Prefect's clients, as httpx takes it."""
    user, colon, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return (user, password) if colon else None


def make_logins(key: str, *, prefect: bool, mlflow: bool) -> dict[str, str]:
    """Put into the environment what clients of our servers need to log in. Returns the variables that were made.

    Args:
        key: password of the login that is made for a server which the user set none for.
        prefect: whether Prefect's server is ours.
        mlflow: whether MLflow's server is ours.
    """
    logins = dict[str, str]()
    if prefect and (configured := prefect_login()):
        os.environ.setdefault("PREFECT_API_AUTH_STRING", configured)
    elif prefect:
        logins["PREFECT_API_AUTH_STRING"] = f"{USER}:{key}"
    if mlflow and not mlflow_login():
        logins |= dict(zip(CLIENT_VARIABLES["MLFLOW_TRACKING_URI"], (USER, key), strict=True))
    os.environ.update(logins)
    return logins
