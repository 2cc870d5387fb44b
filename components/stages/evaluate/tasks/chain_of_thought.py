"""Task `chain_of_thought`: whether written-out steps help.

The same sums are posed twice: for the answer at once, and with the scratchpad the curriculum teaches (Nye et al. 2021;
Wei et al. 2022). Both answers are written by greedy decoding and count only if exactly right; the difference is paired.
"""

from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import Curve, EvalContext, TaskResult
from components.statistics import ratio
from components.synthetic.curriculum import Problem, items

NAME = "chain_of_thought"
CHANCE = 0.0
DIGITS = (2, 3)
"""Digits of the numbers: what the curriculum teaches, and one more, to see whether the steps generalise."""
STOP = "\n"


def chain_of_thought(context: EvalContext) -> TaskResult:
    """Exact matches with and without steps, by number of digits, and the paired difference."""
    result = TaskResult(NAME)
    curve = Curve("chain_of_thought", "Sums with and without steps", "digits", "exactly right", [], None)
    for digits in DIGITS:
        for steps, way in enumerate(("direct", "steps")):
            test_items = items(
                "arithmetic", context.params.seed, context.params.items, split="test", digits=digits, steps=steps
            )
            hits = _exact_matches(context.causal, test_items)
            for number, hit in enumerate(hits):
                name = f"{digits}/{number}"
                result.item("accuracy", name, hit, condition=f"{way} digits={digits}", cluster=name)
            curve.add(digits, result.estimate("accuracy", context.resampling, f"{way} digits={digits}"), way)
    result.curves.append(curve)
    _summarise(result, context)
    return result


def _exact_matches(model: LanguageModel, test_items: list[Problem]) -> list[bool]:
    """Whether each item's final answer was written exactly."""
    longest = max(len(model.encode(item.prompt + item.answer)) - len(model.encode(item.prompt)) for item in test_items)
    texts = model.greedy([item.prompt for item in test_items], longest + 1, STOP)
    return [f" {text.rsplit('=', 1)[-1].strip()}" == item.final for text, item in zip(texts, test_items, strict=True)]


def _summarise(result: TaskResult, context: EvalContext) -> None:
    """Metrics of both ways and of their difference, item by item."""
    by_way: dict[str, dict[str, float]] = {"direct": {}, "steps": {}}
    for row in result.items:
        by_way[row["condition"].split()[0]][row["item"]] = row["score"]
    for way, title in (("direct", "sums, answer at once"), ("steps", "sums, with steps")):
        estimate = ratio(list(by_way[way].values()), resampling=context.resampling)
        result.metric(way, estimate, bounds=False)
        result.highlight(title, estimate, CHANCE, f"{' and '.join(map(str, DIGITS))} digits, exactly right")
    gains = [by_way["steps"][name] - by_way["direct"][name] for name in by_way["direct"]]
    gain = ratio(gains, resampling=context.resampling)
    result.metric("gain", gain)
    result.highlight("gain by steps", gain, 0.0, "paired: the same sums")
