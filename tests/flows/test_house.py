"""Where things are: what an experiment's worktree uses is booked in the ledger of the checkout it was made from."""

import pytest
from conftest import House

from components.carbon.costs import experiments
from components.carbon.ledger import read

pytestmark = pytest.mark.house

METERED = """
from components.params import Params
from flows.stage import _meter
with _meter(Params(), "dedup", "calm-otter", "a-fingerprint"):
    sum(range(1_000_000))
"""


def test_an_experiments_spans_are_in_the_main_checkouts_ledger(fresh_house: House) -> None:
    root = fresh_house.root / ".greenhouse" / "worktrees" / "calm-otter"
    fresh_house.git("worktree", "add", "--quiet", "--detach", str(root), "HEAD")
    House(root).run_code(METERED)
    fresh_house.git("worktree", "remove", "--force", str(root))  # as at the end of an experiment
    ledger = read(fresh_house.root / ".greenhouse" / "ledger")
    (span,) = ledger.select(stage="dedup")
    assert (span.outcome, span.labels["checkout"]) == ("Completed", "calm-otter")
    assert span.energy.mid_uj > 0
    assert experiments(ledger) == {"calm-otter"}
