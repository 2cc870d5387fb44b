"""Task `recall`: whether the model finds a fact in its prompt, wherever it stands.

Key-value recall: the prompt lists pairs and asks for the value of one key, the needle test (Liu et
al. 2023, "Lost in the Middle") at a size a small model was taught. Values of a list differ, they
are the choices, and each list is asked for every key: a rule that does not look at the key, or a
model given a key that is not in the list, is right for exactly one key of each list.
`key_gain_nats` is what a key adds to the log-probability of its value over the other keys of the
list, which a model knows as well. Lists are what is resampled.
"""

from typing import Any

import numpy as np

from components.counting.in_context import right_share
from components.counting.registry import posed
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import Curve, EvalContext, NotApplicable, TaskResult, item_id
from components.synthetic.curriculum import items

LENGTHS = (4, 8, 16)


def recall(context: EvalContext) -> TaskResult:
    """Accuracy by number of pairs and by depth of the asked one."""
    result = TaskResult("recall", unit="lists")
    prompts = max(40, context.params.items)
    lengths = [pairs for pairs in LENGTHS if _score_lists(result, context, pairs, prompts // pairs)]
    if not lengths:
        raise NotApplicable(f"the shortest list is longer than the model's context of {context.causal.context} tokens")
    total = result.estimate("accuracy")
    result.metric("accuracy", total)
    baseline = result.baseline("accuracy", learned=True)
    note = f"{', '.join(map(str, lengths))} pairs; format taught"
    shown: dict[str, Any] = {"kind": "context", "headline": True, "taught": True}
    result.score("accuracy", "key recall", total, baseline, note, **shown)
    result.metric("key_gain_nats", result.estimate("key_gain_nats"))
    curve = Curve("recall", "Key recall by place of the key", "place of the key (0 = first)", "accuracy", [])
    for pairs in lengths:
        of_length = f"pairs={pairs}"
        result.facts[of_length] = result.estimate("accuracy", of_length).as_dict()
        for depth in range(pairs):
            curve.add(depth, result.estimate(f"accuracy_at_{depth}", of_length), f"{pairs} pairs")
    result.curves.append(curve)
    return result


def _score_lists(result: TaskResult, context: EvalContext, pairs: int, num_lists: int) -> bool:
    """Append the lists of one length, asked for every key; False if they do not fit the context."""
    model: LanguageModel = context.causal
    prompts = []
    for item in items("recall", context.params.seed, num_lists, split="test", pairs=pairs):
        shown = item.prompt.rsplit(" ? ", 1)[0]
        words = shown.split()[1:]
        asked = zip(words[::2], words[1::2], strict=True)
        prompts += [(f"{shown} ? {key}", item.choices, f" {value}") for key, value in asked]
    if any(len(model.encode(prompt + choices[0])) > model.context for prompt, choices, _ in prompts):
        return False
    asked_of = [(prompt, choices) for prompt, choices, _ in prompts]
    logps, predictions = model.choose(asked_of), posed("choice", context.training_text, asked_of)
    for start in range(0, len(prompts), pairs):
        of_value = dict(zip(prompts[start][1], np.transpose(logps[start : start + pairs]), strict=True))
        for depth in range(pairs):
            _, choices, value = prompts[start + depth]
            given = dict(zip(choices, logps[start + depth], strict=True))
            others = np.delete(of_value[value], depth).mean()
            where: dict[str, Any] = {"condition": f"pairs={pairs}", "cluster": f"{pairs} {start}"}
            hit, name = max(given, key=given.__getitem__) == value, item_id(prompts[start + depth][0])
            row, right = start + depth, choices.index(value)
            rules = {rule: right_share(scores[row], right) for rule, scores in predictions.items()}
            result.item("accuracy", name, hit, rules=rules, **where)
            result.item(f"accuracy_at_{depth}", name, hit, **where)
            result.item("key_gain_nats", name, given[value] - others, **where)
    return True
