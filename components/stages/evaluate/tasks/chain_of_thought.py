"""Do written-out steps help?

The same sums are asked twice: for the answer at once, and with the scratchpad the curriculum teaches (Nye et al. 2021;
Wei et al. 2022). Both answers are written by greedy decoding and count only if exactly right; the difference is paired.
"""

from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import Curve, Exam, Outcome
from components.statistics import ratio
from components.synthetic.curriculum import Item, items

NAME = "chain_of_thought"
CHANCE = 0.0
DIGITS = (2, 3)
"""Digits of the numbers: what the curriculum teaches, and one more, which asks whether the steps generalise."""
STOP = "\n"


def chain_of_thought(exam: Exam) -> Outcome:
    """Exact matches with and without steps, by number of digits, and the paired difference."""
    outcome = Outcome(NAME)
    curve = Curve("chain_of_thought", "Sums with and without steps", "digits", "exactly right", [], None)
    for digits in DIGITS:
        for steps, way in enumerate(("direct", "steps")):
            asked = items("arithmetic", exam.params.seed, exam.params.items, split="test", digits=digits, steps=steps)
            hits = _answer(exam.causal, asked)
            for number, hit in enumerate(hits):
                name = f"{digits}/{number}"
                outcome.item("accuracy", name, hit, condition=f"{way} digits={digits}", cluster=name)
            curve.add(digits, outcome.estimate("accuracy", exam.how, f"{way} digits={digits}"), way)
    outcome.curves.append(curve)
    _summarise(outcome, exam)
    return outcome


def _answer(model: LanguageModel, asked: list[Item]) -> list[bool]:
    """Whether each item's final answer was written exactly."""
    longest = max(len(model.encode(item.prompt + item.answer)) - len(model.encode(item.prompt)) for item in asked)
    texts = model.greedy([item.prompt for item in asked], longest + 1, STOP)
    return [f" {text.rsplit('=', 1)[-1].strip()}" == item.final for text, item in zip(texts, asked, strict=True)]


def _summarise(outcome: Outcome, exam: Exam) -> None:
    """Metrics of both ways and of their difference, item by item."""
    by_way: dict[str, dict[str, float]] = {"direct": {}, "steps": {}}
    for row in outcome.items:
        by_way[row["condition"].split()[0]][row["item"]] = row["score"]
    for way, title in (("direct", "sums, answer at once"), ("steps", "sums, with steps")):
        estimate = ratio(list(by_way[way].values()), how=exam.how)
        outcome.metric(way, estimate, bounds=False)
        outcome.highlight(title, estimate, CHANCE, f"{' and '.join(map(str, DIGITS))} digits, exactly right")
    gains = [by_way["steps"][name] - by_way["direct"][name] for name in by_way["direct"]]
    gain = ratio(gains, how=exam.how)
    outcome.metric("gain", gain)
    outcome.highlight("gain by steps", gain, 0.0, "paired: the same sums")
