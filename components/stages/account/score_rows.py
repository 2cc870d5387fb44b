"""Scores as the end table and the forest plot show them: each beside its baseline and its counterpart.

A counterpart is the same score under the other condition: without examples in the prompt, without
steps, closed book; for a tuned model what tuning gained. Scores come from the answers of all models
(answers.py), each once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from components.reporting.tables import interval
from components.scores import Score
from components.stages.account.answers import ModelAnswers, NotKnown
from components.statistics import EVEN
from components.verdicts import Verdict, row_name, verdict_text, verdicts

LATER = ("bias", "memorisation", "calibration")
"""Kinds of scores that stand at the end."""


@dataclass(frozen=True)
class ScoreRow:
    """A score with its verdict in words too, and its counterpart in words and figures, if it has one."""

    score: Score
    counterpart: str = ""
    verdict: Verdict | Literal[""] = ""
    verdict_words: str = ""

    @property
    def name(self) -> str:
        """Title of the score, after its short name if it has one; else a tuned model's after its folder's."""
        prefix = self.score.column or (self.score.task if self.score.is_tuned else "")
        return f"{prefix}: {self.score.title}" if prefix else self.score.title

    @property
    def mark(self) -> str:
        """The verdict as a sign in the table: `+` better, `-` worse, `~` not shown, `=` learned, a space no claim."""
        if self.score.ceiling is not None:
            return "=" if self.score.has_learned else "~"
        return {"better": "+", "worse": "-", "not shown": "~", "": " "}[self.verdict]


def all_scores(answers: Mapping[str, ModelAnswers]) -> list[Score]:
    """Scores of every model, each once: those of evaluate, each tuning's first, and those it compares with before."""
    qualities = [one.quality for one in answers.values() if not isinstance(one.quality, NotKnown)]
    unique: dict[tuple[str, str], Score] = {}
    for score in (score for quality in qualities for score in quality.scores):
        if score.measured_by == "evaluate" or score.shows_tuning:
            unique.setdefault((score.model, score.name), score)
        elif score.is_tuned:
            unique.setdefault((score.model, ""), score)
    return list(unique.values())


def score_rows(answers: Mapping[str, ModelAnswers], most: int = 0) -> list[ScoreRow]:
    """Rows of headline scores, paired with their counterparts; at most `most`, if given, of as many tasks as can be."""
    scores = all_scores(answers)
    by_name = {(score.model, score.name): score for score in scores}
    counterparts = {(score.model, score.counterpart) for score in scores if score.counterpart}
    flagged = any(score.headline and score.measured_by == "evaluate" for score in scores)
    rows = [
        _row(score, by_name.get((score.model, score.counterpart)))
        for key, score in by_name.items()
        if key not in counterparts and (score.headline or not flagged)
    ]
    rows.sort(key=lambda row: (row.score.kind in LATER, row.score.measured_by != "evaluate"))
    judged = verdicts([row.score for row in rows])
    with_parts = verdicts(scores) | judged
    rows = [
        replace(row, verdict=judged.get(row_name(row.score), ""), verdict_words=verdict_text(row.score, with_parts))
        for row in rows
    ]
    if not most or len(rows) <= most:
        return rows
    order = sorted(range(len(rows)), key=lambda index: _rank(rows, index))
    return [rows[index] for index in sorted(order[:most])]


def _row(score: Score, counterpart: Score | None) -> ScoreRow:
    """The row of a score; a tuned model's has the gain, one that should be even the value that is."""
    if score.is_tuned and score.gain is not None:
        gain = interval(score.gain, score.gain_low, score.gain_high)
        return ScoreRow(score, gain if gain.startswith("-") else f"+{gain}")
    if score.better == "half":
        return ScoreRow(score, f"even {EVEN['half']:.3f}")
    return ScoreRow(score, f"{score.counterpart_title} {counterpart.value:.3f}" if counterpart else "")


def _rank(rows: list[ScoreRow], index: int) -> tuple[bool, bool, int, bool, bool, int]:
    """Order of rows for room: what pretraining and tuning gain, bias and memorisation, a task's first, paired, tuned.

    Never by how a score came out.
    """
    score = rows[index].score
    earlier = sum((row.score.task, row.score.shows_tuning) == (score.task, score.shows_tuning) for row in rows[:index])
    must_show = score.primary or score.kind in ("bias", "memorisation") or score.shows_tuning
    is_first_of_must_show = must_show and earlier == 0
    unpaired, evaluated = not rows[index].counterpart, score.measured_by == "evaluate"
    return not is_first_of_must_show, not score.headline, earlier, unpaired, evaluated, index
