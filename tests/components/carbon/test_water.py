"""Water: the site's part and the grid's, what is known said exactly, what is not with its whole range."""

import pytest

from components.carbon.ledger import Energy
from components.carbon.water import resolve
from components.params import Grid

TWO_KWH = Energy(3_600_000_000_000, 7_200_000_000_000, 14_400_000_000_000)


def test_known_factors_leave_the_bounds_of_the_energy_alone() -> None:
    water = resolve(Grid(wue=0.5, ewif=3.0, pue=1.2))
    assert water.litres(TWO_KWH) == pytest.approx([1 * 0.5 + 1.2 * 3.0, 2 * 0.5 + 2.4 * 3.0, 4 * 0.5 + 4.8 * 3.0])
    assert water.source == "cooling (WUE): runtime.grid.wue; electricity (EWIF): runtime.grid.ewif"


def test_unknown_factors_have_their_whole_range_and_its_sources() -> None:
    water = resolve(Grid())
    low, mid, high = water.litres(TWO_KWH)
    assert low == 0.0  # wind, cooled by air
    assert mid == pytest.approx(2 * (0.36 + 3.142))
    assert high == pytest.approx(4 * (1.8 + 7.6))
    assert "Berkeley" in water.source
    assert "arXiv:2304.03271" in water.source


def test_a_laptop_has_no_cooling_tower() -> None:
    water = resolve(Grid(machine="laptop", ewif=1.0))
    assert water.litres(TWO_KWH) == pytest.approx([1.0, 2.0, 4.0])
    assert "a laptop is cooled by air" in water.source
    assert resolve(Grid(machine="laptop", ewif=1.0, wue=0.5)).litres(TWO_KWH)[1] == pytest.approx(3.0)
