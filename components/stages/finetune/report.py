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
from components.finetuning_data.rows import Preference, count_reasons, reason_lines
from components.instruction_pairs.examples import PromptPair, conversation
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


Scored = TypeVar("Scored")
Judged = tuple[Scored, Sequence[str]]
"""Scores of a model on the held-out examples, and what it writes for the first of them."""


class TuningReport:
    """The report of a tuning as it is put together: its page, its metrics and its scores.

    Args:
        title: of the page.
        examples: the noun for examples in the names of metrics.
        first: the paragraph that the page begins with.
    """

    def __init__(
        self, title: str, choice: Choice, result: TrainResult, reports: Path, examples: str = "pairs", first: str = ""
    ) -> None:
        self.choice, self.scores = choice, list[Score]()
        self.page = Page(f"{title}: {choice.task.name}", reports)
        self.page.add(first)
        self.page.add(f"Task: {choice.task.title}.")
        self.page.add(*(f"Skipped: {one['task']} ({one['reason']})." for one in choice.skipped), choice.examples.note)
        if result.skipped:
            batches = ", ".join(map(str, result.skipped))
            self.page.add(f"Passed over for a bad loss, so not learned from: batches {batches}.")
        self._report_unused(len(result.losses), reports)
        last = result.losses[-max(1, len(result.losses) // 10) :]
        self.metrics = {"train_loss": float(np.mean(last)), "skipped_batches": float(len(result.skipped))}
        for part, rows in (("heldout", choice.examples.heldout), ("train", choice.examples.train)):
            self.metrics[f"{part}_{examples}"] = float(len(rows))

    def _report_unused(self, steps: int, reports: Path) -> None:
        """Say what was not learned from: rows that so many steps do not see, those refused, those cut."""
        choice = self.choice
        if choice.rows:
            self.page.add(seen_line(choice.branch, len(choice.examples.train), steps, choice.batch))
        if not choice.refused and not choice.cut:
            return
        ends = f" (in training a chat loses its end; {choice.cut_heldout} scored answers the beginning of their prompt)"
        ends = ends if choice.chats else ""
        cut = [f"{choice.cut} cut to fit the context{ends}"] if choice.cut else []
        noun = "Rows" if choice.rows else "Examples"
        self.page.add(f"{noun} not used as they are: {'; '.join(reason_lines(choice.refused) + cut)}.")
        rows = [(row.where, row.reason, row.detail) for row in choice.refused]
        write_table(reports / "details" / "refused.csv", ("where", "reason", "detail"), rows)

    def add_numbers(self, name: str, score: Estimate) -> None:
        """Add a value and its bounds, where it has any, to the metrics."""
        fields = {key: getattr(score, key) for key in ("value", "low", "high")}
        self.metrics |= {f"{name}/{key}": number for key, number in fields.items() if number is not None}

    def add_score(
        self, name: str, score: Estimate, rules: Mapping[str, Baseline] = MappingProxyType({}),
        gain_names: Mapping[str, str] = MappingProxyType({}), **facts: Any,
    ) -> None:  # fmt: skip
        """Add a score beside the best of its rules, the untuned model among them; as metrics beside all of them.

        Args:
            gain_names: rule -> name of the metric of the gain, where it is not `gain_over_rule`.
            facts: fields of `Score`.
        """
        self.add_numbers(name, score)
        for key, rule in rules.items():
            self.metrics[f"{name}/{key}"] = rule.value
            if rule.gain:
                self.add_numbers(gain_names.get(key, f"gain_over_{key}"), rule.gain)
        best = best_baseline([*rules.values()], facts.get("better", "higher")) if rules else None
        if best:
            gains = tuple(rule.gain for rule in rules.values() if rule.gain)
            best = replace(best, against=gains, rules=sum(not rule.needs_model for rule in rules.values()))
        branch = self.choice.branch
        facts |= {"model": f"finetune/{branch}", "measured_by": f"finetune@{branch}", "headline": True}
        self.scores.append(Score.of(f"{branch}/{name}", name.replace("_", " "), score, best, **facts))

    def finished(self, **facts: Any) -> Report:
        """The report, with more facts for facts.json."""
        choice = self.choice
        facts |= {
            "task": choice.task.name,
            "title": choice.task.title,
            "skipped": choice.skipped,
            "labels": choice.examples.labels,
            "note": choice.examples.note,
            "context": choice.context,
            "scores": [score.as_json() for score in self.scores],
            "refused": count_reasons(choice.refused),
            "cut": choice.cut,
        }
        if choice.rows and choice.branch != "classify":
            facts["known_answers"] = choice.known_answers
        return Report(self.metrics, self.page.markdown, facts)


def instruct(
    choice: Choice,
    result: TrainResult,
    judged_before: Judged[InstructionScores],
    judged_after: Judged[InstructionScores],
    reports: Path,
) -> Report:
    """Write plots and details under `reports` and return the report of instruction tuning."""
    (before, old), (after, new) = judged_before, judged_after
    pairs: list[PromptPair] = choice.examples.heldout
    report = TuningReport("Instruction tuning", choice, result, reports)
    saved = (before.bits - after.bits).tolist()
    gain = ratio(saved, after.num_bytes.tolist(), after.clusters, strata=after.strata, paired=True)
    scores = [("bits per byte of the answer", interval_of(before.bits_per_byte), interval_of(after.bits_per_byte), "")]
    chosen_before, chosen_after = before.choice, after.choice
    if chosen_before is not None and chosen_after is not None:
        rules = _choosing_rules(before, after, pairs)
        report.add_score("choice_accuracy", chosen_after, rules, {"before": "choice_gain"}, column="instruct")
        report.metrics["heldout_choices"] = float(len(after.right))
        name, rule = f"share of right answers, one of {CHOICES}", f"{rules['overlap'].value:.3f}"
        scores.append((name, interval_of(chosen_before), interval_of(chosen_after), rule))
    bits = {"before": Baseline("before tuning", before.bits_per_byte.value, gain, needs_model=True)}
    report.add_score(
        "answer_bits_per_byte", after.bits_per_byte, bits, {"before": "gain_bits_per_byte"},
        unit="bits", better="lower", column="answer",
    )  # fmt: skip
    judged: dict[str, Sequence[Any]] = {"stratum": after.strata, "bytes": after.num_bytes.tolist()}
    judged |= {f"bits_{when}": scores.bits.tolist() for when, scores in (("before", before), ("after", after))}
    judged |= {f"right_{when}": scores.right.tolist() for when, scores in (("before", before), ("after", after))}
    judged["answer"] = [pair.answer for pair in pairs]
    prompts = [pair.question for pair in pairs]
    write_heldout(reports, pairs, judged, _ends(prompts))
    learning(result, "heldout_bits_per_byte", "bits per byte of held-out answers", reports)
    caption = (
        f"Scores on {len(after.bits)} held-out pairs before and after tuning, with 95% intervals over "
        f"{after.bits_per_byte.variance}. Guessing gets {1 / CHOICES:.2f} of answers right; the rule takes the answer "
        f"that shares most runs of {RUN} letters with the prompt."
    )
    report.page.show("score before after shared_letters", scores, caption)
    report.page.add(f"Tuning saves {interval_of(gain)} bits per byte on the same answers (paired).")
    report.page.add(known_line(choice.known_answers, len(pairs)))
    listed = {"prompt": prompts, "answer": judged["answer"], "before": old, "after": new}
    _list_answers(report.page, reports, listed, "right answer", SHOWN_CHARS)
    return report.finished()


def _choosing_rules(
    before: InstructionScores, after: InstructionScores, pairs: Sequence[PromptPair]
) -> dict[str, Baseline]:
    """Choices of rules, and of the model before tuning, among the answers."""
    known = {key: (name, right, False) for key, (name, right) in right_by_rule(pairs).items()}
    known["before"] = "before tuning", before.right, True
    rules = dict[str, Baseline]()
    for key, (name, right, is_model) in known.items():
        gain = after.over_choices(after.right - right, paired=True).within(-1, 1)
        rules[key] = Baseline(name, float(np.mean(right)), gain, is_model)
    return rules


def prefer(
    choice: Choice,
    result: TrainResult,
    judged_before: Judged[np.ndarray],
    judged_after: Judged[np.ndarray],
    beta: float,
    reports: Path,
) -> Report:
    """Write plots and details under `reports` and return the report of preference tuning.

    Args:
        judged_before, judged_after: log-probabilities of the held-out answers, (N, 2; chosen,
            rejected).
        beta: of the loss.
    """
    (before_N2, old), (after_N2, new) = judged_before, judged_after
    rows: list[Preference] = choice.examples.heldout
    report = TuningReport("Preference tuning", choice, result, reports)
    clusters = [row.cluster or row.where for row in rows]
    length_N2 = np.array([[len(row.chosen), len(row.rejected)] for row in rows], dtype=np.float64)
    tuned_wins = wins(after_N2)
    accuracy = ratio(tuned_wins.tolist(), None, clusters).within(0, 1)
    table, rules = [("this model", interval_of(accuracy), "")], {"chance": Baseline("guessing", 0.5)}
    for key, title, name, values_N2 in (
        ("before", "the model before tuning", "before tuning", before_N2),
        ("longer", "the longer answer", "longer answer", length_N2),
    ):
        gain = ratio((tuned_wins - wins(values_N2)).tolist(), None, clusters, paired=True).within(-1, 1)
        other = ratio(wins(values_N2).tolist(), None, clusters).within(0, 1)
        rules[key] = Baseline(name, other.value, gain, needs_model=key == "before")
        table.append((title, interval_of(other), interval_of(gain)))
    before, after = (
        ratio((logp_N2[:, 0] - logp_N2[:, 1]).astype(float).tolist(), None, clusters)
        for logp_N2 in (before_N2, after_N2)
    )
    moved_N2 = (after_N2 - before_N2).astype(float)
    reward = ratio((beta * (moved_N2[:, 0] - moved_N2[:, 1])).tolist(), None, clusters)
    chosen = ratio(moved_N2[:, 0].tolist(), None, clusters)
    report.add_score("accuracy", accuracy, rules, column="prefer")
    report.add_score("reward_margin", reward, unit="nats")
    report.add_numbers("margin_nats", after)
    report.metrics["margin_nats/before"] = before.value
    report.add_numbers("chosen_change_nats", chosen)
    judged = {
        f"log_probability_{side}_{when}": values_N2[:, column].tolist()
        for column, side in enumerate(("chosen", "rejected"))
        for when, values_N2 in (("before", before_N2), ("after", after_N2))
    }
    prompts = [conversation(row.prompt) for row in rows]
    write_heldout(reports, rows, judged, _ends(prompts))
    learning(result, "heldout_accuracy", "held-out accuracy", reports)
    caption = f"Which of two answers is better: {len(rows)} held-out pairs, 95% intervals. The gain is paired."
    report.page.show("by accuracy this_model's_gain", table, caption)
    report.page.add(known_line(choice.known_answers, len(rows)))
    report.page.add(
        f"The better answer is likelier by {interval_of(before)} nats before tuning and {interval_of(after)} after; "
        f"the reward margin, beta times the change, is {interval_of(reward)} (0 before). The better answer itself "
        f"changed by {interval_of(chosen)} nats: where that is negative, both answers lost."
    )
    answers = {"answer": [row.chosen for row in rows], "rejected": [row.rejected for row in rows]}
    _list_answers(report.page, reports, {"prompt": prompts, **answers, "before": old, "after": new}, "chosen")
    return report.finished()


def _list_answers(
    page: Page, reports: Path, columns: Mapping[str, Sequence[str]], answer: str, prompt_chars: int = 160
) -> None:
    """List what the model wrote for the first prompts, in details/examples.json and on the page.

    Args:
        answer: what the page calls the column of that name.
    """
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=False)]
    write_json(reports / "details" / "examples.json", rows)
    page.add("What the model answers to held-out prompts, before and after tuning.")
    cells = [[quoted(text, prompt_chars if key == "prompt" else 160) for key, text in row.items()] for row in rows]
    page.add(markdown_table([answer if key == "answer" else key for key in columns], cells, "l" * len(columns)))


# -- figures and facts -------------------------------------------------------------------------------------------------


def interval_of(score: Estimate) -> str:
    """A value with its interval, for a table or a sentence."""
    return interval(score.value, score.low, score.high)


def write_heldout(
    reports: Path, examples: Sequence[Any], judged: Mapping[str, Sequence[object]], texts: Sequence[str]
) -> None:
    """Write `details/heldout.csv`: what each held-out example was judged to be, so that every score can be recomputed.

    Args:
        examples: with `cluster`, what each is resampled with (its work, or the group of a row of
            one's own), and `where`, file and line of a row of one's own, for a column of that name.
        judged: column -> a value per example; fewer where the last were not judged so.
        texts: what was asked, as far as it was read.
    """
    if any(one.where for one in examples):
        judged = {"where": [one.where for one in examples]} | dict(judged)
    clusters = (one.cluster or one.where for one in examples)
    rows = zip_longest(clusters, *judged.values(), texts, fillvalue="")
    write_table(reports / "details" / "heldout.csv", ("cluster", *judged, "text"), rows)


def _ends(texts: Iterable[str]) -> list[str]:
    """The ends of prompts, for a model reads those."""
    return [text if len(text) <= SHOWN_CHARS else "…" + text[1 - SHOWN_CHARS :] for text in texts]


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
