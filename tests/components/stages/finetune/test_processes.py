"""Fine-tuning by two processes: the losses of one, the same bytes every time, and a lost process costs no more."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file

from components.core.progress import Progress
from components.params import Numerics
from components.stages.finetune.training import Batches
from tests.components.stages.finetune.test_stage import PARAMS, place, run, same
from tests.errors import refused

__all__ = ["place"]
TWO = Numerics(processes=2, threads=1, dtype="float32")


@pytest.fixture(scope="module")
def chats(place: Path) -> str:
    """Rows of which a batch of two fits a row."""
    rows = [{"prompt": f"What is {n}?", "completion": f"{n * n}."} for n in range(40)]
    (place / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "chats.jsonl"


def test_each_process_makes_its_part_of_a_batch_alone() -> None:
    batches: Any = Batches(20, 5, 1, lambda indices: indices)  # type: ignore[arg-type, return-value]
    parts = [replace(batches, rank=rank, ranks=3)(2) for rank in range(3)]
    assert [index for part in parts for index in part] == batches(2)
    assert sorted(map(len, parts)) == [1, 2, 2]


@pytest.mark.parametrize(
    ("branch", "packed", "changed"),
    [
        ("classify", False, {}), ("prefer", False, {"lora_rank": 4}),
        *(pytest.param(*rare, marks=pytest.mark.long) for rare in (
            ("instruct", True, {"batch": 2}), ("instruct", False, {}), ("prefer", False, {}),
        )),
    ],
)  # fmt: skip
def test_two_processes_train_as_one_does(
    branch: str, packed: bool, changed: dict[str, Any], chats: str, place: Path, tmp_path: Path
) -> None:
    more: dict[str, Any] = {"train": chats if packed else ""}
    more["params"] = PARAMS[branch].model_copy(update=changed)
    alone = run(place, tmp_path / "one", branch, numerics=TWO.model_copy(update={"processes": 1}), **more)
    report = run(place, tmp_path / "two", branch, numerics=TWO, **more)
    weights, expected = (load_file(tmp_path / name / "out/model.safetensors") for name in ("two", "one"))
    before = load_file(place / ("masked" if branch == "classify" else "causal") / "model.safetensors")
    moved = max(float((expected[name] - before[name]).abs().max()) for name in before if name in expected)
    apart = max(float((weights[name] - expected[name]).abs().max()) for name in expected)
    assert apart < 0.1 * moved, (apart, moved)
    assert report.metrics.keys() == alone.metrics.keys()
    assert not list(tmp_path.rglob("rendezvous"))


class LosesItsWorker(Progress):
    """Kills the other training process once half of the steps are done."""

    def update(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        """A step is done, or something before the training."""
        for child in psutil.Process().children():
            if total and done > total // 2 and "components.stages.finetune.stage" in child.cmdline():
                child.kill()


@pytest.mark.long
@pytest.mark.parametrize(("branch", "rank"), [("prefer", 0), ("instruct", 4)])
def test_a_lost_process_is_a_sentence_and_the_next_run_ends_with_the_same_bytes(
    branch: str, rank: int, place: Path, tmp_path: Path
) -> None:
    params = PARAMS[branch].model_copy(update={"lora_rank": rank})
    run(place, tmp_path / "undisturbed", branch, params, numerics=TWO)
    with refused("train_together", "1 of 2", "status -9"):
        run(place, tmp_path / "lost", branch, params, LosesItsWorker(), numerics=TWO)
    run(place, tmp_path / "lost", branch, params, numerics=TWO)
    assert same(tmp_path / "lost", tmp_path / "undisturbed")
