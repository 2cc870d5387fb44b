"""The gate: planted regressions are caught, a real gain is promoted, and doubt never promotes."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.params import GateRule
from components.params.promote import RULES
from components.scored_items import write_items
from components.statistics import Difference
from components.studies.noise_floor import SeedNoise
from components.studies.promotion_gate import Evaluation, GateVerdict, decide, judge

DOCUMENTS, WORKS, PAIRS = 60, 12, 300
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
    rows = [item_row(BITS, n, rate[n] * size[n], size[n], "lower", cluster=n % WORKS) for n in range(DOCUMENTS)]
    probe = [item_row(ACCURACY, n, float(hits[n]), 1.0, "higher", cluster=n) for n in range(PAIRS) if pairs]
    rows += [row | {"baseline": baseline} for row in probe]
    write_items(rows, path)
    return Evaluation([path], facts, METRICS)


def item_row(name: str, item: int, score: float, weight: float, direction: str, cluster: int) -> dict:
    """A row of the table of scored items."""
    question, metric = name.split("/")
    row = {"question": question, "condition": "", "metric": metric, "item": str(item), "cluster": str(cluster)}
    return row | {"score": float(score), "weight": float(weight), "direction": direction, "stratum": ""}


def verdict(folder: Path, rule: GateRule = RULE, noise: dict[str, SeedNoise] = NOISE, **challenger: Any) -> GateVerdict:
    """Verdict on a challenger against a champion of 2 bits per byte and 70% right."""
    a, b = evaluation(folder / "a.parquet", 1), evaluation(folder / "b.parquet", 2, **challenger)
    return judge(rule, a, b, noise.get)


@pytest.mark.parametrize(
    ("challenger", "rule", "noise", "expected", "reasons"),
    [
        ({"bits": 1.9}, RULE, NOISE, "promote", [f"^{BITS} .* over works and seeds", "^none of 2 guards and limits"]),
        ({}, RULE, NOISE, "inconclusive", [BITS]),
        ({"bits": 1.96}, RULE, NOISE, "promote", [BITS, "none of 2 guards"]),
        ({"bits": 1.96}, RULE, NOISE | {BITS: replace(NOISE[BITS], deviation=0.02)}, "inconclusive", [BITS]),
        ({"bits": 1.5}, RULE, {}, "inconclusive", ["run `greenhouse study seeds`", "seed noise not measured"]),
        ({"bits": 2.1}, RULE, NOISE, "hold", [f"^{BITS} "]),
        ({"bits": 1.9, "accuracy": 0.55}, RULE, NOISE, "hold", [f"^{ACCURACY} .* worse than the margin of 0.05"]),
        ({"bits": 1.5, "pairs": False}, RULE, NOISE, "inconclusive", [f"{ACCURACY} is guarded, but"]),
        ({"bits": 1.9}, GateRule(primary=BITS, guards={ACCURACY: 1e-6}), NOISE, "inconclusive",
         [rf"^{ACCURACY} 0\..* may be worse than the margin of 1e-06"]),
        ({"bits": 1.5}, RULE.model_copy(update={"primary": "recall/nats"}), NOISE, "inconclusive",
         ["^recall/nats: the two share no scored item: other held-out examples, another task, or not evaluated"]),
    ],
)  # fmt: skip
def test_a_verdict_names_what_it_rests_on_and_nothing_else(
    challenger: dict, rule: GateRule, noise: dict, expected: str, reasons: list[str], tmp_path: Path
) -> None:
    found = verdict(tmp_path, rule, noise, **challenger)
    assert (found.verdict, len(found.reasons)) == (expected, len(reasons)), found.reasons
    assert all(re.search(says, reason) for says, reason in zip(reasons, found.reasons, strict=True)), found.reasons
    if expected == "promote":
        lines = found.lines()
        assert lines[0].startswith(f"smallest gain in {BITS} that can be told from none: 0.0")
        assert lines[1] == "verdict: promote"
        assert "from 4 runs" in lines[-1]


def test_limits_held_out_sets_and_several_runs_of_a_side(tmp_path: Path) -> None:
    a, b, c = (evaluation(tmp_path / f"{n}.parquet", n, bits=2.0 if n == 1 else 1.5) for n in (1, 2, 3))
    for other, same, expected, says in (
        (replace(b, metrics={}), True, "inconclusive", "calibration/ece has a limit of 0.15, but was not evaluated"),
        (replace(b, metrics={"calibration/ece": 0.4}), True, "hold", "calibration/ece is 0.4000, the limit is 0.15"),
        (replace(b, metrics={"calibration/ece": 0.15}), True, "promote", BITS),
        (replace(b, metrics={}, facts={"skipped": {"calibration": "no items"}}), True, "promote", BITS),
        (b, False, "inconclusive", "different held-out sets"),
        (Evaluation([*b.items, *c.items], {}, METRICS), True, "promote", BITS),
    ):
        found = judge(RULE, a, other, NOISE.get, same_heldout=same)
        assert found.verdict == expected
        assert says in found.reasons[0]


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


def test_a_probe_at_its_baseline_guards_nothing(tmp_path: Path) -> None:
    b = evaluation(tmp_path / "b.parquet", 2, bits=1.9, accuracy=0.55)
    for baseline, expected in ((0.5, "hold"), (0.72, "promote")):
        a = evaluation(tmp_path / "a.parquet", 1, baseline=baseline)
        found = judge(RULE, a, b, NOISE.get)
        assert found.verdict == expected
        nothing = f"{ACCURACY} guards nothing: the champion is not above what a blind rule gets"
        assert (nothing in found.notes) is (expected == "promote")


@pytest.mark.parametrize(
    ("direction", "gains", "weights", "above"),
    [
        ("higher", [0.9] * 24, [1.0] * 24, True),
        ("lower", [-0.9] * 24, [1.0] * 24, True),
        ("lower", [0.9] * 24, [1.0] * 24, False),
        ("lower", [-0.6] * 5, [1.0] * 5, False),
        ("higher", [0.6] * 5, [1.0] * 5, False),  # five that are alike: the next may be another
        ("higher", [0.3, 0.5] * 10, [1.0] * 20, True),
        ("higher", [0.0] * 6, [1.0, 2.0] * 3, False),  # all exactly at their baselines
        ("higher", [0.9] * 4, [1.0] * 4, None),  # too few for an interval
        ("higher", [0.9], [1.0], None),
        ("higher", [], [], None),
    ],
)
def test_a_probe_is_above_its_baseline_if_its_whole_interval_is(
    direction: str, gains: list[float], weights: list[float], above: bool | None, tmp_path: Path
) -> None:
    probe = [item_row(ACCURACY, n, 0.1 + gain, weight, direction, n)
             for n, (gain, weight) in enumerate(zip(gains, weights, strict=True))]  # fmt: skip
    known, unknown = (Evaluation([tmp_path / name]) for name in ("known", "unknown"))
    for side, baseline in ((known, 0.1), (unknown, None)):
        write_items([item_row(BITS, 0, 1.0, 1.0, "lower", 0), *(row | {"baseline": baseline} for row in probe)],
                    side.items[0])  # fmt: skip
    assert known.above_baseline(ACCURACY) is above
    assert unknown.above_baseline(ACCURACY) is None


def test_a_guard_of_one_condition_is_not_diluted_by_others_at_chance(tmp_path: Path) -> None:
    """An ability that falls from always to .75 beside three conditions at a quarter moves their mean by .06."""
    guard = "open_book/accuracy/record open"
    sides = []
    for name, open_share, bits in (("a", 1.0, 2.0), ("b", 0.75, 1.5)):
        shares = {"record open": open_share, "record closed": 0.25, "prose open": 0.25, "prose closed": 0.25}
        rows = [item_row(BITS, n, (bits + n / 100) * 1000, 1000, "lower", cluster=n) for n in range(WORKS)]
        for condition, share in shares.items():
            for n in range(120):
                row = item_row("open_book/accuracy", n, float(n % 4 < 4 * share), 1.0, "higher", cluster=n)
                rows.append(row | {"condition": condition, "baseline": 0.25})
        write_items(rows, tmp_path / name)
        sides.append(Evaluation([tmp_path / name]))
    noise = dict.fromkeys((BITS, guard, "open_book/accuracy"), NOISE[ACCURACY])
    pooled, own = (judge(GateRule(primary=BITS, guards={name: 0.1}), *sides, noise.get) for name in (guard[:18], guard))
    assert pooled.verdict == "promote"  # which is why the shipped rules name conditions
    assert own.verdict == "hold"
    assert "record open 1.0000 -> 0.7500" in own.reasons[0]
    said = {"title": "x", "value": 1.0, "low": 1.0, "high": 1.0, "n": 9, "model": "x", "measured_by": "evaluate"}
    scores = [said | {"name": name, "items": items} for name, items in (("bits", ""), ("other", "x"), ("open", guard))]
    known = Evaluation([], {"scores": scores})
    assert [known.items_of(name) for name in ("open", "bits", "none")] == [guard, "bits", "none"]
    conditions = [name for name in RULES["causal"].guards if name.count("/") > 1]
    assert conditions == ["open_book/accuracy/record open", "chain_of_thought/accuracy/steps"]


def test_a_task_that_applies_to_neither_guards_nothing(tmp_path: Path) -> None:
    skipped = {"minimal_pairs": "the held-out text does not read as English"}
    a = evaluation(tmp_path / "a.parquet", 1, pairs=False, skipped=skipped)
    b = evaluation(tmp_path / "b.parquet", 2, bits=1.9, pairs=False, skipped=skipped)
    found = judge(RULE, a, b, NOISE.get)
    assert found.verdict == "promote"
    assert f"{ACCURACY} guards nothing: it applies to neither" in found.notes
    for one, other in ((a, replace(b, facts={})), (replace(a, facts={}), b)):
        found = judge(RULE, one, other, NOISE.get)
        assert found.verdict == "inconclusive"
        assert found.reasons == [f"{ACCURACY} is guarded, but one of the two was not evaluated on it"]


@pytest.mark.parametrize(("loss", "expected"), [(0.25, "promote"), (0.26, "hold")])
def test_a_loss_of_exactly_the_margin_is_none(loss: float, expected: str) -> None:
    gain = Difference(BITS, "lower", 2.0, 1.5, 0.5, 0.5, 0.5, 0.0, 0.0, 40, 10, 0, 0)
    loser = Difference(ACCURACY, "higher", 0.75, 0.75 - loss, -loss, -loss, -loss, 0.0, 0.0, 40, 10, 0, 0)
    certain = SeedNoise(0.0, 10.0, 2.0, "")
    rule = GateRule(primary=BITS, guards={ACCURACY: 0.25})
    assert decide(rule, Evaluation([]), Evaluation([]), lambda _: certain, [gain, loser]).verdict == expected


@pytest.mark.parametrize(("gain", "expected"), [(0.0, "inconclusive"), (-0.01, "hold"), (0.01, "promote")])
def test_a_primary_metric_that_certainly_did_not_move_is_no_loss(gain: float, expected: str) -> None:
    row = Difference(BITS, "lower", 2.0, 2.0 - gain, gain, gain, gain, 0.0, 0.0, 40, 10, 0, 0)
    noise = SeedNoise(0.0, 10.0, 2.0, "")
    found = decide(GateRule(primary=BITS), Evaluation([]), Evaluation([]), lambda _: noise, [row])
    assert found.verdict == expected
