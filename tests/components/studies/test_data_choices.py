"""Choices of data: a gain counts only if works, seeds and the number of arms allow; like arms are not better."""

import numpy as np
import pytest

from components.statistics import Rows
from components.studies.data_choices import CONTROL, Arm, gains, least_gain

METRIC, SEED_SD = "bits_per_byte/bits_per_byte", 0.01


def arm(draw: np.random.Generator, name: str, gain: float = 0.0, seeds: int = 3, works: int = 10) -> Arm:
    """An arm whose works and seeds scatter around 2 bits per byte less a gain."""
    values_SW = 2.0 - gain + draw.normal(0.0, SEED_SD, (seeds, 1)) + draw.normal(0.0, 0.005, (seeds, works))
    row = {"weight": 1.0, "direction": "lower", "stratum": ""}
    rows: Rows = {("", str(work)): row | {"cluster": str(work), "score": values_SW[:, work].mean()}
                  for work in range(works)}  # fmt: skip
    return Arm(name, {METRIC: rows}, [{METRIC: float(value)} for value in values_SW.mean(1)])


def verdicts(world: int, *true_gains: float, **more: int) -> list[str]:
    draw = np.random.default_rng(world)
    arms = [arm(draw, f"arm {number}", gain, **more) for number, gain in enumerate(true_gains)]
    control = arm(draw, CONTROL, **more)
    return [one.verdict for one in gains([(control, one) for one in arms], [METRIC])]


def test_arms_with_the_same_settings_and_other_seeds_are_not_called_better() -> None:
    """Of four such arms beside one control, any in at most 5% of tables: 12 or fewer of 120 (one in 100 has more)."""
    assert sum("better" in verdicts(world, 0.0, 0.0, 0.0, 0.0) for world in range(120)) <= 12


@pytest.mark.parametrize(
    ("true_gains", "more", "expected"),
    [
        ((0.1, 0.0, -0.1), {}, ["better", "not shown", "worse"]),
        ((0.1,), {"works": 4}, ["not shown"]),  # too few works for an interval
        ((0.2,), {"seeds": 2}, ["better"]),
    ],
)
def test_a_gain_is_shown_where_works_and_seeds_allow(
    true_gains: tuple[float, ...], more: dict[str, int], expected: list[str]
) -> None:
    assert verdicts(3, *true_gains, **more) == expected


def test_more_seeds_show_smaller_gains_and_more_arms_need_larger_ones() -> None:
    assert least_gain(0.01, 10, 1) < least_gain(0.01, 3, 1) < least_gain(0.01, 3, 4)
    shown = [verdicts(world, least_gain(SEED_SD, 3, 1))[0] for world in range(60)]
    assert shown.count("better") >= 36, "four of five are meant, works and chance aside"


def test_an_arm_held_against_another_is_named_after_both_and_corrected_with_the_rest() -> None:
    draw = np.random.default_rng(5)
    control, repeated, swapped = arm(draw, CONTROL), arm(draw, "repeated"), arm(draw, "swapped", 0.1)
    results = gains([(control, repeated), (control, swapped), (repeated, swapped)], [METRIC])
    assert [one.arm for one in results] == ["repeated", "swapped", "swapped, less repeated"]
    assert [one.verdict for one in results] == ["not shown", "better", "better"]
    assert results[2].row.a == pytest.approx(results[0].row.b)
