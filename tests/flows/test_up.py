"""`make up`, with real servers on free ports: healthy, guarded, used by others, and gone afterwards however it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from components.core.errors import UserError
from components.core.files import read_json
from flows import up
from flows.system import paths
from flows.system.prefect_server import free_port
from tests.flows.pipeline_clone import is_running

OUTSIDE = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "PREFECT_HOME", "GREENHOUSE_STATE")


def variables(state: Path, **more: str) -> dict[str, str]:
    """This process's, with a state folder of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
    return kept | {"GREENHOUSE_STATE": str(state), **more}


@contextmanager
def servers(state: Path, **more: str) -> Iterator[tuple[subprocess.Popen, dict[str, str]]]:
    """`make up` until its addresses are printed: the process and the addresses."""
    ports = {"PREFECT_PORT": str(free_port()), "MLFLOW_PORT": str(free_port())}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.up"], cwd=paths.ROOT, env=variables(state, **ports, **more),
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


def gone(processes: list[psutil.Process], seconds: float) -> bool:
    """Whether all of them ended within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(is_running(p.pid) for p in processes):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.pipeline
@pytest.mark.slow
def test_up_serves_guards_and_stops(tmp_path: Path) -> None:
    state = tmp_path / "with a space" / ".greenhouse"
    with servers(state) as (process, addresses):
        prefect, mlflow = addresses["PREFECT_API_URL"], addresses["MLFLOW_TRACKING_URI"]
        for url in (f"{prefect}/health", f"{mlflow}/health", prefect.removesuffix("api")):
            assert httpx.get(url, follow_redirects=True, timeout=20).status_code == 200
        for url in (f"{prefect}/flows/filter", f"{mlflow}/api/2.0/mlflow/experiments/search"):
            body = {"max_results": 5} if "mlflow" in url else {}
            assert httpx.post(url, json=body).status_code == 200
            assert httpx.post(url, json=body, headers={"Origin": "http://evil.com"}).status_code == 403
            assert httpx.post(url, json=body, headers={"Host": "evil.com"}).status_code == 400
        assert httpx.get(prefect.removesuffix("api") + "ui-settings").json()["api_url"] == prefect
        names = {row["name"] for row in httpx.post(f"{prefect}/deployments/filter", json={}).json()}
        assert {"pipeline", "ingest", "pretrain", "evaluate"} <= names
        listening = [c.laddr.ip for p in process_tree(process) for c in p.net_connections() if c.status == "LISTEN"]
        assert listening
        assert set(listening) == {"127.0.0.1"}
        assert addresses_seen_elsewhere(state) == (prefect, mlflow)
        again = run_up(state, PREFECT_PORT=str(free_port()))
        assert again.returncode == 1
        assert "run already" in again.stderr
        tree = process_tree(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert gone(tree, 60)
        assert not (state / "servers.json").exists()


@pytest.mark.pipeline
@pytest.mark.long
def test_login_is_needed_and_killing_up_leaves_nothing(tmp_path: Path) -> None:
    login = {
        "PREFECT_SERVER_API_AUTH_STRING": "me:secret",
        "MLFLOW_TRACKING_USERNAME": "me",
        "MLFLOW_TRACKING_PASSWORD": "secret",
    }
    with servers(tmp_path / ".greenhouse", **login) as (process, addresses):
        prefect, mlflow = addresses["PREFECT_API_URL"], addresses["MLFLOW_TRACKING_URI"]
        asked = {f"{prefect}/flows/filter": {}, f"{mlflow}/api/2.0/mlflow/experiments/search": {"max_results": 5}}
        for url, body in asked.items():
            assert httpx.post(url, json=body).status_code == 401
            assert httpx.post(url, json=body, auth=("me", "secret")).status_code == 200
        assert "secret" not in (tmp_path / ".greenhouse" / "servers.json").read_text()
        said = (tmp_path / ".greenhouse" / "said").read_text()
        assert f"MLflow    {mlflow}/#/experiments?workflowType=machine_learning" in said  # asked with the login
        clients = {name: value for name, value in login.items() if name.startswith("MLFLOW")}
        clients |= {"PREFECT_API_AUTH_STRING": "me:secret"}
        for wrong, says in (
            (clients | {"PREFECT_API_AUTH_STRING": ""}, f"Prefect at {prefect} wants a login: set PREFECT_API_AUTH"),
            (clients | {"MLFLOW_TRACKING_PASSWORD": "no"}, f"MLflow at {mlflow} takes another login: correct MLFLOW_"),
        ):
            done = run_module("flows.promote", tmp_path / ".greenhouse", **wrong)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr.startswith(f"promote: {says}")
            assert done.stderr.count("\n") == 1
        tree = process_tree(process)
        process.kill()
        process.wait()
        assert gone(tree, 60)
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


def run_up(state: Path, **more: str) -> subprocess.CompletedProcess:
    return run_module("flows.up", state, **more)


def run_module(name: str, state: Path, **more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", name],
        cwd=paths.ROOT,
        env=variables(state, **more),
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("variable", ["PREFECT_PORT", "MLFLOW_PORT"])
def test_a_taken_port_is_an_error_before_anything_starts(tmp_path: Path, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = {"PREFECT_PORT": str(free_port()), "MLFLOW_PORT": str(free_port()), variable: str(port)}
        done = run_up(tmp_path / ".greenhouse", **other)
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert f"{variable}=" in done.stderr
    assert done.stdout == ""
    state = tmp_path / ".greenhouse"  # its private folders are made by every command
    assert not (state / "logs").exists()
    assert not (state / "servers.json").exists()


@pytest.mark.parametrize("text", ["0", "70000", "http", "-1"])
def test_a_port_must_be_one(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PREFECT_PORT", text)
    with pytest.raises(UserError, match="from 1 to 65535"):
        up.port_from("PREFECT_PORT", 4200)


def test_servers_of_a_team_are_used_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_PORT", str(free_port()))
    monkeypatch.setattr(paths, "SERVERS", Path("/nonexistent"))
    team = {"PREFECT_API_URL": "https://prefect.team/api", "MLFLOW_TRACKING_URI": "https://mlflow.team"}
    chosen = up.plan(team)
    assert (chosen.prefect_port, chosen.mlflow_port) == (0, 0)
    assert (chosen.prefect_url, chosen.mlflow_url) == tuple(team.values())
    database = up.plan({"PREFECT_API_URL": team["PREFECT_API_URL"], "MLFLOW_TRACKING_URI": "postgresql://team/mlflow"})
    assert database.store == "postgresql://team/mlflow"
    assert database.mlflow_url == f"http://127.0.0.1:{database.mlflow_port}"


def test_both_servers_cannot_have_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "SERVERS", Path("/nonexistent"))
    port = str(free_port())
    monkeypatch.setenv("PREFECT_PORT", port)
    monkeypatch.setenv("MLFLOW_PORT", port)
    with pytest.raises(UserError, match=f"PREFECT_PORT and MLFLOW_PORT are both {port}"):
        up.plan({})


def test_the_address_of_the_form_is_the_newer_page_of_our_own_server() -> None:
    own = up.ServerPlan(4200, 5000, "", "http://127.0.0.1:4200/api", "http://127.0.0.1:5000")
    assert up.form_address(own, "abc") == "http://127.0.0.1:4200/v2/deployments/deployment/abc/run"
    team = up.ServerPlan(0, 5000, "", "https://prefect.team/api", "http://127.0.0.1:5000")
    assert up.form_address(team, "abc") == "https://prefect.team/deployments/deployment/abc/run"


def test_a_server_that_was_killed_is_not_explained_by_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "LOGS", tmp_path)
    said = []
    for code in ("print('ready', flush=True); import os; os.kill(os.getpid(), 9)", "raise SystemExit('no memory')"):
        child = up.Child("serve", [])
        with open(child.log, "w") as log:
            child.process = subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=subprocess.STDOUT)
        child.process.wait()
        with pytest.raises(UserError) as raised:
            up.Servers([child]).check()
        said.append(str(raised.value))
    where = f"the whole log is {tmp_path / 'serve.log'}"
    assert said == [
        f"serve was killed (signal 9); start again; {where}",
        f"serve ended (status 1): no memory; {where}",
    ]
