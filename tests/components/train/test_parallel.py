"""Two processes train as one does."""

from pathlib import Path

import pytest
import torch
from small_corpus import small, write_tokens

from components.errors import UserError
from components.model import export
from components.params import Numerics, Optimizer
from components.train import parallel
from components.train.objectives import Batch
from components.train.pretrain import pretrain


def test_parts_cover_a_batch_once() -> None:
    ids = torch.arange(7)[:, None]
    parts = [parallel.Group(rank, 3).part(Batch(ids, ids)) for rank in range(3)]
    assert torch.cat([part.ids_BT for part in parts]).flatten().tolist() == list(range(7))


def test_more_processes_than_sequences_are_refused(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokenize")
    with pytest.raises(UserError, match=r"numerics.processes = 8 is more than pretrain.causal.batch = 4"):
        pretrain(
            objective="causal", tokens=tokens, params=small(), numerics=Numerics(processes=8),
            out=tmp_path / "out", reports=tmp_path / "reports", work=tmp_path / "work",
        )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "tolerance"), [("adamw", 1e-5), ("muon", 2e-3)])
def test_two_processes_follow_the_losses_of_one(name: str, tolerance: float, tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokenize")
    optimizer = Optimizer(name=name, matrix_lr=0.003 if name == "adamw" else 0.02)
    losses = {}
    for processes in (1, 2):
        place = tmp_path / str(processes)
        pretrain(
            objective="causal",
            tokens=tokens,
            params=small(steps=8, optimizer=optimizer),
            numerics=Numerics(dtype="float32", processes=processes),
            out=place / "out",
            reports=place / "reports",
            work=place / "work",
        )
        lines = (place / "reports" / "plots" / "loss.csv").read_text().split()[1:]
        losses[processes] = [float(line.split(",")[1]) for line in lines]
        assert export.load(place / "out")[0].shape.depth == 2
    assert max(abs(a - b) for a, b in zip(losses[1], losses[2], strict=True)) < tolerance
