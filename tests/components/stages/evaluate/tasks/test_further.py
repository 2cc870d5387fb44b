"""Models that were tuned further, on preferences and on rewards: each scored beside the one it started from."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from components.model import export
from components.stages.account.model_answers import scored_model
from components.stages.evaluate.registry import wanted
from components.stages.evaluate.tasks.answers import answers
from components.stages.evaluate.tasks.rewards import rewards
from components.stages.evaluate.tasks.task import EvalContext, NotApplicable, Tuned
from components.synthetic.curriculum import REWARDED, items
from components.tokens.tokenizer import ASSISTANT, END, END_OF_TEXT, USER, Encoder
from components.training import objectives
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
    assert result.highlights[1]["gain"] == 0.0
    for name in (result.highlights[1]["name"], "answers/preferred_bits_per_byte"):
        assert scored_model("answers", name) == "finetune/prefer"
    assert scored_model("answers", result.highlights[0]["name"]) == "finetune/instruct"
    assert answers(further(world, "prefer", instruct, base)).highlights[1]["gain"] > 0.1
    elsewhere = untrained(world, tmp_path / "elsewhere", {"finetuning": {"base": "Qwen3-0.6B"}})
    assert len(answers(further(world, "prefer", elsewhere, base)).highlights) == 1


def test_a_model_tuned_on_rewards_is_scored_on_new_problems_beside_its_base(world: World, tmp_path: Path) -> None:
    """`taught` learns the test problems themselves, so that something is right."""
    base = untrained(world, tmp_path / "base", {})
    context = further(world, "reinforce", taught(world, tmp_path / "taught"), base)
    result = rewards(context)
    assert wanted(context.params, context.folders.further) == [*wanted(context.params)[:3], "rewards", *wanted(
        context.params)[3:]]  # fmt: skip
    assert {row["condition"] for row in result.items} == set(REWARDED)
    assert len(result.items) == 2 * context.params.items
    [line] = result.highlights
    assert line["value"] == result.metrics["accuracy"] > line["baseline"] == 0.0
    assert result.metrics["accuracy_low"] < line["value"] < result.metrics["accuracy_high"]
    assert line["gain_low"] > 0
    assert scored_model("rewards", line["name"]) == scored_model("rewards", "rewards/accuracy") == "finetune/reinforce"
    rows = untrained(world, tmp_path / "rows", {"task": {"name": "rows"}})
    with pytest.raises(NotApplicable, match="was rewarded for rows, not for the curriculum"):
        rewards(further(world, "reinforce", rows, base))


def taught(world: World, folder: Path) -> Path:
    """The causal model after some steps on answers to the recall problems that are asked."""
    model, _, _ = export.load(world.folders.causal)
    text = export.tokenizer_text(world.folders.causal)
    encoder, optimizer = Encoder(text), torch.optim.AdamW(model.parameters(), lr=3e-3)
    asked = items("recall", 1, 20, split="test")
    pairs = [([END_OF_TEXT, USER, *encoder.encode(one.prompt), ASSISTANT], [*encoder.encode(one.answer), END])
             for one in asked]  # fmt: skip
    batch = objectives.sft(pairs, model.shape.context)
    for _ in range(60):
        optimizer.zero_grad()
        objectives.language_model_loss(model.train(), batch).backward()
        optimizer.step()
    export.save(model.eval(), text, folder, {"task": {"name": "curriculum"}})
    return folder
