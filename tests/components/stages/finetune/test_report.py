"""What the reports of all branches share."""

from pathlib import Path

import pytest

from components.instruction_pairs.examples import Examples, PromptPair
from components.stages.finetune.report import WrittenAnswers, of_training, page_of, reinforce
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


@pytest.mark.parametrize("equal", [0.5, 1.0])
def test_a_reward_without_differences_is_said_to_teach_nothing(equal: float, tmp_path: Path) -> None:
    pairs = [PromptPair(f"{number}+1=", f" {number + 1}", str(number)) for number in range(8)]
    figures = {"reward": 0.5, "equal_groups": equal, "kl_nats": 0.0, "completion_tokens": 3.0}
    said = reinforce(
        Choice(FinetuneTask("rows", "a title"), Examples(pairs, pairs), []),  # type: ignore[arg-type]
        TrainResult(losses=[1.0] * 10), [0.5] * 8, [0.5] * 8, [figures | {"step": 1}, figures | {"step": 2}],
        WrittenAnswers(pairs, ["1"] * 8, ["1"] * 8), 64, tmp_path,
    )  # fmt: skip
    assert ("Nothing was learned" in said.markdown) == (equal == 1.0)
    assert said.metrics["reward/value"] == 0.5
    assert "reward/low" not in said.metrics  # equal rewards of an unknown scale: what varies was not seen
    assert "gain_over_before/low" not in said.metrics
    assert f"{equal:.0%} of all groups had equal rewards" in said.markdown
