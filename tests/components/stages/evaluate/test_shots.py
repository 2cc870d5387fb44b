"""Another number of examples in the few-shot curve: the table keeps the counterpart, the shipped gate can decide."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from components.params.promote import RULES, GateRule
from components.scored_items import write_items
from components.stages.account.score_rows import score_rows
from components.stages.evaluate.tasks.few_shot import few_shot
from components.stages.evaluate.tasks.task import TaskResult
from components.studies.noise_floor import SeedNoise
from components.studies.promotion_gate import Evaluation, judge
from tests.components.stages.evaluate.conftest import World

BITS = "bits_per_byte/bits_per_byte"
GUARDS = {name: margin for name, margin in RULES["causal"].guards.items() if name.startswith("few_shot/")}


@pytest.fixture(scope="module")
def curve(world: World) -> TaskResult:
    """The task with other counts than those that ship."""
    return few_shot(world.context(shots=[0, 1, 2, 4]))


def test_the_table_keeps_the_counterpart_of_any_curve(curve: TaskResult) -> None:
    """It was found by the words "8 examples": of another curve the half that is no score stood as one."""
    one = SimpleNamespace(quality=SimpleNamespace(scores=curve.scores))
    [row] = score_rows({"pretrain/causal": one})  # type: ignore[dict-item]
    assert (row.name, row.counterpart) == ("label mapping, 4 examples", "0 examples 0.500")
    assert row.score.name == "few_shot/accuracy"


@pytest.mark.parametrize(("after", "expected"), [(1.0, "promote"), (0.5, "hold")])
def test_the_shipped_guard_judges_the_end_of_any_curve(
    curve: TaskResult, tmp_path: Path, after: float, expected: str
) -> None:
    """It named eight examples: of a curve that ends at four every promotion was inconclusive, and nothing said why."""
    sides = []
    for name, bits, share in (("a", 2.0, 1.0), ("b", 1.5, after)):
        made = TaskResult("bits_per_byte")
        for work in range(10):
            made.item("bits_per_byte", str(work), (bits + work / 100) * 1000, weight=1000, direction="lower")
        rows = [row | {"score": share} if row["condition"] == "shots=4" else row for row in curve.items]
        write_items([*made.items, *rows], tmp_path / name)
        sides.append(Evaluation([tmp_path / name], {"scores": [score.as_json() for score in curve.scores]}))
    noise = SeedNoise(0.001, 10.0, 2.0, "")
    found = judge(GateRule(primary=BITS, guards=GUARDS), *sides, lambda _: noise)
    assert found.verdict == expected, found.lines()
