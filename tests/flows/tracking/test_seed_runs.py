"""Runs that differ in seeds alone: a classifier is judged on the items of its own stage."""

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.params import GateRule, Params
from components.scored_items import write_items
from components.statistics import paired_difference
from components.studies.noise_floor import all_over_seeds
from flows import compare, promote
from flows.system import paths
from flows.tracking import seed_runs
from flows.tracking.snapshots import ObjectCache, Snapshot
from tests.flows.object_cache import listing, put

pytestmark = pytest.mark.usefixtures("checkout")

RULE = GateRule(primary="classify/accuracy")


def tuned(cache: Path, name: str, accuracy: float, seed: int, steps: int = 100, rows: str = "") -> Snapshot:
    """A state with a classifier of that accuracy on 200 held-out rows, the hard ones wrong most often."""
    chance = random.Random(seed)
    items = [
        {"question": "classify", "condition": "", "metric": "accuracy", "item": str(item), "cluster": str(item),
         "score": float(chance.random() < accuracy + (0.1 if item % 2 else -0.1)), "weight": 1.0,
         "direction": "higher", "stratum": "", "baseline": 0.5}
        for item in range(200)
    ]  # fmt: skip
    write_items(items, cache.parent / "items.parquet")
    assert pq.read_table(cache.parent / "items.parquet").num_rows == 200
    files = {"items.parquet": (cache.parent / "items.parquet").read_bytes(), "facts.json": {"task": "rows"}}
    place = "reports/finetune/classify"
    outs = {f"{place}/details": listing(cache, {path: put(cache, data) for path, data in files.items()}),
            f"{place}/metrics.json": put(cache, {"accuracy": 0.9})}  # fmt: skip
    lock: dict[str, Any] = {"finetune@classify": {
        "params": {"params.yaml": {"finetune.classify": {"steps": steps, "seed": seed}}},
        "deps": [{"path": "own.csv", "md5": rows}] if rows else [],
        "outs": [{"path": path, "md5": md5} for path, md5 in outs.items()],
    }}  # fmt: skip
    lock["ingest"] = {"outs": [{"path": seed_runs.HELDOUT, "md5": "held"}]}
    return Snapshot(name, "revision", lock)


def test_a_better_classifier_is_promoted_and_an_equal_one_is_not(cache: Path) -> None:
    champion = [tuned(cache, f"a{seed}", 0.7, seed) for seed in range(1, 5)]
    for accuracy, expected in ((0.88, "promote"), (0.7, "inconclusive")):
        challenger = [tuned(cache, f"b{seed}", accuracy, 10 + seed, steps=int(1000 * accuracy)) for seed in range(1, 5)]
        alone = promote._judged(champion[0], challenger[0], "classify", RULE, Params())
        assert alone.verdict == "inconclusive"
        seed_runs.record(champion, "classify")
        seed_runs.record(challenger, "classify")
        found = promote._judged(champion[0], challenger[0], "classify", RULE, Params())
        assert found.verdict == expected, found.lines()
        assert found.differences[0].name == RULE.primary
        for record in (paths.FINDINGS / "noise").iterdir():
            record.unlink()


def with_model(snapshot: Snapshot, md5: str) -> Snapshot:
    """The same with a hash of its classifier."""
    own = snapshot.lock["finetune@classify"]
    outs = [*own["outs"], {"path": "models/finetune/classify", "md5": md5}]
    return Snapshot(snapshot.name, "revision", snapshot.lock | {"finetune@classify": own | {"outs": outs}})


def test_a_training_that_was_scored_anew_is_counted_once(cache: Path) -> None:
    runs = [with_model(tuned(cache, f"a{seed}", 0.7, seed), f"{seed}.dir") for seed in (1, 2)]
    anew = with_model(tuned(cache, "workspace", 0.8, 9), "1.dir")
    other = with_model(tuned(cache, "b", 0.8, 5, steps=200), "5.dir")
    seed_runs.record(runs, "classify")
    compared = seed_runs.Compared.of(anew, other, "classify")
    own, second = (seed_runs.items_of(one, ObjectCache(), "classify") for one in (anew, runs[1]))
    assert [path.parent.name + path.name for path in compared.items_a] == [own, second]
    seed_runs.record([anew], "classify")
    known = seed_runs.SeedRuns.of(seed_runs.model_name(anew, "classify"), seed_runs.heldout_of(anew)).known
    assert [sorted(found) for found in known.values()] == [["a2", "workspace"]]


def test_a_model_that_is_the_same_on_both_sides_differs_in_nothing(cache: Path) -> None:
    """Though other settings, of another model, were changed, and one side has several runs."""
    runs = [with_model(tuned(cache, f"a{seed}", 0.7, seed), f"{seed}.dir") for seed in (1, 2, 3)]
    seed_runs.record(runs, "classify")
    other = with_model(tuned(cache, "b", 0.7, 1, steps=200), "1.dir")
    compared = seed_runs.Compared.of(runs[0], other, "classify")
    assert compared.items_a == compared.items_b
    rows = paired_difference(compared.items_a, compared.items_b)
    rows, without = all_over_seeds(rows, compared.noise)
    assert [(row.improvement, row.low, row.high) for row in rows] == [(0.0, 0.0, 0.0)]
    assert not without


@pytest.mark.parametrize(
    ("change", "same"),
    [({"seed": 2}, True), ({"tuned": 100}, True), ({"code": "new"}, False), ({"asked": 2}, False)],
    ids=["another seed", "settings of another model", "other code", "other items"],
)
def test_runs_of_the_same_settings_differ_in_seeds_alone(change: dict[str, Any], same: bool) -> None:
    """Runs of old code would be averaged into a challenger, and the noise of seeds would be that of changes."""

    def settings(code: str = "old", seed: int = 1, asked: int = 1, tuned: int = 60) -> str:
        made = {"params": {"params.yaml": {"pretrain.common": {"seed": seed}}}}
        asks = {"params": {"params.yaml": {"evaluate": {"seed": asked}, "finetune.instruct": {"steps": tuned}}}}
        deps = {"deps": [{"path": "components/model", "md5": code}]}
        one = Snapshot("x", "revision", {"pretrain@causal": made | deps, "evaluate": asks | deps})
        return seed_runs.settings_of(one, "causal")

    assert (settings() == settings(**change)) is same


def test_two_seeds_of_the_same_settings_are_compared_run_by_run(cache: Path) -> None:
    """The mean of all runs would be the same on both sides."""
    runs = [tuned(cache, f"a{seed}", accuracy, seed) for seed, accuracy in ((1, 0.6), (2, 0.7), (3, 0.8))]
    seed_runs.record(runs, "classify")
    compared = seed_runs.Compared.of(runs[0], runs[2], "classify")
    assert len(compared.items_a) == len(compared.items_b) == 1
    noise = compared.noise("classify/accuracy")
    assert noise is not None
    assert (noise.share, noise.freedom) == (2.0, 2.0)


def test_other_rows_are_other_settings_and_other_seeds_are_not(cache: Path) -> None:
    first, reseeded, other = (
        tuned(cache, "x", 0.7, seed, rows=rows) for seed, rows in ((1, "one"), (2, "one"), (1, "two"))
    )
    assert seed_runs.settings_of(first, "classify") == seed_runs.settings_of(reseeded, "classify")
    assert seed_runs.settings_of(first, "classify") != seed_runs.settings_of(other, "classify")


def test_a_stale_stage_does_not_hide_what_another_ran_with() -> None:
    """`evaluate` has all of fine-tuning among its parameters, and ran before classify was tuned again."""
    steps = {stage: {"params": {"params.yaml": {"finetune.classify": {"steps": number}}}}
             for stage, number in (("finetune@classify", 51), ("evaluate", 300))}  # fmt: skip
    assert Snapshot("x", "revision", steps).params()["finetune"]["classify"]["steps"] == 51


def test_a_classifier_that_was_not_scored_item_by_item_is_a_sentence(cache: Path) -> None:
    new = tuned(cache, "new", 0.7, 1)
    outs = [{"path": "reports/finetune/classify/details", "md5": listing(cache, {})}]
    old = Snapshot("old", "revision", new.lock | {"finetune@classify": {"outs": outs}})
    assert not seed_runs.has_items(old, "classify")
    found = promote._judged(old, new, "classify", RULE, Params())
    assert found.lines() == [
        "verdict: inconclusive",
        "the champion was not scored item by item; run the pipeline there again",
    ]


def evaluated(cache: Path, scored: str, has: str) -> Snapshot:
    """A state whose evaluation names the MD5 of the weights it scored, and its causal model's weights."""
    details = {"items.parquet": put(cache, b""), "facts.json": put(cache, {"models": {"pretrain/causal": scored}})}
    outs = {"reports/evaluate/details": details, "models/pretrain/causal": {"model.safetensors": has}}
    listed = [{"path": path, "md5": listing(cache, files)} for path, files in outs.items()]
    return Snapshot("x", "revision", {"pretrain@causal": {"outs": listed[1:]}, "evaluate": {"outs": listed[:1]}})


def test_scores_of_an_earlier_model_are_no_evidence_of_this_one(cache: Path) -> None:
    old, new = evaluated(cache, "a" * 32, "b" * 32), evaluated(cache, "b" * 32, "b" * 32)
    rule = GateRule(primary="bits_per_byte/all")
    found = promote._judged(new, old, "causal", rule, Params())
    assert found.lines()[1:] == ["the challenger's scores are of an earlier model; run the pipeline to its end"]
    assert not seed_runs.scores_another(new, "causal")
    assert not seed_runs.scores_another(new, "masked")
    expected = "scores B: of earlier models than these: causal; run the pipeline there to its end"
    assert list(compare.outdated(new, old)) == [expected]


def test_an_evaluation_is_of_no_model_that_it_does_not_name(cache: Path) -> None:
    one = evaluated(cache, "a" * 32, "a" * 32)
    weights = listing(cache, {"model.safetensors": "c" * 32})
    later = {"finetune@prefer": {"outs": [{"path": "models/finetune/prefer", "md5": weights}]}}
    assert seed_runs.scores_another(Snapshot("x", "revision", one.lock | later), "prefer")


def test_a_classifier_is_scored_by_the_stage_that_made_it(cache: Path) -> None:
    """The facts of that stage name no weights; a fresh run said that its classifier was scored as it was before."""
    facts, weights = {"facts.json": put(cache, {"task": "source"})}, {"model.safetensors": "c" * 32}
    outs = {"models/finetune/classify": weights, "reports/finetune/classify/details": facts}
    listed = [{"path": path, "md5": listing(cache, files)} for path, files in outs.items()]
    made = Snapshot("x", "revision", {"finetune@classify": {"outs": listed}})
    assert not seed_runs.scores_another(made, "classify")
