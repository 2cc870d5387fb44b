"""A Prefect server of our own for the length of one command, to the end of its process, where none runs.

Prefect would start one by itself, but such a server outlives a killed parent, and every child would
start another. Ours dies with its parent, stands behind flows/serving/access_control.py with a login
of its own, and its address and login are put into the environment, so that the stages and their
flows share it.
"""

import atexit
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from components.core.errors import UserError
from flows.system import paths, processes
from flows.system.login import KEY, make_logins, new_key

LONGEST_SILENCE_S = 60.0
"""A server that has not answered for so long is taken for gone: one that is started anew answers before."""
BETWEEN_LOOKS_S = 5.0


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with listener(0) as probe:
        return probe.getsockname()[1]


def listener(port: int) -> socket.socket:
    """A socket that listens on a port of the loopback interface (0: a free one), for a server that starts meanwhile.

    Whoever connects waits until that server answers. Until it did, a program of another account
    could take the port, and would be told the login.

    Raises:
        OSError: the port is taken, or not permitted.
    """
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


def healthy(url: str, seconds: float, process: subprocess.Popen | None = None) -> bool:
    """Whether `url` answers 200 within `seconds`; given up at once if `process` ends."""
    import httpx

    deadline = time.monotonic() + seconds
    with httpx.Client(timeout=2) as client:  # one for all looks: making it takes a hundred times as long as asking
        while time.monotonic() < deadline:
            if process is not None and process.poll() is not None:
                return False
            try:
                if client.get(url).status_code == 200:
                    return True
            except httpx.HTTPError:
                time.sleep(0.05)
    return False


def move_damaged_database() -> None:
    """Move Prefect's database away if it is damaged, and say so: the next server makes one, without earlier runs."""
    database = paths.STATE / "prefect" / "prefect.db"
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            state = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:  # there is none, or another process writes
        return
    except sqlite3.DatabaseError as error:
        state = str(error)
    if state != "ok":
        target = database.with_name(f"damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        target.mkdir()
        for file in database.parent.glob("prefect.db*"):
            file.rename(target / file.name)
        print(
            f"Prefect's database is damaged ({state}); it is in {target} now, and Prefect begins a new one", flush=True
        )


def require_prefect(url: str) -> None:
    """Raise `UserError` if the API that `PREFECT_API_URL` names does not answer, or refuses the login."""
    if not healthy(f"{url}/health", 10):
        raise UserError(f"PREFECT_API_URL={url} does not answer; start that server, or unset the variable")
    _require_login(url)


def _require_login(url: str) -> None:
    """Raise `UserError` if the API wants a login that Prefect's client does not have."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    # Prefect may have been imported before the environment had the login.
    login = os.environ.get("PREFECT_API_AUTH_STRING") or PREFECT_API_AUTH_STRING.value()
    with temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: login}):
        try:
            with get_client(sync_client=True) as client:
                client.hello()
        except PrefectHTTPStatusError as error:
            if error.response.status_code not in (401, 403):
                raise
            todo = "takes another login: correct" if PREFECT_API_AUTH_STRING.value() else "wants a login: set"
            raise UserError(f"Prefect at {url} {todo} PREFECT_API_AUTH_STRING (user:password)") from None


@contextmanager
def prefect_server(
    on_end: Callable[[str], None] | None = None, meanwhile: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """The API of a Prefect server: the one the environment names, else a temporary one.

    Args:
        on_end: called on a thread, with a sentence, if the server is gone before the `with` block
            ends.
        meanwhile: called with `PREFECT_API_URL` set while a temporary server starts, which takes
            seconds, and ten where it makes its database. Not called if there is nothing to wait
            for.

    Raises:
        UserError: the named one does not answer, the temporary one does not start (the log is
            named), or the login is refused.
    """
    closing = threading.Event()
    if url := os.environ.get("PREFECT_API_URL"):
        require_prefect(url)
        if on_end:
            threading.Thread(target=_report_silence, args=(url, closing, on_end), daemon=True).start()
        try:
            yield url
        finally:
            closing.set()
        return
    move_damaged_database()
    log = paths.LOGS / "prefect-server.log"
    names = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
    before = {name: os.environ[name] for name in names if name in os.environ}
    key = new_key()
    make_logins(key, prefect=True, mlflow=False)
    process, port = start(["flows.serving.access_control", "ephemeral-prefect"], log, {KEY: key}, 0)
    url = f"http://127.0.0.1:{port}/api"
    try:
        with ExitStack() as failing:
            failing.callback(processes.stop, process)
            os.environ["PREFECT_API_URL"] = url
            meanwhile()
            if not healthy(f"{url}/health", 90, process):
                raise UserError(f"the Prefect server did not start; see {log}")
            _require_login(url)
            failing.pop_all()
        atexit.register(processes.stop, process)  # before that, at this process's end, Prefect sends what it holds back
        if on_end:
            threading.Thread(target=_report_end, args=(process, closing, on_end, log), daemon=True).start()
        from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

        login = os.environ["PREFECT_API_AUTH_STRING"]  # Prefect may have been imported before the environment had it
        with temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: login}):
            yield url
    finally:
        closing.set()
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)


def start(
    command: list[str], log: Path, environment: Mapping[str, str], port: int | None = None
) -> tuple[subprocess.Popen, int]:
    """Start a module of ours in a session of its own, so that Ctrl-C reaches this process alone, whose end ends it.

    Args:
        command: the module and its arguments.
        port: of a server: a socket that listens there (0: on a free one) is passed on as its last
            argument.

    Returns:
        The process, and the port.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w") as output, ExitStack() as stack:
        sockets = [] if port is None else [stack.enter_context(listener(port))]
        passed = [item.fileno() for item in sockets]
        process = subprocess.Popen(
            [sys.executable, "-m", *command, *map(str, passed)], pass_fds=passed,
            cwd=paths.ROOT, env=os.environ | environment, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=processes.dies_with_parent(),
        )  # fmt: skip
        return process, sockets[0].getsockname()[1] if sockets else 0


def _report_end(process: subprocess.Popen, closing: threading.Event, on_end: Callable[[str], None], log: Path) -> None:
    """Call `on_end` once the server's process is gone, unless it was ended on purpose."""
    status = process.wait()
    if not closing.is_set():
        on_end(f"the temporary Prefect server ended (status {status}, see {log}); run it again, it resumes")


def _report_silence(url: str, closing: threading.Event, on_end: Callable[[str], None]) -> None:
    """Call `on_end` once a server that others run has not answered for long: its client would try for minutes more."""
    answered = time.monotonic()
    while not closing.wait(BETWEEN_LOOKS_S):
        if healthy(f"{url}/health", BETWEEN_LOOKS_S):
            answered = time.monotonic()
        elif time.monotonic() - answered > LONGEST_SILENCE_S and not closing.is_set():
            on_end(f"PREFECT_API_URL={url} has not answered for {LONGEST_SILENCE_S:.0f} s; start that server and run "
                   "again, it resumes")  # fmt: skip
            return
