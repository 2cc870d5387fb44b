"""`python -m flows.account --since`: the project's total as a table, and a date that is none."""

import shutil
from pathlib import Path

import pytest

from components.core.errors import UserError
from flows import account
from flows.system import paths
from tests.components.finished_project import ledger


@pytest.fixture
def spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose ledger has a run of two stages; its params.yaml sets a price."""
    root = tmp_path / "greenhouse"
    root.mkdir()
    text = (paths.ROOT / "params.yaml").read_text()
    assert "price_per_kwh: 0.0" in text
    (root / "params.yaml").write_text(text.replace("price_per_kwh: 0.0", "price_per_kwh: 0.3"))
    shutil.copy(paths.ROOT / "defaults.yaml", root)
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "LEDGER", root / "ledger")
    ledger(root / "ledger", root, {"dedup": 0.05, "filter": 0.05})
    return root


def rows(text: str) -> dict[str, list[str]]:
    """First word of a line -> its other words."""
    return {words[0]: words[1:] for line in text.splitlines() if (words := line.split())}


def test_the_total_of_the_project(spent: Path) -> None:
    said = account.project("")
    found = rows(said)
    assert {"dedup", "filter", "orchestration", "Completed", "workspace"} <= set(found)
    assert found["dedup"][0] == "1"  # runs
    assert float(found["dedup"][1]) > 0
    assert found["Completed"][0] == "3"  # two stages, and the run around them
    assert found["Completed"][1:] == found["workspace"][1:]
    assert float(found["price:"][0]) >= 0
    assert "all, since the first run" in said
    assert "nobody's (unattributed)" in said


def test_nothing_was_spent_since_a_day_to_come(spent: Path) -> None:
    said = rows(account.project("2999-01-01"))
    assert "dedup" not in said
    assert said["all,"][:3] == ["since", "2999-01-01", "0"]


def test_a_date_that_is_none_is_refused(spent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="since last week: no date"):
        account.project("last week")
    monkeypatch.setattr("sys.argv", ["account", "--since", "31.01.2026"])
    with pytest.raises(UserError, match=r"^since 31\.01\.2026: no date; write a day in UTC"):
        account.main()


def test_a_ledger_that_is_gone_is_an_empty_one(spent: Path) -> None:
    shutil.rmtree(spent / "ledger")
    assert "hosts: none" in account.project("")
