"""Task `context_extension`: reading further than the model was trained to.

A model trained on windows of T tokens meets angles of its rotary embedding beyond T that it has never seen. Two known
remedies need no training: position interpolation (Chen et al. 2023) divides positions by the factor wanted, NTK-aware
scaling (bloc97 2023) raises RoPE's base so that only slow rotations stretch. Long held-out windows are scored three
times, untouched and with each remedy: before and after, on the same tokens. Baseline: the same tokens in windows of
their own, of the length that was trained, whose first tokens see little before them.
"""

import copy
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from components.corpus.corpus import Document
from components.stages.evaluate.heldout_sample import DocumentScores
from components.stages.evaluate.tasks.bits_per_byte import bits, position_bins
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import (
    Baseline,
    Curve,
    EvalContext,
    NotApplicable,
    TaskResult,
    item_id,
    work_of,
)
from components.statistics import Estimate, ratio

if TYPE_CHECKING:
    import torch

    from components.model.transformer import Shape

NAME = "context_extension"
FACTOR = 2
"""Windows are this many times longer than those trained on."""
ARMS = ("untouched", "interpolated", "ntk")
RESTARTED = "restarted"
"""Condition of the rows of the baseline."""
MOST_WINDOWS = 24
AS_TRAINED, RESCALED = "bits beyond context, as trained", "bits beyond context, rescaled"
"""Names of the rows (bits per byte)."""


def context_extension(context: EvalContext) -> TaskResult:
    """Loss by position over windows of twice the trained context, before and after each remedy."""
    model = context.causal
    length = FACTOR * model.context
    windows = _windows(context, length)
    if not windows:
        raise NotApplicable(f"no held-out document is longer than {length} tokens, twice the model's context")
    result = TaskResult(NAME)
    curve = Curve(
        "context_extension",
        f"Loss beyond the trained context of {model.context}",
        "tokens of context (at most)",
        "bits per byte",
        [],
    )
    curve.log2_x = True
    for arm in ARMS:
        scored = _score(extended(model, arm), windows, length)
        _add(result, windows, scored, arm, model.context)
        for low, high in position_bins(length):
            curve.add(high - 1, _at(scored, low, high, context), arm)
    result.curves.append(curve)
    later = [LongWindow(window.document, window.start, window.ids[model.context :]) for window in windows]
    for window, entry in zip(windows, _score(model, later, model.context), strict=True):
        place: dict[str, Any] = {"condition": RESTARTED, "direction": "lower"} | work_of(window.document)
        weight = max(1, int(entry.num_bytes.sum()))
        name = item_id(window.document.id, np.asarray(window.ids).tobytes())
        result.item("beyond", name, bits(entry.scores.logp), weight=weight, **place)
    _summarise(result, context, len(windows))
    return result


def extended(model: LanguageModel, arm: str) -> LanguageModel:
    """The model with rotary frequencies for windows `FACTOR` times longer; weights are shared, not copied."""
    if arm == "untouched":
        return LanguageModel(model.model, model.tokenizer, FACTOR * model.context)
    changed = copy.copy(model.model)
    changed._buffers = model.model._buffers | {
        "frequency_C": scaled_frequencies(model.model.shape, arm).to(model.device)
    }
    return LanguageModel(changed, model.tokenizer, FACTOR * model.context)


def scaled_frequencies(shape: "Shape", arm: str) -> "torch.Tensor":
    """RoPE's angles per position for a remedy: float32 (head_dim / 2,)."""
    import torch

    power_C = torch.arange(0, shape.head_dim, 2).float() / shape.head_dim
    if arm == "interpolated":
        return 1.0 / shape.rope_theta**power_C / FACTOR
    base = shape.rope_theta * FACTOR ** (shape.head_dim / (shape.head_dim - 2))
    return 1.0 / base**power_C


@dataclass(frozen=True, slots=True)
class LongWindow:
    """`FACTOR` times `context` + 1 ids of a document from `start`."""

    document: Document
    start: int
    ids: list[int]


def _windows(context: EvalContext, length: int) -> list[LongWindow]:
    """Document, start and ids of windows of `length` + 1 ids, one of each document in turn, `MOST_WINDOWS` at most."""
    most = min(MOST_WINDOWS, context.params.items)
    encoded = [(document, context.causal.encode(document.text)) for document in context.heldout]
    starts = range(0, max((len(ids) for _, ids in encoded), default=0), length)
    windows = (
        LongWindow(document, start, ids[start : start + length + 1])
        for start in starts
        for document, ids in encoded
        if start + length < len(ids)
    )
    return list(itertools.islice(windows, most))


def _score(model: LanguageModel, windows: list[LongWindow], length: int) -> list[DocumentScores]:
    """Scores of whole windows."""
    token_bytes = model.token_bytes()
    position = np.arange(length) + 1
    scores = model.score([window.ids for window in windows])
    return [
        DocumentScores(window.document, entry, position, token_bytes[window.ids[1:]])
        for window, entry in zip(windows, scores, strict=True)
    ]


def _add(result: TaskResult, windows: list[LongWindow], scored: list[DocumentScores], arm: str, context: int) -> None:
    """Rows within and beyond the trained context, clustered by work."""
    for window, entry in zip(windows, scored, strict=True):
        name = item_id(window.document.id, np.asarray(window.ids).tobytes())
        common: dict[str, Any] = {"condition": arm, "direction": "lower"} | work_of(entry.document)
        for part, inside in (("within", entry.position <= context), ("beyond", entry.position > context)):
            weight = max(1, int(entry.num_bytes[inside].sum()))
            result.item(part, name, bits(entry.scores.logp[inside]), weight=weight, **common)


def _at(scored: list[DocumentScores], low: int, high: int, context: EvalContext) -> Estimate:
    """Bits per byte at positions `low` to `high`."""
    inside = [(entry.position >= low) & (entry.position < high) for entry in scored]
    scores = [bits(entry.scores.logp[part]) for entry, part in zip(scored, inside, strict=True)]
    weights = [float(entry.num_bytes[part].sum()) for entry, part in zip(scored, inside, strict=True)]
    works = [work_of(entry.document) for entry in scored]
    clusters, strata = ([work[name] for work in works] for name in ("cluster", "stratum"))
    return ratio(scores, weights, clusters, context.resampling, strata)


def _summarise(result: TaskResult, context: EvalContext, num_windows: int) -> None:
    """Metrics of each arm, and the paired gain of the better remedy."""
    for arm in ARMS:
        result.metric(f"beyond_{arm}", result.estimate("beyond", context.resampling, arm), bounds=False)
        result.facts[f"within_{arm}"] = result.estimate("within", context.resampling, arm).as_dict()
    best = min(ARMS[1:], key=lambda arm: result.metrics[f"beyond_{arm}"])
    before = result.estimate("beyond", context.resampling, "untouched")
    after = result.estimate("beyond", context.resampling, best)
    gain = result.paired("beyond", best, "untouched", context.resampling)
    result.metric("gain_beyond", gain)
    result.facts["best"] = best
    windows = f"{num_windows} windows of {FACTOR} times the trained context"
    result.highlight(AS_TRAINED, before, None, windows, kind="context", better="lower")
    restarted = result.estimate("beyond", context.resampling, RESTARTED)
    over_restarted = result.paired("beyond", best, RESTARTED, context.resampling)
    baseline = Baseline(f"windows of {context.causal.context}", restarted.value, over_restarted, needs_model=True)
    note = f"{best}, the better of two remedies on these windows"
    result.highlight(RESCALED, after, baseline, note, kind="context", better="lower", headline=True)
