"""The reports of the branches that tune on answers, and what all share: metrics with intervals, learning curves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from components.core.files import write_json
from components.core.report import Report
from components.finetuning_data.coverage import known_line, seen_line
from components.finetuning_data.rows import Message, Preference, conversation, count_reasons, reason_lines
from components.instruction_pairs.examples import PromptPair
from components.reporting.figures import WIDTH, figure, save
from components.reporting.tables import Page, interval, markdown_table, quoted, write_table
from components.scores import Baseline, Score, best_baseline
from components.stages.finetune.instruct import CHOICES, RUN, InstructionScores, right_by_rule
from components.stages.finetune.preferences import wins
from components.stages.finetune.task_selection import Choice
from components.statistics import Estimate, ratio
from components.training.train_config import TrainResult

MOST_SHOWN, SHOWN_CHARS = 12, 300
"""Examples listed; characters of a text in a table."""
ONE_RIGHT = {"prompt": "prompt", "answer": "right answer", "before": "before", "after": "after"}
CHOSEN = {"prompt": "prompt", "answer": "chosen", "rejected": "rejected", "before": "before", "after": "after"}
"""Key of details/examples.json -> title in the report, where one answer is right and where one of two is better."""


Scored = TypeVar("Scored")
Judged = tuple[Scored, Sequence[str]]
"""Scores of a model on the held-out examples, and what it writes for the first of them."""


def instruct(
    choice: Choice,
    result: TrainResult,
    judged_before: Judged[InstructionScores],
    judged_after: Judged[InstructionScores],
    context: int,
    reports: Path,
) -> Report:
    """Write plots and details under `reports` and return the report of instruction tuning."""
    (before, old), (after, new) = judged_before, judged_after
    pairs: list[PromptPair] = choice.examples.heldout
    saved = (before.bits - after.bits).tolist()
    gain = ratio(saved, after.num_bytes.tolist(), after.clusters, strata=after.strata, paired=True)
    metrics = {"heldout_pairs": float(len(after.bits)), "train_pairs": float(len(choice.examples.train))}
    bits = {"before": Baseline("before tuning", before.bits_per_byte.value, gain, needs_model=True)}
    metrics |= beside("answer_bits_per_byte", after.bits_per_byte, bits, {"before": "gain_bits_per_byte"})
    scored = [
        score_of(
            choice, "answer_bits_per_byte", after.bits_per_byte, bits, unit="bits", better="lower", column="answer"
        )
    ]
    rules: dict[str, Baseline] = {}
    if before.choice is not None and after.choice is not None:
        known = {key: (name, right, False) for key, (name, right) in right_by_rule(pairs).items()}
        known["before"] = "before tuning", before.right, True
        for key, (name, right, model) in known.items():
            over = after.over_choices(after.right - right, paired=True).within(-1, 1)
            rules[key] = Baseline(name, float(np.mean(right)), over, model)
        metrics |= beside("choice_accuracy", after.choice, rules, {"before": "choice_gain"})
        metrics["heldout_choices"] = float(len(after.right))
        scored.insert(0, score_of(choice, "choice_accuracy", after.choice, rules, column="instruct"))
    metrics |= of_training(result)
    judged: dict[str, Sequence[object]] = {"stratum": after.strata, "bytes": after.num_bytes.tolist()}
    judged |= {f"bits_{when}": scores.bits.tolist() for when, scores in (("before", before), ("after", after))}
    judged |= {f"right_{when}": scores.right.tolist() for when, scores in (("before", before), ("after", after))}
    judged["answer"] = [pair.answer for pair in pairs]
    write_heldout(reports, after.clusters, judged, _ends(map(asked, pairs)), [pair.where for pair in pairs])
    learning(result, "heldout_bits_per_byte", "bits per byte of held-out answers", reports)
    page = page_of("Instruction tuning", choice, result, reports)
    scores = [("bits per byte of the answer", interval_of(before.bits_per_byte), interval_of(after.bits_per_byte), "")]
    if before.choice is not None and after.choice is not None:
        name = f"share of right answers, one of {CHOICES}"
        rule = f"{rules['overlap'].value:.3f}"
        scores.append((name, interval_of(before.choice), interval_of(after.choice), rule))
    caption = (
        f"Scores on {len(after.bits)} held-out pairs before and after tuning, with 95% intervals over "
        f"{after.bits_per_byte.variance}. Guessing gets {1 / CHOICES:.2f} of answers right; the rule takes the answer "
        f"that shares most runs of {RUN} letters with the prompt."
    )
    page.show("score before after shared_letters", scores, caption)
    page.say(f"Tuning saves {interval_of(gain)} bits per byte on the same answers (paired).")
    _say_known(page, choice)
    examples = [
        {"prompt": asked(pair), "answer": pair.answer, "before": first, "after": last}
        for pair, first, last in zip(pairs, old, new, strict=False)
    ]
    _list_examples(page, examples, ONE_RIGHT, reports, SHOWN_CHARS)
    return Report(metrics, page.markdown, facts_of(choice, context, scored))


def prefer(
    choice: Choice,
    result: TrainResult,
    judged_before: Judged[np.ndarray],
    judged_after: Judged[np.ndarray],
    beta: float,
    context: int,
    reports: Path,
) -> Report:
    """Write plots and details under `reports` and return the report of preference tuning.

    Args:
        judged_before, judged_after: log-probabilities of the held-out answers, (N, 2; chosen, rejected).
        beta: of the loss.
    """
    (before_N2, old), (after_N2, new) = judged_before, judged_after
    rows: list[Preference] = choice.examples.heldout
    clusters = [row.cluster or row.where for row in rows]
    length_N2 = np.array([[len(row.chosen), len(row.rejected)] for row in rows], dtype=np.float64)
    own = wins(after_N2)
    accuracy = ratio(own.tolist(), None, clusters).within(0, 1)
    metrics = {"heldout_pairs": float(len(rows)), "train_pairs": float(len(choice.examples.train))}
    table, rules = [("this model", interval_of(accuracy), "")], {"chance": Baseline("guessing", 0.5)}
    for key, title, name, values_N2 in (
        ("before", "the model before tuning", "before tuning", before_N2),
        ("longer", "the longer answer", "longer answer", length_N2),
    ):
        gain = ratio((own - wins(values_N2)).tolist(), None, clusters, paired=True).within(-1, 1)
        other = ratio(wins(values_N2).tolist(), None, clusters).within(0, 1)
        rules[key] = Baseline(name, other.value, gain, needs_model=key == "before")
        table.append((title, interval_of(other), interval_of(gain)))
    metrics |= beside("accuracy", accuracy, rules)
    margins = {name: ratio((logp[:, 0] - logp[:, 1]).astype(float).tolist(), None, clusters)
               for name, logp in (("before", before_N2), ("after", after_N2))}  # fmt: skip
    moved_N2 = (after_N2 - before_N2).astype(float)
    reward = ratio((beta * (moved_N2[:, 0] - moved_N2[:, 1])).tolist(), None, clusters)
    chosen = ratio(moved_N2[:, 0].tolist(), None, clusters)
    metrics |= numbers("margin_nats", margins["after"]) | {"margin_nats/before": margins["before"].value}
    metrics |= numbers("reward_margin", reward) | numbers("chosen_change_nats", chosen)
    metrics |= of_training(result)
    judged = {
        f"log_probability_{side}_{when}": values_N2[:, column].tolist()
        for column, side in enumerate(("chosen", "rejected"))
        for when, values_N2 in (("before", before_N2), ("after", after_N2))
    }
    prompts = [conversation(row.prompt) for row in rows]
    write_heldout(reports, clusters, judged, _ends(prompts), [row.where for row in rows])
    learning(result, "heldout_accuracy", "held-out accuracy", reports)
    page = page_of("Preference tuning", choice, result, reports)
    caption = f"Which of two answers is better: {len(rows)} held-out pairs, 95% intervals. The gain is paired."
    page.show("by accuracy this_model's_gain", table, caption)
    _say_known(page, choice)
    before, after = (interval_of(margins[name]) for name in ("before", "after"))
    page.say(
        f"The better answer is likelier by {before} nats before tuning and {after} after; the reward margin, beta "
        f"times the change, is {interval_of(reward)} (0 before). The better answer itself changed by "
        f"{interval_of(chosen)} nats: where that is negative, both answers lost."
    )
    examples = [
        {"prompt": prompt, "answer": row.chosen, "rejected": row.rejected, "before": first, "after": last}
        for prompt, row, first, last in zip(prompts, rows, old, new, strict=False)
    ]
    _list_examples(page, examples, CHOSEN, reports)
    scored = [
        score_of(choice, "accuracy", accuracy, rules, column="prefer"),
        score_of(choice, "reward_margin", reward, {}, unit="nats"),
    ]
    return Report(metrics, page.markdown, facts_of(choice, context, scored))


def _say_known(page: Page, choice: Choice) -> None:
    """Say beside a gain how many held-out answers are training answers too."""
    if line := known_line(choice.known_answers, len(choice.examples.heldout)):
        page.say(f"{line}.")


def _list_examples(
    page: Page, rows: list[dict[str, str]], titles: Mapping[str, str], reports: Path, prompt_chars: int = 160
) -> None:
    """List what the model wrote, in details/examples.json and on the page."""
    write_json(reports / "details" / "examples.json", rows)
    page.say("What the model answers to held-out prompts, before and after tuning.")
    cells = [[quoted(row[key], prompt_chars if key == "prompt" else 160) for key in titles] for row in rows]
    page.say(markdown_table(list(titles.values()), cells, "l" * len(titles)))


# -- figures and facts -------------------------------------------------------------------------------------------------


def interval_of(score: Estimate) -> str:
    """A value with its interval, for a table or a sentence."""
    return interval(score.value, score.low, score.high)


def numbers(name: str, score: Estimate) -> dict[str, float]:
    """A value and its bounds, where it has any, as metrics."""
    fields = {key: getattr(score, key) for key in ("value", "low", "high")}
    return {f"{name}/{key}": number for key, number in fields.items() if number is not None}


def beside(
    name: str, score: Estimate, rules: Mapping[str, Baseline], gain_names: Mapping[str, str] = MappingProxyType({})
) -> dict[str, float]:
    """A score, its rules' (`name/rule`) and the gains over them, as metrics.

    Args:
        gain_names: rule -> name of the gain, where it is not `gain_over_rule`.
    """
    metrics = numbers(name, score) | {f"{name}/{key}": rule.value for key, rule in rules.items()}
    for key, rule in rules.items():
        if rule.gain:
            metrics |= numbers(gain_names.get(key, f"gain_over_{key}"), rule.gain)
    return metrics


def score_of(choice: Choice, name: str, score: Estimate, rules: Mapping[str, Baseline], **facts: Any) -> Score:
    """A score of a tuned model beside the best of its rules, the untuned model among them."""
    best = best_baseline([*rules.values()], facts.get("better", "higher")) if rules else None
    if best:
        gains = tuple(rule.gain for rule in rules.values() if rule.gain)
        best = replace(best, against=gains, rules=sum(not rule.needs_model for rule in rules.values()))
    facts |= {"model": f"finetune/{choice.branch}", "measured_by": f"finetune@{choice.branch}", "headline": True}
    return Score.of(f"{choice.branch}/{name}", name.replace("_", " "), score, best, **facts)


def page_of(title: str, choice: Choice, result: TrainResult, reports: Path, first: str = "") -> Page:
    """The beginning of a report: `first`, the task, those skipped, its note, and what was not learned from."""
    page = Page(f"{title}: {choice.task.name}", reports)
    page.say(first)
    page.say(f"Task: {choice.task.title}.")
    page.say(*(f"Skipped: {entry['task']} ({entry['reason']})." for entry in choice.skipped), choice.examples.note)
    if result.skipped:
        page.say(f"Passed over for a bad loss, so not learned from: batches {', '.join(map(str, result.skipped))}.")
    few = seen_line(choice.branch, len(choice.examples.train), len(result.losses), choice.batch)
    if choice.rows and few:
        page.say(f"{few}.")
    if choice.refused or choice.cut:
        ends = f" (in training a chat loses its end; {choice.cut_heldout} scored answers the beginning of their prompt)"
        ends = ends if choice.chats else ""
        cut = [f"{choice.cut} cut to fit the context{ends}"] if choice.cut else []
        noun = "Rows" if choice.rows else "Examples"
        page.say(f"{noun} not used as they are: {'; '.join(reason_lines(choice.refused) + cut)}.")
        rows = [(row.where, row.reason, row.detail) for row in choice.refused]
        write_table(reports / "details" / "refused.csv", ("where", "reason", "detail"), rows)
    return page


def facts_of(choice: Choice, context: int, scores: Sequence[Score]) -> dict[str, Any]:
    """What facts.json says of a tuning."""
    return {
        "task": choice.task.name,
        "title": choice.task.title,
        "skipped": choice.skipped,
        "labels": choice.examples.labels,
        "note": choice.examples.note,
        "context": context,
        "scores": [score.as_json() for score in scores],
        "refused": count_reasons(choice.refused),
        "cut": choice.cut,
    } | ({"known_answers": choice.known_answers} if choice.rows and choice.branch != "classify" else {})


def asked(pair: PromptPair) -> str:
    """The prompt of a pair with the turns before it, to read."""
    return conversation([*(Message(*turn) for turn in pair.history), Message("user", pair.prompt)])


def write_heldout(
    reports: Path, clusters: Sequence[str], judged: Mapping[str, Sequence[object]], texts: Sequence[str],
    places: Sequence[str],
) -> None:  # fmt: skip
    """Write `details/heldout.csv`: what each held-out example was judged to be, so that every score can be recomputed.

    Args:
        clusters: what an example is resampled with: its work, or the group of a row of one's own.
        judged: column -> a value per example; fewer where the last were not judged so.
        texts: what was asked, as far as it was read.
        places: file and line of rows of one's own, for a column `where`; empty ones for examples of a corpus.
    """
    if any(places):
        judged = {"where": places} | dict(judged)
    rows = zip_longest(clusters, *judged.values(), texts, fillvalue="")
    write_table(reports / "details" / "heldout.csv", ("cluster", *judged, "text"), rows)


def _ends(texts: Iterable[str]) -> list[str]:
    """The ends of prompts, for a model reads those."""
    return [text if len(text) <= SHOWN_CHARS else "…" + text[1 - SHOWN_CHARS :] for text in texts]


def of_training(result: TrainResult) -> dict[str, float]:
    """Mean training loss (nats per target) of the last tenth of the steps, and how many batches were passed over."""
    last = result.losses[-max(1, len(result.losses) // 10) :]
    return {"train_loss": float(np.mean(last)), "skipped_batches": float(len(result.skipped))}


# -- plots -------------------------------------------------------------------------------------------------------------


def learning(result: TrainResult, metric: str, name: str, reports: Path) -> None:
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
