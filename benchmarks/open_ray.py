"""Pretraining on a Ray cluster of a head and three nodes of this machine, beside processes without Ray: bytes, kills.

The demo's causal model on its own tokens, three processes, some steps. In the second run all processes of a node on
which one of them trains are killed after half of the steps, as by a power cut.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import psutil

from benchmarks.results import ROOT, goal
from components import params as schema
from components.cluster.ray_training import RayNodes
from components.core.files import md5_file
from components.core.progress import Progress
from components.params import Numerics
from components.stages.pretrain.stage import pretrain
from components.training.data_parallel import Place, ThisMachine

PROCESSES, STEPS, EVERY = 3, 60, 10
STORE_BYTES = 80_000_000
"""Of a node's object store; the smallest that Ray allows."""


class Kills(Progress):
    """Kills the node of a training process once, after half of the steps; counts the ways back to a checkpoint."""

    def __init__(self, kills: int) -> None:
        self.left, self.resumed = kills, 0

    def log(self, line: str) -> None:
        """A line of the stage."""
        self.resumed += "go on from the last checkpoint" in line

    def update(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        """A step is done."""
        if self.left and total and done > total // 2:
            self.left -= 1
            worker = next(each for each in psutil.process_iter(["cmdline"]) if _trains(each))
            raylet = next(above for above in worker.parents() if above.name() == "raylet")
            for each in [raylet, *raylet.children(recursive=True)]:
                each.kill()


def _trains(process: psutil.Process) -> bool:
    return "components.stages.pretrain.stage" in (process.info["cmdline"] or [])


def _trained(folder: Path, place: Place, progress: Progress) -> dict[str, str]:
    """MD5 of what a short pretraining wrote."""
    own = schema.load(ROOT / "params.yaml").pretrain.causal
    changes = {"steps": STEPS, "eval_every": STEPS, "checkpoint_every": EVERY}
    pretrain(
        objective="causal", tokens=ROOT / "data/tokenize", params=own.model_copy(update=changes),
        numerics=Numerics(processes=PROCESSES), out=folder / "out", reports=folder / "reports",
        work=folder / "work", progress=progress, place=place,
    )  # fmt: skip
    files = [*(folder / "out").rglob("*"), folder / "reports" / "details" / "loss.csv"]
    return {str(path.relative_to(folder)): md5_file(path) for path in sorted(files) if path.is_file()}


def measure() -> tuple[dict, list[dict]]:
    """Whether the bytes are those without Ray, with and without the loss of a node."""
    os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    found: dict[str, Any] = {"processes": PROCESSES, "steps": STEPS, "nodes": 3}
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=0, include_dashboard=False, object_store_memory=STORE_BYTES)
        for _ in range(3):
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            here = _trained(folder / "here", ThisMachine(), Progress())
            for name, kills in (("same", 0), ("node_killed_same", 1)):
                progress = Kills(kills)
                same = _trained(folder / name, RayNodes(cluster.address), progress) == here
                found[name] = {"bytes": same, "resumed": progress.resumed}
    finally:
        cluster.shutdown()
    killed = found["node_killed_same"]
    return {"ray_training": found}, [
        goal("ray_train_same_bytes", float(found["same"]["bytes"]), 1, "higher", "of torchrun's processes, and Ray's"),
        goal(
            "ray_node_killed_same_bytes", float(killed["bytes"] and killed["resumed"] > 0), 1, "higher",
            "though all processes of a node are killed after half of the steps",
        ),
    ]  # fmt: skip
