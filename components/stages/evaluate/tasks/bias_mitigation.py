"""Task `bias_mitigation`: a few steps on counterfactual text, against the same steps on the text as it was.

Three models are compared: before; control (trained a little more on passages that mention gender); swapped (the same
passages and steps, each passage beside its copy with genders exchanged, Lu et al. 2018). Without the control arm,
whatever training on such passages does by itself would be credited to the swap. Shown for each: the pronoun gap, and
bits per byte on held-out text, the price.
"""

import copy
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from components.corpus.corpus import Document, read_shard, shard_paths
from components.stages.evaluate.heldout_sample import score_documents
from components.stages.evaluate.tasks.bits_per_byte import bits
from components.stages.evaluate.tasks.pronoun_gap import OCCUPATIONS, add_gaps
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import Curve, EvalContext, NotApplicable, TaskResult
from components.synthetic.counterfactual import mentions_gender, swap

NAME = "bias_mitigation"
ARMS = ("before", "control", "swapped")
BATCH = 8
"""Passages per step. Each is in its batch twice: as it is and swapped, or (control) twice as it is."""
LEARNING_RATE = 1e-3
PASSAGE_CHARS = 320
"""Characters of a passage: short ones are dense in pronouns, so that few steps are enough."""
HELDOUT_SHARE = 4
"""Bits per byte of the arms rest on one held-out document in this many (at least one per source)."""
GENERATED = ("curriculum", "canary")
"""Prefixes of the sources of generated text, which are not trained on here."""
MOST_SEEN = 4
"""Passages looked at, as a multiple of those wanted: a big corpus is not read to its end for a few hundred of them."""


def bias_mitigation(context: EvalContext) -> TaskResult:
    """Pronoun gap and bits per byte of the three arms."""
    context.require_english()
    steps = context.params.mitigation_steps
    if not steps:
        raise NotApplicable("evaluate.mitigation_steps is 0")
    passages = _passages(context, steps * BATCH)
    result = TaskResult(NAME)
    documents = context.heldout[::HELDOUT_SHARE] or context.heldout
    for arm in ARMS:
        model = context.causal if arm == "before" else _tuned(context, passages, steps, arm == "swapped")
        evaluate_arm(result, model, documents, arm)
    result.facts |= {"passages": len(passages), "steps": steps}
    _summarise(result, context)
    return result


def evaluate_arm(result: TaskResult, model: LanguageModel, documents: Sequence[Document], arm: str) -> None:
    """Rows of one arm: the pronoun gap per occupation and template, bits per byte per document."""
    add_gaps(result, model, arm)
    for entry in score_documents(model, documents):
        weight = entry.num_bytes.sum()
        name, score = entry.document.id, bits(entry.scores.logp)
        result.item("bits_per_byte", name, score, condition=arm, weight=weight, direction="lower")


# -- text --------------------------------------------------------------------------------------------------------------


def _passages(context: EvalContext, wanted: int) -> list[str]:
    """Passages of real training text that mention gender, in seeded order: `wanted`, repeated if there are fewer.

    Raises:
        NotApplicable: there are hardly any.
    """
    draw = random.Random(f"greenhouse bias mitigation {context.params.seed}")
    sample: list[str] = []
    shards = shard_paths(context.folders.mix / "train")
    draw.shuffle(shards)
    for number, passage in enumerate(_gendered(shards, PASSAGE_CHARS)):
        if number == MOST_SEEN * wanted:
            break
        if len(sample) < wanted:
            sample.append(passage)
        elif (place := draw.randrange(number + 1)) < wanted:  # reservoir sampling: memory is bounded by the sample
            sample[place] = passage
    if len(sample) < BATCH:
        raise NotApplicable(f"the training text holds only {len(sample)} passages that mention gender")
    draw.shuffle(sample)
    return sample


def _gendered(shards: list[Path], size: int) -> Iterator[str]:
    """Pieces of about `size` characters, cut at line ends, of documents that were not generated."""
    pattern = re.compile(r"\b(?:he|she|him|her|his|hers)\b", re.IGNORECASE)
    for path in shards:
        for document in read_shard(path):
            if document.source.startswith(GENERATED):
                continue
            for start in range(0, len(document.text), size):
                piece = document.text[start : start + size]
                if pattern.search(piece) and mentions_gender(piece):
                    yield piece


# -- training ----------------------------------------------------------------------------------------------------------


def _tuned(context: EvalContext, passages: list[str], steps: int, swapped: bool) -> LanguageModel:
    """A copy of the causal model after `steps` more, on each passage and its swap if `swapped`, else on it twice."""
    import torch

    base = context.causal
    network = copy.deepcopy(base.model).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0)
    texts = [version for text in passages for version in (text, swap(text) if swapped else text)]
    rows = [base.encode(text)[: base.context + 1] for text in texts]
    size = 2 * BATCH
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 5) * (1.0 - step / steps)
        optimizer.zero_grad()
        loss = _loss(network, [rows[(step * size + row) % len(rows)] for row in range(size)], context, base.device)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return LanguageModel(network.eval(), base.tokenizer, base.context)


def _loss(network: Any, rows: list[list[int]], context: EvalContext, device: Any) -> Any:
    """Mean next-token loss; the ends of shorter rows do not count."""
    import torch
    import torch.nn.functional as F

    longest = max(map(len, rows))
    ids_BT = torch.tensor([[*row, *[-1] * (longest - len(row))] for row in rows], device=device)
    half = torch.autocast(device.type, torch.bfloat16) if context.numerics.dtype == "bfloat16" else nullcontext()
    with half:
        logits_BTV = network(ids_BT[:, :-1].clamp(min=0))
    return F.cross_entropy(logits_BTV.flatten(0, 1).float(), ids_BT[:, 1:].flatten(), ignore_index=-1)


# -- result ------------------------------------------------------------------------------------------------------------


def _summarise(result: TaskResult, context: EvalContext) -> None:
    curve = Curve(
        "bias_mitigation", "Pronoun gap: before, control, swapped text", "", "log P(she) - log P(he) [nats]", []
    )
    curve.chance, curve.kind = 0.0, "bar"
    for arm in ARMS:
        gap = result.estimate("gap", context.resampling, arm)
        result.metric(f"gap_{arm}", gap, bounds=False)
        result.metric(f"bits_per_byte_{arm}", result.estimate("bits_per_byte", context.resampling, arm), bounds=False)
        curve.add(arm, gap)
        note = f"bits per byte {result.metrics[f'bits_per_byte_{arm}']:.3f}; {len(OCCUPATIONS)} occupations"
        result.highlight(f"pronoun gap, {arm}", gap, note=note, kind="bias", better="zero")
    result.curves.append(curve)
    effect = result.paired("gap", "control", "swapped", context.resampling)
    price = result.paired("bits_per_byte", "control", "swapped", context.resampling)
    result.metric("effect_on_gap", effect)
    result.metric("price_bits_per_byte", price, bounds=False)
    result.facts |= {"effect_on_gap": effect.as_dict(), "price_bits_per_byte": price.as_dict()}
