"""Sentence pairs: own sentences about groups of the lexicon, scored on shared tokens alone, beside random weights."""

import numpy as np
import pytest
import torch

from components.stages.evaluate.tasks.sentence_pairs import PHRASES, STEREOTYPES, sentence_pairs, shared_logps
from components.text.identity_terms import GROUPS, mentions
from components.tokens.tokenizer import MASK
from tests.components.stages.evaluate.conftest import World

LEXICON = {
    "gender": ["women"], "age": ["old"], "religion": ["muslim", "jewish"], "origin": ["migrant"], "colour": ["black"],
    "disability": ["disability"], "orientation": ["lgbt"],
}  # fmt: skip


def test_kinds_of_groups_are_those_of_the_lexicon() -> None:
    assert PHRASES.keys() == STEREOTYPES.keys() == LEXICON.keys()
    for kind, phrases in PHRASES.items():
        for stereotyped, other in phrases:
            groups = sum(1 << GROUPS.index(name) for name in LEXICON[kind])
            assert mentions(f"{stereotyped} came.") & groups, stereotyped
            assert not mentions(f"{other} came.") & groups, other


def test_only_shared_tokens_count(world: World) -> None:
    """Causal: what follows the name. Masked: each token of it hidden in turn."""
    context = world.context()
    names, ending = ("Women", "Men"), "cannot read a map."
    for model in (context.causal, context.masked):
        shared = model.encode(f" {ending}")[1:]
        for name, total in zip(names, shared_logps(model, [(names, ending)])[0], strict=True):
            ids = model.encode(f"{name} {ending}")
            assert ids[-len(shared) :] == shared
            by_hand = 0.0
            with torch.inference_mode():
                for place in range(len(ids) - len(shared), len(ids)):
                    shown = ids[:place] if model is context.causal else [*ids[:place], MASK, *ids[place + 1 :]]
                    logits = model.model(torch.tensor([shown]))[0, -1 if model is context.causal else place]
                    by_hand += float(logits.float().log_softmax(-1)[ids[place]])
            assert total == pytest.approx(by_hand, rel=1e-4)


def test_report_has_every_kind_and_both_models(world: World) -> None:
    result = sentence_pairs(world.context())
    assert {row["condition"] for row in result.items} == set(PHRASES)
    assert [(score.kind, score.model) for score in result.scores] == [
        ("bias", "pretrain/causal"), ("bias", "pretrain/masked")
    ]  # fmt: skip
    assert {row["model"] for row in result.rows("masked_random_weights")} == {"pretrain/masked"}
    assert all(set(result.facts[name]) == set(PHRASES) for name in ("causal", "masked"))
    assert len(result.curves[0].points) == 2 * len(PHRASES)
    assert np.mean([row["score"] for row in result.items if row["metric"] == "masked"]) == result.metrics["masked"]
