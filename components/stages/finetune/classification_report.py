"""The report of the branch `classify`: classes or scores of passages beside simple rules, mistakes, learning curves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import sha256_bytes
from components.core.report import Report
from components.instruction_pairs.examples import Passage, ProblemType
from components.reporting.figures import WIDTH, chart, figure, save
from components.reporting.tables import Page, quoted, write_table
from components.scored_items import write_items
from components.stages.finetune.answer_threshold import THRESHOLDS, AnswerThreshold, answer_thresholds, independent
from components.stages.finetune.classify import (
    classifier_scores,
    decided,
    indicators,
    over_works,
    r_squared,
    works_of,
)
from components.stages.finetune.report import (
    MOST_SHOWN,
    Bounded,
    bounds,
    facts_of,
    interval_of,
    learning,
    numbers,
    of_training,
    page_of,
    write_heldout,
)
from components.stages.finetune.task_selection import Choice
from components.statistics import Estimate
from components.training.train_config import TrainResult

RULES = {
    "this_model": "pretrained",
    "from_scratch": "from scratch",
    "naive_bayes": "naive Bayes",
    "ridge": "ridge regression",
}
"""Names of what a learning curve is of."""
SCORE = {"regression": ("mean_absolute_error", "mean absolute error")}
ACCURACY = ("accuracy", "accuracy")
CURVE_STEPS = 50
"""Steps of each training of the learning curve at most: so its phase is not one to scale with `steps`."""


def heldout(predicted: np.ndarray, passages: Sequence[Passage], problem: ProblemType) -> dict[str, float]:
    """The figure that is followed during training."""
    return {f"heldout_{_score(problem)[0]}": float(np.mean(_points(predicted, passages, problem)))}


def classify(
    choice: Choice,
    result: TrainResult,
    outputs: np.ndarray,
    rules: Mapping[str, np.ndarray],
    curve: Mapping[int, Mapping[str, np.ndarray]],
    context: int,
    reports: Path,
) -> Report:
    """Write plots and details under `reports` and return the report.

    Args:
        outputs: of this model, (num_passages, num_labels), probabilities or scores.
        rules: what else was said of the passages, name -> as `classify.decided` has it.
        curve: number of labels -> the same after so many, `this_model` among them.
    """
    examples: Any = choice.examples
    passages, labels, problem = examples.heldout, examples.labels, examples.problem
    key, words = _score(problem)
    metrics = {"heldout_passages": float(len(passages)), "train_passages": float(len(examples.train))}
    accuracies = {
        count: {name: over_works(_points(said, passages, problem), passages) for name, said in row.items()}
        for count, row in sorted(curve.items())
    }
    page = page_of("Regression" if problem == "regression" else "Classification", choice, result, reports)
    said = {"this_model": decided(outputs, problem)} | dict(rules)
    points = {name: _points(one, passages, problem) for name, one in said.items()}
    rows = _compared(said, points, examples, metrics)
    answers = {"true": [passage.label for passage in passages]} | said
    named: dict[str, list[Any]] = {name: [_named(one, labels) for one in values] for name, values in answers.items()}
    if problem == "single_label_classification":
        named["probability"] = [f"{row.max():.6f}" for row in outputs]
    texts = [passage.text for passage in passages]
    clusters, strata = works_of(passages)
    write_heldout(reports, clusters, {"stratum": strata} | named, texts, [passage.where for passage in passages])
    write_items(_items(points, key, passages), reports / "details" / "items.parquet")
    if problem == "single_label_classification":
        metrics |= {"accuracy/chance": 1 / len(labels)}
    metrics |= {"classes": float(len(labels))} if problem != "regression" else {}
    metrics |= of_training(result)
    for count, row in accuracies.items():
        metrics |= {f"{key}_with_{count}_labels/{name}": score.value for name, score in row.items()}
    unit = "squared error, standardised" if problem == "regression" else "nats per target"
    learning(result, f"heldout_{key}", f"held-out {words}", reports, unit)
    said_by = RULES | {"from_scratch": "the same training from random weights", "majority": "the largest class",
                       "mean": "the mean score"}  # fmt: skip
    if problem == "multi_label_classification":
        said_by["majority"] = "the classes of most texts; right is a text whose labels are all said and no others"
    others = ", ".join(said_by[name] for name in rules)
    caption = (
        f"{len(passages)} held-out passages after {len(examples.train)} with labels: this model, and on the same "
        f"passages {others}. The gain is paired."
    )
    if problem == "regression":
        caption += " R2 is 1 less the squared errors over those of always saying the mean score of the training rows."
    second = "R2" if problem == "regression" else "macro_F1"
    page.show(f"by {words.replace(' ', '_')} {second} this_model's_gain", rows, caption)
    best = (min if problem == "regression" else max)(rules, key=lambda name: sum(points[name]))
    if not metrics.get(f"gain_over_{best}/low", 0.0) > 0.0:
        page.say(f"This model is not shown to be better than the best of these, {said_by[best]}: more steps, more rows "
                 "or a larger base may help.")  # fmt: skip
    if len(accuracies) > 1:
        _labels_plot(accuracies, words, reports / "plots" / "labels.png")
        names = [name for name in RULES if name in rules or name == "this_model"]
        caption = f"{words.capitalize()} by number of labels: the pretrained model, and others on the same labels."
        if len(result.losses) > CURVE_STEPS:
            caption += (
                f" Rows but the last are of trainings that stop at {CURVE_STEPS} steps; the last is the full run."
            )
        header = " ".join(["labels", *(RULES[name].replace(" ", "_") for name in names)])
        shown = [[str(count), *(interval_of(row[name]) for name in names)] for count, row in accuracies.items()]
        page.show(header, shown, caption)
    if problem == "regression":
        _scores(said["this_model"], passages, page, reports)
    else:
        _classes(outputs, examples, page, reports)
    over = over_works(points["this_model"], passages).variance
    if over.startswith("no interval"):
        page.say(f"Scores have {over}.")
    facts = facts_of(choice, context, metrics.get("accuracy/chance", 0.0), over)
    if problem != "regression":
        tested = set(np.flatnonzero(indicators(answers["true"], len(labels)).any(axis=0)))
        facts["untested"] = [label for number, label in enumerate(labels) if number not in tested]
    if problem == "single_label_classification":
        works = [f"{stratum}/{work}" for stratum, work in zip(strata, clusters, strict=True)]
        found = answer_thresholds(outputs.max(axis=1), np.array(points["this_model"]) == 1.0, works)
        facts["answer_thresholds"] = [asdict(one) for one in found]
        _thresholds(found, independent(works), outputs, rules["majority"], examples, page)
    return Report(metrics, page.markdown, facts)


def line_by_labels(metrics: Mapping[str, float], counts: Sequence[int], problem: ProblemType) -> str:
    """The accuracies (errors of scores) by number of labels in one line, for a terminal."""
    key, words = _score(problem)
    rows = [
        f"{label} " + " ".join(f"{metrics[f'{key}_with_{count}_labels/{name}']:.2f}" for count in counts)
        for name, label in RULES.items()
        if f"{key}_with_{counts[0]}_labels/{name}" in metrics
    ]
    return f"held-out {words} with {', '.join(map(str, counts))} labels: {'; '.join(rows)}"


def _score(problem: ProblemType) -> tuple[str, str]:
    """Name of the headline figure, and its words."""
    return SCORE.get(problem, ACCURACY)


def _points(predicted: np.ndarray, passages: Sequence[Passage], problem: ProblemType) -> list[float]:
    """Of each passage 1.0 or 0.0 for right or wrong, or the absolute error of its score."""
    truth = [passage.label for passage in passages]
    if problem == "regression":
        return np.abs(predicted - np.array(truth)).tolist()
    if problem == "single_label_classification":
        return (predicted == np.array(truth)).astype(float).tolist()
    return classifier_scores(predicted, passages, predicted.shape[1]).right.tolist()


def _compared(
    said: Mapping[str, np.ndarray], points: Mapping[str, list[float]], examples: Any, metrics: dict[str, float]
) -> list[tuple[str, ...]]:
    """A row for this model and each rule: two scores with intervals, and this model's gain; they are added to metrics.

    The gain in a mean absolute error is what it is less by.
    """
    passages, problem = examples.heldout, examples.problem
    key, _ = _score(problem)
    rows: list[tuple[str, ...]] = []
    second: Bounded
    for name, one in said.items():
        score = over_works(points[name], passages)
        if problem == "regression":
            mean = float(np.mean([passage.label for passage in examples.train]))
            second_key, second = "r2", r_squared(np.array(points[name]), passages, mean)
        else:
            second_key, second = "macro_f1", classifier_scores(one, passages, len(examples.labels)).macro_f1
        if name == "this_model":
            metrics |= numbers(key, score) | numbers(second_key, second)
            rows.append(("this model", interval_of(score), interval_of(second), ""))
            continue
        apart = np.array(points["this_model"]) - np.array(points[name])
        gain = over_works(-apart if problem == "regression" else apart, passages, paired=True)
        gain = gain if problem == "regression" else gain.within(-1, 1)
        metrics |= {f"{key}/{name}": score.value} | numbers(f"gain_over_{name}", gain)
        if problem == "regression":
            metrics[f"r2/{name}"] = bounds(second)[0]
        rows.append((name.replace("_", " "), interval_of(score), interval_of(second), interval_of(gain)))
    return rows


def _items(points: Mapping[str, list[float]], metric: str, passages: Sequence[Passage]) -> Iterator[dict[str, Any]]:
    """Rows of items.parquet: this model on each passage, beside the best of the rules."""
    lower = metric in {key for key, _ in SCORE.values()}
    rules = [own for name, own in points.items() if name != "this_model"]
    best = (min if lower else max)(rules, key=sum)
    for one, score, rule in zip(passages, points["this_model"], best, strict=True):
        named = {"question": "classify", "metric": metric, "item": sha256_bytes(one.text.encode())[:16]}
        named |= {"condition": "", "cluster": one.cluster, "stratum": one.stratum}
        named |= {"direction": "lower" if lower else "higher"}
        yield named | {"score": score, "weight": 1.0, "baseline": rule}


# -- classes -----------------------------------------------------------------------------------------------------------


def _classes(probability: np.ndarray, examples: Any, page: Page, reports: Path) -> None:
    """True by predicted class, and the most confident mistakes."""
    passages, labels, problem = examples.heldout, examples.labels, examples.problem
    predicted = decided(probability, problem)
    confusion = classifier_scores(predicted, passages, len(labels)).confusion
    named = [[label, *row] for label, row in zip(labels, confusion.tolist(), strict=True)]
    write_table(reports / "details" / "confusion.csv", ("true \\ predicted", *labels), named)
    of_each = np.zeros(len(labels))
    for passage in passages:
        of_each[list(passage.label) if isinstance(passage.label, tuple) else passage.label] += 1
    several = problem == "multi_label_classification"
    drawn = "Held-out passages by their true class and the class that the model predicts."
    if several:
        drawn += " A passage of several classes is in several cells."
    _confusion_plot(labels, confusion, of_each, reports / "plots" / "confusion.png", drawn)
    page.say(f"Classes: {', '.join(labels)}.")
    wrong = _misread(passages, probability, predicted, labels)
    caption = "The most confident mistakes."
    if several:
        caption += " The probability is that of the surest wrong decision, for a class or against it."
    page.table("misread", "true predicted probability text", wrong, caption)


def _misread(
    passages: Sequence[Passage], probability: np.ndarray, predicted: np.ndarray, labels: list[str]
) -> list[tuple]:
    """Passages given wrong classes, the most confident mistakes first: true, predicted, probability, text.

    The probability is that of the predicted class; of several classes, of the surest that is wrong.
    """
    rows = []
    for passage, row, guess in zip(passages, probability, predicted, strict=True):
        if isinstance(passage.label, tuple):
            truth = np.isin(np.arange(len(labels)), passage.label)
            if (truth != guess).any():
                sure = np.where(guess, row, 1 - row)[truth != guess].max()
                rows.append((passage, _all(labels, truth), _all(labels, guess), float(sure.round(6))))
        elif guess != passage.label:
            rows.append((passage, labels[passage.label], labels[guess], float(row.max().round(6))))
    rows.sort(key=lambda row: -row[3])
    return [(true, said, sure, quoted(passage.text, 300)) for passage, true, said, sure in rows[:MOST_SHOWN]]


def _named(said: Any, labels: Sequence[str]) -> str | float:
    """Class, classes or score of a passage as a table has them."""
    if isinstance(said, tuple):
        return _all(labels, np.isin(np.arange(len(labels)), said))
    if isinstance(said, np.ndarray):
        return _all(labels, said)
    return float(said) if isinstance(said, float | np.floating) else labels[said]


def _all(labels: Sequence[str], which: np.ndarray) -> str:
    return ", ".join(label for label, has in zip(labels, which, strict=True) if has) or "none"


def _thresholds(
    found: Sequence[AnswerThreshold], num: float, probability: np.ndarray, always: np.ndarray, examples: Any, page: Page
) -> None:
    """From which probability on to answer; beside it the largest class alone, and the class it is worst for."""
    truth, said = np.array([passage.label for passage in examples.heldout]), probability.argmax(axis=1)
    rows = []
    for one in found:
        if one.threshold is None:
            few = f": takes {one.needed} independent texts, all right, and here are {num:.0f}" * (num < one.needed)
            rows.append((f"{one.error:.0%}", f"not shown{few}", "", "", "", ""))
            continue
        answered = probability.max(axis=1) >= one.threshold
        counts = [(int((said != truth)[mine].sum()), int(mine.sum()), label) for number, label in
                  enumerate(examples.labels) if (mine := answered & (truth == number)).any()]  # fmt: skip
        wrong, of_all, label = max(counts, key=lambda count: (count[0] / count[1], count[1]))
        rows.append((
            f"{one.error:.0%}", f"{one.threshold:g}" if one.threshold else "always", f"{one.answered:.0%}",
            f"{one.wrong:.1%}", f"{np.mean((always != truth)[answered]):.1%}", f"{label}: {wrong} of {of_all}",
        ))  # fmt: skip
    page.say("**When to answer**, if a text may be left without a class.")
    caption = (
        f"With 95% confidence, from this probability on (the lowest of {len(THRESHOLDS)} that were tried) at most so "
        "many of the answers to texts like the held-out ones are wrong, over all classes. Then what was measured: the "
        "share of the held-out texts that get an answer, how many of these answers are wrong, how many would be if "
        "all were the largest class, and the true class that fares worst."
    )
    header = (
        "errors_at_most answer_from_probability answered wrong_of_these wrong_as_largest_class wrong_in_worst_class"
    )
    page.show(header, rows, caption)


# -- scores ------------------------------------------------------------------------------------------------------------


def _scores(predicted: np.ndarray, passages: Sequence[Passage], page: Page, reports: Path) -> None:
    """True and predicted scores: a picture, the largest mistakes."""
    pairs = [(passage.label, float(f"{value:.9g}")) for passage, value in zip(passages, predicted, strict=True)]
    with chart(
        reports / "plots" / "scores.png", "Held-out passages by their score and the score that the model predicts.",
        xlabel="true score", ylabel="predicted score",
    ) as axes:  # fmt: skip
        axes.plot(*zip(*pairs, strict=True), ".", alpha=0.6)
        ends = [min(map(min, pairs)), max(map(max, pairs))]
        axes.plot(ends, ends, "--", color="grey")
    order = np.argsort([-abs(true - said) for true, said in pairs], kind="stable")[:MOST_SHOWN]
    worst = [(*(f"{one:.9g}" for one in pairs[place]), quoted(passages[place].text, 300)) for place in order.tolist()]
    page.table("misread", "true predicted text", worst, "The largest mistakes.")


# -- plots -------------------------------------------------------------------------------------------------------------


def _labels_plot(accuracies: Mapping[int, Mapping[str, Estimate]], words: str, path: Path) -> None:
    counts = list(accuracies)
    caption = f"Held-out {words} by number of labels, pretrained or not: what pretraining is worth."
    with chart(path, caption, xlabel="labels", ylabel=f"held-out {words}") as axes:
        axes.set_xscale("log")  # before the ticks, which a new scale would replace
        for name in [name for name in RULES if name in accuracies[counts[0]]]:
            scores = [row[name] for row in accuracies.values()]
            axes.plot(counts, [score.value for score in scores], "o-", label=RULES[name])
        axes.set_xticks(counts, map(str, counts))
        axes.minorticks_off()


def _drawable(text: str) -> str:
    """What the font of figures has no glyph for as its code: `\\u4e2d` and no empty box."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    has = get_font(findfont(FontProperties())).get_charmap()
    return "".join(one if ord(one) in has else one.encode("unicode_escape").decode() for one in text)


def _confusion_plot(labels: list[str], confusion: np.ndarray, of_each: np.ndarray, path: Path, caption: str) -> None:
    size = min(WIDTH, 2.4 + 0.45 * len(labels))
    drawing, [axes] = figure(size + 0.8, size)
    share = confusion / np.maximum(1, of_each)[:, None]
    picture = axes.imshow(share, vmin=0, vmax=1, cmap="Greens")
    short = [label if len(label) <= 24 else label[:23] + "…" for label in map(_drawable, labels)]
    if len(set(short)) < len(short):  # cut they are alike: numbered, as they stand in the table
        short = [f"{number} {label}" for number, label in enumerate(short, 1)]
    axes.set_xticks(range(len(labels)), short, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), short)
    for row, column in np.ndindex(*confusion.shape):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, str(confusion[row, column]), ha="center", va="center", color=colour)
    axes.set(xlabel="predicted", ylabel="true")
    drawing.colorbar(picture, label="share of the true class")
    save(drawing, path, caption)
