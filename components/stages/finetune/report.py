"""The reports of the two fine-tuning branches: metrics with intervals, examples, learning curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import rounded, write_json
from components.core.report import Report
from components.instruction_pairs.examples import Passage, PromptPair
from components.reporting.figures import figure, save
from components.reporting.tables import markdown_table, write_table
from components.stages.finetune.classify import ClassifierScores, verdict
from components.stages.finetune.instruct import CHOICES, InstructionScores
from components.stages.finetune.task_selection import Choice
from components.statistics import Estimate, ratio
from components.training.train_config import TrainResult

MOST_SHOWN = 12
"""Misread passages listed."""


@dataclass(frozen=True)
class WrittenAnswers:
    """Held-out pairs and what the model wrote for them before and after tuning."""

    pairs: Sequence[PromptPair]
    before: Sequence[str]
    after: Sequence[str]


def instruct(
    choice: Choice,
    result: TrainResult,
    before: InstructionScores,
    after: InstructionScores,
    shown: WrittenAnswers,
    context: int,
    reports: Path,
) -> Report:
    """Write plots and details under `reports` and return the report of instruction tuning."""
    gain = ratio((before.bits - after.bits).tolist(), after.num_bytes.tolist(), after.clusters)
    metrics = {"heldout_pairs": float(len(after.bits)), "train_pairs": float(len(choice.examples.train))}
    metrics |= _numbers("answer_bits_per_byte", after.bits_per_byte) | {
        "answer_bits_per_byte/before": before.bits_per_byte.value
    }
    metrics |= _numbers("gain_bits_per_byte", gain)
    if before.choice is not None and after.choice is not None:
        metrics |= _numbers("choice_accuracy", after.choice)
        metrics |= {"choice_accuracy/before": before.choice.value, "choice_accuracy/chance": 1 / CHOICES}
    metrics["train_loss"] = _last_loss(result)
    rows = [
        {"prompt": pair.prompt, "answer": pair.answer, "before": old, "after": new}
        for pair, old, new in zip(shown.pairs, shown.before, shown.after, strict=True)
    ]
    write_json(reports / "details" / "examples.json", rows)
    _learning(result, "heldout_bits_per_byte", "bits per byte of held-out answers", reports)
    text = _instruct_text(choice, metrics, before, after, rows)
    return Report(metrics, text, _facts(choice, context, 1 / CHOICES))


def classify(
    choice: Choice, result: TrainResult, probability: np.ndarray, bayes: np.ndarray, context: int, reports: Path
) -> Report:
    """Write plots and details under `reports` and return the report of classification."""
    passages: Any = choice.examples.heldout
    labels = choice.examples.labels
    predicted = probability.argmax(axis=1)
    ours, counting = (verdict(guess, passages, len(labels)) for guess in (predicted, bayes))
    truth = np.bincount([passage.label for passage in passages], minlength=len(labels))
    metrics = {"heldout_passages": float(len(passages)), "train_passages": float(len(choice.examples.train))}
    metrics |= _numbers("accuracy", ours.accuracy) | _numbers("macro_f1", ours.macro_f1)
    metrics |= {
        "accuracy/chance": 1 / len(labels),
        "accuracy/majority": float(truth.max() / truth.sum()),
        "accuracy/naive_bayes": counting.accuracy.value,
        "macro_f1/naive_bayes": counting.macro_f1[0],
        "classes": float(len(labels)),
        "train_loss": _last_loss(result),
    }
    confusion = ours.confusion.sum(axis=0).astype(int)
    write_table(reports / "details" / "confusion.csv", ("true \\ predicted", *labels), _named(labels, confusion))
    write_json(reports / "details" / "misread.json", _misread(passages, probability, labels))
    _confusion_plot(labels, confusion, reports / "plots" / "confusion.png")
    _learning(result, "heldout_accuracy", "held-out accuracy", reports)
    return Report(metrics, _classify_text(choice, metrics, ours), _facts(choice, context, 1 / len(labels)))


# -- figures and facts -------------------------------------------------------------------------------------------------


def _numbers(name: str, found: Estimate | tuple[float, float | None, float | None]) -> dict[str, float]:
    """A value and its bounds, where it has any, as metrics."""
    value, low, high = (found.value, found.low, found.high) if isinstance(found, Estimate) else found
    named = {f"{name}/value": value, f"{name}/low": low, f"{name}/high": high}
    return {key: number for key, number in named.items() if number is not None}


def _facts(choice: Choice, context: int, chance: float) -> dict[str, Any]:
    return {
        "task": choice.task.name,
        "title": choice.task.title,
        "skipped": choice.skipped,
        "labels": choice.examples.labels,
        "note": choice.examples.note,
        "context": context,
        "chance": chance,
    }


def _last_loss(result: TrainResult) -> float:
    """Mean training loss (nats per target) of the last tenth of the steps."""
    return float(np.mean(result.losses[-max(1, len(result.losses) // 10) :]))


def _misread(passages: Sequence[Passage], probability: np.ndarray, labels: list[str]) -> list[dict[str, Any]]:
    """Passages given the wrong class, the surest mistakes first."""
    predicted = probability.argmax(axis=1)
    wrong = [index for index, passage in enumerate(passages) if predicted[index] != passage.label]
    wrong.sort(key=lambda index: (-round(float(probability[index].max()), 6), index))
    return [
        {
            "text": passages[index].text[:300],
            "true": labels[passages[index].label],
            "predicted": labels[predicted[index]],
            "probability": rounded(float(probability[index].max()), 4),
        }
        for index in wrong[:MOST_SHOWN]
    ]


# -- text --------------------------------------------------------------------------------------------------------------


def _instruct_text(
    choice: Choice,
    metrics: dict[str, float],
    before: InstructionScores,
    after: InstructionScores,
    rows: list[dict[str, str]],
) -> str:
    lines = [f"# Instruction tuning: {choice.task.name}", "", f"Task: {choice.task.title}.", *_skipped(choice)]
    scores: list[tuple[str, ...]] = [
        ("bits per byte of the answer", f"{before.bits_per_byte.value:.3f}", _with_bounds(after.bits_per_byte))
    ]
    if before.choice is not None and after.choice is not None:
        old, new = _with_bounds(before.choice), _with_bounds(after.choice)
        scores.append((f"right answer of {CHOICES}", old, new, f"{1 / CHOICES:.2f}"))
    lines += [choice.examples.note, "", markdown_table(("held-out pairs", "before", "after", "chance"), scores, "llll")]
    gain = _with_bounds((metrics["gain_bits_per_byte/value"], *_bounds(metrics, "gain_bits_per_byte")))
    lines += ["", f"Tuning saves {gain} bits per byte on the same answers (paired, by document).", ""]
    cells = [[_cell(row[key]) for key in ("prompt", "answer", "before", "after")] for row in rows]
    return "\n".join([*lines, markdown_table(("prompt", "answer in the corpus", "before", "after"), cells, "llll")])


def _classify_text(choice: Choice, metrics: dict[str, float], ours: ClassifierScores) -> str:
    lines = [f"# Classification: {choice.task.name}", "", f"Task: {choice.task.title}.", *_skipped(choice)]
    accuracy = [f"{metrics[f'accuracy/{name}']:.3f}" for name in ("naive_bayes", "majority", "chance")]
    rows = [
        ("accuracy", _with_bounds(ours.accuracy), *accuracy),
        ("macro F1", _with_bounds(ours.macro_f1), f"{metrics['macro_f1/naive_bayes']:.3f}"),
    ]
    table = markdown_table(("held-out passages", "model", "naive Bayes", "majority", "chance"), rows, "lllll")
    lines += [choice.examples.note, "", table, "", f"Classes: {', '.join(choice.examples.labels)}."]
    return "\n".join(lines)


def _skipped(choice: Choice) -> list[str]:
    return [f"Passed over: {entry['task']} ({entry['reason']})." for entry in choice.skipped]


def _bounds(metrics: dict[str, float], name: str) -> tuple[float | None, float | None]:
    return metrics.get(f"{name}/low"), metrics.get(f"{name}/high")


def _with_bounds(found: Estimate | tuple[float, float | None, float | None]) -> str:
    value, low, high = (found.value, found.low, found.high) if isinstance(found, Estimate) else found
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _cell(text: str, most: int = 160) -> str:
    """Text for a Markdown table: one line, no pipes, no markup."""
    line = " ".join(text.split())
    line = line if len(line) <= most else line[: most - 1] + "…"
    return "`" + line.replace("`", "'").replace("|", "\\|") + "`" if line else ""


# -- tables and plots --------------------------------------------------------------------------------------------------


def _named(labels: list[str], confusion: np.ndarray) -> list[list[object]]:
    return [[label, *row] for label, row in zip(labels, confusion.tolist(), strict=True)]


def _learning(result: TrainResult, metric: str, name: str, reports: Path) -> None:
    """Curves of the training loss and of the held-out figure: CSV for `dvc plots`, and a picture."""
    steps = range(1, len(result.losses) + 1)
    losses = [(step, f"{loss:.6g}") for step, loss in zip(steps, result.losses, strict=True)]
    write_table(reports / "plots" / "training_loss.csv", ("step", "loss"), losses)
    evals = [(int(entry["step"]), f"{entry[metric]:.6g}") for entry in result.evals]
    write_table(reports / "plots" / f"{metric}.csv", ("step", metric), evals)
    drawing, [left, right] = figure(9, 3.4, columns=2)
    left.plot(steps, result.losses)
    left.set(title="Training loss", xlabel="step", ylabel="nats per target")
    right.plot([entry["step"] for entry in result.evals], [entry[metric] for entry in result.evals], "o-")
    right.set(title="Held-out examples", xlabel="step", ylabel=name)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    save(drawing, reports / "plots" / "learning.png")


def _confusion_plot(labels: list[str], confusion: np.ndarray, path: Path) -> None:
    size = 2.6 + 0.45 * len(labels)
    drawing, [axes] = figure(size + 0.8, size)
    share = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    picture = axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    short = [label if len(label) <= 24 else label[:23] + "…" for label in labels]
    axes.set_xticks(range(len(labels)), short, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), short)
    for row, column in np.ndindex(*confusion.shape):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, str(confusion[row, column]), ha="center", va="center", color=colour)
    axes.set(title="Held-out passages", xlabel="predicted", ylabel="true")
    drawing.colorbar(picture, label="share of the true class")
    save(drawing, path)
