"""`greenhouse study data`: what is no choice of data is refused before anything runs; arms are experiments."""

import shutil
from pathlib import Path

import pytest

from components.params import DataChoices, Params
from flows import data_choices
from tests.errors import refuses
from tests.flows.pipeline_clone import PipelineClone


@pytest.mark.parametrize(
    ("arm", "says"),
    [
        ("pretrain.common.steps=9", ["data_choices._chosen.1", "dedup, filter"]),
        ("dedup.nar=false", ["form._setting.2", "dedup.near?"]),
        ("dedup.near=true", ["data_choices._chosen.2", "params.yaml"]),
    ],
)
def test_an_arm_that_is_no_choice_of_data_is_refused(arm: str, says: list[str]) -> None:
    refuses(lambda: data_choices._chosen(arm), *says)


def test_two_arms_of_the_same_meaning_are_refused() -> None:
    arms = ["filter.rules=off", 'filter.rules="off"']
    refuses(lambda: data_choices.run_study("s", Params(), DataChoices(arms=arms)), "data_choices.run_study.2", *arms)


@pytest.mark.long
@pytest.mark.pipeline
def test_an_arm_that_differs_in_seeds_alone_gains_nothing(toy_clone: PipelineClone, databases: Path) -> None:
    shutil.copytree(databases, toy_clone.root / ".greenhouse", dirs_exist_ok=True)
    words = ("greenhouse", "study", "data", "--arm", "mix.seed=2", "--seeds", "2")
    with toy_clone.prefect():
        said, again = toy_clone.run(*words), toy_clone.run(*words)
    (row,) = [line for line in said.splitlines() if line.startswith("| mix.seed=2")]
    assert "better" not in row
    assert "as in these trainings" in said
    assert again.count("finished before, read back") == 4
