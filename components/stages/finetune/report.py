"""The reports of the fine-tuning branches: metrics with intervals, examples, learning curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import write_json
from components.core.report import Report
from components.finetuning_data.formats import Preference, count_reasons, reason_lines
from components.instruction_pairs.examples import Passage, PromptPair
from components.reporting.figures import WIDTH, chart, figure, save
from components.reporting.tables import Page, interval, markdown_table, quoted, write_table
from components.stages.finetune.classify import verdict
from components.stages.finetune.instruct import CHOICES, InstructionScores
from components.stages.finetune.preferences import wins
from components.stages.finetune.task_selection import Choice
from components.statistics import Estimate, ratio
from components.training.train_config import TrainResult

Bounded = Estimate | tuple[float, float | None, float | None]
MOST_SHOWN = 12
"""Wrongly classified passages listed."""


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
        metrics |= _numbers("choice_gain", ratio((after.right - before.right).tolist(), None, after.groups))
    metrics["train_loss"] = _last_loss(result)
    rows = [
        {"prompt": pair.prompt, "answer": pair.answer, "before": old, "after": new}
        for pair, old, new in zip(shown.pairs, shown.before, shown.after, strict=True)
    ]
    write_json(reports / "details" / "examples.json", rows)
    _learning(result, "heldout_bits_per_byte", "bits per byte of held-out answers", reports)
    page = _page("Instruction tuning", choice, reports)
    scores = [("bits per byte of the answer", _shown(before.bits_per_byte), _shown(after.bits_per_byte), "")]
    if before.choice is not None and after.choice is not None:
        name = f"share of right answers, one of {CHOICES}"
        scores.append((name, _shown(before.choice), _shown(after.choice), f"{1 / CHOICES:.2f}"))
    caption = f"Scores on {len(after.bits)} held-out pairs before and after tuning, with 95% intervals over documents."
    page.show("score before after guessing", scores, caption)
    page.say(f"Tuning saves {_shown(gain)} bits per byte on the same answers (paired, by document).")
    cells = [[quoted(row[key]) for key in ("prompt", "answer", "before", "after")] for row in rows]
    page.say("What the model answers to held-out prompts, before and after tuning.")
    page.say(markdown_table(("prompt", "answer in the corpus", "before", "after"), cells, "llll"))
    return Report(metrics, page.markdown, _facts(choice, context, 1 / CHOICES))


def classify(
    choice: Choice,
    result: TrainResult,
    probability: np.ndarray,
    rules: Mapping[str, np.ndarray],
    curve: Mapping[int, Mapping[str, np.ndarray]],
    context: int,
    reports: Path,
) -> Report:
    """Write plots and details under `reports` and return the report of classification.

    Args:
        probability: of each class (num_passages, num_labels).
        rules: what else the passages were classified by, name -> classes (num_passages,).
        curve: number of labels -> the same after so many, `this_model` among them.
    """
    passages: Any = choice.examples.heldout
    labels = choice.examples.labels
    predicted = probability.argmax(axis=1)
    ours = verdict(predicted, passages, len(labels))
    metrics = {"heldout_passages": float(len(passages)), "train_passages": float(len(choice.examples.train))}
    metrics |= _numbers("accuracy", ours.accuracy) | _numbers("macro_f1", ours.macro_f1)
    truth, clusters = np.array([passage.label for passage in passages]), [passage.cluster for passage in passages]
    rows = [("this model", _shown(ours.accuracy), _shown(ours.macro_f1), "")]
    for name, guesses in rules.items():
        other = verdict(guesses, passages, len(labels))
        gain = ratio(((predicted == truth).astype(float) - (guesses == truth)).tolist(), None, clusters)
        metrics |= {f"accuracy/{name}": other.accuracy.value} | _numbers(f"gain_over_{name}", gain)
        rows.append((name.replace("_", " "), _shown(other.accuracy), _shown(other.macro_f1), _shown(gain)))
    metrics |= {"accuracy/chance": 1 / len(labels), "classes": float(len(labels)), "train_loss": _last_loss(result)}
    accuracies = {
        count: {name: ratio((guesses == truth).astype(float).tolist(), None, clusters) for name, guesses in row.items()}
        for count, row in sorted(curve.items())
    }
    for count, row in accuracies.items():
        metrics |= {f"accuracy_with_{count}_labels/{name}": score.value for name, score in row.items()}
    confusion = ours.confusion.sum(axis=0).astype(int)
    named = [[label, *row] for label, row in zip(labels, confusion.tolist(), strict=True)]
    write_table(reports / "details" / "confusion.csv", ("true \\ predicted", *labels), named)
    _confusion_plot(labels, confusion, reports / "plots" / "confusion.png")
    _learning(result, "heldout_accuracy", "held-out accuracy", reports)
    page = _page("Classification", choice, reports)
    caption = (
        f"{len(passages)} held-out passages after {len(choice.examples.train)} with labels: this model, and on "
        "the same passages naive Bayes, the same training from random weights, the largest class. The gain is paired."
    )
    page.show("by accuracy macro_F1 this_model's_gain", rows, caption)
    if len(accuracies) > 1:
        _labels_plot(accuracies, reports / "plots" / "labels.png")
        caption = "Accuracy by number of labels: the pretrained model, the same from random weights, naive Bayes."
        page.show("labels pretrained from_scratch naive_Bayes", _by_labels(accuracies), caption)
    page.say(f"Classes: {', '.join(labels)}.")
    wrong = _misread(passages, probability, labels)
    page.table("misread", "true predicted probability text", wrong, "The most confident mistakes.")
    return Report(metrics, page.markdown, _facts(choice, context, 1 / len(labels)))


@dataclass(frozen=True)
class PreferenceScores:
    """Held-out pairs, and the log-probabilities of their answers (N, 2; chosen, rejected) before and after tuning."""

    rows: Sequence[Preference]
    before_N2: np.ndarray
    after_N2: np.ndarray
    beta: float
    num_train: int


def prefer(
    choice: Choice, result: TrainResult, scores: PreferenceScores, answers: list[list[str]], context: int, reports: Path
) -> Report:
    """Write plots and details under `reports` and return the report of preference tuning."""
    rows, clusters = scores.rows, [row.where for row in scores.rows]
    length_N2 = np.array([[len(row.chosen), len(row.rejected)] for row in rows], dtype=np.float64)
    own = wins(scores.after_N2)
    accuracy = ratio(own.tolist(), None, clusters)
    metrics = {"heldout_pairs": float(len(rows)), "train_pairs": float(scores.num_train)}
    metrics |= _numbers("accuracy", accuracy) | {"accuracy/chance": 0.5}
    table = [("this model", _shown(accuracy), "")]
    rules = {"before": ("the model before tuning", scores.before_N2), "longer": ("the longer answer", length_N2)}
    for key, (title, values_N2) in rules.items():
        gain = ratio((own - wins(values_N2)).tolist(), None, clusters)
        other = ratio(wins(values_N2).tolist(), None, clusters)
        metrics |= {f"accuracy/{key}": other.value} | _numbers(f"gain_over_{key}", gain)
        table.append((title, _shown(other), _shown(gain)))
    margins = {name: ratio((logp[:, 0] - logp[:, 1]).astype(float).tolist(), None, clusters)
               for name, logp in (("before", scores.before_N2), ("after", scores.after_N2))}  # fmt: skip
    moved_N2 = (scores.after_N2 - scores.before_N2).astype(float)
    reward = ratio((scores.beta * (moved_N2[:, 0] - moved_N2[:, 1])).tolist(), None, clusters)
    chosen = ratio(moved_N2[:, 0].tolist(), None, clusters)
    metrics |= _numbers("margin_nats", margins["after"]) | {"margin_nats/before": margins["before"].value}
    metrics |= _numbers("reward_margin", reward) | _numbers("chosen_change_nats", chosen)
    metrics["train_loss"] = _last_loss(result)
    _learning(result, "heldout_accuracy", "held-out accuracy", reports)
    page = _page("Preference tuning", choice, reports)
    caption = f"Which of two answers is better: {len(rows)} held-out pairs, 95% intervals. The gain is paired."
    page.show("by accuracy this_model's_gain", table, caption)
    before, after = (_shown(margins[name]) for name in ("before", "after"))
    page.say(
        f"The better answer is likelier by {before} nats before tuning and {after} after; the reward margin, beta "
        f"times the change, is {_shown(reward)} (0 before). The better answer itself changed by {_shown(chosen)} nats: "
        "where that is negative, both answers lost."
    )
    shown = [
        {"prompt": row.prompt[-1].content, "answer": row.chosen, "rejected": row.rejected, "before": old, "after": new}
        for row, old, new in zip(rows, *answers, strict=False)
    ]
    write_json(reports / "details" / "examples.json", shown)
    page.say("What the model answers to held-out prompts, before and after tuning.")
    cells = [[quoted(row[key]) for key in ("prompt", "answer", "rejected", "before", "after")] for row in shown]
    page.say(markdown_table(("prompt", "chosen", "rejected", "before", "after"), cells, "lllll"))
    return Report(metrics, page.markdown, _facts(choice, context, 0.5))


def reinforce(
    choice: Choice, result: TrainResult, before: list[float], after: list[float], history: list[dict[str, float]],
    shown: WrittenAnswers, context: int, reports: Path,
) -> Report:  # fmt: skip
    """Write plots and details under `reports` and return the report of reinforcement learning.

    Args:
        before, after: reward of the model's greedy completion of each held-out prompt.
        history: of every sampling its step and `reinforcement.FIGURES`.
    """
    clusters = [pair.cluster for pair in shown.pairs]
    reward, base = (ratio(values, None, clusters) for values in (after, before))
    gain = ratio((np.array(after) - np.array(before)).tolist(), None, clusters)
    metrics = {"heldout_pairs": float(len(after)), "train_pairs": float(len(choice.examples.train))}
    metrics |= _numbers("reward", reward) | {"reward/before": base.value} | _numbers("gain_over_before", gain)
    names = [name for name in history[0] if name != "step"]
    late = history[-max(1, len(history) // 10) :]
    metrics |= {f"sampled/{name}": float(np.mean([row[name] for row in late])) for name in names}
    metrics["sampled/equal_groups"] = float(np.mean([row["equal_groups"] for row in history]))
    metrics["train_loss"] = _last_loss(result)
    table = [(row["step"], *(f"{row[name]:.6g}" for name in names)) for row in history]
    write_table(reports / "details" / "sampled.csv", ("step", *names), table)
    _learning(result, "heldout_reward", "held-out reward", reports)
    page = _page("Reinforcement learning", choice, reports)
    caption = f"Mean reward of greedy completions of {len(after)} held-out prompts, with 95% intervals."
    page.show("of before after gain", [("reward", _shown(base), _shown(reward), _shown(gain))], caption)
    page.say(
        f"Sampled in the last tenth of the training: reward {metrics['sampled/reward']:.3f}, "
        f"{metrics['sampled/completion_tokens']:.1f} tokens, {metrics['sampled/kl_nats']:.3g} nats per token from the "
        f"model before tuning. {metrics['sampled/equal_groups']:.0%} of all groups had equal rewards, from which "
        "nothing can be learned (details/sampled.csv)."
    )
    rows = [
        {"prompt": pair.prompt, "answer": pair.answer, "before": old, "after": new}
        for pair, old, new in list(zip(shown.pairs, shown.before, shown.after, strict=True))[:MOST_SHOWN]
    ]
    write_json(reports / "details" / "examples.json", rows)
    page.say("What the model answers to held-out prompts, before and after tuning.")
    cells = [[quoted(row[key]) for key in ("prompt", "answer", "before", "after")] for row in rows]
    page.say(markdown_table(("prompt", "right answer", "before", "after"), cells, "llll"))
    return Report(metrics, page.markdown, _facts(choice, context, 0.0))


# -- figures and facts -------------------------------------------------------------------------------------------------


def _bounds(score: Bounded) -> tuple[float, float | None, float | None]:
    return (score.value, score.low, score.high) if isinstance(score, Estimate) else score


def _shown(score: Bounded) -> str:
    return interval(*_bounds(score))


def _numbers(name: str, score: Bounded) -> dict[str, float]:
    """A value and its bounds, where it has any, as metrics."""
    named = zip(("value", "low", "high"), _bounds(score), strict=True)
    return {f"{name}/{key}": number for key, number in named if number is not None}


def _page(title: str, choice: Choice, reports: Path) -> Page:
    """The beginning of a report: the task, those that were skipped, and its note."""
    page = Page(f"{title}: {choice.task.name}", reports)
    page.say(f"Task: {choice.task.title}.")
    page.say(*(f"Skipped: {entry['task']} ({entry['reason']})." for entry in choice.skipped), choice.examples.note)
    if choice.refused or choice.cut:
        cut = [f"{choice.cut} cut to fit the context"] if choice.cut else []
        page.say(f"Rows not used as they are: {'; '.join(reason_lines(choice.refused) + cut)}.")
        rows = [(one.where, one.reason, one.detail) for one in choice.refused]
        write_table(reports / "details" / "refused.csv", ("where", "reason", "detail"), rows)
    return page


def _facts(choice: Choice, context: int, chance: float) -> dict[str, Any]:
    return {
        "task": choice.task.name,
        "title": choice.task.title,
        "skipped": choice.skipped,
        "labels": choice.examples.labels,
        "note": choice.examples.note,
        "context": context,
        "chance": chance,
    } | ({"refused": count_reasons(choice.refused), "cut": choice.cut} if choice.rows else {})


def _last_loss(result: TrainResult) -> float:
    """Mean training loss (nats per target) of the last tenth of the steps."""
    return float(np.mean(result.losses[-max(1, len(result.losses) // 10) :]))


def _misread(passages: Sequence[Passage], probability: np.ndarray, labels: list[str]) -> list[tuple]:
    """Passages given the wrong class, the most confident mistakes first: true, predicted, probability, text."""
    best = probability.max(axis=1).round(6)
    rows = zip(passages, probability.argmax(axis=1).tolist(), best.tolist(), strict=True)
    wrong = sorted(((p, guess, sure) for p, guess, sure in rows if guess != p.label), key=lambda row: -row[2])
    return [(labels[p.label], labels[guess], sure, quoted(p.text, 300)) for p, guess, sure in wrong[:MOST_SHOWN]]


# -- plots -------------------------------------------------------------------------------------------------------------


def _learning(result: TrainResult, metric: str, name: str, reports: Path) -> None:
    """Curves of the training loss and of the held-out figure: tables, and a picture."""
    steps = range(1, len(result.losses) + 1)
    losses = [(step, f"{loss:.6g}") for step, loss in zip(steps, result.losses, strict=True)]
    write_table(reports / "details" / "training_loss.csv", ("step", "loss"), losses)
    evals = [(int(entry["step"]), f"{entry[metric]:.6g}") for entry in result.evals]
    write_table(reports / "details" / f"{metric}.csv", ("step", metric), evals)
    drawing, [left, right] = figure(WIDTH, 2.6, columns=2)
    left.plot(steps, result.losses)
    left.set(title="Training", xlabel="step", ylabel="loss (nats per target)")
    right.plot([entry["step"] for entry in result.evals], [entry[metric] for entry in result.evals], "o-")
    right.set(title="Held out", xlabel="step", ylabel=name)
    save(drawing, reports / "plots" / "learning.png", f"Training loss at each step, and {name} as tuning goes on.")


BY_LABELS = {"this_model": "pretrained", "from_scratch": "from scratch", "naive_bayes": "naive Bayes"}


def line_by_labels(metrics: Mapping[str, float], counts: Sequence[int]) -> str:
    """The accuracies by number of labels in one line, for a terminal."""
    rows = [
        f"{label} " + " ".join(f"{metrics[f'accuracy_with_{count}_labels/{name}']:.2f}" for count in counts)
        for name, label in BY_LABELS.items()
    ]
    return f"held-out accuracy with {', '.join(map(str, counts))} labels: {'; '.join(rows)}"


def _by_labels(accuracies: Mapping[int, Mapping[str, Estimate]]) -> list[list[str]]:
    return [[str(count), *(_shown(row[name]) for name in BY_LABELS)] for count, row in accuracies.items()]


def _labels_plot(accuracies: Mapping[int, Mapping[str, Estimate]], path: Path) -> None:
    counts = list(accuracies)
    caption = "Held-out accuracy by number of labels, pretrained or not: what pretraining is worth."
    with chart(path, caption, xlabel="labels", ylabel="held-out accuracy", xscale="log") as axes:
        for name, label in BY_LABELS.items():
            scores = [row[name] for row in accuracies.values()]
            axes.plot(counts, [score.value for score in scores], "o-", label=label)
        axes.set_xticks(counts, map(str, counts))
        axes.minorticks_off()


def _confusion_plot(labels: list[str], confusion: np.ndarray, path: Path) -> None:
    size = min(WIDTH, 2.4 + 0.45 * len(labels))
    drawing, [axes] = figure(size + 0.8, size)
    share = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    picture = axes.imshow(share, vmin=0, vmax=1, cmap="Greens")
    short = [label if len(label) <= 24 else label[:23] + "…" for label in labels]
    axes.set_xticks(range(len(labels)), short, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), short)
    for row, column in np.ndindex(*confusion.shape):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, str(confusion[row, column]), ha="center", va="center", color=colour)
    axes.set(xlabel="predicted", ylabel="true")
    drawing.colorbar(picture, label="share of the true class")
    save(drawing, path, "Held-out passages by their true class and the class that the model predicts.")
