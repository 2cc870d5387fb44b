"""Verdicts: over works and seeds, against every rule, corrected for all rows; a rule or a row more never helps."""

from typing import Any

import numpy as np
import pytest

from components.reporting.tables import interval
from components.scores import Baseline, Score
from components.statistics import Estimate, critical_t
from components.verdicts import one_more, row_name, shipped_spread, verdict_text, verdicts

KNOWN = {f"m row/{number}": (0.01, 10) for number in range(12)}


def score(number: int, *gains: tuple[float, float], **more: Any) -> Score:
    """A row with gains over rules, each with its standard error over ten works."""
    every = tuple(Estimate(gain, gain - 0.1, gain + 0.1, 100, 10, "works", error, 9.0) for gain, error in gains)
    beside = Baseline("rule", 0.5, every[0], **{"against": every, "rules": len(every)} | more)
    return Score.of(f"row/{number}", "row", every[0], beside, model="m", measured_by="evaluate")


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([(0.2, 0.01)], "better"),
        ([(0.2, 0.01), (0.01, 0.01)], "not shown"),  # better than one rule is not better than counting
        ([(0.2, 0.01), (-0.2, 0.01)], "worse"),
        ([(0.02, 0.001)], "not shown"),  # on these works; another seed moves it as far
        ([(0.03, 0.002)], "better"),
    ],
)
def test_a_row_is_better_only_than_every_rule(gains: list[tuple[float, float]], expected: str) -> None:
    assert verdicts([score(1, *gains)], KNOWN) == {"m row/1": expected}


def test_nothing_is_shown_where_seeds_were_not_measured_or_the_printed_figure_hides_it() -> None:
    assert verdicts([score(1, (0.2, 0.01))], {}) == {"m row/1": "not shown"}
    tiny = score(1, (0.0005, 0.00001))
    assert verdicts([tiny], {"m row/1": (0.0, 10)}) == {"m row/1": "not shown"}


def test_no_rule_no_sign_and_no_gain_without_its_error() -> None:
    assert verdicts([score(1, (0.2, 0.01), needs_model=True, rules=0)], KNOWN) == {}
    with pytest.raises(ValueError, match="standard error"):
        score(1, (0.2, 0.01), against=(Estimate(0.2, 0.1, 0.3, 100, 10, "works"),))


def test_a_row_that_is_better_is_printed_with_a_bound_above_zero() -> None:
    """Over works and seeds .05 is shown just so; with two decimals the bound was printed as zero."""
    row = score(1, (0.05, 0.0207))
    assert verdicts([row], {"m row/1": (0.00666448, 10)}) == {"m row/1": "better"}
    reach = critical_t(9.0, 0.95) * 0.0207
    assert float(interval(0.05, 0.05 - reach, 1.0).partition("[")[2].partition(",")[0]) > 0.0


def test_one_more_training_is_around_the_mean_of_the_others() -> None:
    assert one_more(0.5, 0.0, 10) == (0.5, 0.5)
    assert one_more(0.5, 0.1, 10) == pytest.approx((0.5 - 0.23725, 0.5 + 0.23725), abs=1e-4)


@pytest.mark.parametrize(("low", "said"), [(0.3, "has learned"), (0.0, "not shown"), (-0.1, "not shown")])
def test_a_row_of_an_ability_makes_no_claim_but_that_it_was_learned(low: float, said: str) -> None:
    gain = Estimate(0.4, low, 0.5, 100, 10, "works", 0.05, 9.0)
    learned = Score.of("row/1", "row", gain, Baseline("any choice", 0.5, gain, ceiling=("copy rule", 1.0), rules=6),
                       model="m", measured_by="evaluate")  # fmt: skip
    assert (learned.ceiling, learned.ceiling_name, learned.against) == (1.0, "copy rule", ())
    assert (verdicts([learned], KNOWN), verdict_text(learned, {})) == ({}, said)


@pytest.mark.parametrize(
    ("gains", "low", "spread", "why"),
    [
        ([(0.2, 0.1)], -0.1, 0.001, ""),
        ([(0.2, 0.01)], 0.1, None, ": its spread over seeds is not known"),
        ([(0.2, 0.01)], 0.1, 0.001, ": corrected for all rows (Holm)"),
        ([(0.2, 0.01)], 0.1, 0.2, ": another seed may undo it"),
        ([(0.2, 0.01), (0.01, 0.01)], 0.1, 0.001, ": another rule is as good"),
    ],
)
def test_a_row_whose_interval_leaves_out_zero_says_why_it_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, gains: list[tuple[float, float]], low: float, spread: float | None, why: str
) -> None:
    row = score(1, *gains).model_copy(update={"gain_low": low})
    monkeypatch.setattr("components.verdicts.shipped_spread", lambda: {"m row/1": (spread, 10)} if spread else {})
    assert verdict_text(row, {"m row/1": "not shown"}) == f"not shown{why}"
    assert verdict_text(row, {"m row/1": "better"}) == "better"


def test_more_rows_need_more_evidence() -> None:
    alone = score(0, (0.032, 0.003))
    assert verdicts([alone], KNOWN) == {"m row/0": "better"}
    assert verdicts([alone, *(score(number, (0.0, 0.01)) for number in range(1, 12))], KNOWN)["m row/0"] == "not shown"


def test_a_rule_that_is_added_makes_no_row_better() -> None:
    """Over random tables; a rule with a wide gain, or one that makes a row worse, frees no other row either."""
    draw, lowered = np.random.default_rng(1), 0
    for _ in range(300):
        gains = [[tuple(draw.normal((0.05, 0.012), (0.05, 0.003))) for _ in range(3)] for _ in range(6)]
        before = verdicts([score(number, *row) for number, row in enumerate(gains)], KNOWN)  # type: ignore[arg-type]
        gains[draw.integers(6)].append(tuple(draw.normal((0.0, 0.02), (0.08, 0.01)).clip((-1, 0.001))))
        after = verdicts([score(number, *row) for number, row in enumerate(gains)], KNOWN)  # type: ignore[arg-type]
        assert {name for name in after if after[name] == "better"} <= {
            name for name in before if before[name] == "better"
        }
        lowered += before != after
    assert lowered > 20


def test_the_shipped_spread_is_of_three_trainings_or_more() -> None:
    assert all(sd >= 0.0 and trainings >= 3 for sd, trainings in shipped_spread().values())
    assert row_name(score(1, (0.1, 0.1))) == "m row/1"


def test_a_verdict_on_all_says_in_which_parts_it_holds() -> None:
    """A gain over every rule was one source's."""
    row = score(1, (0.2, 0.01))
    verdict_of = {"m row/1": "better", "m row/1/docs": "not shown", "m row/1/plays": "better", "m row/10": "worse"}
    assert verdict_text(row, verdict_of) == "better in all; docs not shown, plays better"
