"""Where things are: what an experiment's worktree uses is booked in the ledger of the checkout it was made from."""

import pytest

from components.carbon.costs import experiments
from components.carbon.ledger import read
from tests.flows.pipeline_clone import PipelineClone

pytestmark = pytest.mark.pipeline

METERED = """
from components.params import Params
from flows.stage import _meter
with _meter(Params(), "dedup", "calm-otter", "a-fingerprint"):
    sum(range(1_000_000))
"""


def test_an_experiments_spans_are_in_the_main_checkouts_ledger(fresh_clone: PipelineClone) -> None:
    root = fresh_clone.root / ".greenhouse" / "worktrees" / "calm-otter"
    fresh_clone.git("worktree", "add", "--quiet", "--detach", str(root), "HEAD")
    PipelineClone(root).run_code(METERED)
    fresh_clone.git("worktree", "remove", "--force", str(root))  # as at the end of an experiment
    ledger = read(fresh_clone.root / ".greenhouse" / "ledger")
    (span,) = ledger.select(stage="dedup")
    assert (span.outcome, span.labels["checkout"]) == ("Completed", "calm-otter")
    assert span.energy.mid_uj > 0
    assert experiments(ledger) == {"calm-otter"}
