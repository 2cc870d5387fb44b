"""Task `few_shot`: whether the model learns a labelling from the examples in its prompt.

Fresh label-mapping items of the curriculum (components/synthetic/curriculum.py): words of two classes, each named by
a letter that means nothing elsewhere. The same test words come after 0, 1, 2, 4, 8 ... examples. Without examples
the answer is a coin flip, and what the curve gains is learned in context (Brown et al. 2020). Accuracy and margin are
both shown, because accuracy alone can make a smooth gain look like a sudden one (Schaeffer et al. 2023).
"""

from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import Curve, EvalContext, NotApplicable, TaskResult
from components.synthetic.curriculum import Problem, items

NAME = "few_shot"
CHANCE = 0.5


def few_shot(context: EvalContext) -> TaskResult:
    """Accuracy and log-likelihood margin for each number of examples, on the same test words."""
    shots = sorted(set(context.params.shots))
    if not shots:
        raise NotApplicable("evaluate.shots is empty")
    test_items = items("mapping", context.params.seed, context.params.items, split="test", shots=max(shots))
    result = TaskResult(NAME)
    too_long = [k for k in shots if not _score_shots(result, context.causal, test_items, k)]
    if len(too_long) == len(shots):
        raise NotApplicable(f"the prompts are longer than the model's context of {context.causal.context} tokens")
    result.facts["left_out_shots"] = too_long
    _summarise(result, context, [k for k in shots if k not in too_long])
    return result


def _summarise(result: TaskResult, context: EvalContext, shots: list[int]) -> None:
    curve = Curve("few_shot", "Label mapping in context", "examples in the prompt", "accuracy", [], CHANCE)
    margins = Curve("few_shot_margin", "Label mapping in context", "examples in the prompt", "margin [nats]", [], 0.0)
    for k in shots:
        accuracy = result.estimate("accuracy", context.resampling, condition(k))
        result.metric(f"accuracy_{k}", accuracy, bounds=k == max(shots))
        curve.add(k, accuracy)
        margins.add(k, result.estimate("margin", context.resampling, condition(k)))
    result.curves += [curve, margins]
    for k in (max(shots), min(shots)) if len(shots) > 1 else (max(shots),):
        result.highlight(
            f"label mapping, {k} examples", result.estimate("accuracy", context.resampling, condition(k)), CHANCE
        )


def condition(shots: int) -> str:
    """The name of a number of examples in items.parquet."""
    return f"shots={shots}"


def _score_shots(result: TaskResult, model: LanguageModel, test_items: list[Problem], shots: int) -> bool:
    """Append accuracy and margin of each item with `shots` examples; False if the prompts do not fit the context."""
    prompts = [with_shots(item.prompt, shots) for item in test_items]
    if any(
        len(model.encode(prompt + item.final)) > model.context for prompt, item in zip(prompts, test_items, strict=True)
    ):
        return False
    scores = model.choose([(prompt, item.choices) for prompt, item in zip(prompts, test_items, strict=True)])
    for number, (item, logps) in enumerate(zip(test_items, scores, strict=True)):
        right = logps[item.choices.index(item.final)]
        wrong = max(logp for choice, logp in zip(item.choices, logps, strict=True) if choice != item.final)
        hit = 1.0 if right > wrong else 0.5 if right == wrong else 0.0
        result.item("accuracy", str(number), hit, condition=condition(shots), cluster=str(number))
        result.item("margin", str(number), right - wrong, condition=condition(shots), cluster=str(number))
    return True


def with_shots(prompt: str, shots: int) -> str:
    """The prompt with `shots` of its examples, as evenly of both labels as it allows, in their order."""
    form, body = prompt.split(":", 1)
    *examples, word = body.split(",")
    seen: dict[str, int] = {}
    ranks = []
    for place, example in enumerate(examples):
        label = example.split()[-1]
        seen[label] = seen.get(label, 0) + 1
        ranks.append((seen[label], place))
    kept = sorted(place for _, place in sorted(ranks)[:shots])
    return f"{form}:" + "".join(f"{examples[place]}," for place in kept) + word
