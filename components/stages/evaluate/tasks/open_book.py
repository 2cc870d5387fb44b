"""Task `open_book`: whether the model answers from the passage, and makes things up without one.

Facts about invented names, which no model can know. Closed book: the question alone, so that any
answer is made up. Open book: the question after a passage that states the fact among others.
Edited: the passage states another value, and a faithful model changes its answer with it. Four
values are the choices, all of them in the passage, and each passage is asked about each of its
names: a rule that does not look at the name (the first value, the most frequent word) is right once
in four, closed book and open.

Posed in two forms: `record`, as the curriculum writes pairs (its task `names` with such keys), and
`prose`, as English does. How much surer the model is of its answers than right is reported over open
and closed questions together, beside its calibration on real text.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.counting.in_context import right_share
from components.counting.registry import posed
from components.stages.evaluate.tasks.task import EvalContext, NotApplicable, TaskResult, item_id
from components.synthetic.curriculum import LABELS, invented_name

CHOICES = 4
FORMS = ("record", "prose")
COLOURS = ("red", "blue", "green", "white", "black", "brown", "yellow", "grey")
SYLLABLES = 3
"""Of a name: the curriculum's have fewer or more, so that none is known from training."""

TITLES = {"closed": "closed book", "open": "open book", "edited": "follows an edited passage"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One question about an invented name: its prompts, the choices, and which is right (before and after the edit)."""

    form: str
    passage: int
    prompts: dict[str, str]
    choices: tuple[str, ...]
    answers: dict[str, str]


def open_book(context: EvalContext) -> TaskResult:
    """Accuracy closed and open, faithfulness to an edited passage, and overconfidence."""
    result = TaskResult("open_book", unit="passages")
    model = context.causal
    for form in FORMS:
        if form == "prose" and not context.english:
            continue
        asked = facts(form, context.params.seed, context.params.items)
        if any(len(model.encode(fact.prompts["edited"] + fact.choices[0])) > model.context for fact in asked):
            raise NotApplicable(f"the passage is longer than the model's context of {model.context} tokens")
        for way in TITLES:
            _score_facts(result, context, asked, form, way)
    _summarise(result, context)
    return result


def facts(form: str, seed: int, n: int) -> list[Fact]:
    """About `n` questions of a form, `CHOICES` for each passage; the same for the same seed."""
    draw = random.Random(f"greenhouse open book {form} {seed}")
    return [fact for passage in range(-(-n // CHOICES)) for fact in _facts(draw, form, passage)]


def _facts(draw: random.Random, form: str, passage: int) -> Iterator[Fact]:
    """The questions about one passage, a name each. The edit moves every value on to the next name."""
    names = [invented_name(draw, SYLLABLES) for _ in range(CHOICES)]
    values = draw.sample(LABELS if form == "record" else COLOURS, CHOICES)
    edited = [*values[1:], values[0]]
    write = _record if form == "record" else _prose
    choices = tuple(f" {value}" for value in sorted(values))
    for name, value, new in zip(names, values, edited, strict=True):
        closed, text = write(names, values, name)
        _, edited_text = write(names, edited, name)
        answers = {"closed": f" {value}", "open": f" {value}", "edited": f" {new}"}
        yield Fact(form, passage, {"closed": closed, "open": text, "edited": edited_text}, choices, answers)


def _record(names: Sequence[str], values: Sequence[str], asked: str) -> tuple[str, str]:
    """Question alone, and after the passage, in the curriculum's form."""
    shown = " ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
    return f"recall: {asked}", f"recall: {shown} ? {asked}"


def _prose(names: Sequence[str], values: Sequence[str], asked: str) -> tuple[str, str]:
    """Question alone, and after the passage, in English."""
    shown = " ".join(f"The colour of {name} is {value}." for name, value in zip(names, values, strict=True))
    question = f"The colour of {asked} is"
    return question, f"{shown} {question}"


def _score_facts(result: TaskResult, context: EvalContext, asked: Sequence[Fact], form: str, way: str) -> None:
    """Append whether each answer is right (for the edited passage: follows the edit), and its confidence."""
    posed_facts = [(fact.prompts[way], fact.choices) for fact in asked]
    logps = np.array(context.causal.choose(posed_facts))
    guesses = posed("choice", context.training_text, posed_facts) if way != "closed" else {}
    probability = np.exp(logps - np.logaddexp.reduce(logps, axis=1, keepdims=True))
    metric = "faithful" if way == "edited" else "accuracy"
    for number, fact in enumerate(asked):
        hit = fact.choices[int(logps[number].argmax())] == fact.answers[way]
        where: dict[str, Any] = {"condition": f"{form} {way}", "cluster": f"{form} {fact.passage}"}
        name, confidence = item_id(fact.prompts["open"], way), float(probability[number].max())
        right = fact.choices.index(fact.answers[way])
        rules = {rule: right_share(scores[number], right) for rule, scores in guesses.items()}
        result.item(metric, name, hit, rules=rules, **where)
        result.item("confidence", name, confidence, direction="lower", **where)
        if way != "edited":
            result.item("overconfidence", name, confidence - hit, direction="zero", **where | {"condition": form})


def _summarise(result: TaskResult, context: EvalContext) -> None:
    """Metrics and rows of each form and way. Closed book shows its counterpart: once in four, whatever the model."""
    for form in FORMS:
        for way, title in TITLES.items():
            metric, condition = "faithful" if way == "edited" else "accuracy", f"{form} {way}"
            if not result.rows(metric, condition):
                continue
            estimate = result.estimate(metric, condition)
            result.facts[condition] = estimate.as_dict()
            result.metric(f"{way}_{form}", estimate, bounds=way == "open")
            shown = way != "closed"
            baseline = result.baseline(metric, condition, learned=True) if shown else None
            taught = form == "record"
            facts: dict[str, Any] = {"headline": way != "edited", "taught": taught}
            facts["kind"] = "knowledge" if way == "closed" else "context"
            if way == "open":
                facts |= {"counterpart": f"accuracy/{form} closed", "counterpart_title": "closed book"}
                facts["column"] = "book" if taught else ""
            note = "invented names; format taught" if taught else "invented names"
            result.score(f"{metric}/{condition}", f"{title} ({form})", estimate, baseline, note, **facts)
        if result.rows("overconfidence", form):
            _report_confidence(result, form)


def _report_confidence(result: TaskResult, form: str) -> None:
    """Row of calibration: how much surer the model is than right, over open and closed questions of a form."""
    ways, excess = (f"{form} closed", f"{form} open"), result.estimate("overconfidence", form)
    sure, right = (result.estimate(name, *ways) for name in ("confidence", "accuracy"))
    result.metric(f"overconfidence_{form}", excess)
    note = f"open and closed book: sure {sure.value:.3f}, right {right.value:.3f}"
    title = f"surer than right, invented names ({form})"
    result.score(f"overconfidence/{form}", title, excess, None, note, kind="calibration", better="zero", headline=True)
