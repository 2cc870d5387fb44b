"""Task `recall`: whether the model finds a fact in its prompt, wherever it stands.

Key-value recall: the prompt lists pairs and asks for the value of one key. At even depths of short and long lists, this
is the needle test (Liu et al. 2023, "Lost in the Middle") at a size a small model was taught. Ten values are the
choices, so chance is one in ten.
"""

from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import Curve, EvalContext, NotApplicable, TaskResult
from components.statistics import Estimate, ratio
from components.synthetic.curriculum import VALUES, items

NAME = "recall"
CHANCE = 1 / len(VALUES)
LENGTHS = (4, 8, 16)
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
ITEMS_SHARE = 3
"""A depth and length is one of fifteen cells: a third of `items` in each is still plenty in a row of the table."""


def recall(context: EvalContext) -> TaskResult:
    """Accuracy by number of pairs and by depth of the asked one."""
    result = TaskResult(NAME)
    n = max(10, context.params.items // ITEMS_SHARE)
    lengths = [pairs for pairs in LENGTHS if _score_depths(result, context, pairs, n)]
    if not lengths:
        raise NotApplicable(f"the shortest list is longer than the model's context of {context.causal.context} tokens")
    total = result.estimate("accuracy", context.resampling)
    result.metric("accuracy", total)
    result.highlight("key recall", total, CHANCE, f"{', '.join(map(str, lengths))} pairs, all depths")
    by_depth = Curve("recall", "Key recall by depth", "depth of the key (0 = first)", "accuracy", [], CHANCE)
    for pairs in lengths:
        for depth in DEPTHS:
            by_depth.add(
                depth, result.estimate("accuracy", context.resampling, condition(pairs, depth)), f"{pairs} pairs"
            )
    result.curves.append(by_depth)
    result.facts["by_pairs"] = {str(pairs): _where(result, context, f"pairs={pairs}").as_dict() for pairs in lengths}
    result.facts["by_depth"] = {f"{depth:g}": _where(result, context, f"depth={depth:g}").as_dict() for depth in DEPTHS}
    return result


def condition(pairs: int, depth: float) -> str:
    """The name of a cell in items.parquet."""
    return f"pairs={pairs} depth={depth:g}"


def _where(result: TaskResult, context: EvalContext, part: str) -> Estimate:
    """The score along one of the two axes."""
    return ratio(
        [row["score"] for row in result.items if part in row["condition"].split()], resampling=context.resampling
    )


def _score_depths(result: TaskResult, context: EvalContext, pairs: int, n: int) -> bool:
    """Append the items of one length at every depth; False if they do not fit the context."""
    model: LanguageModel = context.causal
    for depth in DEPTHS:
        test_items = items(
            "recall", context.params.seed, n, split="test", pairs=pairs, depth=round(depth * (pairs - 1))
        )
        if any(len(model.encode(item.prompt + item.final)) > model.context for item in test_items):
            return False
        scores = model.choose([(item.prompt, item.choices) for item in test_items])
        for number, (item, logps) in enumerate(zip(test_items, scores, strict=True)):
            hit = item.choices[max(range(len(logps)), key=logps.__getitem__)] == item.final
            result.item(
                "accuracy", str(number), hit, condition=condition(pairs, depth), cluster=f"{pairs} {depth} {number}"
            )
    return True
