"""`greenhouse cost`: the project's total as a table."""

import shutil
from pathlib import Path

import pytest

from flows import cost
from flows.system import paths
from tests.components.finished_project import ledger


@pytest.fixture
def spent(checkout: Path) -> Path:
    """The ledger of a checkout, with a run of two stages."""
    ledger(paths.LEDGER, checkout, {"dedup": 0.05, "filter": 0.05})
    return paths.LEDGER


def rows(text: str) -> dict[str, list[str]]:
    """First word of a line -> its other words."""
    return {words[0]: words[1:] for line in text.splitlines() if (words := line.split())}


def test_the_total_of_the_project(spent: Path) -> None:
    said = cost.project("")
    found = rows(said)
    assert {"dedup", "filter", "orchestration", "Completed", "calm-otter"} <= set(found)
    assert found["dedup"][0] == "1"  # runs
    assert all(float(value) > 0 for value in found["dedup"][1:4])  # device-hours, CPU-hours, Wh
    assert found["Completed"][0] == "3"  # two stages, and the run around them
    assert [*found["Completed"], "Completed"] == found["calm-otter"]
    assert "project since first run" in said
    assert "nobody's (unattributed)" in said


def test_a_rate_multiplies_the_device_hours(spent: Path) -> None:
    plain, dear = (cost.project("", rate).splitlines() for rate in (0.0, 1e6))
    assert dear[0] == f"{plain[0]}   at 1e+06"
    (row,) = [line for line in dear if line.startswith("project since first run")]
    device_hours, price = float(row[len("project since first run") :].split()[0]), float(row.split()[-1])
    assert price == pytest.approx(1e6 * device_hours, rel=0.01)
    (saved,) = [line for line in dear if line.startswith("saved by DVC")]
    assert saved in plain  # took no device's time


def test_a_ledger_that_is_gone_is_an_empty_one(spent: Path) -> None:
    shutil.rmtree(spent)
    assert "hosts: none" in cost.project("")
