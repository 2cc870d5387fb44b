"""Task `context_extension`: reading further than the model was trained to.

A model trained on windows of C tokens meets angles of its rotary embedding beyond C that it has never seen. NTK-aware
scaling (bloc97 2023) needs no training: it raises RoPE's base so that only slow rotations stretch. The held-out text is
scored in windows `FACTOR` times as long, with positions as trained and rescaled, and for comparison in windows of the
trained length, whose first tokens see little before them. The rules read as far as the long windows, or the document.
"""

import copy
import itertools
from dataclasses import replace
from typing import Any

from components.counting.registry import READERS
from components.stages.evaluate.heldout_sample import score_documents
from components.stages.evaluate.tasks.bits_per_byte import add_range, bits, position_bins
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import (
    Curve,
    EvalContext,
    NotApplicable,
    TaskResult,
    item_id,
    work_of,
)

FACTOR = 2
"""Windows are this many times longer than those trained on."""
UNTOUCHED, RESCALED, RESTARTED = "untouched", "ntk", "restarted"
"""Conditions of the rows: long windows, the same with rescaled positions, windows of the trained length."""


def context_extension(context: EvalContext) -> TaskResult:
    """Bits per byte by position in windows of twice the trained context, before and after rescaling."""
    model, trained, long = context.causal, context.causal.context, FACTOR * context.causal.context
    scored = {
        UNTOUCHED: score_documents(LanguageModel(model.model, model.tokenizer, long), context.heldout),
        RESCALED: score_documents(rescaled(model), context.heldout),
        RESTARTED: context.heldout_scores,
    }
    rules = {name: reader(context.training_text, long) for name, reader in READERS.items()}
    result = TaskResult("context_extension")
    by_position = TaskResult("context_extension")  # its rows are drawn, not tested
    for arm, entries in scored.items():
        for entry, stretched in zip(entries, scored[UNTOUCHED], strict=True):
            for low, high in position_bins(long):
                add_range(by_position, replace(entry, position=stretched.position), low, high, arm)
            inside = stretched.position > trained
            if weight := int(entry.num_bytes[inside].sum()):
                name, work = item_id(entry.document.id, entry.num_bytes.tobytes(), str(long)), work_of(entry.document)
                where: dict[str, Any] = {"condition": arm, "weight": weight} | work
                if arm == RESCALED:
                    ids = model.encode(entry.document.text)
                    where["rules"] = {name: bits(rule.logp(ids)[inside]) for name, rule in rules.items()}
                result.item("beyond", name, bits(entry.scores.logp[inside]), direction="lower", **where)
    if not result.rows("beyond"):
        raise NotApplicable(f"no held-out document is longer than {trained} tokens, the model's context")
    _summarise(result, context)
    title = f"Loss beyond the trained context of {trained}"
    curve = Curve("context_extension", title, "tokens of context (at most)", "bits per byte", [], log2_x=True)
    for arm, (low, high) in itertools.product(scored, position_bins(long)):
        if by_position.rows(f"position_{low}", arm):
            curve.add(high - 1, by_position.estimate(f"position_{low}", arm), arm)
    result.curves.append(curve)
    return result


def rescaled(model: LanguageModel) -> LanguageModel:
    """The model with rotary frequencies for windows `FACTOR` times longer; weights are shared, not copied."""
    import torch

    shape, network = model.model.shape, copy.copy(model.model)
    power_C = torch.arange(0, shape.head_dim, 2).float() / shape.head_dim
    base = shape.rope_theta * FACTOR ** (shape.head_dim / (shape.head_dim - 2))
    network._buffers = model.model._buffers | {"frequency_C": (1.0 / base**power_C).to(model.device)}
    return LanguageModel(network, model.tokenizer, FACTOR * model.context)


def _summarise(result: TaskResult, context: EvalContext) -> None:
    """Metrics of each condition, and the paired gain of rescaling."""
    beyond = {arm: result.estimate("beyond", arm) for arm in (UNTOUCHED, RESCALED, RESTARTED)}
    for arm, estimate in beyond.items():
        result.metric(f"beyond_{arm}", estimate, bounds=False)
    result.metric("gain_beyond", result.paired("beyond", RESCALED, UNTOUCHED))
    baseline = result.baseline("beyond", RESCALED)
    note = f"windows of {FACTOR} times the trained context; rescaled: NTK-aware; "
    note += f"windows of {context.causal.context}: {beyond[RESTARTED].value:.3f}"
    for name, arm, other in (("as trained", UNTOUCHED, None), ("rescaled", RESCALED, baseline)):
        row: dict[str, Any] = {"kind": "context", "unit": "bits", "better": "lower", "headline": arm == RESCALED}
        if arm == RESCALED:
            row |= {"counterpart": f"beyond/{UNTOUCHED}", "counterpart_title": "as trained"}
        result.score(f"beyond/{arm}", f"bits beyond context, {name}", beyond[arm], other, note, **row)
