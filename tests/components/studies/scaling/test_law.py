"""Fits recover the law that made the points, refuse what the points do not say, and find the way back."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from components.studies.scaling import law as scaling_law
from components.studies.scaling.law import Candidate, Law, Point

TRUE = Law(floor=1.2, size_scale=60.0, size_exponent=0.35, token_scale=200.0, token_exponent=0.4, power=1.5)
SIZES = (2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6)
BUDGETS = (1e12, 2e12, 4e12, 8e12)


def points(
    law: Law = TRUE, noise: float = 0.0, sizes: Sequence[float] = SIZES, luck: int = 1
) -> dict[float, list[Point]]:
    random = np.random.default_rng(luck)
    made: dict[float, list[Point]] = {}
    for budget in BUDGETS:
        for size in sizes:
            tokens = budget / (6 * size)
            loss = law.loss(size, tokens) * math.exp(noise * random.standard_normal())
            made.setdefault(budget, []).append(Point(size, tokens, budget, loss))
    return made


def flat(budgets: dict[float, list[Point]]) -> list[Point]:
    return [point for row in budgets.values() for point in row]


@pytest.mark.parametrize("law", [TRUE, Law(0.7, 900.0, 0.6, 40.0, 0.25), Law(0.8, 27.0, 0.27, 24.0, 0.21, 2.5)])
def test_a_law_is_recovered_from_its_points(law: Law) -> None:
    """Also where one of two starts comes to nothing: a descent from there ends at a floor and no slopes."""
    nowhere = Law(0.01, 1e-3, 3.0, 1e-3, 3.0)
    for starts in ((), (nowhere, law), (law, nowhere)):
        found = scaling_law.fit(flat(points(law)), starts)
        for name, value in law.as_dict().items():
            assert found.as_dict()[name] == pytest.approx(value, rel=1e-3), name


@pytest.mark.parametrize("law", [TRUE, Law(0.7, 900.0, 0.6, 40.0, 0.25), Law(0.8, 27.0, 0.27, 24.0, 0.21, 2.5)])
def test_the_unknowns_of_a_descent_are_those_of_its_law(law: Law) -> None:
    data = scaling_law._Logs.of(flat(points(law)))
    free = data.free(law)
    assert data.law(free).as_dict() == pytest.approx(law.as_dict())
    assert data.residuals(free) == pytest.approx(0.0, abs=1e-12)
    steps = 1e-6 * np.eye(len(free))
    measured = [(data.residuals(free + step) - data.residuals(free - step)) / 2e-6 for step in steps]
    assert pytest.approx(np.array(measured), abs=1e-8) == data.slopes(free).T


@pytest.mark.parametrize(
    ("law", "name", "bound"),
    [
        (Law(1.2, 6e18, 4.0, 200.0, 0.4), "size_exponent", 3.0),
        (Law(1.2, 60.0, 0.35, 1e24, 4.0), "token_exponent", 3.0),
        (Law(1.2, 2.0, 0.003, 200.0, 0.4), "size_exponent", 0.01),
        (Law(1.2, 60.0, 0.35, 2.0, 0.003), "token_exponent", 0.01),
        (Law(1.2, 60.0, 0.35, 200.0, 0.4, 40.0), "power", 20.0),
        (Law(1.2, 60.0, 0.35, 200.0, 0.4, 0.3), "power", 0.5),
    ],
)
def test_exponents_and_power_stay_within_their_bounds(law: Law, name: str, bound: float) -> None:
    found = scaling_law.fit(flat(points(law)), [law])
    assert getattr(found, name) == pytest.approx(bound, rel=1e-3)


def test_the_law_holds_the_published_forms() -> None:
    """Hoffmann et al. 2022 at p = 1; Kaplan et al. 2020, equation 1.5 with its constants, at p = 1 / beta."""
    assert Law(1.69, 406.4, 0.34, 410.7, 0.28).loss(1e8, 1e9) == pytest.approx(
        1.69 + 406.4 / 1e8**0.34 + 410.7 / 1e9**0.28
    )
    of_size, of_tokens, size, tokens = 0.076, 0.103, 6.4e13, 1.8e13
    kaplan = Law(0.0, size**of_size, of_size, tokens**of_tokens, of_tokens, 1 / of_tokens)
    for n, d in ((1e5, 1e9), (1e9, 1e7)):
        assert kaplan.loss(n, d) == pytest.approx(((size / n) ** (of_size / of_tokens) + tokens / d) ** of_tokens)


def test_one_outlier_does_not_bend_the_law() -> None:
    rows = flat(points())
    worst = rows[5]
    rows[5] = Point(worst.size, worst.tokens, worst.flops, worst.loss * 1.5)
    found = scaling_law.fit(rows)
    assert found.size_exponent == pytest.approx(TRUE.size_exponent, rel=0.02)
    assert found.token_exponent == pytest.approx(TRUE.token_exponent, rel=0.02)


def test_bootstrap_covers_the_truth_and_widens_with_noise() -> None:
    """Intervals of 95% may miss; that of eight three do has less than one chance in a hundred."""
    widths, truth = [], TRUE.loss(3e6, 1e7)
    for noise in (0.002, 0.01):
        ends = []
        for luck in range(8):
            rows = flat(points(noise=noise, luck=luck))
            laws = scaling_law.resampled(rows, scaling_law.fit(rows, [TRUE]), 40, seed=1)
            ends.append(np.quantile([law.loss(3e6, 1e7) for law in laws], [0.025, 0.975]))
        assert sum(low < truth < high for low, high in ends) >= 6
        widths.append(sum(high - low for low, high in ends))
    assert widths[1] > 2 * widths[0]
    rows = flat(points(noise=0.01))
    again = [scaling_law.resampled(rows, TRUE, 3, seed=1) for _ in range(2)]
    assert again[0] == again[1]
    assert len(again[0]) == 3


def test_other_luck_may_have_a_floor_where_the_fit_has_none() -> None:
    """Descents that began at a floor of 0 stayed there, and its interval was 0 to 0."""
    rows = flat(points(Law(1e-6, 10.0, 0.11, 8.0, 0.08, 2.5), noise=0.004))
    law = scaling_law.fit(rows)
    assert law.floor < 1e-3
    assert max(other.floor for other in scaling_law.resampled(rows, law, 20, seed=1)) > 0.1


def test_a_power_law_may_be_steeper_than_the_last_exponent_tried() -> None:
    budgets = {flops: [Point(1.0, 1.0, flops, flops**-4.0)] for flops in (1.0, 2.0, 4.0)}
    assert scaling_law.power_law(budgets).exponent == pytest.approx(3.0, abs=0.01)


def test_a_best_size_may_lie_between_the_last_two_that_were_run() -> None:
    bowl = [Point(math.exp(at), 1.0, 1.0, (at - 2.3) ** 2) for at in (0.0, 1.0, 2.0, 3.0)]
    assert math.log(scaling_law.minimum(bowl).size) == pytest.approx(2.3)
    assert scaling_law.minimum(bowl).loss == pytest.approx(0.0, abs=1e-12)
    steep = [Point(math.exp(at), 1.0, 1.0, 3.0 + 5.0 * (at - 1.4) ** 2) for at in (0.0, 1.0, 2.0, 3.0)]
    assert scaling_law.minimum(steep).loss == pytest.approx(3.0)


def test_parabolas_find_the_best_size_and_its_exponent() -> None:
    minima = [scaling_law.minimum(row) for row in points().values()]
    assert not any(one.edge for one in minima)
    for one in minima:  # where the law's own derivative is zero, up to the parabola's own error
        ratio = (TRUE.size_exponent / TRUE.token_exponent) ** (1 / TRUE.power) * TRUE.size_scale / TRUE.token_scale
        exact = (ratio * (one.flops / 6) ** TRUE.token_exponent) ** (1 / (TRUE.size_exponent + TRUE.token_exponent))
        assert one.size == pytest.approx(exact, rel=0.25)
    assert scaling_law.optimum_exponent(minima[:2]) == (None, "2 budgets are fewer than 3")
    for enough in (minima[:3], minima):
        exponent, reason = scaling_law.optimum_exponent(enough)
        assert reason == ""
        assert exponent == pytest.approx(TRUE.optimum_exponent, abs=0.08)


@pytest.mark.parametrize(("sizes", "which"), [(SIZES[4:], "smallest"), (SIZES[:3], "largest")])
def test_a_minimum_at_an_edge_gives_no_exponent(sizes: Sequence[float], which: str) -> None:
    minima = [scaling_law.minimum(row) for row in points(sizes=sizes).values()]
    assert all(math.isnan(one.size) for one in minima)
    exponent, reason = scaling_law.optimum_exponent(minima)
    assert exponent is None
    assert f"the {which} size that was run is the best" in reason
    assert f"{BUDGETS[0]:.3g} FLOPs" in reason


def frontier(exponent: float, floor: float = 1.5) -> dict[float, list[Point]]:
    """Budgets whose best size, between two that were run, lies on floor + 900 / C^exponent; others are worse."""
    return {
        budget: [Point(10**at, budget / 10**at, budget, floor + 900 / budget**exponent + (at - 5.2) ** 2 / 10)
                 for at in (4, 5, 6)]
        for budget in BUDGETS
    }  # fmt: skip


@pytest.mark.parametrize("exponent", [0.15, 0.24, 0.4])
def test_the_rival_recovers_a_power_law_with_a_floor(exponent: float) -> None:
    rival = scaling_law.power_law(frontier(exponent))
    assert rival.exponent == pytest.approx(exponent, rel=1e-3)
    assert rival.floor == pytest.approx(1.5, rel=1e-3)
    assert rival.loss(8e13) == pytest.approx(1.5 + 900 / 8e13**exponent, rel=1e-5)


def test_the_rival_averages_seeds_and_has_no_floor_from_two_budgets() -> None:
    lucky = {
        budget: [*row, *(Point(1e5, budget / 1e5, budget, row[1].loss + luck) for luck in (-0.3, 0.3))]
        for budget, row in frontier(0.24).items()
    }
    assert scaling_law.power_law(lucky).exponent == pytest.approx(0.24, rel=1e-3)
    two = dict(list(frontier(0.24, floor=0.0).items())[:2])
    assert scaling_law.power_law(two).floor == 0.0
    assert scaling_law.power_law(two).exponent == pytest.approx(0.24, rel=1e-3)


def test_the_best_plan_spends_the_budget_and_no_other_is_better() -> None:
    candidates = [Candidate(str(n), n, 6 * n + 1e5) for n in np.geomspace(1e4, 1e7, 40)]
    plan = scaling_law.best(TRUE, 1e13, candidates)
    assert plan.tokens * plan.candidate.flops_per_token == pytest.approx(1e13)
    assert plan.loss == min(TRUE.loss(one.size, 1e13 / one.flops_per_token) for one in candidates)
    assert candidates[0] != plan.candidate != candidates[-1]


def test_the_tokens_to_a_loss_reach_it() -> None:
    for size, loss in ((2e5, 3.0), (2e6, 2.5), (2e7, 2.0)):
        assert TRUE.loss(size, TRUE.tokens_to(size, loss)) == pytest.approx(loss)
    assert TRUE.tokens_to(2e4, 1.3) == math.inf
