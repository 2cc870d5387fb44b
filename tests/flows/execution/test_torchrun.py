"""Pretraining that torchrun starts on two nodes: one is the stage, and the bytes are those of two local processes."""

import os
import socket
from pathlib import Path

import pytest

from components import params as schema
from components.stages.pretrain.stage import pretrain
from tests.components.real_text import tree
from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline, pytest.mark.long]

LATE = """
import glob, os, time
while os.environ.get("RANK") == "1" and not glob.glob(".greenhouse/work/pretrain@causal/*/out"):
    time.sleep(0.1)
"""
"""Holds up the process of node 1 until the stage has begun, when DVC lets nobody else ask about it."""


def on_two_nodes(clone: PipelineClone, **more: str) -> list[str]:
    """What two torchruns print that start `-m flows.stage pretrain causal`, one as node 0 and one as node 1."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1",
               "--master-port", str(port)]  # fmt: skip
    nodes = [
        clone.start(*command, "--node-rank", str(rank), "-m", "flows.stage", "pretrain", "causal", **more)
        for rank in range(2)
    ]
    outputs = [node.communicate(timeout=300)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    return outputs


def test_torchrun_pretrains_on_two_nodes(finished_clone: PipelineClone, tmp_path: Path) -> None:
    clone, local = finished_clone, {name: tmp_path / "local" / name for name in ("out", "reports", "work")}
    (tmp_path / "sitecustomize.py").write_text(LATE)
    for folder in local.values():
        folder.mkdir(parents=True)
    alone = tree(clone.root / "models/pretrain/causal")
    with clone.setting(numerics__processes=2):
        own = schema.load(clone.root / "params.yaml")
        # Without DVC, which would give the nodes what it has of these inputs, and need not import what is here already.
        tokens = clone.root / "data/tokenize"
        pretrain(objective="causal", tokens=tokens, params=own.pretrain.causal, numerics=own.numerics, **local)
        first, second = on_two_nodes(clone, PYTHONPATH=os.pathsep.join([str(tmp_path), str(clone.root)]))
        assert "pretrain@causal: done" in first
        assert "nothing to train" not in second
        assert tree(clone.root / "models/pretrain/causal") == tree(local["out"]) != alone
        _, second = on_two_nodes(clone)
        assert "dvc.lock has it of these inputs; nothing to train" in second
