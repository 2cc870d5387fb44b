"""Task `chain_of_thought`: whether the model adds, and whether written-out steps help.

The same sums are posed twice: for the answer at once, and with the scratchpad the curriculum teaches (Nye et al. 2021;
Wei et al. 2022). Two measures. Exact match: the answer written by greedy decoding, with the model's own steps. Bits per
token of the right answer, which see a gain long before an answer is exact: at once, after the right steps, and after
the steps of another sum (does the model read them?). Baselines: for answers at once, an n-gram model of the answers of
training sums, and their most frequent answer; for answers with steps, the same sums at once. Sums of one digit more
than the curriculum teaches are posed too, and counted apart.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.stages.evaluate.tasks.baselines import NGram
from components.stages.evaluate.tasks.bits_per_byte import bits
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import Curve, EvalContext, TaskResult
from components.synthetic.curriculum import Problem, is_right, items

NAME = "chain_of_thought"
DIGITS = {2: "", 3: " longer"}
"""Digits of the numbers, and the end of their conditions' names: what the curriculum teaches, and one more, to see
whether the steps generalise."""
STOP = "\n"
TRAINING_SUMS = 2000
"""Sums whose answers the baselines know, for each number of digits."""
NGRAM_ORDER = 4


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
    frequent = Counter(item.final for item in _training_sums(context, digits)).most_common(1)[0][0]
    direct = _exact_matches(context.causal, at_once)
    steps = _exact_matches(context.causal, with_steps)
    guesses = [item.final == frequent for item in at_once]
    for way, hits, baselines in (("direct", direct, guesses), ("steps", steps, direct)):
        for number, (hit, baseline) in enumerate(zip(hits, baselines, strict=True)):
            result.item("accuracy", f"{digits}/{number}", hit, condition=way + DIGITS[digits], baseline=baseline)


def _score_bits(
    result: TaskResult, context: EvalContext, digits: int, at_once: Sequence[Problem], with_steps: Sequence[Problem]
) -> None:
    """Append the bits of each right answer: at once, after its steps, after the steps of the next sum."""
    model = context.causal
    answers = [model.encode(f"{item.final}{STOP}") for item in _training_sums(context, digits)]
    ngram = NGram(np.concatenate(answers), NGRAM_ORDER, model.tokenizer.get_vocab_size())
    guesses = [bits(ngram.logp(model.encode(item.final))) for item in at_once]
    steps = [item.prompt + item.answer.removesuffix(item.final) for item in with_steps]
    others = [
        item.prompt + other.answer.removesuffix(other.final)
        for item, other in zip(with_steps, [*with_steps[1:], with_steps[0]], strict=True)
    ]
    direct: list[float] = []
    for way, prompts in (("direct", [item.prompt for item in at_once]), ("steps", steps), ("other steps", others)):
        scored = model.answers([(prompt, item.final) for prompt, item in zip(prompts, at_once, strict=True)])
        scores = [bits(np.array(answer.logp)) for answer in scored]
        baselines, direct = (guesses, scores) if way == "direct" else (direct, direct)
        for number, (answer, score, baseline) in enumerate(zip(scored, scores, baselines, strict=True)):
            where: dict[str, Any] = {
                "condition": way + DIGITS[digits],
                "weight": answer.num_tokens,
                "direction": "lower",
                "baseline": baseline,
            }
            result.item("bits", f"{digits}/{number}", score, **where)


def _training_sums(context: EvalContext, digits: int) -> list[Problem]:
    return items("arithmetic", context.params.seed, TRAINING_SUMS, digits=digits, steps=0)


def _exact_matches(model: LanguageModel, test_items: Sequence[Problem]) -> list[bool]:
    """Whether each item's final answer was written exactly."""
    longest = max(len(model.encode(item.prompt + item.answer)) - len(model.encode(item.prompt)) for item in test_items)
    texts = model.greedy([item.prompt for item in test_items], longest + 1, STOP)
    return [is_right(text, item.final) for text, item in zip(texts, test_items, strict=True)]


def _summarise(result: TaskResult, context: EvalContext) -> None:
    """Metrics and rows of both ways, and the curve by number of digits."""
    resampling = context.resampling
    rules = {"direct": "training answers", "steps": "same sums at once"}
    curve = Curve("chain_of_thought", "Sums with and without steps", "digits", "exactly right", [])
    for way, title in (("direct", "sums at once"), ("steps", "sums with steps")):
        exact, size = (result.estimate(metric, resampling, way) for metric in ("accuracy", "bits"))
        result.metric(way, exact, bounds=False)
        result.metric(f"bits_{way}", size, bounds=False)
        exact_rule, size_rule = (
            result.baseline(rules[way], metric, resampling, way, way == "steps") for metric in ("accuracy", "bits")
        )
        for digits, end in DIGITS.items():
            curve.add(digits, result.estimate("accuracy", resampling, way + end), way)
        longer = result.estimate("accuracy", resampling, f"{way} longer").value
        result.metrics[f"{way}_longer"] = longer
        note = f"two digits; {longer:.3f} with three, which are not taught; format taught"
        result.highlight(f"{title}, exactly right", exact, exact_rule, note, headline=True)
        other = "" if way == "direct" else f"; after another sum's steps {_other(result, context):.3f}"
        result.highlight(f"{title}, bits per token", size, size_rule, f"format taught{other}", better="lower")
    result.curves.append(curve)


def _other(result: TaskResult, context: EvalContext) -> float:
    return result.estimate("bits", context.resampling, "other steps").value
