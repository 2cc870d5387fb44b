"""The trial of counterfactual augmentation: arms equal but for the text, the same figures again, intervals hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.carbon.ledger.reader import read
from components.core.errors import Stopped
from components.corpus.corpus import read_corpus
from components.params import Budget, Mitigate, Mix, ModelShape, Numerics, ProjectBudget, Runtime, Tokenize
from components.stages.tokenize.stage import tokenize
from components.studies import mitigation as trial
from components.tokens.shards import TokenShards
from tests.components.real_text import corpus, modules

PARAMS = Mitigate(seeds=2, model=ModelShape(size=1, width=32), steps=4, batch=2, context=32, heldout_kilobytes=4)
STORY = "The king said that she would come, and his mother told him of her brother. "


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> trial.TrialFolders:
    """What the pipeline leaves: filtered text with gendered words in some documents, held-out text, a tokenizer."""
    root = tmp_path_factory.mktemp("trial")
    documents = [
        each.changed(each.text + STORY * 5, "with_a_story") if number % 3 == 0 else each
        for number, each in enumerate(modules("scipy", 60))
    ]
    data = root / "data"
    corpus(data / "bias/train", documents[:50])
    corpus(data / "ingest/heldout", documents[50:])
    for name in ("reports", "work"):
        (root / name).mkdir()
    tokenize(
        train=data / "bias/train", heldout=data / "ingest/heldout", params=Tokenize(vocab_size=400),
        out=data / "tokenize", reports=root / "reports", work=root / "work",
    )  # fmt: skip
    return trial.TrialFolders(data, root / "trial", Numerics())


def test_the_arms_differ_in_their_text_alone(place: trial.TrialFolders) -> None:
    counts = {arm: trial.prepare(arm, place, Mix()) for arm in trial.ARMS}
    assert counts["none"] < counts["random"]
    assert counts["counterfactual"] == pytest.approx(counts["random"], rel=0.05)
    shards = {arm: TokenShards.open(place.work / f"tokens-{arm}/train", verify=True) for arm in trial.ARMS}
    assert len({each.manifest.tokenizer_sha256 for each in shards.values()}) == 1
    plain = sum(len(each.text.encode()) for each in read_corpus(place.data / "bias/train"))
    assert shards["none"].manifest.num_bytes == plain
    assert trial.prepare("none", place, Mix()) == counts["none"]  # made once


def test_a_projects_budget_that_is_spent_lets_no_model_begin(place: trial.TrialFolders, tmp_path: Path) -> None:
    runtime = Runtime(budget=Budget(project=ProjectBudget(hours=1e-9)))
    spent = replace(place, work=tmp_path / "spent", ledger=tmp_path / "ledger", runtime=runtime)
    with pytest.raises(Stopped, match=r"runtime\.budget\.project: .* run again to go on"):
        trial.run_one(trial.TrialRun("none", 1), folders=spent, params=PARAMS)
    (span,) = read(tmp_path / "ledger")
    assert (span.stage, span.outcome) == ("mitigate", "BudgetReached")
    assert not (spent.folder("none", 1) / "result.json").exists()


@pytest.mark.slow
def test_models_are_made_once_and_the_same(place: trial.TrialFolders) -> None:
    for arm in trial.ARMS:
        trial.prepare(arm, place, Mix())
    results = [trial.run_one(run, folders=place, params=PARAMS) for run in trial.runs(PARAMS)]
    assert [(row["arm"], row["seed"]) for row in results] == [(arm, seed) for seed in (1, 2) for arm in trial.ARMS]
    assert len({row["bits_per_byte"] for row in results}) == 6
    again = trial.TrialFolders(place.data, place.work.with_name("again"), place.numerics)
    trial.prepare("counterfactual", again, Mix())
    assert trial.run_one(trial.TrialRun("counterfactual", 2), folders=again, params=PARAMS) == results[4]
    (place.folder("none", 1) / "model/model.safetensors").unlink()  # a finished one is read back
    assert trial.run_one(trial.TrialRun("none", 1), folders=place, params=PARAMS) == results[0]
    found = trial.summary(results)
    text = trial.markdown(found, PARAMS, {"none": 1, "counterfactual": 2, "random": 2})
    assert "| difference, counterfactual - random | " in text
    trial.plot(found, place.work / "plot.png")
    assert (place.work / "plot.png").stat().st_size > 5000


def test_intervals_over_seeds_are_students() -> None:
    row = trial.mean_over_seeds([1.0, 2.0, 3.0])
    assert (row["value"], row["high"] - 2.0) == pytest.approx((2.0, 4.302653 / 3**0.5))
    draw = np.random.default_rng(1)
    held = [trial.mean_over_seeds(draw.normal(0.3, 1, 3).tolist()) for _ in range(2000)]
    assert np.mean([each["low"] <= 0.3 <= each["high"] for each in held]) == pytest.approx(0.95, abs=0.02)


def test_differences_are_taken_seed_by_seed() -> None:
    """What a seed does to all arms alike cancels: the difference is sure where the arms' own intervals overlap."""
    shift = {"none": 0.0, "random": 0.1, "counterfactual": 0.6}
    results = [
        {"arm": arm, "seed": seed, "gap": 3.0 * seed + shift[arm] + 0.001 * seed, "bits_per_byte": 2.0}
        for seed in (1, 2, 3) for arm in trial.ARMS
    ]  # fmt: skip
    found = trial.summary(results)
    swap = found["contrasts"]["counterfactual - random"]["gap"]
    assert (swap["value"], swap["low"], swap["high"]) == pytest.approx((0.5, 0.5, 0.5))
    assert found["arms"]["none"]["gap"]["high"] > found["arms"]["counterfactual"]["gap"]["low"]
