"""Task `bits_per_byte`: how well the causal model predicts text it has never seen.

Bits per byte on held-out documents: the negative log-likelihood in bits over the UTF-8 bytes of the text, so that
models with different tokenizers compare. Per source, because a mean over sources hides which one a model knows; and by
position in the window, which shows how much of its context a model uses. Works are what is resampled. Baselines, all
primed with the text the model was trained on: an n-gram model, the same with a cache of what stands earlier in the
model's own window, and a compressor. The compressor has an advantage: it goes on learning from the held-out text, where
the model sees one window at a time. Of each source the best of them counts.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.stages.evaluate.heldout_sample import DocumentScores
from components.stages.evaluate.tasks.baselines import NGRAM_ORDER, best_rule, compressed_bits
from components.stages.evaluate.tasks.task import Curve, EvalContext, NotApplicable, TaskResult, item_id, work_of

NAME = "bits_per_byte"
NATS_PER_BIT = math.log(2.0)


def bits_per_byte(context: EvalContext) -> TaskResult:
    """Bits per byte over all held-out documents, per source, and by position."""
    scored = context.heldout_scores
    if not scored:
        raise NotApplicable("the held-out documents hold no text")
    result = TaskResult(NAME)
    rules = baselines(context, [entry.document.text for entry in scored])
    best: dict[str, str] = {}
    for number, entry in enumerate(scored):
        source = entry.document.source
        if source not in best:
            best[source], _ = best_rule({name: _of(source, scored, each) for name, each in rules.items()}, "lower")
        result.item(
            "bits_per_byte",
            item_id(entry.document.id, entry.document.text),
            bits(entry.scores.logp),
            condition=source,
            weight=entry.num_bytes.sum(),
            direction="lower",
            baseline=rules[best[source]][number],
            **work_of(entry.document),
        )
    num_bytes = int(sum(entry.num_bytes.sum() for entry in scored))
    result.facts["baselines"] = {name: sum(values) / num_bytes for name, values in rules.items()}
    sources = sorted({entry.document.source for entry in scored})
    rows: list[tuple[str, str, str | None]] = [("held-out bits per byte", "all", None)]
    rows += [(f"bits per byte, {source}", source, source) for source in sources if len(sources) > 1]
    for title, name, of_source in rows:
        estimate = result.estimate("bits_per_byte", context.resampling, of_source)
        result.metric(name, estimate, bounds=of_source is None)
        rule = best[of_source] if of_source else " or ".join(sorted(set(best.values())))
        baseline = result.baseline(rule, "bits_per_byte", context.resampling, of_source)
        note = f"{estimate.clusters} works" + ("" if of_source else f"; {_figures(result.facts['baselines'])}")
        metric = f"bits_per_byte/{of_source}" if of_source else "bits_per_byte"
        whole: dict[str, Any] = {} if of_source else {"headline": True, "primary": True, "column": "bpb"}
        whole |= {"kind": "knowledge", "unit": "bits", "better": "lower"}
        result.score(metric, title, estimate, baseline, note, **whole)
    _by_position(result, context, scored, sources)
    return result


def _of(source: str, scored: Sequence[DocumentScores], bits_of: Sequence[float]) -> list[float]:
    """Those of the bits that are of a source's documents."""
    return [one for one, entry in zip(bits_of, scored, strict=True) if entry.document.source == source]


def baselines(context: EvalContext, texts: Sequence[str]) -> dict[str, list[float]]:
    """Bits of each text under models without a network that know what the model was trained on."""
    model, training_text = context.causal, context.training_text
    ngram, cached = zip(*(context.ngram_and_cache.logp(model.encode(text)) for text in texts), strict=True)
    primer = model.tokenizer.decode(training_text.ids.tolist())
    known = "" if training_text.share == 1.0 else f" that knows the last {training_text.share:.0%} of its text"
    return {
        f"{NGRAM_ORDER}-gram model{known}": [bits(logp) for logp in ngram],
        f"{NGRAM_ORDER}-gram and cache{known}": [bits(logp) for logp in cached],
        f"zstd{known}": [float(size) for size in compressed_bits(texts, primer)],
    }


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
                curve.add(high - 1, result.estimate(f"position_{low}", context.resampling, source), source)
    result.curves.append(curve)


def add_range(result: TaskResult, entry: DocumentScores, low: int, high: int, condition: str) -> None:
    """Append a document's bits at positions `low` to `high` (not included); nothing if it has no byte there."""
    inside = (entry.position >= low) & (entry.position < high)
    weight = int(entry.num_bytes[inside].sum())
    if weight:
        score = bits(entry.scores.logp[inside])
        place: dict[str, Any] = {"condition": condition, "weight": weight} | work_of(entry.document)
        result.item(f"position_{low}", entry.document.id, score, direction="lower", **place)
