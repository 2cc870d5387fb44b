"""The list of withdrawn models: written once per model, never read as empty when it is damaged."""

from datetime import date
from pathlib import Path

import pytest

from components.studies.withdrawn import FILE, withdraw, withdrawals, withdrawn
from tests.errors import refused

MODEL = f"{'ab' * 16}.dir"


def test_a_model_is_withdrawn_once_and_the_first_reason_stays(tmp_path: Path) -> None:
    assert withdrawals(tmp_path) is None
    assert withdraw(tmp_path, [MODEL, MODEL, "c"], "it saw a forgotten document", date(2026, 12, 1)) == [MODEL, "c"]
    before = (tmp_path / FILE).read_bytes()
    assert withdraw(tmp_path, [MODEL], "another reason", date(2027, 1, 1)) == []
    assert (tmp_path / FILE).read_bytes() == before
    assert withdrawn(tmp_path, MODEL) == "withdrawn on 2026-12-01: it saw a forgotten document (withdrawn.json)"
    assert withdrawn(tmp_path, "another") == withdrawn(tmp_path, None) == ""


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", '{"a": {"date": "2026-12-01"}}', '{"a": {"date": "soon", "reason": "x"}}',
     '{"a": {"date": "2026-12-01", "reason": ""}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_list_is_not_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    for use in (lambda: withdrawn(tmp_path, MODEL), lambda: withdraw(tmp_path, [MODEL], "x", date(2026, 12, 1))):
        with refused("withdrawn.withdrawals", tmp_path / FILE):
            use()
    assert (tmp_path / FILE).read_text() == text


def test_a_reason_cannot_steer_a_terminal(tmp_path: Path) -> None:
    withdraw(tmp_path, [MODEL], "\x1b[31mred\n", date(2026, 12, 1))
    assert withdrawn(tmp_path, MODEL) == r"withdrawn on 2026-12-01: \x1b[31mred\n (withdrawn.json)"
