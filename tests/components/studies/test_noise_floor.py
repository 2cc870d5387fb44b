"""Seed noise: measured at a side's settings it is used as it is, at others it is borrowed and widened."""

from dataclasses import replace

import pytest

from components.statistics import Difference, Spread
from components.studies.noise_floor import (
    ONE_TRAINING,
    WIDENED,
    SeedNoise,
    Side,
    all_over_seeds,
    detectable,
    over_seeds,
    same,
    seed_noise,
    shipped_noise,
)

RUNS = [{"bits": 2.0}, {"bits": 2.1}, {"bits": 2.2}]
WORKS = Difference("bits", "lower", 2.1, 2.0, 0.1, 0.08, 0.12, 0.001, 0.001, 40, 10, 0, 0, (Spread(0.1, 0.01, 9.0),))


@pytest.mark.parametrize(
    ("one", "other", "known", "share", "note"),
    [
        (Side("x", RUNS), Side("x", RUNS[:1]), {"x": RUNS}, 1 / 3 + 1, "of both sides"),
        (Side("x", RUNS[:1]), Side("y", RUNS[:1]), {"x": RUNS}, 1 + WIDENED**2, "borrowed"),
        (Side("x", RUNS[:1]), Side("y", RUNS[:1]), {"z": RUNS}, 2 * WIDENED**2, "borrowed from other settings"),
    ],
)
def test_noise_falls_with_the_runs_of_own_settings_and_is_borrowed_and_widened_from_others(
    one: Side, other: Side, known: dict, share: float, note: str
) -> None:
    noise = seed_noise("bits", one, other, known)
    assert (noise.deviation, noise.freedom, noise.share) == pytest.approx((0.1, 2.0, share))
    assert note in noise.note
    for few in ({}, {"x": RUNS[:1], "y": RUNS[:1]}):
        assert seed_noise("bits", one, other, few) is None, "no two runs of one setting"
    assert seed_noise("other", one, other, known) is None


def test_seeds_widen_the_interval_over_works() -> None:
    noise = seed_noise("bits", Side("x", RUNS[:1]), Side("x", RUNS[:1]), {"x": RUNS})
    row = over_seeds(WORKS, noise)
    assert row.error == pytest.approx((0.01**2 + 2 * 0.1**2) ** 0.5)
    assert row.low < 0.0 < WORKS.low  # type: ignore[operator]
    least, likely = detectable(row)
    assert row.improvement < least < likely


def test_what_is_the_same_because_the_model_is_needs_no_correction() -> None:
    equal = [
        replace(WORKS, name=f"m{n}", b=2.1, improvement=0.0, low=0.0, high=0.0, p=1.0, spreads=()) for n in range(9)
    ]
    one_model, _ = all_over_seeds([*equal, WORKS], lambda name: None if name == "bits" else ONE_TRAINING)
    other_models, _ = all_over_seeds([*equal, WORKS], lambda name: None)
    assert one_model[-1].p_files == pytest.approx(WORKS.p)
    assert other_models[-1].p_files == pytest.approx(10 * WORKS.p)
    assert {row.p_holm for row in [*one_model, *other_models]} == {1.0}, "no noise is known, so no settings do it"
    few = [replace(row, low=None, high=None) for row in equal]
    rows, without = all_over_seeds([*few, WORKS], lambda name: None if name == "bits" else ONE_TRAINING)
    assert rows[-1].p_files == pytest.approx(WORKS.p), "of too few works for an interval, and the same all the same"
    assert all(map(same, rows[:-1]))
    assert without == ["bits"]
    assert not all_over_seeds(few, lambda name: None)[1], "no interval lacks anything"


def moved(number: int, by: float) -> Difference:
    """A row of a task of its own that moved so many standard deviations of the shipped spread between two trainings."""
    error = Spread(0.0, 0.0001, 9.0)
    return replace(WORKS, name=f"task{number}/score", improvement=by * 0.01 * 2**0.5).varying(error)


@pytest.mark.parametrize(("others", "by", "found"), [(8, 1.0, True), (8, 3.0, False), (4, 1.0, False), (8, 0.1, True)])
def test_the_shipped_spread_is_held_against_how_far_the_other_tasks_moved(others: int, by: float, found: bool) -> None:
    """Eight of its standard deviations are found; not if the others moved so far, and not if too few others tell."""
    rows = [moved(0, 8.0), *(moved(number, by * (-1) ** number) for number in range(1, 1 + others))]
    side, spread = Side("x", [{}]), {row.name: (0.01, 10) for row in rows}
    noised, without = all_over_seeds(rows, lambda name: shipped_noise(spread, name, side, side))
    assert (noised[0].p_holm < 0.05) == found
    assert (noised[0].p_files < 0.05, rows[0].name in without) == (True, others < 5)


def test_shipped_standard_deviations_are_drawn_together_as_far_as_they_look_alike() -> None:
    """A score that no seed moved has none; one of many like it is known by all, and of a lone one nothing is added."""
    side = Side("x", [{}])
    assert shipped_noise({"a": (0.0, 10)}, "a", side, side) is None
    assert shipped_noise({"a": (0.02, 10)}, "a", side, side) == SeedNoise(
        0.02, 9.0, 2.0, "seed sd 0.0200, as shipped", True
    )
    alike = shipped_noise({"a": (0.02, 10)} | {f"b{n}": (0.01, 10) for n in range(9)}, "a", side, side)
    apart = shipped_noise({"a": (0.02, 10)} | {f"b{n}": (0.01 * 4.0**n, 10) for n in range(9)}, "a", side, side)
    assert alike
    assert apart
    assert 0.01 < alike.deviation < 0.013
    assert alike.freedom > 50
    assert apart.deviation > 0.019
    assert apart.freedom < 11
