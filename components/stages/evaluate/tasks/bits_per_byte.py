"""How well does the causal model predict text it has never seen?

Bits per byte on held-out documents: the negative log-likelihood in bits over the UTF-8 bytes of the text, so that
models with different tokenizers compare. Per source, because a mean over sources hides which one a model knows; and by
position in the window, which shows how much of its context a model uses. Documents are what is resampled.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from components.stages.evaluate.heldout_sample import DocumentScores
from components.stages.evaluate.tasks.task import Curve, Exam, Outcome, Skip
from components.statistics import Estimate, ratio

NAME = "bits_per_byte"
NATS_PER_BIT = math.log(2.0)
FEW_DOCUMENTS = 5
"""With fewer documents an interval over documents means little; it is then made over windows, and says so."""


def bits_per_byte(exam: Exam) -> Outcome:
    """Bits per byte over all held-out documents, per source, and by position."""
    scored = exam.heldout_scores
    if not scored:
        raise Skip("the held-out documents hold no text")
    outcome = Outcome(NAME)
    for one in scored:
        name, source = one.document.id, one.document.source
        outcome.item(
            "bits_per_byte",
            name,
            bits(one.scores.logp),
            condition=source,
            weight=one.num_bytes.sum(),
            direction="lower",
        )
    sources = sorted({one.document.source for one in scored})
    total = outcome.estimate("bits_per_byte", exam.how)
    outcome.metric("all", total)
    outcome.highlight("held-out bits per byte", total, 8.0, f"{total.clusters} documents; chance = uniform bytes")
    for source in sources:
        estimate, note = _per_source(outcome, exam, source)
        outcome.metric(source, estimate, bounds=False)
        if len(sources) > 1:
            outcome.highlight(f"bits per byte, {source}", estimate, 8.0, note)
    _by_position(outcome, exam, scored, sources)
    return outcome


def bits(logp: np.ndarray) -> float:
    """Total bits of log-probabilities in nats."""
    return float(-logp.sum() / NATS_PER_BIT)


def _per_source(outcome: Outcome, exam: Exam, source: str) -> tuple[Estimate, str]:
    """One source's bits per byte, over documents or, where there are few, over windows."""
    mine = [one for one in exam.heldout_scores if one.document.source == source]
    if len(mine) >= FEW_DOCUMENTS:
        return outcome.estimate("bits_per_byte", exam.how, source), f"{len(mine)} documents"
    scores, weights, clusters = [], [], []
    for one in mine:
        starts = np.flatnonzero(one.position == 1)
        scores += list(np.add.reduceat(-one.scores.logp, starts) / NATS_PER_BIT)
        weights += list(np.add.reduceat(one.num_bytes, starts))
        clusters += [f"{one.document.id} {start}" for start in starts]
    return ratio(
        scores, weights, clusters, exam.how
    ), f"only {len(mine)} of its documents: interval over windows, too narrow"


def position_bins(context: int) -> list[tuple[int, int]]:
    """Half-open ranges of positions that double in width: (1, 8), (8, 16), ... up to `context`, included."""
    edges = [1] + [edge for edge in (2**power for power in range(3, 32)) if edge < context] + [context + 1]
    return list(itertools.pairwise(edges))


def _by_position(outcome: Outcome, exam: Exam, scored: Sequence[DocumentScores], sources: Sequence[str]) -> None:
    """Rows and curve of bits per byte by the tokens of context."""
    curve = Curve(
        "bits_per_byte_by_position", "Held-out loss by position", "tokens of context (at most)", "bits per byte", []
    )
    curve.log2_x = True
    for low, high in position_bins(exam.causal.context):
        for one in scored:
            add_range(outcome, one, low, high, one.document.source)
        for source in sources:
            rows = [row for row in outcome.items if row["metric"] == f"position_{low}" and row["condition"] == source]
            if rows:
                curve.add(high - 1, outcome.estimate(f"position_{low}", exam.how, source), source)
    outcome.curves.append(curve)


def add_range(outcome: Outcome, one: DocumentScores, low: int, high: int, condition: str) -> None:
    """Append a document's bits at positions `low` to `high` (not included); nothing if it has no byte there."""
    inside = (one.position >= low) & (one.position < high)
    weight = int(one.num_bytes[inside].sum())
    if weight:
        score = bits(one.scores.logp[inside])
        outcome.item(f"position_{low}", one.document.id, score, condition=condition, weight=weight, direction="lower")
