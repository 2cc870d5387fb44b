"""Mitigation for bias: a few steps on counterfactual text, against the same steps on the text as it was.

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
from components.stages.evaluate.tasks.task import Curve, Exam, Outcome, Skip
from components.statistics import Estimate, ratio
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
"""Sources of generated text, which is no text to mitigate on."""
MOST_SEEN = 4
"""Passages looked at, as a multiple of those wanted: a big corpus is not read to its end for a few hundred of them."""


def bias_mitigation(exam: Exam) -> Outcome:
    """Pronoun gap and bits per byte of the three arms."""
    exam.must_be_english()
    steps = exam.params.mitigation_steps
    if not steps:
        raise Skip("evaluate.mitigation_steps is 0")
    passages = _passages(exam, steps * BATCH)
    outcome = Outcome(NAME)
    documents = exam.heldout[::HELDOUT_SHARE] or exam.heldout
    for arm in ARMS:
        model = exam.causal if arm == "before" else _tuned(exam, passages, steps, arm == "swapped")
        examine_arm(outcome, model, documents, arm)
    outcome.facts |= {"passages": len(passages), "steps": steps}
    _summarise(outcome, exam)
    return outcome


def examine_arm(outcome: Outcome, model: LanguageModel, documents: Sequence[Document], arm: str) -> None:
    """Rows of one arm: the pronoun gap per occupation and template, bits per byte per document."""
    add_gaps(outcome, model, arm)
    for one in score_documents(model, documents):
        weight = one.num_bytes.sum()
        name, score = one.document.id, bits(one.scores.logp)
        outcome.item("bits_per_byte", name, score, condition=arm, weight=weight, direction="lower")


# -- text --------------------------------------------------------------------------------------------------------------


def _passages(exam: Exam, wanted: int) -> list[str]:
    """Passages of real training text that mention gender, in seeded order: `wanted`, repeated if there are fewer.

    Raises:
        Skip: there are hardly any.
    """
    draw = random.Random(f"greenhouse bias mitigation {exam.params.seed}")
    found: list[str] = []
    shards = shard_paths(exam.folders.mix / "train")
    draw.shuffle(shards)
    for number, passage in enumerate(_gendered(shards, PASSAGE_CHARS)):
        if number == MOST_SEEN * wanted:
            break
        if len(found) < wanted:
            found.append(passage)
        elif (place := draw.randrange(number + 1)) < wanted:  # reservoir sampling: memory is bounded by the sample
            found[place] = passage
    if len(found) < BATCH:
        raise Skip(f"the training text holds only {len(found)} passages that mention gender")
    draw.shuffle(found)
    return found


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


def _tuned(exam: Exam, passages: list[str], steps: int, swapped: bool) -> LanguageModel:
    """A copy of the causal model after `steps` more, on each passage and its swap if `swapped`, else on it twice."""
    import torch

    base = exam.causal
    network = copy.deepcopy(base.model).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0)
    texts = [version for text in passages for version in (text, swap(text) if swapped else text)]
    rows = [base.encode(text)[: base.context + 1] for text in texts]
    size = 2 * BATCH
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 5) * (1.0 - step / steps)
        optimizer.zero_grad()
        loss = _loss(network, [rows[(step * size + row) % len(rows)] for row in range(size)], exam, base.device)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return LanguageModel(network.eval(), base.tokenizer, base.context)


def _loss(network: Any, rows: list[list[int]], exam: Exam, device: Any) -> Any:
    """Mean next-token loss; the ends of shorter rows do not count."""
    import torch
    import torch.nn.functional as F

    longest = max(map(len, rows))
    ids_BT = torch.tensor([[*row, *[-1] * (longest - len(row))] for row in rows], device=device)
    half = torch.autocast(device.type, torch.bfloat16) if exam.numerics.dtype == "bfloat16" else nullcontext()
    with half:
        logits_BTV = network(ids_BT[:, :-1].clamp(min=0))
    return F.cross_entropy(logits_BTV.flatten(0, 1).float(), ids_BT[:, 1:].flatten(), ignore_index=-1)


# -- result ------------------------------------------------------------------------------------------------------------


def _summarise(outcome: Outcome, exam: Exam) -> None:
    curve = Curve(
        "bias_mitigation", "Pronoun gap: before, control, swapped text", "", "log P(she) - log P(he) [nats]", []
    )
    curve.chance, curve.kind = 0.0, "bar"
    for arm in ARMS:
        gap = outcome.estimate("gap", exam.how, arm)
        outcome.metric(f"gap_{arm}", gap, bounds=False)
        outcome.metric(f"bits_per_byte_{arm}", outcome.estimate("bits_per_byte", exam.how, arm), bounds=False)
        curve.add(arm, gap)
        note = f"bits per byte {outcome.metrics[f'bits_per_byte_{arm}']:.3f}; {len(OCCUPATIONS)} occupations"
        outcome.highlight(f"pronoun gap, {arm}", gap, 0.0, note)
    outcome.curves.append(curve)
    effect = paired(outcome, exam, "gap", "control", "swapped")
    price = paired(outcome, exam, "bits_per_byte", "control", "swapped")
    outcome.metric("effect_on_gap", effect)
    outcome.metric("price_bits_per_byte", price, bounds=False)
    outcome.facts |= {"effect_on_gap": effect.as_dict(), "price_bits_per_byte": price.as_dict()}


def paired(outcome: Outcome, exam: Exam, metric: str, a: str, b: str) -> Estimate:
    """The change of a metric from arm `a` to arm `b`, item by item."""
    rows = {
        arm: [row for row in outcome.items if row["metric"] == metric and row["condition"] == arm] for arm in (a, b)
    }
    changes = [y["score"] - x["score"] for x, y in zip(rows[a], rows[b], strict=True)]
    weights = [row["weight"] for row in rows[a]]
    return ratio(changes, weights, [row["cluster"] for row in rows[a]], exam.how)
