"""Task `open_book`: whether the model answers from the passage, and makes things up without one.

Facts about invented names, which no model can know. Closed book: the question alone, so that any answer is made up.
Open book: the question after a passage that states the fact among others. Edited: the passage states another value, and
a faithful model changes its answer with it. Four values are the choices, all of them in the passage: chance is 1/4.

Posed in two forms: `record`, as the curriculum writes facts, and `prose`, as English does. The hallucination mitigation
is abstention: the model answers only above a confidence that was chosen on other questions, open and closed mixed.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.stages.evaluate.tasks.abstention import abstain
from components.stages.evaluate.tasks.calibration import risk_curve
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import EvalContext, NotApplicable, TaskResult
from components.statistics import ratio
from components.synthetic.curriculum import VALUES

NAME = "open_book"
CHOICES = 4
CHANCE = 1 / CHOICES
FORMS = ("record", "prose")
COLOURS = ("red", "blue", "green", "white", "black", "brown", "yellow", "grey")
ONSETS, VOWELS, CODAS = (
    ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "t", "v", "z"),
    "aeiou",
    ("", "l", "n", "r", "s"),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One question about an invented name: its prompts, the choices, and which is right (before and after the edit)."""

    form: str
    prompts: dict[str, str]
    choices: tuple[str, ...]
    answers: dict[str, str]


def open_book(context: EvalContext) -> TaskResult:
    """Accuracy closed and open, faithfulness to an edited passage, and abstention."""
    result = TaskResult(NAME)
    model = context.causal
    for form in FORMS:
        if form == "prose" and not context.english:
            continue
        asked = facts(form, context.params.seed, context.params.items)
        if any(len(model.encode(fact.prompts["edited"] + fact.choices[0])) > model.context for fact in asked):
            raise NotApplicable(f"the passage is longer than the model's context of {model.context} tokens")
        for way in ("closed", "open", "edited"):
            _score_facts(result, model, asked, form, way)
    _summarise(result, context)
    _abstention(result, context)
    return result


def facts(form: str, seed: int, n: int) -> list[Fact]:
    """`n` questions of a form; the same for the same seed."""
    draw = random.Random(f"greenhouse open book {form} {seed}")
    return [_fact(draw, form) for _ in range(n)]


def invented_name(draw: random.Random) -> str:
    """Three random syllables, capitalised."""
    syllables = [draw.choice(ONSETS) + draw.choice(VOWELS) for _ in range(3)]
    return ("".join(syllables) + draw.choice(CODAS)).capitalize()


def _fact(draw: random.Random, form: str) -> Fact:
    names = [invented_name(draw) for _ in range(CHOICES)]
    values = draw.sample(VALUES if form == "record" else COLOURS, CHOICES)
    asked = draw.randrange(CHOICES)
    other = (asked + draw.randrange(1, CHOICES)) % CHOICES
    edited = list(values)
    edited[asked], edited[other] = values[other], values[asked]
    write = _record if form == "record" else _prose
    closed, passage = write(names, values, names[asked])
    _, edited_passage = write(names, edited, names[asked])
    choices = tuple(f" {value}" for value in sorted(values))
    right = f" {values[asked]}"
    answers = {"closed": right, "open": right, "edited": f" {edited[asked]}"}
    return Fact(form, {"closed": closed, "open": passage, "edited": edited_passage}, choices, answers)


def _record(names: Sequence[str], values: Sequence[str], asked: str) -> tuple[str, str]:
    """Question alone, and after the passage, in the curriculum's form."""
    shown = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
    return f"recall: {asked}", f"recall: {shown} ? {asked}"


def _prose(names: Sequence[str], values: Sequence[str], asked: str) -> tuple[str, str]:
    """Question alone, and after the passage, in English."""
    shown = " ".join(f"The colour of {name} is {value}." for name, value in zip(names, values, strict=True))
    question = f"The colour of {asked} is"
    return question, f"{shown} {question}"


def _score_facts(result: TaskResult, model: LanguageModel, asked: Sequence[Fact], form: str, way: str) -> None:
    """Append whether each answer is right (for the edited passage: follows the edit), and its confidence."""
    logps = np.array(model.choose([(fact.prompts[way], fact.choices) for fact in asked]))
    probability = np.exp(logps - np.logaddexp.reduce(logps, axis=1, keepdims=True))
    metric = "faithful" if way == "edited" else "accuracy"
    for number, fact in enumerate(asked):
        hit = fact.choices[int(logps[number].argmax())] == fact.answers[way]
        name, condition, sure = f"{form}/{number}", f"{form} {way}", float(probability[number].max())
        result.item(metric, name, hit, condition=condition)
        result.item("confidence", name, sure, condition=condition, direction="lower")


def _summarise(result: TaskResult, context: EvalContext) -> None:
    for form in FORMS:
        for way in ("closed", "open", "edited"):
            metric = "faithful" if way == "edited" else "accuracy"
            if not any(row["condition"] == f"{form} {way}" for row in result.items):
                continue
            estimate = result.estimate(metric, context.resampling, f"{form} {way}")
            result.facts[f"{form} {way}"] = estimate.as_dict()
            if form == "record" or way == "open":
                result.metric(f"{way}_{form}", estimate, bounds=way == "open")
            title = {"closed": "closed book", "open": "open book", "edited": "follows an edited passage"}[way]
            if form == "record" or way == "open":
                result.highlight(f"{title} ({form})", estimate, CHANCE, "invented names")


def _abstention(result: TaskResult, context: EvalContext) -> None:
    """Wrong answers given to open and closed questions, before and after a threshold from other questions."""
    rows = {(row["condition"], row["item"], row["metric"]): row["score"] for row in result.items}
    asked = [key[:2] for key in rows if key[2] == "accuracy"]
    confidence = np.array([rows[*key, "confidence"] for key in asked])
    correct = np.array([rows[*key, "accuracy"] for key in asked])
    names = np.array([item for _, item in asked])
    dev = np.array([int(item.split("/")[1]) % 2 == 0 for item in names])
    chosen = abstain(confidence, correct, dev)
    wrong = 1.0 - correct[~dev]
    given = wrong * chosen.answered
    before, after = (ratio(values, clusters=names[~dev], resampling=context.resampling) for values in (wrong, given))
    result.metric("wrong_answers", before, bounds=False)
    result.metric("wrong_answers_abstaining", after)
    closed = np.array([" closed" in condition for condition, _ in asked])[~dev]
    result.metrics["answered_closed"] = float(chosen.answered[closed].mean())
    result.metrics["answered_open"] = float(chosen.answered[~closed].mean())
    shares = [f"{result.metrics[f'answered_{way}']:.0%} of {way}" for way in ("open", "closed")]
    reached = (
        f"answers {' and '.join(shares)} questions" if chosen.answered.any() else "no confidence is worth an answer"
    )
    note = f"was {before.value:.3f} without abstaining; {reached}"
    result.highlight("made-up answers when abstaining", after, None, note)
    title = "Invented names: error against coverage"
    result.curves.append(risk_curve("open_book_risk_coverage", title, confidence[~dev], correct[~dev]))
