"""`greenhouse up`: Prefect's server, MLflow's server and the served deployments, as one foreground command."""

import os
import shlex
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from components.core.errors import UserError
from flows.execution.stages import STAGES
from flows.system import dvc, environment, paths, processes
from flows.system.login import KEY, LINK, make_logins, new_key, prefect_auth
from flows.system.mlflow_server import require_mlflow
from flows.system.prefect_server import healthy, listener, move_damaged_database, require_prefect, start
from flows.system.run_folder import write_private
from flows.tracking import record as run_record
from flows.tracking import recovery
from flows.tracking.mlflow_run import client, experiment_id
from flows.tracking.mlflow_view import links

START_S = 90.0


@dataclass
class Child:
    """A process that `up` started, and the log its output goes to."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    """Of a server: a socket that listens there is passed on as its last argument."""
    process: subprocess.Popen = field(init=False)

    @property
    def log(self) -> Path:
        return paths.LOGS / f"{self.name}.log"

    def start(self) -> None:
        """Start it: Ctrl-C reaches `up` alone, which stops the children in order."""
        self.process, _ = start(self.command, self.log, self.environment, self.port or None)

    def failure(self, problem: str) -> UserError:
        """An error that shows the log's last line and where the rest is: of one that was killed, it is no reason."""
        if (status := self.process.poll() or 0) < 0:
            return UserError(f"{self.name} was killed (signal {-status}); start again; the whole log is {self.log}")
        lines = self.log.read_text(errors="replace").strip().splitlines()
        last = lines[-1].strip() if lines else "no output"
        return UserError(f"{self.name} {problem}: {last}; the whole log is {self.log}")


def port_from(variable: str, default: int) -> int:
    """The port a variable names.

    Raises:
        UserError: it is no port, or something listens there.
    """
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise UserError(f"{variable}={text}: a port is a whole number from 1 to 65535; correct it")
    port = int(text)
    try:
        listener(port).close()
    except PermissionError:
        raise UserError(
            f"{variable}={port}: not permitted; choose one above 1023: {variable}=4321 greenhouse up"
        ) from None
    except OSError:
        other = f"{variable}={port + 1} greenhouse up"
        raise UserError(f"port {port} is taken{holder(port)}; stop that, or choose another: {other}") from None
    return port


def holder(port: int) -> str:
    """` by process 123 (name)` for the process that listens on a port, where the system lets us see it."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.laddr and (connection.laddr.port, connection.status) == (port, psutil.CONN_LISTEN)
            if listens and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""


@dataclass
class ServerPlan:
    """Which servers to start (port, or 0 for one that a team has) and the addresses all will be reached at."""

    prefect_port: int
    mlflow_port: int
    store: str
    prefect_url: str
    mlflow_url: str


def plan(given: dict[str, str]) -> ServerPlan:
    """Decide from the environment as the user set it.

    Raises:
        UserError: a port is taken or none, both are the same, or `make up` runs already.
    """
    if environment.running_servers():
        raise UserError(f"the servers run already: {paths.SERVERS} says where; stop that `greenhouse up` first")
    team_prefect, team_mlflow = given.get("PREFECT_API_URL", ""), given.get("MLFLOW_TRACKING_URI", "")
    served = team_mlflow.startswith(("http://", "https://", "databricks"))
    prefect_port = 0 if team_prefect else port_from("PREFECT_PORT", 4200)
    mlflow_port = 0 if served else port_from("MLFLOW_PORT", 5000)
    if prefect_port and prefect_port == mlflow_port:
        raise UserError(f"PREFECT_PORT and MLFLOW_PORT are both {prefect_port}; choose two ports")
    return ServerPlan(
        prefect_port, mlflow_port, team_mlflow or f"sqlite:///{paths.STATE / 'mlflow.db'}",
        team_prefect or f"http://127.0.0.1:{prefect_port}/api",
        team_mlflow if served else f"http://127.0.0.1:{mlflow_port}",
    )  # fmt: skip


class Servers(list[Child]):
    """All that `up` started, stopped in the reverse order when the block ends, whatever ends it."""

    def __enter__(self) -> "Servers":
        return self

    def __exit__(self, *_: object) -> None:
        on_signals(signal.SIG_IGN)  # a second Ctrl-C must not break off the stopping
        paths.SERVERS.unlink(missing_ok=True)
        for child in reversed(self):
            processes.stop(child.process)
            if child.name == "serve":  # what it ran is gone, and the servers that have its record still answer
                with suppress(Exception):
                    recovery.recover(serving=any(other.name == "prefect" for other in self))

    def start(self, child: Child) -> Child:
        child.start()
        self.append(child)
        return child

    def check(self) -> None:
        """Raises `UserError` if one of them has ended."""
        for child in self:
            if child.process.poll() is not None:
                raise child.failure(f"ended (status {child.process.returncode})")


def start_servers(servers: Servers, chosen: ServerPlan, key: str) -> None:
    """Start the servers side by side and wait until all answer; `key` is of the link that logs a browser in."""
    started, secret = [], {KEY: key}
    if chosen.prefect_port:
        move_damaged_database()
        command = ["flows.serving.access_control", "prefect"]
        prefect = Child("prefect", command, secret, chosen.prefect_port)
        started.append((servers.start(prefect), f"{chosen.prefect_url}/health"))
    if chosen.mlflow_port:
        command = ["flows.serving.access_control", "mlflow"]
        database = {"MLFLOW_TRACKING_URI": chosen.store}  # no argument, which others see: it may hold a password
        mlflow = Child("mlflow", command, secret | database, chosen.mlflow_port)
        started.append((servers.start(mlflow), f"{chosen.mlflow_url}/health"))
    for child, health in started:
        if not healthy(health, START_S, child.process):
            ended = child.process.poll() is not None
            raise child.failure("did not start" if ended else f"did not answer within {START_S:.0f} s")
    require_prefect(chosen.prefect_url)
    require_mlflow()


def start_deployments(servers: Servers, chosen: ServerPlan) -> dict[str, str]:
    """Serve the deployments and wait until Prefect has them. Returns name -> id."""
    since = time.time()
    # On a team's server others may serve the same deployments.
    child = servers.start(Child("serve", ["flows.deployments", *(["--alone"] if chosen.prefect_port else [])]))
    deadline = time.monotonic() + START_S
    stages = STAGES.keys() & {name.split("@")[0] for name in dvc.graph()}
    wanted = {"pipeline", *(f"stage-{name}" for name in stages)}
    while not wanted <= (ids := deployed(chosen.prefect_url, since)).keys():
        servers.check()
        if time.monotonic() > deadline:
            raise child.failure(f"registered no deployment within {START_S:.0f} s")
        time.sleep(0.3)
    return ids


def deployed(api: str, since: float) -> dict[str, str]:
    """Name -> id of the deployments that were registered after `since` (Unix seconds)."""
    import httpx

    try:
        answer = httpx.post(f"{api}/deployments/filter", json={}, auth=prefect_auth())
    except httpx.HTTPError:
        return {}
    rows = answer.json() if answer.status_code == 200 else []
    return {row["name"]: row["id"] for row in rows if datetime.fromisoformat(row["updated"]).timestamp() >= since - 1}


def form_address(chosen: ServerPlan, deployment: str) -> str:
    """The page of a deployment's form: of the newer of the UIs our own server has; a team's may have one alone."""
    ui = chosen.prefect_url.removesuffix("/api") + ("/v2" if chosen.prefect_port else "")
    return f"{ui}/deployments/deployment/{deployment}/run"


def record(clients: dict[str, str]) -> None:
    """Tell the other commands the variables of clients, as long as this process lives."""
    me = os.getpid()
    owner = {"pid": me, "started": processes.start_of(me), "state": str(paths.STATE)}
    write_private(paths.SERVERS, owner | clients)


def show(chosen: ServerPlan, form: str, clients: dict[str, str], key: str) -> None:
    """Print the link that logs a browser in, the pages, and the environment of clients elsewhere."""
    if chosen.prefect_port or chosen.mlflow_port:
        first = form if chosen.prefect_port else f"{chosen.mlflow_url}/"
        print(f"login     {first}?{LINK}={key}   once in each browser")
    print(f"Prefect   {form}   the form of a run")
    for page, address in links(client(), experiment_id, chosen.mlflow_url).items():
        print(f"{'MLflow' if page == 'runs' else page:<9} {address}")
    print("clients elsewhere:")
    for name, value in clients.items():
        print(f"    export {name}={shlex.quote(value)}")
    print(f"logs      {paths.LOGS}\nCtrl-C stops all of it.", flush=True)


def stale_line() -> str:
    """Sentence on the stages that ran and are stale now, such as after a new version; "" if there are none."""
    stale = {}
    with suppress(UserError):  # a run is at work on the same files
        stale = {stage: reasons for stage, reasons in dvc.stale().items() if reasons != ["never ran"]}
    if not stale:
        return ""
    first, reasons = next(iter(stale.items()))
    return f"stale     {', '.join(stale)} ({first}: {reasons[0]}); greenhouse plan --why says why of each"


def serve_all() -> None:
    """Start everything, say where it is, and stay until told to stop."""
    chosen = plan(dict(os.environ))
    key = new_key()
    auth = make_logins(key, prefect=bool(chosen.prefect_port), mlflow=bool(chosen.mlflow_port))
    clients = {"PREFECT_API_URL": chosen.prefect_url, "MLFLOW_TRACKING_URI": chosen.mlflow_url} | auth
    os.environ["PREFECT_API_URL"], os.environ["MLFLOW_TRACKING_URI"] = chosen.prefect_url, chosen.mlflow_url
    with Servers() as servers:
        print("starting Prefect, MLflow and the deployments ...", flush=True)
        start_servers(servers, chosen, key)
        record(clients)
        threading.Thread(target=run_record.follow, name="record", daemon=True).start()
        threading.Thread(target=recovery.watch, name="recovery", daemon=True).start()
        ids = start_deployments(servers, chosen)
        show(chosen, form_address(chosen, ids["pipeline"]), clients, key)
        if line := stale_line():
            print(line, flush=True)
        while True:
            servers.check()
            time.sleep(0.5)


def on_signals(handler: Any) -> None:
    """Set the handler of Ctrl-C, SIGTERM and the end of the terminal."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def up() -> None:
    """Serve Prefect, MLflow and the deployments, as one foreground command.

    greenhouse up                                             ports 4200 and 5000
    PREFECT_PORT=4210 MLFLOW_PORT=5010 greenhouse up

    They work over the databases that runs without servers write, on loopback, behind flows/serving/access_control.py.
    Their login is made anew each time, unless you set one (docs/team.md). A taken port is an error before anything
    starts. While this runs, every other command of the checkout uses these servers: addresses and login are in
    `.greenhouse/servers.json`. A server that a team has already (`PREFECT_API_URL`, `MLFLOW_TRACKING_URI` in the
    environment) is used, not started. Ctrl-C or SIGTERM stops all that was started; so does the end of any of them.
    """
    on_signals(signal.default_int_handler)
    try:
        serve_all()
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
