"""The report of the branch `classify`: classes of passages beside simple rules, mistakes, learning curve.

A passage is of one class, or of any number of them. Predictions are bool (N, K), which of K classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import sha256_bytes
from components.core.report import Report
from components.instruction_pairs.examples import Examples, Passage
from components.reporting.figures import WIDTH, chart, figure, save
from components.reporting.tables import Page, quoted, write_table
from components.scored_items import write_items
from components.scores import Baseline, Score
from components.stages.finetune.classify import (
    classifier_scores,
    decided,
    over_works,
    right_of,
    truth_of,
    works_of,
)
from components.stages.finetune.report import (
    MOST_SHOWN,
    beside,
    facts_of,
    interval_of,
    learning,
    numbers,
    of_training,
    page_of,
    score_of,
    write_heldout,
)
from components.stages.finetune.task_selection import Choice
from components.statistics import Estimate
from components.training.train_config import TrainResult

RULES = {"this_model": "pretrained", "from_scratch": "from scratch", "naive_bayes": "naive Bayes"}
"""Names of what a learning curve is of."""
RULE_WORDS = {
    "naive_bayes": "naive Bayes",
    "from_scratch": "the same training from random weights",
    "majority": "the largest class",
}
"""The rules that this model is compared with, in a sentence."""
NAMES = {"naive_bayes": "naive Bayes", "from_scratch": "from scratch", "majority": "largest class"}
"""The same beside a score."""
MOST_LETTERS = 12
"""Of a class in a line of a terminal."""
MAJORITY_OF_SEVERAL = "the classes of most texts; right is a text whose labels are all said and no others"
CURVE_STEPS = 50
"""Steps of each training of the learning curve at most: so its phase is not one to scale with `steps`."""

Accuracies = Mapping[int, Mapping[str, Estimate]]
"""Number of labels -> rule -> its accuracy."""


def heldout(predicted: np.ndarray, passages: Sequence[Passage]) -> dict[str, float]:
    """The figure that is followed during training."""
    return {"heldout_accuracy": float(np.mean(right_of(predicted, passages)))}


def classify(
    choice: Choice,
    result: TrainResult,
    probability_NK: np.ndarray,
    rules: Mapping[str, np.ndarray],
    curve: Mapping[int, Mapping[str, np.ndarray]],
    context: int,
    reports: Path,
) -> Report:
    """Write plots and details under `reports` and return the report.

    Args:
        probability_NK: of each class, by this model.
        rules: predictions of the rules of `RULE_WORDS`, as `classify.decided` has them.
        curve: number of labels -> predictions after so many, `this_model` among them.
    """
    examples = choice.examples
    passages, labels, several = examples.heldout, examples.labels, examples.problem == "multi_label_classification"
    predicted = {"this_model": decided(probability_NK, examples.problem)} | dict(rules)
    right = {name: right_of(one, passages) for name, one in predicted.items()}
    accuracies = {
        count: {name: over_works(right_of(one, passages), passages) for name, one in row.items()}
        for count, row in sorted(curve.items())
    }
    metrics = {"heldout_passages": float(len(passages)), "train_passages": float(len(examples.train))}
    rows, scores = _compared(choice, predicted, right, metrics)
    metrics |= {"classes": float(len(labels))} | of_training(result)
    for count, row in accuracies.items():
        metrics |= {f"accuracy_with_{count}_labels/{name}": score.value for name, score in row.items()}
    _write_details(predicted, right, None if several else probability_NK.max(axis=1), examples, reports)
    learning(result, "heldout_accuracy", "held-out accuracy", reports)
    page = page_of("Classification", choice, result, reports)
    words = RULE_WORDS | ({"majority": MAJORITY_OF_SEVERAL} if several else {})
    _show_compared(page, rows, [words[name] for name in rules], examples)
    best = max(rules, key=lambda name: right[name].sum())
    if not metrics.get(f"gain_over_{best}/low", 0.0) > 0.0:
        page.say(f"This model is not shown to be better than the best of these, {words[best]}: more steps, more rows "
                 "or a larger base may help.")  # fmt: skip
    if len(accuracies) > 1:
        _show_curve(page, accuracies, len(result.losses), reports)
    page.say(f"Classes: {', '.join(labels)}.")
    _show_mistakes(probability_NK, examples, page, reports)
    if scores[0].low is None:
        page.say(f"Scores have {scores[0].variance}.")
    return Report(metrics, page.markdown, facts_of(choice, context, scores))


def line_by_labels(metrics: Mapping[str, float], counts: Sequence[int]) -> str:
    """The accuracies by number of labels in one line, for a terminal."""
    rows = [
        f"{label} " + " ".join(f"{metrics[f'accuracy_with_{count}_labels/{name}']:.2f}" for count in counts)
        for name, label in RULES.items()
    ]
    return f"held-out accuracy with {', '.join(map(str, counts))} labels: {'; '.join(rows)}"


# -- this model beside the rules ---------------------------------------------------------------------------------------


def _compared(
    choice: Choice, predicted: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], metrics: dict[str, float]
) -> tuple[list[tuple[str, ...]], list[Score]]:
    """A row for this model and each rule: accuracy, macro F1, this model's gain; and this model's two as scores.

    They are added to metrics.
    """
    examples = choice.examples
    passages, labels, rows = examples.heldout, examples.labels, list[tuple[str, ...]]()
    several = examples.problem == "multi_label_classification"
    rules = {} if several else {"chance": Baseline("guessing", 1 / len(labels))}
    for name, one in predicted.items():
        scores = classifier_scores(one, passages)
        cells = interval_of(scores.accuracy), interval_of(scores.macro_f1)
        if name == "this_model":
            own = scores
            rows.append(("this model", *cells, ""))
            continue
        gain = over_works(right["this_model"] - right[name], passages, paired=True).within(-1, 1)
        rules[name] = Baseline(NAMES[name], scores.accuracy.value, gain, needs_model=name == "from_scratch")
        rows.append((name.replace("_", " "), *cells, interval_of(gain)))
    metrics |= beside("accuracy", own.accuracy, rules) | numbers("macro_f1", own.macro_f1)
    caveat = untested_text(_untested(examples))
    alone = {name: rule for name, rule in rules.items() if not rule.needs_model}
    accuracy = score_of(choice, "accuracy", own.accuracy, alone, caveat=caveat, column="classify")
    return rows, [accuracy, score_of(choice, "macro_f1", own.macro_f1, {}, caveat=caveat)]


def _untested(examples: Examples[Passage]) -> list[str]:
    """Classes that no held-out row is of."""
    tested = truth_of(examples.heldout, len(examples.labels)).any(axis=0)
    return [examples.labels[index] for index in np.flatnonzero(~tested)]


def untested_text(classes: Sequence[str]) -> str:
    """What scores are not about, in few names: a line of a terminal holds it."""
    names = ", ".join(repr(one if len(one) <= MOST_LETTERS else f"{one[: MOST_LETTERS - 1]}…") for one in classes[:2])
    if not classes:
        return ""
    return f"no held-out row is of the class{'es' if len(classes) > 1 else ''} {names}{', ...' if classes[2:] else ''}"


def _show_compared(page: Page, rows: list[tuple[str, ...]], rules: Sequence[str], examples: Examples[Passage]) -> None:
    caption = (
        f"{len(examples.heldout)} held-out passages after {len(examples.train)} with labels: this model, and on the "
        f"same passages {', '.join(rules)}. The gain is paired."
    )
    page.show("by accuracy macro_F1 this_model's_gain", rows, caption)


def _show_curve(page: Page, accuracies: Accuracies, steps: int, reports: Path) -> None:
    """Accuracy by number of labels, as a table and a picture."""
    _labels_plot(accuracies, reports / "plots" / "labels.png")
    caption = "Accuracy by number of labels: the pretrained model, and others on the same labels."
    if steps > CURVE_STEPS:
        caption += f" Rows but the last are of trainings that stop at {CURVE_STEPS} steps; the last is the full run."
    header = " ".join(["labels", *(name.replace(" ", "_") for name in RULES.values())])
    page.show(header, [[str(count), *(interval_of(row[name]) for name in RULES)] for count, row in accuracies.items()],
              caption)  # fmt: skip


def _write_details(
    predicted: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], sure: np.ndarray | None,
    examples: Examples[Passage], reports: Path,
) -> None:  # fmt: skip
    """Write heldout.csv and items.parquet; `sure` is the probability of this model's answer where that is one class."""
    passages, labels = examples.heldout, examples.labels
    answers = {"true": truth_of(passages, len(labels))} | dict(predicted)
    columns = {name: [_named(row_K, labels) for row_K in rows_NK] for name, rows_NK in answers.items()}
    if sure is not None:
        columns["probability"] = [f"{value:.6f}" for value in sure]
    clusters, strata = works_of(passages)
    where, texts = [passage.where for passage in passages], [passage.text for passage in passages]
    write_heldout(reports, clusters, {"stratum": strata} | columns, texts, where)
    write_items(_items(right, passages), reports / "details" / "items.parquet")


def _items(right: Mapping[str, np.ndarray], passages: Sequence[Passage]) -> Iterator[dict[str, Any]]:
    """Rows of items.parquet: this model on each passage, beside the best of the rules."""
    best = max((one for name, one in right.items() if name != "this_model"), key=np.sum)
    for passage, score, rule in zip(passages, right["this_model"].tolist(), best.tolist(), strict=True):
        named = {"question": "classify", "metric": "accuracy", "item": sha256_bytes(passage.text.encode())[:16]}
        named |= {"condition": "", "cluster": passage.cluster, "stratum": passage.stratum, "direction": "higher"}
        yield named | {"score": score, "weight": 1.0, "baseline": rule, "model": "finetune/classify"}


def _named(classes_K: np.ndarray, labels: Sequence[str]) -> str:
    """Class or classes of a passage, bool (K,), as a table has them."""
    return ", ".join(label for label, is_one in zip(labels, classes_K, strict=True) if is_one) or "none"


# -- mistakes ----------------------------------------------------------------------------------------------------------


def _show_mistakes(probability_NK: np.ndarray, examples: Examples[Passage], page: Page, reports: Path) -> None:
    """True by predicted class as a table and a picture, and the most confident mistakes."""
    passages, labels, several = examples.heldout, examples.labels, examples.problem == "multi_label_classification"
    predicted_NK, truth_NK = decided(probability_NK, examples.problem), truth_of(passages, len(labels))
    confusion_KK = classifier_scores(predicted_NK, passages).confusion
    rows = [[label, *row] for label, row in zip(labels, confusion_KK.tolist(), strict=True)]
    write_table(reports / "details" / "confusion.csv", ("true \\ predicted", *labels), rows)
    drawn = "Held-out passages by their true class and the class that the model predicts."
    caption, unsaid_NK = "The most confident mistakes.", np.zeros_like(probability_NK)
    if several:  # that a class is not one of a passage's is a decision too
        drawn += " A passage of several classes is in several cells."
        caption += " The probability is that of the surest wrong decision, for a class or against it."
        unsaid_NK = 1 - probability_NK
    _confusion_plot(labels, confusion_KK, truth_NK.sum(axis=0), reports / "plots" / "confusion.png", drawn)
    sure_NK = np.where(predicted_NK, probability_NK, unsaid_NK)
    wrong = [
        (_named(truth, labels), _named(guess, labels), float(sure[truth != guess].max().round(6)), passage.text)
        for passage, truth, guess, sure in zip(passages, truth_NK, predicted_NK, sure_NK, strict=True)
        if (truth != guess).any()
    ]
    wrong.sort(key=lambda row: -row[2])
    shown = [(true, guess, sure, quoted(text, 300)) for true, guess, sure, text in wrong[:MOST_SHOWN]]
    page.table("misread", "true predicted probability text", shown, caption)


# -- plots -------------------------------------------------------------------------------------------------------------


def _labels_plot(accuracies: Accuracies, path: Path) -> None:
    counts = list(accuracies)
    caption = "Held-out accuracy by number of labels, pretrained or not: what pretraining is worth."
    with chart(path, caption, xlabel="labels", ylabel="held-out accuracy") as axes:
        axes.set_xscale("log")  # before the ticks, which a new scale would replace
        for name, label in RULES.items():
            axes.plot(counts, [row[name].value for row in accuracies.values()], "o-", label=label)
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
