"""The data stages on a Ray cluster of three nodes: the bytes of the local pool, though a node is lost midway."""

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from real_text import edited, modules, tree

from components.data import bias, cluster, sorting
from components.data.bias import filter_bias
from components.data.cluster import Cluster
from components.data.corpus import read_manifest
from components.data.dedup import dedup
from components.data.filter import filter_corpus
from components.data.ingest import ingest as ingest_sources
from components.data.mix import mix
from components.errors import UserError
from components.params import Bias, Dedup, Filter, Ingest, Mix
from components.params import Files as FilesSource
from components.report import Watch
from components.workers import Workers

STORE = 80_000_000
"""Bytes of a node's object store; the smallest that Ray allows."""
BUCKET = "greenhouse-test"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _nothing_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small inputs start no pool; these do."""
    monkeypatch.setattr(sorting, "SMALL_BYTES", 0)
    monkeypatch.setattr(bias, "BYTES_PER_WORKER", 1)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a source of some files: docstrings, and copies with a few words changed."""
    root = tmp_path_factory.mktemp("project")
    texts = [each.text for each in modules("scipy", 24)]
    texts += [edited(text, 0.03, number) for number, text in enumerate(texts[:12])]
    (root / "text").mkdir()
    for at in range(0, len(texts), 4):
        (root / "text" / f"{at:03d}.txt").write_text("\n\n".join(texts[at : at + 4]), encoding="utf-8")
    (root / "opt_out.txt").touch()
    return root


def run_stages(root: Path, folder: Path, workers: Workers, watch: Watch) -> dict[str, bytes]:
    """Ingest, dedup, filter, bias, mix, each from what the one before made; all they wrote."""

    def places(stage: str) -> dict[str, Any]:
        made = {name: folder / stage / name for name in ("out", "reports", "work")}
        for path in made.values():
            path.mkdir(parents=True)
        return made | {"workers": workers, "watch": watch}

    def train(stage: str) -> Path:
        return folder / stage / "out" / "train"

    source = FilesSource(path="text", pattern="*.txt")
    settings = Ingest(sources=[source], watch="text", shard_megabytes=0.05, max_chars=5000)
    ingest_sources(root=root, params=settings, **places("ingest"))
    heldout = folder / "ingest" / "out" / "heldout"
    dedup(train=train("ingest"), heldout=heldout, params=Dedup(), **places("dedup"))
    filter_corpus(train=train("dedup"), heldout=heldout, params=Filter(), **places("filter"))
    filter_bias(train=train("filter"), params=Bias(), **places("bias"))
    mix(train=train("bias"), params=Mix(augment="counterfactual"), **places("mix"))
    for work in folder.glob("*/work"):
        shutil.rmtree(work)
    return tree(folder)


@pytest.fixture(scope="module")
def expected(given: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "SMALL_BYTES", 0)
        return run_stages(given, tmp_path_factory.mktemp("local"), 1, Watch())


class Nodes:
    """A cluster whose head does no work: its nodes do, and can be lost."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as RayNodes

        settings = {"include_dashboard": False, "num_cpus": 0, "object_store_memory": STORE}
        self._nodes = RayNodes(initialize_head=True, head_node_args=settings)
        self.address = self._nodes.address
        self.workers = [self.add(), self.add()]

    def add(self) -> Any:
        return self._nodes.add_node(num_cpus=1, object_store_memory=STORE)

    def lose_one(self) -> None:
        """Kill a node's processes, and put a fresh one in its place."""
        self._nodes.remove_node(self.workers.pop(0), allow_graceful=False)
        self.workers.append(self.add())

    def close(self) -> None:
        self._nodes.shutdown()


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An S3 bucket on this machine; what connects to it is in the environment, which the nodes inherit."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}/work"
    server.stop()


@pytest.fixture(scope="module")
def nodes(store: str) -> Iterator[Nodes]:
    before = {process.pid for process in psutil.process_iter()}
    scratch = Path(tempfile.mkdtemp(prefix="gh"))  # short: Ray's sockets lie in it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(scratch))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setattr(tempfile, "tempdir", None)
        running = Nodes()
        yield running
        running.close()
    shutil.rmtree(scratch)
    left = [each for each in psutil.process_iter() if each.pid not in before and _is_ray(each)]
    assert not psutil.wait_procs(left, timeout=10)[1], "processes of Ray are left"


def _is_ray(process: psutil.Process) -> bool:
    try:
        return "ray" in " ".join(process.cmdline()[:3]) and process.is_running()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


class LosesANode(Watch):
    """Loses a node once, at the second sign of life of ingest."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes, self.seen = nodes, 0

    def progress(self, *args: Any, **more: Any) -> None:
        self.seen += 1
        if self.seen == 2:
            self.nodes.lose_one()


@pytest.mark.slow
def test_the_bytes_are_those_of_the_local_pool_though_a_node_is_lost(
    given: Path, expected: dict[str, bytes], nodes: Nodes, tmp_path: Path
) -> None:
    watch = LosesANode(nodes)
    engine = Cluster(2, nodes.address)
    with engine.pool():  # stays connected from stage to stage, so that the nodes' workers need not start again
        found = run_stages(given, tmp_path, engine, watch)
    assert watch.seen > 2
    assert found == expected


@pytest.mark.slow
def test_files_may_go_through_a_store(
    given: Path, expected: dict[str, bytes], nodes: Nodes, store: str, tmp_path: Path
) -> None:
    import boto3

    watch = LosesANode(nodes)
    engine = Cluster(2, nodes.address, store)
    with engine.pool():
        found = run_stages(given, tmp_path, engine, watch)
    assert found == expected
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=BUCKET)


@pytest.mark.slow
def test_what_goes_wrong_on_a_node_is_said_as_if_it_were_here(nodes: Nodes) -> None:
    nowhere = Path("/nowhere")
    with pytest.raises(UserError, match=r"^/nowhere: no manifest\.json"), Cluster(1, nodes.address).pool() as running:
        list(running.map(read_manifest, [nowhere]))


@pytest.mark.slow
def test_other_packages_on_a_node_are_refused(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = cluster.versions() | {"numpy": "0.1"}
    monkeypatch.setattr(cluster, "versions", lambda: ours)
    wanted = r"has numpy .*, this machine 0\.1; install the same constraints"
    with pytest.raises(UserError, match=wanted), Cluster(1, nodes.address).pool() as running:
        list(running.map(str, range(2)))


def test_ray_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'greenhouse-lm\[ray\]'"), Cluster(1).pool():
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "head", "ray://head:x"])
def test_a_cluster_that_does_not_answer_is_named(address: str) -> None:
    pytest.importorskip("ray")
    wanted = rf"runtime\.ray_address: no Ray cluster to use at {address} "
    with pytest.raises(UserError, match=wanted), Cluster(1, address).pool():
        pass


def test_other_machines_need_a_work_path() -> None:
    hosts = ((platform.node(), True), ("far", True), ("lost", False))
    ray = SimpleNamespace(nodes=lambda: [{"NodeManagerHostname": name, "Alive": alive} for name, alive in hosts])
    with pytest.raises(UserError, match=r"runtime\.work_path is empty, but .* other machines \(far\)"):
        cluster._refuse_other_machines(ray)


def test_ray_is_imported_for_its_engine_alone() -> None:
    """Making the stage's `workers` imports nothing of it either: only an open pool does."""
    code = """
import sys
from components.params import Runtime
from flows.stage import workers_of
import components.data.dedup, components.data.filter, components.data.ingest
assert workers_of(Runtime(workers=3)) == 3
assert "components.data.cluster" not in sys.modules
made = workers_of(Runtime(workers=3, engine="ray", ray_address="here:1", work_path="s3://b"))
assert (made.workers, made.address, made.work_path) == (3, "here:1", "s3://b")
assert "ray" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
