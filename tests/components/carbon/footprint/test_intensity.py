"""Intensity: the order of sources, each of them named, and bad input in one sentence."""

from pathlib import Path

import pytest

from components.carbon.footprint.costs import machine
from components.carbon.footprint.intensity import resolve, table
from components.carbon.ledger.reader import Energy
from components.carbon.spans import Bounds
from components.params import Grid
from tests.errors import refuses

KWH = Energy(3_600_000_000_000, 3_600_000_000_000, 3_600_000_000_000)
SERIES = "time,g_per_kwh\n2026-01-01T00:00:00Z,100\n2026-01-01T00:30:00Z,200\n2026-01-01T02:00:00+01:00,50\n"


def test_fixed_value_wins(tmp_path: Path) -> None:
    (tmp_path / "grid.csv").write_text(SERIES)
    found = resolve(Grid(grams_per_kwh=42.0, pue=1.0, zone="FRA", series="grid.csv"), tmp_path)
    assert found.grams({"2026-01-01T00": KWH}) == Bounds(42.0, 42.0, 42.0)
    assert "fixed value" in found.source


def test_then_the_series_by_hour_and_the_country_where_it_is_silent(tmp_path: Path) -> None:
    (tmp_path / "grid.csv").write_text(SERIES)
    found = resolve(Grid(zone="FRA", series="grid.csv", pue=2.0), tmp_path)
    assert found.at_hour("2026-01-01T00").mid == 150
    assert found.at_hour("2026-01-01T01").mid == 50
    assert found.at_hour("2026-01-01T02").mid == 56
    hours = {"2026-01-01T00": KWH, "2026-01-01T02": KWH}
    assert found.grams(hours).mid == pytest.approx(2 * (150 + 56))
    sources = found.sources(hours)
    assert "grid.csv (1 of 2 hours)" in sources[0]
    assert "France" in sources[1]


def test_then_the_country_with_year_and_licence_or_the_world_with_wide_bounds() -> None:
    refuses(lambda: resolve(Grid(zone="FR")), "intensity.zone_mean", "runtime.grid.zone", "'FR'", "intensity.csv")
    found = resolve(Grid(zone="SWE"))
    assert found.mean == Bounds(41 * 0.8, 41, 41 * 1.2)
    assert all(word in found.source for word in ("Sweden", "2023", "CC BY 4.0", "Ember"))
    world = resolve(Grid())
    assert (world.mean.low < 40, world.mean.mid, world.mean.high > 700) == (True, 481, True)
    assert "names no country" in world.source


def test_a_servers_pue_is_assumed_with_bounds_unless_it_is_stated() -> None:
    server, laptop, stated = resolve(Grid()), resolve(Grid(machine="laptop")), resolve(Grid(pue=1.3))
    assert server.pue == Bounds(1.1, 1.56, 2.1)
    assert server.pue_source.startswith("assumed")
    assert (laptop.pue, stated.pue) == (Bounds(1.0, 1.0, 1.0), Bounds(1.3, 1.3, 1.3))
    assert server.grams({"2026-01-01T00": KWH}) == server.mean * Bounds(1.1, 1.56, 2.1)


def test_every_row_has_year_licence_and_source() -> None:
    rows = table()
    assert len(rows) >= 30
    assert all(row["year"].isdigit() and row["licence"] and row["source"] for row in rows.values())
    assert all(0 < float(row["g_per_kwh"]) < 1000 for row in rows.values())


@pytest.mark.parametrize(
    ("text", "number", "fact"),
    [
        (None, 2, "grid.csv"),
        ("hour,g\n1,2\n", 1, "`time`"),
        ("time,g_per_kwh\n2026-01-01T00:00,5\nyesterday,5\n", 3, "line 3"),
        ("time,g_per_kwh\n2026-01-01T00:00,many\n", 3, "line 2"),
    ],
)
def test_a_bad_series_is_refused(tmp_path: Path, text: str | None, number: int, fact: str) -> None:
    if text is not None:
        (tmp_path / "grid.csv").write_text(text)
    refuses(lambda: resolve(Grid(series="grid.csv"), tmp_path), f"intensity.read_series.{number}", fact)


def test_embodied_is_te_ts_rs() -> None:
    year_s = 365.25 * 86400
    whole = machine("server", share_s=4 * year_s, threads=64)
    assert whole.grams.mid == pytest.approx(1_500_000)
    half = machine("server", share_s=2 * year_s, threads=32)
    assert half.grams.mid == pytest.approx(1_500_000 / 4)
    assert "50% reserved" in half.source
    gpu = machine("workstation", share_s=4 * year_s, threads=8, gpus=2)
    assert gpu.grams.mid == pytest.approx(350_000 * 4 / 5 + 2 * 150_000)
    assert ("2 GPU of 150 kg each over 4 years" in gpu.source, "GPU" in half.source) == (True, False)
