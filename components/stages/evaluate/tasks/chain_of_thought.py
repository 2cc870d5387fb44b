"""Task `chain_of_thought`: whether the model adds, and whether written-out steps help.

The same sums are posed twice: for the answer at once, and with the scratchpad the curriculum teaches (Nye et al. 2021;
Wei et al. 2022). Two measures. Exact match: the answer written by greedy decoding, with the model's own steps. Bits per
token of the right answer, which see a gain long before an answer is exact: at once, after the right steps, and after
the steps of another sum (does the model read them?). Baselines, from training sums: their most frequent answer, or an
n-gram model of their answers; and each digit of the answer by how often it came of the two digits above it, which knows
no carry. After the right steps the answer can be read off them: there the bits stand beside a rule that does. Sums of
one digit more than the curriculum teaches are posed too, and counted apart.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.stages.evaluate.tasks.baselines import NGram, best_rule
from components.stages.evaluate.tasks.bits_per_byte import bits
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import Curve, EvalContext, TaskResult, item_id
from components.synthetic.curriculum import Problem, is_right, items

NAME = "chain_of_thought"
DIGITS = {2: "", 3: " longer"}
"""Digits of the numbers, and the end of their conditions' names: what the curriculum teaches, and one more, to see
whether the steps generalise."""
STOP = "\n"
TRAINING_SUMS = 2000
"""Sums whose answers the baselines know, for each number of digits."""
NGRAM_ORDER = 4
ANSWERS, BY_DIGIT, READ_OFF = "training answers", "digit by digit", "read off the steps"
"""Names of the rules."""


def chain_of_thought(context: EvalContext) -> TaskResult:
    """Exact matches and bits of the answers, at once and with steps, and the paired differences."""
    result = TaskResult(NAME)
    for digits in DIGITS:
        at_once, with_steps = (
            items("arithmetic", context.params.seed, context.params.items, split="test", digits=digits, steps=steps)
            for steps in (0, 1)
        )
        _score_exact(result, context, digits, at_once, with_steps)
        _score_bits(result, context, digits, at_once, with_steps)
    _summarise(result, context)
    return result


def _score_exact(
    result: TaskResult, context: EvalContext, digits: int, at_once: Sequence[Problem], with_steps: Sequence[Problem]
) -> None:
    """Append whether each sum was written exactly."""
    known = _training_sums(context, digits)
    frequent = Counter(item.final for item in known).most_common(1)[0][0]
    by_digit, _ = digit_by_digit(known, at_once)
    guesses = {ANSWERS: [float(item.final == frequent) for item in at_once], BY_DIGIT: by_digit}
    rule, baselines = best_rule(guesses)
    result.facts[f"accuracy{DIGITS[digits]}"] = rule
    for way, asked in (("direct", at_once), ("steps", with_steps)):
        hits = _exact_matches(context.causal, asked)
        for problem, hit, baseline in zip(at_once, hits, baselines, strict=True):
            result.item("accuracy", item_id(problem.prompt), hit, condition=way + DIGITS[digits], baseline=baseline)


def _score_bits(
    result: TaskResult, context: EvalContext, digits: int, at_once: Sequence[Problem], with_steps: Sequence[Problem]
) -> None:
    """Append the bits of each right answer: at once, after its steps, after the steps of the next sum."""
    model = context.causal
    known = _training_sums(context, digits)
    answers = [model.encode(f"{item.final}{STOP}") for item in known]
    ngram = NGram([np.concatenate(answers)], NGRAM_ORDER, model.tokenizer.get_vocab_size())
    _, by_digit = digit_by_digit(known, at_once)
    guesses = {ANSWERS: [bits(ngram.logp(model.encode(item.final))) for item in at_once], BY_DIGIT: by_digit}
    rule, baselines = best_rule(guesses, "lower")
    result.facts[f"bits{DIGITS[digits]}"] = rule
    steps = [item.prompt + item.answer.removesuffix(item.final) for item in with_steps]
    others = [
        item.prompt + other.answer.removesuffix(other.final)
        for item, other in zip(with_steps, [*with_steps[1:], with_steps[0]], strict=True)
    ]
    for way, prompts in (("direct", [item.prompt for item in at_once]), ("steps", steps), ("other steps", others)):
        scored = model.answers([(prompt, item.final) for prompt, item in zip(prompts, at_once, strict=True)])
        scores = [bits(answer.logp) for answer in scored]
        if way == "steps":
            baselines = read_off(with_steps)
        for problem, answer, score, baseline in zip(at_once, scored, scores, baselines, strict=True):
            where: dict[str, Any] = {
                "condition": way + DIGITS[digits],
                "weight": len(answer.logp),
                "direction": "lower",
                "baseline": baseline,
            }
            result.item("bits", item_id(problem.prompt), score, **where)


def read_off(with_steps: Sequence[Problem]) -> list[float]:
    """Bits of each answer, by the last step's result and the last digits of those before it.

    The rule is taken to be right as often as it was in `TRAINING_SUMS`, all of them, and once not.
    """
    found = []
    for item in with_steps:
        results = re.findall(r"=(\d+)(?=[;=])", item.answer)
        read = results[-1] + "".join(step[-1] for step in reversed(results[:-1]))
        wrong = np.log2(TRAINING_SUMS + 1) + len(item.final.strip()) * np.log2(10)
        found.append(float(np.log2((TRAINING_SUMS + 1) / TRAINING_SUMS) if read == item.final.strip() else wrong))
    return found


def _training_sums(context: EvalContext, digits: int) -> list[Problem]:
    return items("arithmetic", context.params.seed, TRAINING_SUMS, digits=digits, steps=0)


def digit_by_digit(known: Sequence[Problem], asked: Sequence[Problem]) -> tuple[list[float], list[float]]:
    """Whether each answer is got right by counting digits of known sums, column by column, and its bits that way.

    A digit's probability is how often it stood under the same two digits in the same column, with one added for each
    of the ten.
    """
    counts: dict[tuple[int, int, int], np.ndarray] = {}
    for item in known:
        for column, above, digit in _columns(item):
            counts.setdefault((column, *above), np.ones(10))[digit] += 1
    hits, sizes = [], []
    for item in asked:
        columns = [(counts.get((column, *above), np.ones(10)), digit) for column, above, digit in _columns(item)]
        hits.append(float(all(row.argmax() == digit for row, digit in columns)))
        sizes.append(float(-sum(np.log2(row[digit] / row.sum()) for row, digit in columns)))
    return hits, sizes


def _columns(item: Problem) -> list[tuple[int, tuple[int, int], int]]:
    """Column from the right, the two digits added there, the digit of the answer.

    The answer may have one column more, which follows from the two digits before it.
    """
    first, second = re.findall(r"\d+", item.prompt)
    width = max(len(first), len(second))
    above = list(zip(*(map(int, number.zfill(width)[::-1]) for number in (first, second)), strict=True))
    digits = map(int, item.final.strip().zfill(width + 1)[::-1])
    return list(zip(range(width + 1), [*above, above[-1]], digits, strict=True))


def _exact_matches(model: LanguageModel, test_items: Sequence[Problem]) -> list[bool]:
    """Whether each item's final answer was written exactly."""
    longest = max(len(model.encode(item.prompt + item.answer)) - len(model.encode(item.prompt)) for item in test_items)
    texts = model.greedy([item.prompt for item in test_items], longest + 1, STOP)
    return [is_right(text, item.final) for text, item in zip(texts, test_items, strict=True)]


def _summarise(result: TaskResult, context: EvalContext) -> None:
    """Metrics and rows of both ways, and the curve by number of digits."""
    resampling = context.resampling
    curve = Curve("chain_of_thought", "Sums with and without steps", "digits", "exactly right", [])
    for way, title in (("direct", "sums at once"), ("steps", "sums with steps")):
        exact, size = (result.estimate(metric, resampling, way) for metric in ("accuracy", "bits"))
        result.metric(way, exact, bounds=False)
        result.metric(f"bits_{way}", size, bounds=False)
        exact_rule, size_rule = (
            result.baseline(rule, metric, resampling, way)
            for metric, rule in (
                ("accuracy", result.facts["accuracy"]),
                ("bits", READ_OFF if way == "steps" else result.facts["bits"]),
            )
        )
        for digits, end in DIGITS.items():
            curve.add(digits, result.estimate("accuracy", resampling, way + end), way)
        longer = result.estimate("accuracy", resampling, f"{way} longer").value
        result.metrics[f"{way}_longer"] = longer
        note = f"two digits; {longer:.3f} with three, which are not taught; format taught"
        beside: dict[str, Any] = {"headline": True, "taught": True}
        if way == "steps":
            beside |= {"counterpart": "accuracy/direct", "counterpart_title": "at once", "column": "sums"}
        result.score(f"accuracy/{way}", f"{title}, right", exact, exact_rule, note, **beside)
        note = "format taught"
        if way == "steps":
            note += f"; after another sum's steps {_other(result, context):.3f}"
        size_facts: dict[str, Any] = {"unit": "bits", "better": "lower", "taught": True}
        result.score(f"bits/{way}", f"{title}, bits per token", size, size_rule, note, **size_facts)
    result.curves.append(curve)


def _other(result: TaskResult, context: EvalContext) -> float:
    return result.estimate("bits", context.resampling, "other steps").value
