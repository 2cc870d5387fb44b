"""Water: the site's part and the grid's, what is known said exactly, what is not with its whole range."""

import json

import pytest

from components.carbon.footprint.water import TABLE, resolve
from components.carbon.ledger.reader import Energy
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
    assert mid == pytest.approx(2 * (0.36 + 4.35))
    assert high == pytest.approx(4 * (9.0 + 17.0))
    assert "LBNL 2024" in water.source
    assert "arXiv:2304.03271" in water.source


@pytest.mark.parametrize("row", ["cooling", "electricity"])
def test_every_bound_is_a_published_figure_and_none_lies_outside(row: str) -> None:
    facts = json.loads(TABLE.read_bytes())[row]
    values = [point["value"] for point in facts["points"]]
    assert facts["litres_per_kwh"]["low"] == min(values)
    assert facts["litres_per_kwh"]["mid"] in values
    assert facts["litres_per_kwh"]["high"] == max(values)
    for point in facts["points"]:
        assert all(point[key] for key in ("what", "source", "year", "read", "licence")), point


def test_totals_and_other_units_agree_with_the_figures_taken_from_the_same_source() -> None:
    """LBNL's litres and kWh of 2023; Macknick's US gallons per MWh."""
    rows = {row: facts["litres_per_kwh"] for row, facts in json.loads(TABLE.read_bytes()).items()}
    assert rows["cooling"]["mid"] == pytest.approx(66e9 / 176e9, rel=0.05)
    assert rows["electricity"]["mid"] == pytest.approx(800e9 / 176e9, rel=0.05)
    assert rows["electricity"]["high"] == pytest.approx(4491 * 3.785411784 / 1000, rel=0.001)


def test_a_laptop_has_no_cooling_tower() -> None:
    water = resolve(Grid(machine="laptop", ewif=1.0))
    assert water.litres(TWO_KWH) == pytest.approx([1.0, 2.0, 4.0])
    assert "a laptop is cooled by air" in water.source
    assert resolve(Grid(machine="laptop", ewif=1.0, wue=0.5)).litres(TWO_KWH)[1] == pytest.approx(3.0)
