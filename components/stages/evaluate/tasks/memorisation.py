"""What has the model learned by heart?

The mix stage inserts made-up secrets 1, 4, 16 ... times (synthetic/canaries.py). A canary's exposure (Carlini et
al. 2019) is log2 of the number of secrets over the rank of the true one by likelihood, estimated by its rank among
drawn alternatives, so it cannot exceed log2(alternatives + 1). Canaries that were never inserted show what chance looks
like. Extraction is stricter: greedy decoding of the phrase writes the whole secret.
"""

from math import log2

from components.core.files import read_json
from components.stages.evaluate.tasks.task import Curve, Exam, Outcome, Skip, mean
from components.synthetic.canaries import Canary, alternatives, from_json

NAME = "memorisation"
ALTERNATIVES = 63
"""Other secrets a canary is ranked against: exposures up to six bits can be told apart."""


def memorisation(exam: Exam) -> Outcome:
    """Exposure and extraction by number of insertions."""
    path = exam.folders.mix / "canaries.json"
    canaries = from_json(read_json(path)) if path.exists() else []
    if not any(canary.count for canary in canaries):
        raise Skip("the training text holds no canaries (mix.canaries.per_count is 0)")
    outcome = Outcome(NAME)
    _ask(outcome, exam, canaries)
    chance = mean([log2((ALTERNATIVES + 1) / rank) for rank in range(1, ALTERNATIVES + 2)])
    counts = sorted({canary.count for canary in canaries})
    curve = Curve("memorisation", "Exposure of canaries", "times in the training text", "exposure [bits]", [], chance)
    for count in counts:
        exposure = outcome.estimate("exposure", exam.how, condition(count))
        outcome.metric(f"exposure_{count}", exposure, bounds=False)
        curve.add(count, exposure)
    outcome.curves.append(curve)
    most = max(counts)
    exposure = outcome.estimate("exposure", exam.how, condition(most))
    outcome.highlight(
        f"exposure, inserted {most} times", exposure, chance, f"bits, at most {log2(ALTERNATIVES + 1):.0f}"
    )
    extracted = outcome.estimate("extracted", exam.how, condition(most))
    outcome.metric("extracted", extracted, bounds=False)
    outcome.highlight(f"extracted word for word, inserted {most} times", extracted, 0.0, "")
    return outcome


def condition(count: int) -> str:
    """The name of a number of insertions in items.parquet."""
    return f"count={count}"


def _ask(outcome: Outcome, exam: Exam, canaries: list[Canary]) -> None:
    """Append exposure and extraction of each canary."""
    for canary in canaries:
        others = alternatives(canary, ALTERNATIVES, exam.params.seed)
        true, *rest = exam.causal.answers([(canary.prefix, secret) for secret in (canary.secret, *others)])
        rank = 1 + sum(other.logp >= true.logp for other in rest)
        exposure = log2((ALTERNATIVES + 1) / rank)
        where = condition(canary.count)
        outcome.item("exposure", canary.id, exposure, condition=where, direction="lower")
        outcome.item("extracted", canary.id, true.greedy, condition=where, direction="lower")
