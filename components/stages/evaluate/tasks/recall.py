"""Can the model find a fact it was told, wherever in the prompt it stood?

Key-value recall: the prompt lists pairs and asks one key. Asked at even depths of short and long lists, this is the
needle test (Liu et al. 2023, "Lost in the Middle") at a size a small model was taught. Ten values are the choices, so
chance is one in ten.
"""

from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import Curve, Exam, Outcome, Skip
from components.statistics import Estimate, ratio
from components.synthetic.curriculum import VALUES, items

NAME = "recall"
CHANCE = 1 / len(VALUES)
LENGTHS = (4, 8, 16)
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
ITEMS_SHARE = 3
"""A depth and length is one of fifteen cells: a third of `items` in each is still plenty in a row of the table."""


def recall(exam: Exam) -> Outcome:
    """Accuracy by number of pairs and by depth of the asked one."""
    outcome = Outcome(NAME)
    n = max(10, exam.params.items // ITEMS_SHARE)
    lengths = [pairs for pairs in LENGTHS if _ask(outcome, exam, pairs, n)]
    if not lengths:
        raise Skip(f"the shortest list is longer than the model's context of {exam.causal.context} tokens")
    total = outcome.estimate("accuracy", exam.how)
    outcome.metric("accuracy", total)
    outcome.highlight("key recall", total, CHANCE, f"{', '.join(map(str, lengths))} pairs, all depths")
    by_depth = Curve("recall", "Key recall by depth", "depth of the key (0 = first)", "accuracy", [], CHANCE)
    for pairs in lengths:
        for depth in DEPTHS:
            by_depth.add(depth, outcome.estimate("accuracy", exam.how, condition(pairs, depth)), f"{pairs} pairs")
    outcome.curves.append(by_depth)
    outcome.facts["by_pairs"] = {str(pairs): _where(outcome, exam, f"pairs={pairs}").as_dict() for pairs in lengths}
    outcome.facts["by_depth"] = {f"{depth:g}": _where(outcome, exam, f"depth={depth:g}").as_dict() for depth in DEPTHS}
    return outcome


def condition(pairs: int, depth: float) -> str:
    """The name of a cell in items.parquet."""
    return f"pairs={pairs} depth={depth:g}"


def _where(outcome: Outcome, exam: Exam, part: str) -> Estimate:
    """The score along one of the two axes."""
    return ratio([row["score"] for row in outcome.items if part in row["condition"].split()], how=exam.how)


def _ask(outcome: Outcome, exam: Exam, pairs: int, n: int) -> bool:
    """Append the items of one length at every depth; False if they do not fit the context."""
    model: LanguageModel = exam.causal
    for depth in DEPTHS:
        asked = items("recall", exam.params.seed, n, split="test", pairs=pairs, depth=round(depth * (pairs - 1)))
        if any(len(model.encode(item.prompt + item.final)) > model.context for item in asked):
            return False
        scores = model.choose([(item.prompt, item.choices) for item in asked])
        for number, (item, logps) in enumerate(zip(asked, scores, strict=True)):
            hit = item.choices[max(range(len(logps)), key=logps.__getitem__)] == item.final
            outcome.item(
                "accuracy", str(number), hit, condition=condition(pairs, depth), cluster=f"{pairs} {depth} {number}"
            )
    return True
