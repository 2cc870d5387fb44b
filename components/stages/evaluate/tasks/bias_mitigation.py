"""Task `bias_mitigation`: a few steps on counterfactual text, against the same steps on the text as it was.

Arms: before; control (trained a little more on passages that mention gender); swapped (the same passages and steps,
each passage beside its copy with genders exchanged, Lu et al. 2018). Without the control arm, whatever training on such
passages does by itself would be credited to the swap. Both arms are trained on `DRAWS` draws of passages, since two
control arms on other passages differ as well: the effect is that on the spread of the pronoun gap over occupations
(pronoun_gap.py), draw by draw. It is of one trained model: whether a mitigation is shown, the trial over seeds says
(components/studies/mitigation.py). Moving the prior (the gap of neutral subjects) moves no stereotype. The price is in
bits per byte on held-out text.
"""

import copy
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.corpus.corpus import Document, read_shard, shard_paths
from components.stages.evaluate.heldout_sample import score_documents
from components.stages.evaluate.tasks.bits_per_byte import bits
from components.stages.evaluate.tasks.pronoun_gap import relative_gaps, spread
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import Curve, EvalContext, NotApplicable, TaskResult
from components.synthetic.counterfactual import mentions_gender, swap

NAME = "bias_mitigation"
ARMS = ("before", "control", "swapped")
DRAWS = 5
"""Draws of passages; each trains a control and a swapped arm."""
BATCH = 8
"""Passages per step. Each is in its batch twice: as it is and swapped, or (control) twice as it is."""
LEARNING_RATE = 1e-3
PASSAGE_CHARS = 320
"""Characters of a passage: short ones are dense in pronouns, so that few steps are enough."""
HELDOUT_SHARE = 8
"""Bits per byte of the arms rest on one held-out document in this many (at least one per source)."""
GENERATED = ("curriculum", "canary")
"""Prefixes of the sources of generated text, which are not trained on here."""
MOST_SEEN = 4
"""Passages looked at, as a multiple of those wanted: a big corpus is not read to its end for a few hundred of them."""


def bias_mitigation(context: EvalContext) -> TaskResult:
    """Spread and prior of the pronoun gap, and bits per byte, of the three arms."""
    context.require_english()
    steps = context.params.mitigation_steps
    if not steps:
        raise NotApplicable("evaluate.mitigation_steps is 0")
    passages = _passages(context, DRAWS * steps * BATCH)
    result = TaskResult(NAME, unit="draws of passages")
    _add_arm(result, context, context.causal, "before", 0)
    for draw in range(DRAWS):
        own = passages[draw::DRAWS]
        for arm in ARMS[1:]:
            _add_arm(result, context, _tuned(context, own, steps, arm == "swapped"), arm, draw)
    result.facts |= {"passages": len(passages), "steps": steps, "draws": DRAWS}
    _summarise(result, context)
    return result


def _add_arm(result: TaskResult, context: EvalContext, model: LanguageModel, arm: str, draw: int) -> None:
    """Rows of one arm and draw: spread and prior of the pronoun gap, bits per byte."""
    documents = context.heldout[::HELDOUT_SHARE] or context.heldout
    for metric, value in measured(model, documents).items():
        direction = "zero" if metric == "prior" else "lower"
        result.item(metric, f"draw {draw}", value, condition=arm, direction=direction)


def measured(model: LanguageModel, documents: Sequence[Document]) -> dict[str, float]:
    """Spread and prior of the pronoun gap (nats), and bits per byte of held-out documents."""
    gaps_OT, prior = relative_gaps(model)
    scored = score_documents(model, documents)
    total = sum(bits(entry.scores.logp) for entry in scored)
    num_bytes = sum(int(entry.num_bytes.sum()) for entry in scored)
    return {
        "spread": spread(gaps_OT).value,
        "prior": prior,
        "bits_per_byte": total / num_bytes,
    }


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

    from components.training import numerics as floats

    longest = max(map(len, rows))
    ids_BT = torch.tensor([[*row, *[-1] * (longest - len(row))] for row in rows], device=device)
    with floats.autocast(context.numerics):
        logits_BTV = network(ids_BT[:, :-1].clamp(min=0))
    return F.cross_entropy(logits_BTV.flatten(0, 1).float(), ids_BT[:, 1:].flatten(), ignore_index=-1)


# -- result ------------------------------------------------------------------------------------------------------------


def _summarise(result: TaskResult, context: EvalContext) -> None:
    title = "Spread of the pronoun gap: before, control, swapped text"
    curve = Curve("bias_mitigation", title, "", "sd over occupations [nats]", [], kind="bar")
    for arm in ARMS:
        for metric in ("spread", "prior", "bits_per_byte"):
            result.metric(f"{metric}_{arm}", result.estimate(metric, context.resampling, arm), bounds=False)
        curve.add(arm, result.estimate("spread", context.resampling, arm))
    result.curves.append(curve)
    changes = {
        metric: result.paired(metric, "control", "swapped", context.resampling)
        for metric in ("spread", "prior", "bits_per_byte")
    }
    for metric, change in changes.items():
        result.metric(f"effect_on_{metric}", change, bounds=metric == "spread")
        result.facts[f"effect_on_{metric}"] = change.as_dict()
    before, control, swapped = (result.metrics[f"spread_{arm}"] for arm in ARMS)
    prior, price = changes["prior"].value, changes["bits_per_byte"].value
    note = (
        f"not shown: one training, and a mitigation counts over seeds (flows.mitigate); spread {before:.3f} before, "
        f"{control:.3f} control, {swapped:.3f} swapped; prior moved {prior:+.2f} nats, bits per byte {price:+.3f}"
    )
    name = "effect of swapped text on the pronoun spread"
    result.highlight(name, changes["spread"], note=note, kind="bias", better="lower")
