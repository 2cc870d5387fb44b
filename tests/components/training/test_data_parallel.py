"""Two processes train as one does."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from components.core.errors import UserError
from components.model import export
from components.params import Numerics, Optimizer
from components.stages.pretrain.stage import pretrain
from components.training import data_parallel
from components.training.objectives import Batch
from tests.components.small_corpus import small, write_tokens


def test_parts_cover_a_batch_once() -> None:
    ids = torch.arange(7)[:, None]
    parts = [data_parallel.ProcessGroup(rank, 3).slice_of(Batch(ids, ids)) for rank in range(3)]
    assert torch.cat([part.ids_BT for part in parts]).flatten().tolist() == list(range(7))


def test_a_worker_lost_while_it_starts_is_found_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    with (
        pytest.raises(data_parallel.WorkerLostError, match=r"training process 1 of 2 ended \(status 3\)"),
        data_parallel.process_group(Numerics(processes=2), tmp_path, ["-c", "raise SystemExit(3)"]),
    ):
        pass
    assert time.monotonic() - started < 30


WAITS = """
import os, sys, time
from datetime import timedelta
from pathlib import Path
import torch
from components.params import Numerics
from components.training import data_parallel
data_parallel.TIMEOUT, data_parallel.CALL_S = timedelta(seconds=4), 1.0
with data_parallel.process_group(Numerics(processes=2), Path(sys.argv[1]), ["-c", sys.argv[2], *sys.argv[1:]]) as group:
    group.on_main(lambda: time.sleep(8))
    rank = torch.tensor([float(group.rank)])
    group.all_reduce([rank])
    if group.is_main:
        print(float(rank))
"""


@pytest.mark.long
def test_what_one_process_does_alone_may_take_longer_than_the_others_would_wait(tmp_path: Path) -> None:
    root = str(Path(data_parallel.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", WAITS, str(tmp_path / "work"), WAITS], env=os.environ | {"PYTHONPATH": root},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "1.0\n", done.stderr


def test_more_processes_than_sequences_are_refused(tokens: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"numerics.processes = 8 is more than pretrain.causal.batch = 4"):
        pretrain(
            objective="causal", tokens=tokens, params=small(), numerics=Numerics(processes=8),
            out=tmp_path / "out", reports=tmp_path / "reports", work=tmp_path / "work",
        )  # fmt: skip


def trained(tokens: Path, place: Path, name: str, **numerics: int) -> list[float]:
    """Losses of eight steps in float32."""
    rates = {"matrix_lr": 0.003, "embedding_lr": 0.003} if name == "adamw" else {}
    optimizer = Optimizer(name=name, **rates)
    pretrain(
        objective="causal",
        tokens=tokens,
        params=small(steps=8, optimizer=optimizer),
        numerics=Numerics(dtype="float32", **numerics),
        out=place / "out",
        reports=place / "reports",
        work=place / "work",
    )
    return [] if os.environ.get("RANK", "0") != "0" else losses(place)


def losses(place: Path) -> list[float]:
    """What a run wrote down of its steps."""
    lines = (place / "reports" / "details" / "loss.csv").read_text().split()[1:]
    return [float(line.split(",")[1]) for line in lines]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("corpus") / "tokenize")


@pytest.fixture(scope="module")
def sharded(tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two processes with sharded weights; its files are not to be changed."""
    place = tmp_path_factory.mktemp("sharded")
    trained(tokens, place, "adamw", processes=2, sharded=True)
    return place


def furthest(a: list[float], b: list[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


LAST_DIGIT = 1e-5
"""Of the losses in loss.csv: two that differ by less may be written one such unit apart."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "tolerance"), [("adamw", 1e-5), pytest.param("muon", 2e-3, marks=pytest.mark.long)])
def test_two_processes_follow_the_losses_of_one(
    name: str, tolerance: float, tokens: Path, sharded: Path, tmp_path: Path
) -> None:
    one = trained(tokens, tmp_path / "one", name)
    for kind in ("whole", "sharded"):
        place = sharded if (name, kind) == ("adamw", "sharded") else tmp_path / kind
        if place != sharded:
            trained(tokens, place, name, processes=2, sharded=kind == "sharded")
        assert furthest(one, losses(place)) < tolerance + LAST_DIGIT, kind
        assert export.load(place / "out")[0].shape.depth == 2


TORCHRUN = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.components.training.test_data_parallel import trained
trained(Path(sys.argv[2]), Path(sys.argv[3]), "adamw", processes=2, sharded=sys.argv[4] == "sharded")
"""


@pytest.mark.long
@pytest.mark.parametrize("kind", ["whole", "sharded"])
def test_torchrun_starts_the_processes_as_well_and_the_first_alone_writes(
    kind: str, tokens: Path, sharded: Path, tmp_path: Path
) -> None:
    here, ours = Path(__file__).parent, sharded
    if kind == "whole":
        trained(tokens, ours := tmp_path / "ours", "adamw", processes=2)
    (tmp_path / "script.py").write_text(TORCHRUN)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(tmp_path / "script.py")]
    environment = os.environ | {"PYTHONPATH": str(here.parents[2])}
    done = subprocess.run(
        [sys.executable, *command, str(here), str(tokens), str(tmp_path / "torchrun"), kind],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("out/model.safetensors", "reports/metrics.json"):
        assert (tmp_path / "torchrun" / name).read_bytes() == (ours / name).read_bytes()


@pytest.mark.long
def test_a_checkpoint_of_sharded_training_is_read_by_one_process(tokens: Path, sharded: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in (sharded / "work").glob("step-*")) == ["step-000004", "step-000008"]
    for name in ("alone", "again"):
        shutil.copytree(sharded / "work", tmp_path / name / "work", ignore=lambda *_: ["step-000008"])
    alone = trained(tokens, tmp_path / "alone", "adamw")
    assert alone[:4] == losses(sharded)[:4]
    assert furthest(alone, losses(sharded)) < 1e-5
    again = trained(tokens, tmp_path / "again", "adamw", processes=2, sharded=True)  # and by two: from step 4 on
    assert again == losses(sharded)


def test_a_batch_that_processes_cannot_share_evenly_is_refused(tokens: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pretrain.causal.batch is 4; set it to a multiple of 3"):
        trained(tokens, tmp_path, "adamw", processes=3, sharded=True)


def test_compiled_and_sharded_is_refused(tokens: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"numerics.sharded = true does not go with numerics.compile = true"):
        trained(tokens, tmp_path, "adamw", processes=2, sharded=True, compile=True)
