"""A model that was tuned further, on preferences: it is scored beside the one it started from."""

from dataclasses import replace
from pathlib import Path

from components.model import export
from components.stages.evaluate.tasks.answers import answers
from components.stages.evaluate.tasks.task import EvalContext, Tuned
from tests.components.stages.evaluate.conftest import World


def further(world: World, branch: str, folder: Path, base: Path) -> EvalContext:
    context = world.context()
    return replace(context, folders=replace(context.folders, further={branch: Tuned(folder, base)}))


def untrained(world: World, folder: Path, facts: dict) -> Path:
    """The causal model's network and tokenizer with first weights."""
    model, _, _ = export.load(world.folders.causal)
    export.save(model.initialise(2), export.tokenizer_text(world.folders.causal), folder, facts)
    return folder


def test_a_model_tuned_on_preferences_is_scored_beside_the_one_it_started_from(world: World, tmp_path: Path) -> None:
    instruct, base = world.folders.instruct, untrained(world, tmp_path / "base", {})
    result = answers(further(world, "prefer", instruct, instruct))
    tuned, preferred = result.rows("bits_per_byte"), result.rows("preferred_bits_per_byte")
    assert [row["score"] for row in preferred] == [row["baseline"] for row in preferred]
    assert [row["score"] for row in preferred] == [row["score"] for row in tuned]
    counted, score = result.scores  # the chat model's is held against counting; before tuning its own stage is
    assert (counted.model, counted.rules) == ("finetune/instruct", len(tuned[0]["rules"]))
    assert all(0.0 < bits < 8.0 * row["weight"] + 64.0 for row in tuned for bits in row["rules"].values())
    assert (score.model, score.gain) == ("finetune/prefer", 0.0)
    assert {row["model"] for row in tuned} == {"finetune/instruct"}
    assert {row["model"] for row in preferred} == {"finetune/prefer"}
    gain = answers(further(world, "prefer", instruct, base)).scores[1].gain
    assert gain > 0.1
    elsewhere = untrained(world, tmp_path / "elsewhere", {"finetuning": {"base": "Qwen3-0.6B"}})
    assert len(answers(further(world, "prefer", elsewhere, base)).scores) == 1
