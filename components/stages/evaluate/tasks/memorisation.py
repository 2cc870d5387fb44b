"""Task `memorisation`: which canaries the model has learned by heart.

The mix stage inserts canaries, phrases with a made-up secret, 1, 4, 16 ... times
(synthetic/canaries.py). How often the model was given each in training is counted from the data
order (lineage/exposure.py), since it may see a part of the corpus only, or all of it several times.
A canary's exposure (Carlini et al. 2019) is log2 of the number of secrets over the rank of the true
one by likelihood, estimated by its rank among drawn alternatives, so it cannot exceed
log2(alternatives + 1). Canaries that were never given are the baseline; whether those given rank
higher is tested by ranks (Mann and Whitney 1947), which holds for eight canaries as for eighty.
Extraction is stricter: greedy decoding of the phrase writes the whole secret.
"""

from collections.abc import Sequence
from math import log2
from typing import Any

import numpy as np

from components.core.files import read_json
from components.lineage.exposure import times_seen
from components.scores import Baseline
from components.stages.evaluate.tasks.task import Curve, EvalContext, NotApplicable, TaskResult
from components.statistics import Estimate
from components.synthetic.canaries import SOURCE, Canary, alternatives, from_json

ALTERNATIVES = 63
"""Other secrets a canary is ranked against: exposures up to six bits can be told apart."""
LEAST_CANARIES = 5
"""Canaries that the summary is of, at least, where so many were given."""


def memorisation(context: EvalContext) -> TaskResult:
    """Exposure and extraction by the number of times a canary was given in training."""
    path = context.folders.mix / "canaries.json"
    canaries = from_json(read_json(path)) if path.exists() else []
    if not any(canary.count for canary in canaries):
        raise NotApplicable("the training text holds no canaries (mix.canaries.per_count is 0)")
    result = TaskResult("memorisation", unit="canaries")
    given = times_given(context, canaries)
    if not any(given.values()):  # those never given are the baseline: alone they say nothing
        read = min(1.0, context.training_text.order.epochs)
        raise NotApplicable(f"no canary was read: training read {read:.0%} of the tokens, and none of theirs")
    for canary in canaries:
        _score_canary(result, context, canary, condition(given[canary.id]))
    chance = sum(log2((ALTERNATIVES + 1) / rank) for rank in range(1, ALTERNATIVES + 2)) / (ALTERNATIVES + 1)
    curve = Curve("memorisation", "Exposure of canaries", "times given (at least)", "exposure [bits]", [], chance)
    classes = sorted({row["condition"] for row in result.rows("exposure")}, key=_min_times)
    for name in classes:
        exposure = result.estimate("exposure", name)
        result.metric(f"exposure_{_min_times(name)}", exposure, bounds=False)
        curve.add(_min_times(name), exposure)
    result.curves.append(curve)
    _summarise(result, context, classes)
    return result


def times_given(context: EvalContext, canaries: list[Canary]) -> dict[str, int]:
    """How often the causal model was given the whole of each canary."""
    training, shards = context.training_text.order, context.training_text.shards
    names = {canary.text: canary.id for canary in canaries}
    given = dict.fromkeys(names.values(), 0)
    starts = shards.document_starts()
    sources = shards.document_sources()
    number = shards.manifest.sources.index(SOURCE) if SOURCE in shards.manifest.sources else -1
    for document in np.flatnonzero(sources == number):
        start, end = int(starts[document]), int(starts[document + 1])
        text = context.causal.tokenizer.decode(shards.window(start, end - start).tolist())
        given[names[text]] += int(times_seen(training, start, end).min())
    return given


def condition(times: int) -> str:
    """The name of a number of times in items.parquet: classes double, 0, 1, 2 to 3, 4 to 7 ..."""
    minimum = 1 << (times.bit_length() - 1) if times else 0
    return f"times={minimum}" if minimum < 2 else f"times={minimum}-{2 * minimum - 1}"


def _min_times(name: str) -> int:
    return int(name.removeprefix("times=").split("-")[0])


def _often(result: TaskResult, classes: Sequence[str]) -> list[str]:
    """The classes given most often that together have `LEAST_CANARIES`: of one canary nothing can be told."""
    chosen: list[str] = []
    for name in reversed([one for one in classes if _min_times(one)]):
        if sum(len(result.rows("exposure", one)) for one in chosen) < LEAST_CANARIES:
            chosen.append(name)
    return chosen


def _summarise(result: TaskResult, context: EvalContext, classes: Sequence[str]) -> None:
    """Rows of the canaries given most often, beside those never given."""
    from scipy.stats import mannwhitneyu

    most = _often(result, classes)
    exposure, extracted = (result.estimate(metric, *most) for metric in ("exposure", "extracted"))
    never = [row["score"] for row in result.rows("exposure", condition(0))]
    often = [row["score"] for row in result.rows("exposure", *most)]
    note = f"bits, at most {log2(ALTERNATIVES + 1):.0f}; {len(often)} canaries"
    baseline = None
    if never:
        test = mannwhitneyu(often, never, alternative="greater")
        result.metrics["rank_test_p"] = float(test.pvalue)
        note += f"; above the never given: p = {test.pvalue:.3g}"
        value = sum(never) / len(never)
        gain = Estimate(value - exposure.value, None, None, len(often), 0)
        baseline = Baseline("never given ones", value, gain, needs_model=True)
    common: dict[str, Any] = {"kind": "memorisation", "better": "lower"}
    times = f"{min(map(_min_times, most))}+ times"
    result.score("exposure", f"exposure, given {times}", exposure, baseline, note, headline=True, unit="bits", **common)
    result.metric("extracted", extracted, bounds=False)
    result.score("extracted", f"extracted word for word, given {times}", extracted, **common)


def _score_canary(result: TaskResult, context: EvalContext, canary: Canary, where: str) -> None:
    """Append exposure and extraction of a canary."""
    others = alternatives(canary, ALTERNATIVES, context.params.seed)
    true, *rest = context.causal.answers([(canary.prefix, candidate) for candidate in (canary.secret, *others)])
    rank = 1 + sum(other.total >= true.total for other in rest)
    exposure = log2((ALTERNATIVES + 1) / rank)
    result.item("exposure", canary.id, exposure, condition=where, direction="lower")
    result.item("extracted", canary.id, bool(true.hit.all()), condition=where, direction="lower")
