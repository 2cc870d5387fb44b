"""A run is kept in intervals; each, trained again, ends in the same bytes, and a forged one does not."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from components.core.files import read_json, sha256_file, write_json
from components.core.progress import Progress
from components.model.export import save_tensors
from components.params import ModelShape
from components.stages.pretrain.stage import pretrain
from components.studies.segments import Segments, chances
from components.training import checkpoint
from tests.components.small_corpus import NUMERICS, small, write_tokens

PARAMS = small(steps=10, keep_every=4, checkpoint_every=5, eval_every=6, model=ModelShape(size=2, width=96))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that kept its checkpoints."""
    root = tmp_path_factory.mktemp("run")
    kinds = {"out": "models/pretrain", "reports": "reports/pretrain", "kept": "models/checkpoints", "work": "work"}
    places = {name: root / kind / "causal" for name, kind in kinds.items()}
    tokens = write_tokens(root / "data/tokenize")
    pretrain(objective="causal", tokens=tokens, params=PARAMS, numerics=NUMERICS, **places)
    return root


def segments(run: Path, *chosen: tuple[int, int]) -> dict[str, str]:
    return Segments("causal", PARAMS, NUMERICS, run, list(chosen)).differences(Progress())


def test_every_interval_is_the_same_to_the_bit(run: Path) -> None:
    found = segments(run, (0, 4), (4, 8), (8, 10))
    assert found == dict.fromkeys(("0", "0-4", "4-8", "8-10", "end", "figures"), "")


def test_a_process_of_its_own_makes_the_same_start(run: Path) -> None:
    """With more threads than the run had until they are set: the first weights' last bits depend on their number."""
    given = {name: tree.model_dump(mode="json") for name, tree in (("params", PARAMS), ("numerics", NUMERICS))}
    given |= {"objective": "causal", "chosen": [(8, 10)], "root": str(run)}
    done = subprocess.run(
        [sys.executable, "-m", "components.studies.segments", json.dumps(given)],
        env=os.environ | {"OMP_NUM_THREADS": "2"}, capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == dict.fromkeys(("0", "8-10", "end", "figures"), ""), done.stderr


@contextmanager
def forged(run: Path, step: int) -> Iterator[None]:
    """Within: a weight of the checkpoint at `step` is another, its hashes fit, and the last one's is the model."""
    was, model = (
        checkpoint.folder_of(run / "models/checkpoints/causal", step),
        run / "models/pretrain/causal/model.safetensors",
    )
    names = {path: path.read_bytes() for path in (was / "model.safetensors", was / "files.json", model)}
    weights, _, _ = checkpoint.read(was)
    (was / "model.safetensors").unlink()  # it may be a link to the run's own
    first = next(iter(weights))
    save_tensors(weights | {first: weights[first] + torch.tensor(1e-3)}, was / "model.safetensors")
    write_json(was / "files.json", {name: sha256_file(was / name) for name in read_json(was / "files.json")})
    if step == PARAMS.steps:
        model.write_bytes((was / "model.safetensors").read_bytes())
    try:
        yield
    finally:
        for path, data in names.items():
            path.write_bytes(data)


def test_a_forged_checkpoint_is_named(run: Path) -> None:
    with forged(run, 8):
        found = segments(run, (4, 8), (8, 10))
    assert found["4-8"] == "step-000008/model.safetensors"
    assert found["8-10"]
    assert not found["end"]


def test_the_cheapest_forgery_is_of_the_last_interval_which_is_always_among_the_chosen(run: Path) -> None:
    with forged(run, 10):
        found = segments(run, (8, 10))
    assert found["8-10"] == "step-000010/model.safetensors"
    assert not found["end"], "the published model was changed with it"
    with pytest.raises(AssertionError, match="the last interval"):
        segments(run, (0, 4))


@pytest.mark.parametrize("name", ["metrics.json", "details/loss.csv"])
def test_recorded_losses_that_were_halved_are_named(run: Path, name: str) -> None:
    """Weights and losses lie in different files: only the weights were compared."""
    path = run / "reports/pretrain/causal" / name
    whole = path.read_bytes()
    if name == "metrics.json":
        tree = read_json(path)
        write_json(path, tree | {"train": tree["train"] | {"loss": tree["train"]["loss"] / 2}})
    else:
        head, *rows = whole.decode().splitlines()
        halved = [f"{step},{float(loss) / 2:.6g}" for step, loss in (row.split(",") for row in rows)]
        path.write_text("\n".join([head, *halved]))
    try:
        found = segments(run, (8, 10))
    finally:
        path.write_bytes(whole)
    assert found["figures"].startswith("metrics.json: train/loss" if name == "metrics.json" else "loss.csv: step 1: ")
    assert bool(found["8-10"]) == (name != "metrics.json")


@pytest.mark.parametrize(("intervals", "sampled"), [(100, 27), (20, 5), (7, 7), (8, 1), (1, 1)])
def test_the_probability_is_that_of_a_draw_without_replacement(intervals: int, sampled: int) -> None:
    """The last interval is always drawn, so whoever knows that forges others."""
    for bad, chance in zip((1, math.ceil(intervals / 10)), chances(intervals, sampled), strict=True):
        missed = 1.0
        for draw in range(sampled - 1):
            missed *= max(0, intervals - 1 - bad - draw) / (intervals - 1 - draw)
        assert chance == pytest.approx(1 - missed)
