"""The report of the branch `classify`: which model to use, both on held-out passages, mistakes of the network.

A passage is of one class, or of any number of them. Predictions are bool (N, K), which of K
classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import sha256_bytes
from components.core.plain_text import abbreviated
from components.core.report import Report
from components.counting.registry import NAMES
from components.instruction_pairs.examples import Examples, Passage
from components.reporting.figures import WIDTH, figure, save
from components.reporting.tables import Page, quoted, write_table
from components.scored_items import write_items
from components.scores import Baseline
from components.stages.finetune.classify import (
    classifier_scores,
    decided,
    over_works,
    right_of,
    truth_of,
)
from components.stages.finetune.report import MOST_SHOWN, TuningReport, interval_of, learning, write_heldout
from components.stages.finetune.task_selection import Choice
from components.stages.finetune.tfidf import Recommendation
from components.training.train_config import TrainResult

MOST_LETTERS = 12
"""Of a class in a line of a terminal."""


def classify(
    choice: Choice,
    result: TrainResult,
    probability_NK: np.ndarray,
    rules: Mapping[str, np.ndarray],
    recommendation: Recommendation,
    read: Sequence[str],
    reports: Path,
) -> Report:
    """Write plots and details under `reports` and return the report.

    Args:
        probability_NK: of each class, by the network.
        rules: predictions of TF-IDF, and of rules of the registry by their key, as
            `classify.decided` has them.
        read: the text of each held-out passage as far as the network read it.
    """
    examples = choice.examples
    passages, labels, several = examples.heldout, examples.labels, examples.problem == "multi_label_classification"
    predicted = {"this_model": decided(probability_NK, examples.problem), **rules}
    right = {name: right_of(predictions, passages) for name, predictions in predicted.items()}
    network, simple = (classifier_scores(predicted[name], passages) for name in ("this_model", "tfidf"))
    baselines = {} if several else {"chance": Baseline("guessing", 1 / len(labels))}
    for name in rules:
        gain = over_works(right["this_model"] - right[name], passages, paired=True).within(-1, 1)
        baselines[name] = Baseline(NAMES.get(name, "TF-IDF"), float(np.mean(right[name])), gain)
    noun = "texts right in all their labels" if several else "labels right"
    advice = recommendation.sentence(len(passages), interval_of(network.accuracy), interval_of(simple.accuracy), noun)
    used, usual = right["tfidf" if recommendation.use == "tfidf" else "this_model"], right.get("largest_class")
    if usual is not None and not (over_works(used - usual, passages, paired=True).low or 0) > 0:
        advice += f" It is not shown to be better than always saying the commonest class: {usual.mean():.3f}."
    report = TuningReport("Classification", choice, result, reports, "passages", advice)
    caveat = _untested(examples)
    report.add_score("accuracy", network.accuracy, baselines, caveat=caveat, column="classify")
    report.add_score("macro_f1", network.macro_f1, caveat=caveat)
    report.metrics["classes"] = float(len(labels))
    _write_details(predicted, right, None if several else probability_NK.max(axis=1), examples, read, reports)
    learning(result, "heldout_accuracy", "held-out accuracy", reports)
    of_tfidf = baselines["tfidf"].gain
    assert of_tfidf
    rows = [("network", interval_of(network.accuracy), interval_of(network.macro_f1), interval_of(of_tfidf)),
            ("TF-IDF", interval_of(simple.accuracy), interval_of(simple.macro_f1), "")]  # fmt: skip
    note = "; right is a text whose labels are all said and no others" if several else ""
    caption = f"{len(passages)} held-out passages after {len(examples.train)} with labels{note}. The gain is paired."
    report.page.show("by accuracy macro_F1 gain_over_TF-IDF", rows, caption)
    report.page.add(f"Classes: {', '.join(labels)}.")
    _show_mistakes(probability_NK, network.confusion, examples, report.page, reports)
    if network.accuracy.low is None:
        report.page.add(f"Scores have {network.accuracy.variance}.")
    return report.finished(advice=advice, recommended=recommendation.use)


def _untested(examples: Examples[Passage]) -> str:
    """Sentence on classes without a held-out row, in few names, as a line of a terminal holds them."""
    truth_KN = truth_of(examples.heldout, len(examples.labels)).T
    classes = [label for label, row_N in zip(examples.labels, truth_KN, strict=True) if not row_N.any()]
    names = ", ".join(repr(abbreviated(one, MOST_LETTERS)) for one in classes[:2])
    if not classes:
        return ""
    return f"no held-out row is of the class{'es' if len(classes) > 1 else ''} {names}{', ...' if classes[2:] else ''}"


def _write_details(
    predicted: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], top: np.ndarray | None,
    examples: Examples[Passage], read: Sequence[str], reports: Path,
) -> None:  # fmt: skip
    """Write heldout.csv and items.parquet; `top` is the probability of this model's answer where that is one class."""
    passages, labels = examples.heldout, examples.labels
    answers = {"true": truth_of(passages, len(labels))} | dict(predicted)
    columns = {name: [_named(row_K, labels) for row_K in rows_NK] for name, rows_NK in answers.items()}
    if top is not None:
        columns["probability"] = [f"{value:.6f}" for value in top]
    write_heldout(reports, passages, {"stratum": [passage.stratum for passage in passages]} | columns, read)
    write_items(_items(right, passages), reports / "details" / "items.parquet")


def _items(right: Mapping[str, np.ndarray], passages: Sequence[Passage]) -> Iterator[dict[str, Any]]:
    """Rows of items.parquet: this model on each passage, beside the best of the rules."""
    best = max((hits for name, hits in right.items() if name != "this_model"), key=np.sum)
    for passage, score, rule in zip(passages, right["this_model"].tolist(), best.tolist(), strict=True):
        row = {"question": "classify", "metric": "accuracy", "item": sha256_bytes(passage.text.encode())[:16]}
        row |= {"condition": "", "cluster": passage.cluster, "stratum": passage.stratum, "direction": "higher"}
        yield row | {"score": score, "weight": 1.0, "baseline": rule, "model": "finetune/classify"}


def _named(classes_K: np.ndarray, labels: Sequence[str]) -> str:
    """Class or classes of a passage, bool (K,), as a table has them."""
    return ", ".join(label for label, is_one in zip(labels, classes_K, strict=True) if is_one) or "none"


# -- mistakes ----------------------------------------------------------------------------------------------------------


def _show_mistakes(
    probability_NK: np.ndarray, confusion_KK: np.ndarray, examples: Examples[Passage], page: Page, reports: Path
) -> None:
    """True by predicted class as a table and a picture, and the most confident mistakes."""
    passages, labels, several = examples.heldout, examples.labels, examples.problem == "multi_label_classification"
    predicted_NK, truth_NK = decided(probability_NK, examples.problem), truth_of(passages, len(labels))
    rows = [[label, *row] for label, row in zip(labels, confusion_KK.tolist(), strict=True)]
    write_table(reports / "details" / "confusion.csv", ("true \\ predicted", *labels), rows)
    note = "Held-out passages by their true class and the class that the model predicts."
    caption, unsaid_NK = "The most confident mistakes.", np.zeros_like(probability_NK)
    if several:  # that a class is not one of a passage's is a decision too
        note += " A passage of several classes is in several cells."
        caption += " The probability is that of the surest wrong decision, for a class or against it."
        unsaid_NK = 1 - probability_NK
    _confusion_plot(labels, confusion_KK, truth_NK.sum(axis=0), reports / "plots" / "confusion.png", note)
    confidence_NK = np.where(predicted_NK, probability_NK, unsaid_NK)
    wrong = [
        (_named(truth, labels), _named(guess, labels), float(confidence[truth != guess].max().round(6)), passage.text)
        for passage, truth, guess, confidence in zip(passages, truth_NK, predicted_NK, confidence_NK, strict=True)
        if (truth != guess).any()
    ]
    wrong.sort(key=lambda row: -row[2])
    shown = [(true, guess, confidence, quoted(text, 300)) for true, guess, confidence, text in wrong[:MOST_SHOWN]]
    page.table("misread", "true predicted probability text", shown, caption)


# -- plots -------------------------------------------------------------------------------------------------------------


def _drawable(text: str) -> str:
    """Text with a code for each character that the font of figures lacks: `\\u4e2d` and no empty box."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    has = get_font(findfont(FontProperties())).get_charmap()
    return "".join(c if ord(c) in has else c.encode("unicode_escape").decode() for c in text)


def _confusion_plot(labels: list[str], confusion: np.ndarray, of_each: np.ndarray, path: Path, caption: str) -> None:
    size = min(WIDTH, 2.4 + 0.45 * len(labels))
    drawing, [axes] = figure(size + 0.8, size)
    share = confusion / np.maximum(1, of_each)[:, None]
    picture = axes.imshow(share, vmin=0, vmax=1, cmap="Greens")
    short = [abbreviated(label, 24) for label in map(_drawable, labels)]
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
