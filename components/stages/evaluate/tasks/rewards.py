"""Task `rewards`: how often a model tuned on rewards is right, on curriculum problems that no training text is made of.

One greedy answer in chat form; right is what the rewards of tuning call right. Baseline: the model it started from,
asked the same. A model rewarded for rows of its user is not asked: fine-tuning reports its reward on held-out rows.
"""

from collections.abc import Sequence

from components.core.files import read_json
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import EvalContext, NotApplicable, TaskResult, item_id
from components.synthetic.curriculum import REWARDED, Problem, is_right, items
from components.tokens.tokenizer import ASSISTANT, END, END_OF_TEXT, USER

NAME, BRANCH = "rewards", "reinforce"


def rewards(context: EvalContext) -> TaskResult:
    """Share of right answers, before and after tuning on rewards."""
    facts = read_json(context.folders.further[BRANCH].folder / "greenhouse.json")
    if (task := (facts.get("task") or {}).get("name")) != "curriculum":
        raise NotApplicable(f"the model was rewarded for {task}, not for the curriculum; finetune reports its reward")
    if not (pair := context.further(BRANCH)):
        raise NotApplicable("the tuned model's base has a tokenizer of its own")
    asked = [one for task in REWARDED for one in items(task, context.params.seed, context.params.items, split="test")]
    after, before = (_right(model, asked) for model in pair)
    result = TaskResult(NAME)
    for problem, hit, start in zip(asked, after, before, strict=True):
        result.item("accuracy", item_id(problem.prompt), hit, condition=problem.task, baseline=start)
    estimate = result.estimate("accuracy", context.resampling)
    result.metric("accuracy", estimate)
    baseline = result.baseline("before rewards", "accuracy", context.resampling, needs_model=True)
    shares = [f"{task} {result.estimate('accuracy', context.resampling, task).value:.3f}" for task in REWARDED]
    result.highlight("rewarded answers right", estimate, baseline, ", ".join(shares), headline=True)
    return result


def _right(model: LanguageModel, problems: Sequence[Problem]) -> list[bool]:
    """Whether the model answers each problem rightly."""
    from components.model import generate

    prompts = [[END_OF_TEXT, USER, *model.encode(one.prompt)[1:], ASSISTANT] for one in problems]
    most = max(len(model.encode(one.answer)) for one in problems)  # of the answer with its end
    if (longest := most + max(map(len, prompts))) > model.context:
        raise NotApplicable(f"problems with answers take {longest} tokens, the model's context has {model.context}")
    made = generate.sample(model.model, prompts, 1, max_tokens=most)
    texts = [model.tokenizer.decode([id for id in ids if id not in (END_OF_TEXT, END)]) for ids in made]
    return [is_right(text, one.final) for text, one in zip(texts, problems, strict=True)]
