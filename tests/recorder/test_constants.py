"""The table of constants: each has bounds in order, a unit and a source, and the page on energy shows it."""

from flows.system import paths
from greenhouse_record.metering import constants


def test_every_constant_has_a_unit_a_source_and_bounds_in_order() -> None:
    for name, row in constants.rows().items():
        assert len(row["unit"]) > 10, name
        assert len(row["source"]) > 40, name
        assert any(year in row["source"] for year in ("20", "methodology")) or "TDP" in row["source"], name
        assert 0 <= row["low"] <= row["mid"] <= row["high"], name
        assert constants.described()[name].endswith(row["source"])


def test_the_page_on_energy_has_a_row_for_each() -> None:
    page = (paths.ROOT / "docs/ledger.md").read_text()
    for name, row in constants.rows().items():
        assert f"| `{name}` | {row['low']:g} | {row['mid']:g} | {row['high']:g} |" in page, name
