"""Which files of a team's remote are taken as ledger records."""

import pytest

from flows.tracking.team_ledger import _is_ledger, checkout


@pytest.mark.parametrize(
    ("clone", "name", "taken"),
    [
        (checkout(), "host-524f3314.jsonl.gz", True),
        ("..", "host.jsonl.gz", False),
        ("0123456789abcdef", "..jsonl.gz", False),
        ("0123456789abcdef", ".host.books", False),
    ],
)
def test_only_names_that_push_gives_are_taken(clone: str, name: str, taken: bool) -> None:
    assert _is_ledger(clone, name) is taken
