"""What the reports of all branches share."""

from pathlib import Path

from components.instruction_pairs.examples import Examples
from components.stages.finetune.report import of_training, page_of
from components.stages.finetune.task_selection import Choice, FinetuneTask
from components.training.train_config import TrainResult


def test_batches_that_were_passed_over_are_counted_and_named(tmp_path: Path) -> None:
    choice = Choice(FinetuneTask("rows", "a title"), Examples([], []), [])
    for skipped, says in ([41, 55], "so not learned from: batches 41, 55."), ([], ""):
        result = TrainResult(losses=[1.0] * 10, skipped=skipped)
        assert of_training(result) == {"train_loss": 1.0, "skipped_batches": len(skipped)}
        page = page_of("Title", choice, result, tmp_path).markdown
        assert ("Passed over" in page) == bool(skipped)
        assert says in page
