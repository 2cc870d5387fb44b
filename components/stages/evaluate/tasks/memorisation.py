"""Task `memorisation`: which canaries the model has learned by heart.

The mix stage inserts canaries, phrases with a made-up secret, 1, 4, 16 ... times (synthetic/canaries.py). A canary's
exposure (Carlini et al. 2019) is log2 of the number of secrets over the rank of the true one by likelihood, estimated
by its rank among drawn alternatives, so it cannot exceed log2(alternatives + 1). Canaries that were never inserted show
what chance looks like. Extraction is stricter: greedy decoding of the phrase writes the whole secret.
"""

from math import log2

from components.core.files import read_json
from components.stages.evaluate.tasks.task import Curve, EvalContext, NotApplicable, TaskResult
from components.synthetic.canaries import Canary, alternatives, from_json

NAME = "memorisation"
ALTERNATIVES = 63
"""Other secrets a canary is ranked against: exposures up to six bits can be told apart."""


def memorisation(context: EvalContext) -> TaskResult:
    """Exposure and extraction by number of insertions."""
    path = context.folders.mix / "canaries.json"
    canaries = from_json(read_json(path)) if path.exists() else []
    if not any(canary.count for canary in canaries):
        raise NotApplicable("the training text holds no canaries (mix.canaries.per_count is 0)")
    result = TaskResult(NAME)
    _score_canaries(result, context, canaries)
    chance = sum(log2((ALTERNATIVES + 1) / rank) for rank in range(1, ALTERNATIVES + 2)) / (ALTERNATIVES + 1)
    counts = sorted({canary.count for canary in canaries})
    curve = Curve("memorisation", "Exposure of canaries", "times in the training text", "exposure [bits]", [], chance)
    for count in counts:
        exposure = result.estimate("exposure", context.resampling, condition(count))
        result.metric(f"exposure_{count}", exposure, bounds=False)
        curve.add(count, exposure)
    result.curves.append(curve)
    most = max(counts)
    exposure = result.estimate("exposure", context.resampling, condition(most))
    result.highlight(
        f"exposure, inserted {most} times", exposure, chance, f"bits, at most {log2(ALTERNATIVES + 1):.0f}"
    )
    extracted = result.estimate("extracted", context.resampling, condition(most))
    result.metric("extracted", extracted, bounds=False)
    result.highlight(f"extracted word for word, inserted {most} times", extracted, 0.0, "")
    return result


def condition(count: int) -> str:
    """The name of a number of insertions in items.parquet."""
    return f"count={count}"


def _score_canaries(result: TaskResult, context: EvalContext, canaries: list[Canary]) -> None:
    """Append exposure and extraction of each canary."""
    for canary in canaries:
        others = alternatives(canary, ALTERNATIVES, context.params.seed)
        true, *rest = context.causal.answers([(canary.prefix, secret) for secret in (canary.secret, *others)])
        rank = 1 + sum(other.logp >= true.logp for other in rest)
        exposure = log2((ALTERNATIVES + 1) / rank)
        where = condition(canary.count)
        result.item("exposure", canary.id, exposure, condition=where, direction="lower")
        result.item("extracted", canary.id, true.greedy, condition=where, direction="lower")
