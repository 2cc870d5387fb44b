"""Task `few_shot`: whether the model learns a labelling from the examples in its prompt.

Fresh label-mapping items of the curriculum (components/synthetic/curriculum.py): words of two
classes, each named by a letter that means nothing elsewhere. The same test words come after 0, 1,
2, 4, 8 ... examples, and each item is asked twice, the second time with the two letters exchanged:
a model that prefers a letter, or knows which one a word had in training, is right exactly once.
Accuracy and margin are both shown, because accuracy alone can make a smooth gain look like a sudden
one (Schaeffer et al. 2023).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from components.counting.in_context import right_share
from components.counting.registry import posed
from components.stages.evaluate.tasks.task import Curve, EvalContext, NotApplicable, TaskResult, item_id
from components.synthetic.curriculum import Problem, items


def few_shot(context: EvalContext) -> TaskResult:
    """Accuracy and log-likelihood margin for each number of examples, on the same test words."""
    shots = sorted(set(context.params.shots))
    if not shots:
        raise NotApplicable("evaluate.shots is empty")
    test_items = items("mapping", context.params.seed, context.params.items, split="test", shots=max(shots))
    result = TaskResult("few_shot", unit="words")
    fitting = [k for k in shots if _score_shots(result, context, test_items, k)]
    if not fitting:
        raise NotApplicable(f"the prompts are longer than the model's context of {context.causal.context} tokens")
    result.facts["left_out_shots"] = [k for k in shots if k not in fitting]
    accuracies = Curve("few_shot", "Label mapping in context", "examples in the prompt", "accuracy", [], 0.5)
    margins = Curve("few_shot_margin", "Label mapping in context", "examples in the prompt", "margin [nats]", [], 0.0)
    for k in reversed(fitting):
        accuracy = result.estimate("accuracy", condition(k))
        result.metric(f"accuracy_{k}", accuracy, bounds=k == max(fitting))
        accuracies.add(k, accuracy)
        margins.add(k, result.estimate("margin", condition(k)))
    _score_ends(result, context, fitting)
    result.curves += [accuracies, margins]
    return result


def _score_ends(result: TaskResult, context: EvalContext, fitting: Sequence[int]) -> None:
    """The score, that after the most examples, and the one after the fewest as its counterpart."""
    most, fewest = max(fitting), min(fitting)
    named = {fewest: f"accuracy/{condition(fewest)}", most: "accuracy"}  # however many the settings ask for
    for k in dict.fromkeys((most, fewest)):
        accuracy = result.estimate("accuracy", condition(k))
        facts: dict[str, Any] = {"kind": "context", "headline": True, "items": f"accuracy/{condition(k)}"}
        if k == most != fewest:
            facts |= {"counterpart": named[fewest], "counterpart_title": f"{fewest} examples"}
        if k:
            baseline = result.baseline("accuracy", condition(k), learned=True)
            facts |= {"taught": True, "note": "letters exchanged in half of them; format taught"}
        else:  # no score of the model: each word is asked under both letters, and one of them is right
            baseline, accuracy = None, replace(accuracy, low=None, high=None, variance="")
            facts["note"] = "half, whatever the model"
        result.score(named[k], f"label mapping, {k} examples", accuracy, baseline, **facts)


def condition(shots: int) -> str:
    """The name of a number of examples in items.parquet."""
    return f"shots={shots}"


def _score_shots(result: TaskResult, context: EvalContext, test_items: Sequence[Problem], shots: int) -> bool:
    """Append accuracy and margin of each item, as it is and with letters exchanged; False if they do not fit."""
    model = context.causal
    prompts = [with_shots(item.prompt, shots) for item in test_items]
    asked = [
        (text, item)
        for prompt, item in zip(prompts, test_items, strict=True)
        for text in (prompt, exchanged(prompt, item.choices))
    ]
    if any(len(model.encode(prompt + item.final)) > model.context for prompt, item in asked):
        return False
    posed_items = [(prompt, item.choices) for prompt, item in asked]
    logps, guesses = model.choose(posed_items), posed("choice", context.training_text, posed_items)
    right = [item.choices.index(item.final) ^ (number % 2) for number, (_, item) in enumerate(asked)]
    for number in range(len(asked)):
        margin = logps[number][right[number]] - logps[number][1 - right[number]]
        hit = ((margin > 0.0) + (margin >= 0.0)) / 2.0  # half a hit where both letters are equally likely
        where: dict[str, Any] = {"condition": condition(shots), "cluster": str(number // 2)}
        name = item_id(asked[number][1].prompt, str(number % 2))
        rules = {rule: right_share(scores[number], right[number]) for rule, scores in guesses.items()}
        result.item("accuracy", name, hit, rules=rules, **where)
        result.item("margin", name, margin, **where)
    return True


def exchanged(prompt: str, choices: Sequence[str]) -> str:
    """The prompt with its two letters exchanged."""
    first, second = (choice.strip() for choice in choices)
    return " ".join({first: second, second: first}.get(word, word) for word in prompt.split(" "))


def with_shots(prompt: str, shots: int) -> str:
    """The prompt with `shots` of its examples, as evenly of both labels as it allows, in their order."""
    form, *words = prompt.split()
    examples = list(zip(words[:-1:2], words[1::2], strict=True))
    seen: Counter[str] = Counter()
    ranks = []
    for index, (_, letter) in enumerate(examples):
        seen[letter] += 1
        ranks.append((seen[letter], index))
    kept = sorted(index for _, index in sorted(ranks)[:shots])
    return " ".join([form, *(word for index in kept for word in examples[index]), words[-1]])
