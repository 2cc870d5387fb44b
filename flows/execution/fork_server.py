"""Stage processes that need not import the world: a process that has done so forks one for each stage.

Prefect, MLflow, torch and what they pull in take about eight CPU seconds to import, and a pipeline starts a dozen
stages. The pipeline starts this server before its first stage; `python -m flows.<stage>`, which DVC runs, hands its
arguments, environment and open files over before it imports anything of the stage, and waits for the end. The project's
own modules are imported ahead too, and read again by each stage once any file of them changed: what runs is what is on
disk when DVC hashes it.

Everything ends with its owner: the server with the pipeline (the kernel's death signal), a stage with the server, and
with the process DVC started, whose end closes the connection. Signals are passed on. Without the server (plain `dvc
repro`, another system than Linux) a stage imports by itself, with the same bytes. Stages that need torch wait for one
that still imports: beside it, on two cores, two that begin to train took 37 s each instead of 20. Others do not.
"""

import contextlib
import gc
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.core.workers import set_parent_death_signal
from flows.system import processes

VARIABLE = "GREENHOUSE_FORK_SERVER"
"""Environment variable with the path of the socket."""
FORKED = "GREENHOUSE_FORKED"
"""Set for a stage that the server forked."""
PACKAGES = (
    "prefect.flow_engine", "prefect.client.orchestration", "mlflow", "mlflow.transformers", "dvc.repo", "networkx",
    "torch", "transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto",
    "transformers.pipelines", "pandas", "polars", "pyarrow.parquet", "scipy.stats", "sklearn.linear_model",
    "matplotlib.pyplot", "tokenizers", "ruamel.yaml",
)  # fmt: skip
"""What the stages import of others."""
OWN = ("flows.execution.stage_process", "flows.execution.stage_run")
"""What all of them import of ours."""
WITH_TORCH = ("pretrain", "finetune", "evaluate")
"""Stages that import most of it."""
SERVE = "import sys; from flows.execution import fork_server; fork_server.serve(sys.argv[1], sys.argv[2:])"
"""The server's program. Not `-m`: importing `flows` imports this module, of which there would be two."""
TICK_NS = 20_000_000
"""The kernel stamps a file with a clock that may lag by so many nanoseconds."""
MOST_BYTES = 1 << 20
"""Of one request: arguments and environment."""


class ForkServer:
    """A fork server beside a run, for the stages of one checkout. Linux only; elsewhere it does nothing."""

    def __init__(self, root: Path, environment: dict[str, str], packages: Sequence[str] = (*PACKAGES, *OWN)) -> None:
        self._root, self._environment, self._packages = root, environment, packages
        self._folder = tempfile.TemporaryDirectory(prefix="greenhouse-", ignore_cleanup_errors=True)
        self.address = str(Path(self._folder.name, "socket"))
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it; it answers when it has imported everything. Call on a thread that lives as long as the run."""
        if sys.platform == "linux" and self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVE, self.address, *self._packages], cwd=self._root, env=self._environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
                preexec_fn=processes.dies_with_parent(signal.SIGKILL),
            )  # fmt: skip

    def stop(self) -> None:
        """End it, and the stages that still hang on it."""
        if self._process:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()


early: dict[Path, ForkServer] = {}
"""Servers that were started before their run, by its checkout."""

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals of the process that asked which go to the one that works."""


def delegate_stage() -> None:
    """If this process is a stage that DVC started and its run has a fork server, end with what the server made of it.

    Called where `flows` is imported, the first thing that `python -m flows.<stage>` does.
    """
    if {VARIABLE, "DVC_STAGE"} <= set(os.environ) and sys.orig_argv[1:2] == ["-m"]:
        processes.end_with_dvc()
        if (status := delegate(sys.orig_argv[2], sys.orig_argv[3:])) is not None:
            os._exit(status)


def delegate(module: str, arguments: list[str]) -> int | None:
    """Have the run's fork server run `python -m module arguments` in this process's place.

    Returns:
        The exit status; None if there is no server, or none that is ready or worth waiting for.
    """
    address = os.environ.pop(VARIABLE, "")
    if not address:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        if not _connected(connection, address, bool({*arguments[:1], module} & set(WITH_TORCH))):
            return None
        request = {
            "module": module, "arguments": arguments, "folder": os.getcwd(), "environment": os.environ | {FORKED: "1"},
        }  # fmt: skip
        # One that comes while the process begins waits until there is somebody to pass it on to.
        signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        try:
            socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
            pid = int(connection.recv(64) or 0)
            if not pid:
                return None
            for number in PASSED_ON:
                signal.signal(number, lambda received, _: _send_signal(pid, received))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        return int(connection.recv(64) or 1)


def _connected(connection: socket.socket, address: str, waits: bool) -> bool:
    """Connect to a server that has imported everything, or will have: until then it has another name."""
    for name in (address, f"{address}.new", address) if waits else (address,):  # it may become ready in between
        with contextlib.suppress(OSError):
            connection.connect(name)
            break
    else:
        return False
    ended = select.poll()
    ended.register(connection, 0)  # of its end alone
    while not os.path.exists(address):
        if ended.poll(50):  # ms
            return False
    return True


def _send_signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def serve(address: str, packages: Sequence[str]) -> None:
    """Import the packages, then fork a process for each request until killed; who asks before that may wait in line."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{address}.new")
    listener.listen()
    began = time.time_ns()
    for package in packages:
        with contextlib.suppress(ImportError):
            __import__(package)
    gc.collect()
    gc.freeze()  # a search for garbage in a stage would look through these 700,000 objects, and copy their pages
    try:
        os.rename(f"{address}.new", address)
    except FileNotFoundError:  # the run ended meanwhile, and its folder with it
        return
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    _begin(listener, selector, began)
                else:
                    _end(selector, *key.data)


def _begin(listener: socket.socket, selector: selectors.BaseSelector, imported_ns: int) -> None:
    connection, _ = listener.accept()
    data, files, _, _ = socket.recv_fds(connection, MOST_BYTES, 3)
    request = json.loads(data) if len(files) == 3 else {}
    if request.get("folder") != os.getcwd():  # of another checkout, whose modules this process would not find
        for file in files:
            os.close(file)
        connection.close()
        return
    with (
        warnings.catch_warnings()
    ):  # of threads, from Python 3.12 on: those that OpenBLAS and Arrow keep outlive a fork
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        selector.close()
        listener.close()
        connection.close()
        _become(request, files, imported_ns)
    for file in files:
        os.close(file)
    with contextlib.suppress(OSError):
        connection.send(str(pid).encode())
    ended = os.pidfd_open(pid)
    selector.register(ended, selectors.EVENT_READ, (pid, ended, connection))
    selector.register(connection, selectors.EVENT_READ, (pid, ended, connection))


def _end(selector: selectors.BaseSelector, pid: int, ended: int, connection: socket.socket) -> None:
    """A stage has ended, or who asked for it: then the stage is killed."""
    if ended not in selector.get_map():  # both happened at once
        return
    with contextlib.suppress(ProcessLookupError):
        if not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    with contextlib.suppress(OSError):
        connection.send(str(code if code >= 0 else 128 - code).encode())
    selector.unregister(ended)
    selector.unregister(connection)
    os.close(ended)
    connection.close()


def _become(request: dict[str, Any], files: list[int], imported_ns: int) -> None:
    """Become the process that was asked for. Never returns."""
    status = 1
    try:
        set_parent_death_signal(signal.SIGKILL)
        os.setsid()
        for target, file in enumerate(files):
            os.dup2(file, target)
            os.close(file)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        _drop_own_if_changed(imported_ns)
        sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
        sys.argv = [request["module"], *request["arguments"]]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(bool(error.code))
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _drop_own_if_changed(imported_ns: int) -> None:
    """Have our modules read again, all of them, if a file of one may have changed since they were imported.

    By the time of the change of its inode, which cannot be set back; up to the clock's coarsest tick before, too.
    """
    own = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in ("components", "flows")}
    files = [module.__file__ for module in own.values() if module.__file__]
    try:
        same = all(os.stat(file).st_ctime_ns < imported_ns - TICK_NS for file in files)
    except FileNotFoundError:
        same = False
    for name in () if same else own:
        del sys.modules[name]
