"""`greenhouse study seeds`: trainings that differ in seeds alone, read back when finished; their spread is used."""

import json
import shutil
from pathlib import Path

import pytest

from components.params import FinetuneBranches, Params, Prefer
from flows.seeds import reseeded
from tests.flows.pipeline_clone import PipelineClone
from tests.flows.toy import change_seed


def test_only_seeds_differ() -> None:
    own, other = Params().model_dump(), reseeded(Params(), 2).model_dump()
    seeded = {"pretrain": ("causal", "masked"), "finetune": ("instruct", "classify"), "mix": ("",)}
    for section, branches in seeded.items():
        for branch in branches:
            a, b = (tree[section][branch] if branch else tree[section] for tree in (own, other))
            assert a.pop("seed") != b.pop("seed")
    assert own == other


def test_preference_tuning_is_seeded_where_it_runs_and_is_a_kind_of_its_own() -> None:
    prefer = Prefer(base="models/finetune/instruct", data="data/mix/train")
    params = Params(finetune=FinetuneBranches(prefer=prefer))
    assert reseeded(params, 2).finetune.prefer.seed != prefer.seed


@pytest.mark.long
@pytest.mark.pipeline
def test_trainings_are_experiments_and_their_spread_is_the_noise_floor(
    toy_clone: PipelineClone, databases: Path
) -> None:
    shutil.copytree(databases, toy_clone.root / ".greenhouse", dirs_exist_ok=True)
    with toy_clone.prefect():
        said = toy_clone.run("greenhouse", "study", "seeds", "runs=2")
        again = toy_clone.run("greenhouse", "study", "seeds", "runs=2")
    assert "# Noise of seeds" in said
    records = [path for path in (toy_clone.root / ".greenhouse/findings/noise").iterdir() if "causal" in path.name]
    ((settings,),) = (json.loads(path.read_text()).values() for path in records)
    (runs,) = [settings] if "workspace" in settings else settings.values()
    assert len(runs) == 3
    assert "workspace" in runs
    assert len({run["scores"]["bits_per_byte/bits_per_byte"] for run in runs.values()}) == 3
    assert again.count("finished before, read back") == 2
    change_seed(toy_clone, 3)
    compared = toy_clone.run("greenhouse", "compare", "first", "workspace")
    (scores,) = [line for line in compared.splitlines() if line.startswith("bits_per_byte")]
    assert not scores.endswith("*"), "a difference that another seed brings"
