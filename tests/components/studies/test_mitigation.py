"""The trial of counterfactual augmentation: arms equal but for the text, the same figures again, intervals hold."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.corpus.corpus import read_corpus
from components.params import Mitigate, Mix, ModelShape, Numerics, Tokenize
from components.stages.tokenize.stage import tokenize
from components.studies import mitigation as trial
from components.studies.trainings import Workplace
from components.tokens.shards import TokenShards
from tests.components.real_text import corpus, modules

PARAMS = Mitigate(seeds=2, model=ModelShape(size=1, width=32), steps=4, batch=2, context=32, heldout_kilobytes=4)
STORY = "The king said that she would come, and his mother told him of her brother. "


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> trial.MitigationTrial:
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
    return trial.MitigationTrial(PARAMS, Workplace(root, root / "trial", Numerics()), Mix())


def test_the_arms_differ_in_their_text_alone(made: trial.MitigationTrial) -> None:
    shards = {arm: TokenShards.open(made.tokens(trial.TrialRun(arm, 1)) / "train") for arm in trial.ARMS}
    counts = {arm: each.manifest.num_tokens for arm, each in shards.items()}
    assert counts["none"] < counts["random"]
    assert counts["counterfactual"] == pytest.approx(counts["random"], rel=0.05)
    assert len({each.manifest.tokenizer_sha256 for each in shards.values()}) == 1
    plain = sum(len(each.text.encode()) for each in read_corpus(made.workplace.root / "data/bias/train"))
    assert shards["none"].manifest.num_bytes == plain
    written = {path: path.stat().st_mtime_ns for path in made.tokens(trial.TrialRun("none", 1)).rglob("*")}
    assert all(path.stat().st_mtime_ns == then for path, then in written.items()), "made once"
    other = TokenShards.open(made.tokens(trial.TrialRun("random", 2)) / "train")
    assert other.manifest.num_tokens != counts["random"], "each seed has its own draw"


@pytest.mark.slow
def test_models_are_made_once_and_the_same(made: trial.MitigationTrial, tmp_path: Path) -> None:
    results = list[dict]()

    def run(points: Sequence[trial.TrialRun]) -> list[dict]:
        results.extend(made.result(point) for point in points)
        return results

    headline = made.carry_out(run, tmp_path)
    assert headline["spread_swap_low"] is None, "two seeds"
    assert [(row["arm"], row["seed"]) for row in results] == [(arm, seed) for seed in (1, 2) for arm in trial.ARMS]
    assert len({row["bits_per_byte"] for row in results}) == 6
    again = replace(made, workplace=replace(made.workplace, work=tmp_path / "again"))
    same = again.result(trial.TrialRun("counterfactual", 2))
    assert {name: same[name] for name in trial.FIGURES} == {name: results[4][name] for name in trial.FIGURES}
    (made.folder(trial.TrialRun("none", 1)) / "model/model.safetensors").unlink()  # a finished one is read back
    assert made.result(trial.TrialRun("none", 1)) == results[0]
    text = (tmp_path / "report.md").read_text()
    assert "| difference, counterfactual - random | " in text
    assert "not shown (no interval: 2 seeds and draws, at least 5 are needed)" in text
    assert (tmp_path / "plots/mitigate.png").stat().st_size > 5000


def results_of(effect: float, noise: float, seeds: int = 5, draw: int = 1) -> list[dict]:
    """Results in which a seed moves all arms alike, and the swap changes the spread by `effect`, with `noise`."""
    rng = np.random.default_rng(draw)
    change = {"none": 0.0, "random": 0.01, "counterfactual": 0.01 + effect}
    return [
        {"arm": arm, "seed": seed, "prior": 1.0 * seed, "bits_per_byte": 2.0}
        | {"spread": 0.2 + 0.1 * seed + change[arm] + noise * rng.normal()}
        for seed in range(1, seeds + 1) for arm in trial.ARMS
    ]  # fmt: skip


def test_differences_are_taken_seed_by_seed_with_students_interval() -> None:
    """What a seed does to all arms alike cancels: the difference is sure where the arms' own intervals overlap."""
    found = trial.summary(results_of(-0.05, 0.002))
    swap = found["contrasts"]["counterfactual - random"]["spread"]
    values = [row["spread"] for row in found["runs"]]
    changes = np.array(values[1::3]) - np.array(values[2::3])
    half = 2.776445 * changes.std(ddof=1) / 5**0.5
    assert (swap["value"], swap["high"]) == pytest.approx((changes.mean(), changes.mean() + half))
    assert found["arms"]["none"]["spread"]["high"] > found["arms"]["counterfactual"]["spread"]["low"]
    assert found["verdict"].startswith("shown: the spread falls by -0.05")


def test_a_mitigation_that_moves_nothing_but_the_prior_or_has_few_seeds_is_not_shown() -> None:
    moved = [row | {"prior": 0.0 if row["arm"] == "counterfactual" else -3.0} for row in results_of(0.0, 0.02)]
    assert trial.summary(moved)["verdict"].startswith("not shown: the spread changes by")
    assert trial.summary(results_of(-0.05, 0.002, seeds=4))["verdict"].startswith("not shown (no interval")
    assert trial.summary(results_of(0.05, 0.002))["verdict"].startswith("not shown"), "it grew"
