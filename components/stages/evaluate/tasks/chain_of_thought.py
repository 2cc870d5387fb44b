"""Task `chain_of_thought`: whether the model adds, and whether written-out steps help.

The same sums are posed twice: for the answer at once, and with the scratchpad the curriculum
teaches (Nye et al. 2021; Wei et al. 2022). Two measures. Exact match: the answer written by greedy
decoding, with the model's own steps. Bits per token of the right answer, which see a gain long
before an answer is exact: at once, after the right steps, and after the steps of another sum (does
the model read them?). Rules that learn from the sums of the training text
(components/counting/written.py) say what is had without a network. Sums of one digit more than the
curriculum teaches are posed too, and counted apart.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from components.counting.registry import posed
from components.stages.evaluate.tasks.bits_per_byte import bits
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import Curve, EvalContext, TaskResult, item_id
from components.synthetic.curriculum import Problem, is_right, items

DIGITS = {2: "", 3: " longer"}
"""Digits of the numbers, and the end of their conditions' names: what the curriculum teaches, and
one more, to see whether the steps generalise."""
STOP = "\n"


def chain_of_thought(context: EvalContext) -> TaskResult:
    """Exact matches and bits of the answers, at once and with steps, and the paired differences."""
    result, (seed, number) = TaskResult("chain_of_thought"), (context.params.seed, context.params.items)
    asked = {
        (digits, steps): items("arithmetic", seed, number, split="test", digits=digits, steps=steps)
        for digits in DIGITS
        for steps in (0, 1)
    }
    prompts = [one.prompt for some in asked.values() for one in some]
    guesses = posed("written", context.training_text, prompts)
    rows = zip(prompts, *guesses.values(), strict=True)
    by_prompt = {prompt: dict(zip(guesses, texts, strict=True)) for prompt, *texts in rows}
    for digits in DIGITS:
        at_once, with_steps = asked[digits, 0], asked[digits, 1]
        _score_exact(result, context, digits, {"direct": at_once, "steps": with_steps}, by_prompt)
        _score_bits(result, context, digits, at_once, with_steps)
    _summarise(result, context)
    return result


def _score_exact(
    result: TaskResult, context: EvalContext, digits: int, asked: Mapping[str, Sequence[Problem]],
    by_prompt: Mapping[str, Mapping[str, str]],
) -> None:  # fmt: skip
    """Append whether each sum was written exactly, by the model and by each rule; `asked` by way."""
    for way, sums in asked.items():
        for problem, sum_, hit in zip(asked["direct"], sums, _exact_matches(context.causal, sums), strict=True):
            rules = {name: is_right(text, problem.final) for name, text in by_prompt[sum_.prompt].items()}
            result.item("accuracy", item_id(problem.prompt), hit, condition=way + DIGITS[digits], rules=rules)


def _score_bits(
    result: TaskResult, context: EvalContext, digits: int, at_once: Sequence[Problem], with_steps: Sequence[Problem]
) -> None:
    """Append the bits of each right answer: at once, after its steps, after the steps of the next sum."""
    steps = [item.prompt + item.answer.removesuffix(item.final) for item in with_steps]
    others = [
        item.prompt + other.answer.removesuffix(other.final)
        for item, other in zip(with_steps, [*with_steps[1:], with_steps[0]], strict=True)
    ]
    for way, prompts in (("direct", [item.prompt for item in at_once]), ("steps", steps), ("other steps", others)):
        asked = [(prompt, item.final) for prompt, item in zip(prompts, at_once, strict=True)]
        for problem, answer in zip(at_once, context.causal.answers(asked), strict=True):
            where: dict[str, Any] = {"condition": way + DIGITS[digits], "weight": len(answer.logp)}
            result.item("bits", item_id(problem.prompt), bits(answer.logp), direction="lower", **where)


def _exact_matches(model: LanguageModel, test_items: Sequence[Problem]) -> list[bool]:
    """Whether each item's final answer was written exactly."""
    longest = max(len(model.encode(item.prompt + item.answer)) - len(model.encode(item.prompt)) for item in test_items)
    texts = model.greedy([item.prompt for item in test_items], longest + 1, STOP)
    return [is_right(text, item.final) for text, item in zip(texts, test_items, strict=True)]


def _summarise(result: TaskResult, context: EvalContext) -> None:
    """Metrics and rows of both ways, and the curve by number of digits."""
    curve = Curve("chain_of_thought", "Sums with and without steps", "digits", "exactly right", [])
    for way, title in (("direct", "sums at once"), ("steps", "sums with steps")):
        exact, size = (result.estimate(metric, way) for metric in ("accuracy", "bits"))
        result.metric(way, exact, bounds=False)
        result.metric(f"bits_{way}", size, bounds=False)
        exact_rule = result.baseline("accuracy", way, learned=True)
        for digits, end in DIGITS.items():
            curve.add(digits, result.estimate("accuracy", way + end), way)
        longer = result.estimate("accuracy", f"{way} longer").value
        result.metrics[f"{way}_longer"] = longer
        note = f"two digits; {longer:.3f} with three, which are not taught; format taught"
        options: dict[str, Any] = {"headline": True, "taught": True}
        if way == "steps":
            options |= {"counterpart": "accuracy/direct", "counterpart_title": "at once", "column": "sums"}
        result.score(f"accuracy/{way}", f"{title}, right", exact, exact_rule, note, **options)
        note = "format taught"
        if way == "steps":
            note += f"; after another sum's steps {_other(result, context):.3f}"
        size_facts: dict[str, Any] = {"unit": "bits", "better": "lower", "taught": True}
        result.score(f"bits/{way}", f"{title}, bits per token", size, None, note, **size_facts)
    result.curves.append(curve)


def _other(result: TaskResult, context: EvalContext) -> float:
    return result.estimate("bits", "other steps").value
