"""Task `bits_per_byte`: how well the causal model predicts text it has never seen.

Bits per byte on held-out documents: the negative log-likelihood in bits over the UTF-8 bytes of the text, so that
models with different tokenizers compare. Per source, because a mean over sources hides which one a model knows; and by
position in the window, which shows how much of its context a model uses. Works are what is resampled. The rules have
counted the text the model was trained on. Of them the compressor goes on learning from the held-out text, where the
model sees one window at a time; the n-grams with a cache see the same window.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.counting.registry import posed
from components.stages.evaluate.heldout_sample import DocumentScores
from components.stages.evaluate.tasks.task import Curve, EvalContext, NotApplicable, TaskResult, item_id, work_of

NATS_PER_BIT = math.log(2.0)


def bits_per_byte(context: EvalContext) -> TaskResult:
    """Bits per byte over all held-out documents, per source, and by position."""
    scored = context.heldout_scores
    if not scored:
        raise NotApplicable("the held-out documents hold no text")
    result = TaskResult("bits_per_byte")
    rules = posed("text", context.training_text, (entry.document.text for entry in scored))
    for number, entry in enumerate(scored):
        result.item(
            "bits_per_byte",
            item_id(entry.document.id, entry.document.text),
            bits(entry.scores.logp),
            condition=entry.document.source,
            weight=entry.num_bytes.sum(),
            direction="lower",
            rules={name: sizes[number] for name, sizes in rules.items()},
            **work_of(entry.document),
        )
    num_bytes = int(sum(entry.num_bytes.sum() for entry in scored))
    result.facts["baselines"] = {name: sum(values) / num_bytes for name, values in rules.items()}
    sources = sorted({entry.document.source for entry in scored})
    rows: list[tuple[str, str, str | None]] = [("held-out bits per byte", "all", None)]
    rows += [(f"bits per byte, {source}", source, source) for source in sources if len(sources) > 1]
    for title, name, of_source in rows:
        estimate = result.estimate("bits_per_byte", of_source)
        result.metric(name, estimate, bounds=of_source is None)
        baseline = result.baseline("bits_per_byte", of_source)
        note = f"{estimate.clusters} works" + ("" if of_source else f"; {_figures(result.facts['baselines'])}")
        metric = f"bits_per_byte/{of_source}" if of_source else "bits_per_byte"
        whole: dict[str, Any] = {} if of_source else {"headline": True, "primary": True, "column": "bpb"}
        whole |= {"kind": "knowledge", "unit": "bits", "better": "lower"}
        result.score(metric, title, estimate, baseline, note, **whole)
    _by_position(result, context, scored, sources)
    return result


def _figures(baselines: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in baselines.items())


def bits(logp: np.ndarray) -> float:
    """Total bits of log-probabilities in nats."""
    return float(-logp.sum() / NATS_PER_BIT)


def position_bins(context: int) -> list[tuple[int, int]]:
    """Half-open ranges of positions that double in width: (1, 8), (8, 16), ... up to `context`, included."""
    edges = [1] + [edge for edge in (2**power for power in range(3, 32)) if edge < context] + [context + 1]
    return list(itertools.pairwise(edges))


def _by_position(
    result: TaskResult, context: EvalContext, scored: Sequence[DocumentScores], sources: Sequence[str]
) -> None:
    """Rows and curve of bits per byte by the tokens of context."""
    curve = Curve(
        "bits_per_byte_by_position", "Held-out loss by position", "tokens of context (at most)", "bits per byte", []
    )
    curve.log2_x = True
    for low, high in position_bins(context.causal.context):
        for entry in scored:
            add_range(result, entry, low, high, entry.document.source)
        for source in sources:
            if result.rows(f"position_{low}", source):
                curve.add(high - 1, result.estimate(f"position_{low}", source), source)
    result.curves.append(curve)


def add_range(result: TaskResult, entry: DocumentScores, low: int, high: int, condition: str) -> None:
    """Append a document's bits at positions `low` to `high` (not included); nothing if it has no byte there."""
    inside = (entry.position >= low) & (entry.position < high)
    weight = int(entry.num_bytes[inside].sum())
    if weight:
        score = bits(entry.scores.logp[inside])
        labels: dict[str, Any] = {"condition": condition, "weight": weight} | work_of(entry.document)
        result.item(f"position_{low}", entry.document.id, score, direction="lower", **labels)
