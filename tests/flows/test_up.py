"""`make up`, with real servers on free ports: healthy, guarded, used by others, and gone afterwards however it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from components.core.files import read_json
from flows import up
from flows.system import paths
from flows.system.prefect_server import free_port
from tests.errors import refused, refuses, shows
from tests.flows.pipeline_clone import is_running, until

OUTSIDE = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "PREFECT_HOME", "GREENHOUSE_STATE", "PREFECT_API_AUTH_STRING",
           "PREFECT_SERVER_API_AUTH_STRING", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")  # fmt: skip
ASKING = """
import asyncio
from flows.system import paths
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.events.clients import PrefectEventSubscriber, PrefectEventsClient
from prefect.logging.clients import PrefectLogsSubscriber

async def ask():
    async with get_client() as client:
        print(sorted(deployment.name for deployment in await client.read_deployments()))
    for subscriber in (PrefectEventsClient, PrefectEventSubscriber, PrefectLogsSubscriber):
        async with subscriber():
            print(subscriber.__name__)

asyncio.run(ask())
client = MlflowClient()
print(client.get_experiment(client.create_experiment("mine")).artifact_location)
"""
"""What a command of the checkout may ask: both APIs, and all websockets of Prefect's clients."""


def variables(state: Path, **more: str) -> dict[str, str]:
    """This process's, with a state folder of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
    return kept | {"GREENHOUSE_STATE": str(state), **more}


def test_what_was_run_is_closed_while_the_servers_still_answer(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(up, "on_signals", lambda handler: None)
    monkeypatch.setattr(up.processes, "stop", lambda process: done.append(f"stop {process}"))
    monkeypatch.setattr(up.recovery, "recover", lambda serving: done.append(f"close {serving}"))
    with up.Servers() as running:
        for name in ("prefect", "mlflow", "serve"):
            child = up.Child(name, [])
            child.process = name  # type: ignore[assignment]
            running.append(child)
    assert done == ["stop serve", "close True", "stop mlflow", "stop prefect"]


@contextmanager
def servers(state: Path, **more: str) -> Iterator[tuple[subprocess.Popen, dict[str, str]]]:
    """`make up` until its addresses are printed: the process and the addresses."""
    ports = {"PREFECT_PORT": str(free_port()), "MLFLOW_PORT": str(free_port())}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "up"], cwd=paths.ROOT, env=variables(state, **ports, **more),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                break
        assert process.poll() is None, "".join(said)
        (state / "said").write_text("".join(said))
        yield process, read_json(state / "servers.json")
    finally:
        process.kill()
        process.wait()


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all of them ended within a minute."""
    return until(lambda: not any(is_running(p.pid) for p in processes), 60)


@pytest.mark.pipeline
@pytest.mark.slow
def test_up_serves_guards_and_stops(tmp_path: Path, ended: str) -> None:
    state = tmp_path / "with a space" / ".greenhouse"
    with servers(state) as (process, addresses):
        prefect, mlflow = addresses["PREFECT_API_URL"], addresses["MLFLOW_TRACKING_URI"]
        login, key = ("greenhouse", addresses["MLFLOW_TRACKING_PASSWORD"]), addresses["MLFLOW_TRACKING_PASSWORD"]
        for url in (f"{prefect}/health", f"{mlflow}/health"):
            assert httpx.get(url, timeout=20).status_code == 200
        for url in (f"{prefect}/flows/filter", f"{mlflow}/api/2.0/mlflow/experiments/search"):
            body = {"max_results": 5} if "mlflow" in url else {}
            refused = httpx.post(url, json=body)
            assert refused.status_code == 401
            assert "open the link that `make up` printed" in refused.text
            assert httpx.post(url, json=body, auth=("greenhouse", "guess")).status_code == 401
            assert httpx.post(url, json=body, auth=login).status_code == 200
            assert httpx.post(url, json=body, auth=login, headers={"Origin": "http://evil.com"}).status_code == 403
            assert httpx.post(url, json=body, auth=login, headers={"Host": "evil.com"}).status_code == 400
        names = {row["name"] for row in httpx.post(f"{prefect}/deployments/filter", json={}, auth=login).json()}
        assert min(names) == "pipeline", "Prefect shows ten, from A to Z"
        assert {"stage-ingest", "stage-pretrain", "study-seeds"} <= names
        killed = a_run_of(ended, f"{prefect}/", login)
        said = (state / "said").read_text()
        assert_browser_logs_in_once(said, prefect, mlflow)
        tree = process_tree(process)
        listening = {c.laddr for p in tree for c in p.net_connections() if c.status == "LISTEN"}
        assert {address.ip for address in listening} == {"127.0.0.1"}
        # A third, once it is there, is of Prefect's runner: each process that it starts has a key of its own for it.
        answers = sorted(answer(port) for _, port in listening)
        assert answers in (["401", "401"], ["", "401", "401"])
        asked = subprocess.run(
            [sys.executable, "-c", ASKING], cwd=paths.ROOT, env=variables(state), capture_output=True, text=True
        )
        assert asked.stdout.splitlines()[1:] == [
            "PrefectEventsClient", "PrefectEventSubscriber", "PrefectLogsSubscriber",
            (state / "mlartifacts").as_uri() + "/2",
        ], asked.stderr  # fmt: skip
        assert_secret(key, state, tree)
        assert addresses_seen_elsewhere(state) == (prefect, mlflow)
        look = f"{prefect}/flow_runs/{killed}"
        assert until(lambda: httpx.get(look, auth=login).json()["state"]["name"] == "Crashed", 60)
        again = run_verb("up", state, PREFECT_PORT=str(free_port()))
        assert again.returncode == 1
        shows(again.stderr, "up.plan.1")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert gone(tree)
        assert not (state / "servers.json").exists()


def a_run_of(process: str, prefect: str, login: tuple[str, str]) -> str:
    """Id of a run in Prefect that is Running, of this process."""
    flow = httpx.post(f"{prefect}flows/", json={"name": "pipeline"}, auth=login).json()["id"]
    body = {"flow_id": flow, "state": {"type": "RUNNING"}, "labels": {"process": process}}
    return httpx.post(f"{prefect}flow_runs/", json=body, auth=login).json()["id"]


def answer(port: int) -> str:
    """The status with which a port answers a request without login; "" if it closes the connection."""
    try:
        return str(httpx.get(f"http://127.0.0.1:{port}/").status_code)
    except httpx.RemoteProtocolError:
        return ""


def assert_browser_logs_in_once(said: str, prefect: str, mlflow: str) -> None:
    """The printed link leads to the form without the key, and its cookie opens all pages and both APIs."""
    (link,) = re.findall(r"^login +(\S+)", said, re.MULTILINE)
    with httpx.Client(timeout=20, headers={"Accept": "text/html"}) as browser:
        form = prefect.removesuffix("api") + "v2/"
        assert browser.get(form).status_code == browser.get(mlflow).status_code == 401
        landed = browser.get(link, follow_redirects=True)
        assert landed.status_code == 200
        assert str(landed.url) == link.partition("?")[0]
        assert "text/html" in landed.headers["content-type"]
        assert browser.get(mlflow).status_code == 200
        settings = browser.get(prefect.removesuffix("api") + "ui-settings").json()
        assert (settings["api_url"], settings["auth"]) == (prefect, None)
        assert browser.post(f"{prefect}/flows/filter", json={}).status_code == 200
        for page in (landed, browser.get(mlflow)):
            assert page.headers["x-frame-options"] == "SAMEORIGIN"
            assert "frame-ancestors 'self'" in page.headers["content-security-policy"]


def assert_secret(key: str, state: Path, tree: list[psutil.Process]) -> None:
    """The key is in no process's arguments, and in no file of the state folder that others could read."""
    assert not [process for process in tree if key in " ".join(process.cmdline())]
    files = [path for path in state.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    assert {path.name for path in files} == {"servers.json", "said"}, "`said` is what this test wrote"
    assert (state / "servers.json").stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700


@pytest.mark.pipeline
@pytest.mark.long
def test_the_login_of_the_user_is_needed_and_killing_up_leaves_nothing(tmp_path: Path) -> None:
    login = {"PREFECT_SERVER_API_AUTH_STRING": "me:secret"}
    login |= {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "secret"}
    with servers(tmp_path / ".greenhouse", **login) as (process, addresses):
        prefect, mlflow = addresses["PREFECT_API_URL"], addresses["MLFLOW_TRACKING_URI"]
        asked = {f"{prefect}/flows/filter": {}, f"{mlflow}/api/2.0/mlflow/experiments/search": {"max_results": 5}}
        for url, body in asked.items():
            assert httpx.post(url, json=body).status_code == 401
            assert httpx.post(url, json=body, auth=("me", "secret")).status_code == 200
        assert "secret" not in (tmp_path / ".greenhouse" / "servers.json").read_text()
        said = (tmp_path / ".greenhouse" / "said").read_text()
        assert f"MLflow    {mlflow}/#/experiments?workflowType=machine_learning" in said  # asked with the login
        assert "secret" not in said
        challenge = httpx.get(mlflow).headers["www-authenticate"]
        assert challenge.startswith("Basic"), "a browser asks for the user's password"
        clients = {name: value for name, value in login.items() if name.startswith("MLFLOW")}
        clients |= {"PREFECT_API_AUTH_STRING": "me:secret"}
        for name, login, *says in (
            ("PREFECT_API_AUTH_STRING", "", "_require_login", f"Prefect at {prefect}"),
            ("MLFLOW_TRACKING_PASSWORD", "no", "require_mlflow.2", f"MLflow at {mlflow}"),
        ):
            done = run_verb("promote", tmp_path / ".greenhouse", **clients | {name: login})
            assert (done.returncode, done.stdout) == (1, "")
            shows(done.stderr, *says, "promote", name)
            assert done.stderr.count("\n") == 1
        tree = process_tree(process)
        process.kill()
        process.wait()
        assert gone(tree)
    assert not {prefect, mlflow} & set(addresses_seen_elsewhere(tmp_path / ".greenhouse"))


def process_tree(process: subprocess.Popen) -> list[psutil.Process]:
    return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]


def addresses_seen_elsewhere(state: Path) -> tuple[str, str]:
    """The addresses that another command of the project would use."""
    code = "import os; from flows.system import paths; print(*map(os.environ.get, ADDRESSES))"
    code = code.replace("ADDRESSES", repr(["PREFECT_API_URL", "MLFLOW_TRACKING_URI"]))
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=paths.ROOT, env=variables(state), capture_output=True, text=True, check=True
    )
    prefect, mlflow = shown.stdout.split()
    return prefect, mlflow


def run_verb(verb: str, state: Path, **more: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "flows.cli", verb]
    return subprocess.run(command, cwd=paths.ROOT, env=variables(state, **more), capture_output=True, text=True)


def test_a_taken_port_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"PREFECT_PORT": str(free_port()), "MLFLOW_PORT": str(port)}
        done = run_verb("up", tmp_path / ".greenhouse", **ports)
    assert (done.returncode, done.stdout) == (1, "")
    shows(done.stderr, "port_from.3", f"port {port}", "MLFLOW_PORT")
    state = tmp_path / ".greenhouse"  # its private folders are made by every command
    assert not (state / "logs").exists()
    assert not (state / "servers.json").exists()


@pytest.mark.parametrize("text", ["0", "70000", "http", "-1"])
def test_a_port_must_be_one(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PREFECT_PORT", text)
    refuses(lambda: up.port_from("PREFECT_PORT", 4200), "port_from.1", "PREFECT_PORT")


def test_servers_of_a_team_are_used_not_started(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_PORT", str(free_port()))
    team = {"PREFECT_API_URL": "https://prefect.team/api", "MLFLOW_TRACKING_URI": "https://mlflow.team"}
    chosen = up.plan(team)
    assert (chosen.prefect_port, chosen.mlflow_port) == (0, 0)
    assert (chosen.prefect_url, chosen.mlflow_url) == tuple(team.values())
    database = up.plan({"PREFECT_API_URL": team["PREFECT_API_URL"], "MLFLOW_TRACKING_URI": "postgresql://team/mlflow"})
    assert database.store == "postgresql://team/mlflow"
    assert database.mlflow_url == f"http://127.0.0.1:{database.mlflow_port}"


def test_both_servers_cannot_have_one_port(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = str(free_port())
    monkeypatch.setenv("PREFECT_PORT", port)
    monkeypatch.setenv("MLFLOW_PORT", port)
    refuses(lambda: up.plan({}), "up.plan.2", port)


def test_the_password_of_a_database_is_no_argument_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other accounts of the machine can read the arguments of all processes."""
    servers = up.Servers()
    monkeypatch.setattr(up.Servers, "start", lambda self, child: self.append(child) or child)
    for name in ("healthy", "require_prefect", "require_mlflow"):
        monkeypatch.setattr(up, name, lambda *_: True)
    monkeypatch.setattr(up.Child, "process", None, raising=False)
    store = "postgresql://me:secret@host/mlflow"
    chosen = up.ServerPlan(4200, 5000, store, "http://127.0.0.1:4200/api", "http://127.0.0.1:5000")
    up.start_servers(servers, chosen, "key")
    assert [child.name for child in servers] == ["prefect", "mlflow"]
    assert not [word for child in servers for word in child.command if "secret" in word or "key" in word]
    assert servers[1].environment["MLFLOW_TRACKING_URI"] == store


def test_what_a_new_version_made_stale_is_said_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = {"mix": ["file components/core/files.py: modified"], "account": ["never ran"]}
    monkeypatch.setattr(up.dvc, "stale", lambda: stale)
    assert up.stale_line().startswith("stale     mix (mix: file components/core/files.py: modified); ")
    stale.pop("mix")
    assert not up.stale_line()


def test_the_address_of_the_form_is_the_newer_page_of_our_own_server() -> None:
    own = up.ServerPlan(4200, 5000, "", "http://127.0.0.1:4200/api", "http://127.0.0.1:5000")
    assert up.form_address(own, "abc") == "http://127.0.0.1:4200/v2/deployments/deployment/abc/run"
    team = up.ServerPlan(0, 5000, "", "https://prefect.team/api", "http://127.0.0.1:5000")
    assert up.form_address(team, "abc") == "https://prefect.team/deployments/deployment/abc/run"


def test_a_server_that_was_killed_is_not_explained_by_its_last_line(checkout: Path) -> None:
    paths.LOGS.mkdir(parents=True)
    killed = "print('ready', flush=True); import os; os.kill(os.getpid(), 9)"
    for code, *says in (
        (killed, "Child.failure.1", "signal 9"),
        ("raise SystemExit('no memory')", "Child.failure.2", "ended (status 1): no memory"),
    ):
        child = up.Child("serve", [])
        with open(child.log, "w") as log:
            child.process = subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=subprocess.STDOUT)
        child.process.wait()
        with refused(*says, "serve", child.log):
            up.Servers([child]).check()
