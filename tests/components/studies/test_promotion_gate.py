"""The gate: planted regressions are caught, a real gain is promoted, and doubt never promotes."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.params import GateRule
from components.params.promote import RULES
from components.scored_items import SCHEMA
from components.statistics import Difference, Resampling
from components.studies.noise_floor import SeedNoise
from components.studies.promotion_gate import Evaluation, GateVerdict, decide, judge

DOCUMENTS, WORKS, PAIRS = 60, 12, 300
QUICK = Resampling(resamples=50)
BITS, ACCURACY = "bits_per_byte/bits_per_byte", "minimal_pairs/accuracy"
RULE = GateRule(primary=BITS, guards={ACCURACY: 0.05}, limits={"calibration/ece": 0.15})
METRICS = {"calibration/ece": 0.01}
NOISE = {
    BITS: SeedNoise(0.005, 10.0, 2.0, "seed sd 0.0050 from 4 runs of both sides"),
    ACCURACY: SeedNoise(0.003, 10.0, 2.0, ""),
}


def evaluation(
    path: Path, seed: int, *, bits: float = 2.0, accuracy: float = 0.7, pairs: bool = True,
    baseline: float | None = None, **facts: Any,
) -> Evaluation:  # fmt: skip
    """A made-up evaluation: hard and easy items are the same for every model, a model's own luck is drawn by `seed`."""
    exam, luck = np.random.default_rng(0), np.random.default_rng(seed)
    size = exam.integers(500, 9000, DOCUMENTS)
    rate = exam.normal(0.0, 0.3, DOCUMENTS) + bits + luck.normal(0.0, 0.01, DOCUMENTS)
    ease = exam.normal(0.0, 0.8, PAIRS)
    hits = ease + luck.normal(0.0, 0.03, PAIRS) < np.quantile(ease, accuracy)
    rows = [_row(BITS, n, rate[n] * size[n], size[n], "lower", cluster=n % WORKS) for n in range(DOCUMENTS)]
    probe = [_row(ACCURACY, n, float(hits[n]), 1.0, "higher", cluster=n) for n in range(PAIRS) if pairs]
    rows += [row | {"baseline": baseline} for row in probe]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    return Evaluation([path], facts, METRICS)


def _row(name: str, item: int, score: float, weight: float, direction: str, cluster: int) -> dict:
    question, metric = name.split("/")
    row = {"question": question, "condition": "", "metric": metric, "item": str(item), "cluster": str(cluster)}
    return row | {"score": float(score), "weight": float(weight), "direction": direction, "stratum": ""}


def verdict(folder: Path, rule: GateRule = RULE, noise: dict[str, SeedNoise] = NOISE, **challenger: Any) -> GateVerdict:
    """Verdict on a challenger against a champion of 2 bits per byte and 70% right."""
    a, b = evaluation(folder / "a.parquet", 1), evaluation(folder / "b.parquet", 2, **challenger)
    return judge(rule, a, b, noise.get, QUICK)


def test_a_gain_over_works_and_seeds_is_promoted_and_what_could_be_found_comes_first(tmp_path: Path) -> None:
    found = verdict(tmp_path, bits=1.9)
    assert found.verdict == "promote"
    lines = found.lines()
    assert lines[0].startswith(f"smallest gain in {BITS} that can be told from none: 0.0")
    assert lines[1] == "verdict: promote"
    assert "over works and seeds" in lines[2]
    assert "from 4 runs" in lines[-1]


def test_equal_models_are_inconclusive(tmp_path: Path) -> None:
    assert verdict(tmp_path).verdict == "inconclusive"


def test_a_gain_that_another_seed_could_bring_is_inconclusive(tmp_path: Path) -> None:
    assert verdict(tmp_path, bits=1.96).verdict == "promote"
    lucky = NOISE | {BITS: replace(NOISE[BITS], deviation=0.02)}
    assert verdict(tmp_path, bits=1.96, noise=lucky).verdict == "inconclusive"


def test_without_a_noise_floor_nothing_is_promoted(tmp_path: Path) -> None:
    found = verdict(tmp_path, bits=1.5, noise={})
    assert found.verdict == "inconclusive"
    assert "run `greenhouse study seeds`" in found.reasons[0]


@pytest.mark.parametrize(
    ("bits", "says"),
    [(2.2, "worse on these works; seed noise not measured, so an unlucky seed would do"),
     (2.0, "not clearly above zero; seed noise"),
     (1.8, "better on these works; seed noise not measured, so a lucky seed would do")],
)  # fmt: skip
def test_without_a_noise_floor_the_gain_over_works_is_said_all_the_same(tmp_path: Path, bits: float, says: str) -> None:
    found = verdict(tmp_path, bits=bits, noise={})
    assert found.verdict == "inconclusive"
    told, _, reason, *_ = found.lines()
    assert re.fullmatch(
        f"smallest gain in {BITS} that can be told from none: not known without the noise of seeds, "
        r"which adds to the 0\.0\d+ that works alone ask for",
        told,
    )
    assert re.search(r"improvement [+-]0\.\d+ \[[+-]0\.\d+, [+-]0\.\d+\] over works alone: ", reason)
    assert says in reason


@pytest.mark.parametrize("challenger", [{"bits": 2.1}, {"bits": 1.9, "accuracy": 0.55}])
def test_a_planted_regression_is_held(tmp_path: Path, challenger: dict[str, float]) -> None:
    assert verdict(tmp_path, **challenger).verdict == "hold"


def test_a_missing_guard_is_inconclusive(tmp_path: Path) -> None:
    found = verdict(tmp_path, bits=1.5, pairs=False)
    assert found.verdict == "inconclusive"
    assert f"{ACCURACY} is guarded, but" in found.reasons[0]


def test_items_are_read_once_however_many_guards_ask_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    read = pq.read_table
    monkeypatch.setattr(pq, "read_table", lambda path: reads.append(path) or read(path))
    rule = RULE.model_copy(update={"guards": {ACCURACY: 0.05, f"{ACCURACY}/": 0.05, f"{BITS}/": 0.1}})
    assert verdict(tmp_path, rule, bits=1.9, noise=NOISE | dict.fromkeys(rule.guards, NOISE[ACCURACY])).lines()
    assert sorted(path.name for path in reads) == ["a.parquet", "b.parquet"]


def test_a_missing_limit_is_inconclusive_and_a_broken_one_holds(tmp_path: Path) -> None:
    a, b = evaluation(tmp_path / "a.parquet", 1), evaluation(tmp_path / "b.parquet", 2, bits=1.5)
    assert judge(RULE, a, replace(b, metrics={}), NOISE.get, QUICK).verdict == "inconclusive"
    found = judge(RULE, a, replace(b, metrics={"calibration/ece": 0.4}), NOISE.get, QUICK)
    assert found.verdict == "hold"
    assert "calibration/ece is 0.4000, the limit is 0.15" in found.reasons[0]


def test_a_probe_at_its_baseline_guards_nothing(tmp_path: Path) -> None:
    b = evaluation(tmp_path / "b.parquet", 2, bits=1.9, accuracy=0.55)
    for baseline, expected in ((0.5, "hold"), (0.72, "promote")):
        a = evaluation(tmp_path / "a.parquet", 1, baseline=baseline)
        found = judge(RULE, a, b, NOISE.get, QUICK)
        assert found.verdict == expected
        nothing = f"{ACCURACY} guards nothing: the champion is not above what a blind rule gets"
        assert (nothing in found.notes) is (expected == "promote")


def test_a_guard_of_one_condition_is_not_diluted_by_others_at_chance(tmp_path: Path) -> None:
    """An ability that falls from always to .75 beside three conditions at a quarter moves their mean by .06."""
    guard = "open_book/accuracy/record open"
    sides = []
    for name, open_share, bits in (("a", 1.0, 2.0), ("b", 0.75, 1.5)):
        shares = {"record open": open_share, "record closed": 0.25, "prose open": 0.25, "prose closed": 0.25}
        rows = [_row(BITS, n, (bits + n / 100) * 1000, 1000, "lower", cluster=n) for n in range(WORKS)]
        for condition, share in shares.items():
            for n in range(120):
                row = _row("open_book/accuracy", n, float(n % 4 < 4 * share), 1.0, "higher", cluster=n)
                rows.append(row | {"condition": condition, "baseline": 0.25})
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), tmp_path / name)
        sides.append(Evaluation([tmp_path / name]))
    noise = dict.fromkeys((BITS, guard, "open_book/accuracy"), NOISE[ACCURACY])
    pooled, own = (
        judge(GateRule(primary=BITS, guards={name: 0.1}), *sides, noise.get, QUICK) for name in (guard[:18], guard)
    )
    assert pooled.verdict == "promote"  # which is why the shipped rules name conditions
    assert own.verdict == "hold"
    assert "record open 1.0000 -> 0.7500" in own.reasons[0]
    conditions = [name for name in RULES["causal"].guards if name.count("/") > 1]
    assert conditions == ["open_book/accuracy/record open", "chain_of_thought/accuracy/steps"]


def test_a_task_that_applies_to_neither_guards_nothing(tmp_path: Path) -> None:
    skipped = {"minimal_pairs": "the held-out text does not read as English"}
    a = evaluation(tmp_path / "a.parquet", 1, pairs=False, skipped=skipped)
    b = evaluation(tmp_path / "b.parquet", 2, bits=1.9, pairs=False, skipped=skipped)
    found = judge(RULE, a, b, NOISE.get, QUICK)
    assert found.verdict == "promote"
    assert f"{ACCURACY} guards nothing: it applies to neither" in found.notes
    for one, other in ((a, replace(b, facts={})), (replace(a, facts={}), b)):
        found = judge(RULE, one, other, NOISE.get, QUICK)
        assert found.verdict == "inconclusive"
        assert found.reasons == [f"{ACCURACY} is guarded, but one of the two was not evaluated on it"]


def test_a_verdict_names_what_it_rests_on_and_nothing_else(tmp_path: Path) -> None:
    promoted, held = verdict(tmp_path, bits=1.9), verdict(tmp_path, bits=1.9, accuracy=0.55)
    assert len(promoted.reasons) == 2
    assert promoted.reasons[0].startswith(BITS)
    assert promoted.reasons[1] == "none of 2 guards and limits is broken"
    assert [reason.split()[0] for reason in held.reasons] == [ACCURACY]
    assert "worse than the margin of 0.05" in held.reasons[0]


def test_a_primary_metric_that_was_not_evaluated_is_inconclusive(tmp_path: Path) -> None:
    found = verdict(tmp_path, replace_rule(primary="recall/nats"), bits=1.5)
    assert found.verdict == "inconclusive"
    assert found.reasons == [
        "recall/nats: the two share no scored item: other held-out examples, another task, or not evaluated"
        " (of models tuned on rows of one's own only classifiers are)"
    ]
    assert not found.lines()[0].startswith("smallest gain")


def replace_rule(**fields: Any) -> GateRule:
    return RULE.model_copy(update=fields)


def test_several_runs_of_a_side_are_averaged(tmp_path: Path) -> None:
    runs = [evaluation(tmp_path / f"{seed}.parquet", seed, bits=1.9).items[0] for seed in (2, 3, 4)]
    found = judge(RULE, evaluation(tmp_path / "a.parquet", 1), Evaluation(runs, {}, METRICS), NOISE.get, QUICK)
    assert found.verdict == "promote"


def test_another_heldout_set_is_inconclusive(tmp_path: Path) -> None:
    a, b = evaluation(tmp_path / "a.parquet", 1), evaluation(tmp_path / "b.parquet", 2, bits=1.5)
    found = judge(RULE, a, b, NOISE.get, QUICK, same_heldout=False)
    assert found.verdict == "inconclusive"
    assert "different held-out sets" in found.reasons[0]


def test_a_guard_that_may_be_worse_than_its_margin_is_inconclusive_and_says_so(tmp_path: Path) -> None:
    found = verdict(tmp_path, GateRule(primary=BITS, guards={ACCURACY: 1e-6}), bits=1.9)
    assert found.verdict == "inconclusive"
    assert f"{ACCURACY} 0." in found.reasons[0]
    assert "may be worse than the margin of 1e-06" in found.reasons[0]


@pytest.mark.parametrize(("loss", "expected"), [(0.25, "promote"), (0.26, "hold")])
def test_a_loss_of_exactly_the_margin_is_none(loss: float, expected: str) -> None:
    gain = Difference(BITS, "lower", 2.0, 1.5, 0.5, 0.5, 0.5, 0.0, 0.0, 40, 10, 0, 0, 0.0, 9.0)
    loser = Difference(ACCURACY, "higher", 0.75, 0.75 - loss, -loss, -loss, -loss, 0.0, 0.0, 40, 10, 0, 0, 0.0, 9.0)
    certain = SeedNoise(0.0, 10.0, 2.0, "")
    rule = GateRule(primary=BITS, guards={ACCURACY: 0.25})
    assert decide(rule, Evaluation([]), Evaluation([]), lambda _: certain, [gain, loser], 0.95).verdict == expected


@pytest.mark.parametrize(("gain", "expected"), [(0.0, "inconclusive"), (-0.01, "hold"), (0.01, "promote")])
def test_a_primary_metric_that_certainly_did_not_move_is_no_loss(gain: float, expected: str) -> None:
    row = Difference(BITS, "lower", 2.0, 2.0 - gain, gain, gain, gain, 0.0, 0.0, 40, 10, 0, 0, 0.0, 9.0)
    noise = SeedNoise(0.0, 10.0, 2.0, "")
    found = decide(GateRule(primary=BITS), Evaluation([]), Evaluation([]), lambda _: noise, [row], 0.95)
    assert found.verdict == expected
