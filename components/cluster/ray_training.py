"""Training processes on the nodes of a Ray cluster: the processes, the loop and the bytes are those of one machine.

    pretrain(..., numerics=Numerics(processes=4), place=RayNodes("10.0.0.1:6379"))

Rank 0 stays the stage's own process on the machine it was started from; Ray places the others, with `numerics.threads`
cores each, or a GPU. All meet in the stage's work folder, so the project lies in a folder that every node has under the
same path. A lost node ends the exchange of gradients: the rest begins anew from the last checkpoint on the nodes that
are left. As with the data stages, no stage imports this module.
"""

import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from components.cluster.ray_cluster import difference, joined, versions
from components.core.errors import UserError
from components.params import Numerics
from components.training import data_parallel


@dataclass(frozen=True)
class RayNodes:
    """A Ray cluster as a place for training processes.

    Attributes:
        address: of the cluster's head (`10.0.0.1:6379`), `auto` for the cluster that runs on this machine, or "" to
            start one here for the time of the training.
        tries: how often a training is begun anew when a node is lost.
    """

    address: str = ""
    tries: int = 10

    @contextmanager
    def opened(self, numerics: Numerics, reads: Sequence[Path]) -> Iterator[data_parallel.Start]:
        """Connected, every node checked.

        Raises:
            UserError: Ray is missing, no cluster answers, it is too small, or a node has other packages or does not see
                the folders `reads`.
        """
        others = numerics.processes - 1
        if not others:
            yield data_parallel.start_here
            return
        for folder in reads:
            folder.mkdir(parents=True, exist_ok=True)
        with joined(self.address, others * numerics.threads) as ray:
            _check_nodes(ray, [str(path.resolve()) for path in reads])
            yield partial(_start, ray, numerics)


class _RayWorker:
    """A training process on a node, seen as a `data_parallel.Worker`."""

    def __init__(self, ray: Any, task: Any) -> None:
        self._ray, self._task = ray, task

    def poll(self) -> int | None:
        """Its exit status; None while it runs, -1 if its node is gone."""
        ready, _ = self._ray.wait([self._task], timeout=0)
        if not ready:
            return None
        try:
            return int(self._ray.get(self._task))
        except self._ray.exceptions.RayError:
            return -1

    def wait(self, timeout: float) -> int:
        """Its exit status within `timeout` seconds."""
        self._ray.wait([self._task], timeout=timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired("training process", timeout)
        return status

    def kill(self) -> None:
        """End it now; it dies with Ray's process on the node."""
        self._ray.cancel(self._task, force=True)


def _start(ray: Any, numerics: Numerics, worker: Sequence[str], rank: int) -> _RayWorker:
    name, each = ("GPU", 1) if numerics.device == "cuda" else ("CPU", numerics.threads)
    needed = {f"num_{name.lower()}s": each}
    nodes = [node["Resources"].get(name, 0) for node in ray.nodes() if node["Alive"]]
    if sum(there // each for there in nodes) < numerics.processes - 1:  # a process is on one node
        raise UserError(
            f"numerics.processes = {numerics.processes}: the nodes of the Ray cluster have "
            f"{' + '.join(f'{there:g}' for there in nodes) or 0} {name}s, and {numerics.processes - 1} times {each} "
            "are needed beside this process, each on one node; add nodes, or set processes or threads lower"
        )
    do = ray.remote(max_retries=0, scheduling_strategy="SPREAD", **needed)(_run)
    return _RayWorker(ray, do.remote(list(worker), rank))


def _check_nodes(ray: Any, reads: list[str]) -> None:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    on = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
    tasks = [ray.remote(num_cpus=0, scheduling_strategy=place)(_problem).remote(reads, _versions()) for place in on]
    for task in tasks:
        try:
            problem = ray.get(task)
        except (ray.exceptions.TaskUnschedulableError, ray.exceptions.NodeDiedError):
            continue  # lost, which the head learns within a minute; Ray places nothing there
        except ray.exceptions.RayError as error:
            raise UserError(
                f"a node of the Ray cluster cannot run the project ({' '.join(str(error).split())[-200:]}); install "
                "constraints.txt on every node"
            ) from None
        if problem:
            raise UserError(problem)


# -- on a node ---------------------------------------------------------------------------------------------------------


def _run(worker: list[str], rank: int) -> int:
    """Start the training process of a rank here, and wait for its end."""
    os.environ["LOCAL_RANK"] = "0"  # Ray shows each task its own GPU alone
    return data_parallel.start_here(worker, rank).wait()


def _versions() -> dict[str, str]:
    """Versions of what decides bytes of a training; "" for a package that is missing."""
    return versions(("torch", "numpy"))


def _problem(reads: list[str], expected: dict[str, str]) -> str:
    """What keeps this node from training, as a sentence; "" if nothing does."""
    if problem := difference(_versions(), expected):
        return problem
    missing = next((path for path in reads if not Path(path).is_dir()), None)
    if missing is None:
        return ""
    return (
        f"node {platform.node()} of the Ray cluster has no folder {missing}; training processes share the project's "
        "folder: put it where every node has it under the same path"
    )
