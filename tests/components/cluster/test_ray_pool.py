"""The data stages on a Ray cluster of several nodes: the bytes of the local pool, though a node is lost midway.

One cluster serves all tests; a process of it that is left at the end is a failure.
"""

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.cluster import ray_cluster, ray_pool
from components.cluster.ray_pool import Cluster
from components.core.errors import UserError
from components.core.progress import Progress
from components.core.workers import Workers
from components.corpus.corpus import read_manifest
from components.params import Bias, Dedup, Filter, Ingest, Mix
from components.params import Files as FilesSource
from components.stages.bias import stage as bias
from components.stages.bias.stage import filter_bias
from components.stages.dedup.stage import dedup
from components.stages.filter.stage import filter_corpus
from components.stages.ingest import ingest_pass, remote_files
from components.stages.ingest.stage import ingest as ingest_sources
from components.stages.mix.stage import mix
from tests.components.cluster.conftest import ROOT, Nodes
from tests.components.real_text import edited, modules, tree
from tests.errors import refused, refuses
from tests.local_store import BUCKET
from tests.progress_recorder import Recorder

pytestmark = pytest.mark.xdist_group("ray")  # else each process of the suite starts a cluster


@pytest.fixture(autouse=True, scope="module")
def _pools() -> Iterator[None]:
    """Small inputs start no pool; these do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest_pass, "SMALL_BYTES", 0)
        patch.setattr(bias, "BYTES_PER_WORKER", 1)
        yield


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


def run_stages(root: Path, folder: Path, workers: Workers, progress: Progress, source: FilesSource) -> dict[str, bytes]:
    """Ingest, dedup, filter, bias, mix, each from what the one before made; all they wrote."""

    def places(stage: str) -> dict[str, Any]:
        made = {name: folder / stage / name for name in ("out", "reports", "work")}
        for path in made.values():
            path.mkdir(parents=True)
        return made | {"workers": workers, "progress": progress}

    def train(stage: str) -> Path:
        return folder / stage / "out" / "train"

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
    """Of the local pool of one process; that two change no byte, each stage's own tests show."""
    return run_stages(given, tmp_path_factory.mktemp("local"), 1, Progress(), FilesSource(path="text"))


# -- a cluster, a store ------------------------------------------------------------------------------------------------


class LosesANode(Recorder):
    """Loses a node in the middle of a phase: after its first sign of life."""

    def __init__(self, nodes: Nodes, *phases: str) -> None:
        super().__init__()
        self.nodes, self.phases = nodes, list(phases)

    def update(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        if self.current in self.phases and total and done < total:
            self.phases.remove(self.current)
            self.nodes.lose_one()


# -- the same bytes ----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_inputs_and_the_shuffle_may_be_in_a_store(
    given: Path, expected: dict[str, bytes], nodes: Nodes, store: str, tmp_path: Path
) -> None:
    import boto3

    client = boto3.client("s3")
    for path in (given / "text").iterdir():
        client.upload_file(str(path), BUCKET, f"text/{path.name}")
    progress = LosesANode(nodes, "score")
    engine = Cluster(2, nodes.address, f"{store}/work")
    with pytest.raises(UserError, match=r"set `revision: [0-9a-f]{16}`") as error:
        remote_files.listing("files", f"{store}/text", "**/*", "")
    source = FilesSource(path=f"{store}/text", revision=str(error.value).split("revision: ")[1][:16])
    with engine.pool():
        found = run_stages(given, tmp_path, engine, progress, source)
    assert not progress.phases, "no node was lost midway"
    assert found == expected
    left = client.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert {entry["Key"].split("/")[0] for entry in left} == {"text"}, "the exchange is removed"


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_what_goes_wrong_on_a_node_is_said_as_if_it_were_here(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    nowhere = Path("/nowhere")
    with refused("files.read_manifest_file.1", nowhere, "manifest.json"), Cluster(1, "auto").pool() as running:
        list(running.map(read_manifest, [nowhere]))


@pytest.mark.long
def test_other_packages_on_a_node_are_refused(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ray_pool.versions() | {"numpy": "0.1"}
    monkeypatch.setattr(ray_pool, "versions", lambda: ours)
    with refused("ray_pool.do", "numpy", "0.1"), Cluster(1, nodes.address).pool() as running:
        list(running.map(str, range(2)))


def test_ray_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with refused("ray_cluster.joined", "pip install -c constraints.txt -e '.[ray]'"), Cluster(1).pool():
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "head", "ray://head:x"])
def test_a_cluster_that_does_not_answer_is_named(address: str) -> None:
    with refused("ray_cluster._connect", "runtime.ray_address", address), Cluster(1, address).pool():
        pass


def test_other_machines_need_a_work_path() -> None:
    hosts = ((platform.node(), True), ("far", True), ("lost", False))
    ray = SimpleNamespace(nodes=lambda: [{"NodeManagerHostname": name, "Alive": alive} for name, alive in hosts])
    refuses(lambda: ray_cluster.refuse_other_machines(ray), "refuse_other_machines", "runtime.work_path", "far")


def test_ray_is_imported_for_its_engine_alone() -> None:
    """Making the stage's `workers` imports nothing of it either: only an open pool does."""
    code = """
import sys
from components.params import Runtime
from flows.execution.stage import workers_of
import components.stages.dedup.stage, components.stages.filter.stage, components.stages.ingest.stage
assert workers_of(Runtime(workers=3)) == 3
assert "components.cluster.ray_pool" not in sys.modules
made = workers_of(Runtime(workers=3, engine="ray", ray_address="here:1", work_path="s3://b"))
assert (made.workers, made.address, made.work_path) == (3, "here:1", "s3://b")
assert "ray" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
