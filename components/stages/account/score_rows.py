"""Scores as the end table and the forest plot show them: each beside its baseline and its counterpart.

A counterpart is the same score under the other condition: without examples in the prompt, without steps, closed book,
before tuning. Scores come from the answers of all models (answers.py), each once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from components.stages.account.answers import ModelAnswers, NotKnown, Score

PAIRS = {
    "few_shot": (" 8 examples", " 0 examples", "0 examples"),
    "chain_of_thought": ("with steps", "at once", "at once"),
    "open_book": ("open book", "closed book", "closed book"),
    "context_extension": ("rescaled", "as trained", "as trained"),
}
"""Eval task -> words of the score, words of its counterpart, and the counterpart's name in the table."""
IN_BITS = ("bits_per_byte", "answers", "context_extension")
LATER = ("bias", "memorisation", "calibration")
"""Kinds of scores that stand at the end."""


@dataclass(frozen=True)
class ScoreRow:
    """A score, and its counterpart as words and number, if it has one; words alone for a gain with its interval."""

    score: Score
    counterpart: str = ""
    counterpart_value: float | None = None

    @property
    def name(self) -> str:
        """Name of the score; a tuned model's begin with its folder's name."""
        tuned = self.score.measured_by.removeprefix("finetune@")
        return self.score.name if tuned == self.score.measured_by else f"{tuned}: {self.score.name}"

    @property
    def below(self) -> bool:
        """Whether the score is not shown to be above its baseline."""
        return self.score.baseline is not None and not above(self.score)

    @property
    def unit(self) -> str:
        """What the number is: a share of items, bits, or nats."""
        score = self.score
        if score.better == "zero" or score.value < 0:
            return "nats"
        return "bits" if score.task in IN_BITS or "bits" in score.name or "exposure" in score.name else "share"


def above(score: Score) -> bool:
    """Whether a score lies above its baseline: by its paired gain, or else by its own interval."""
    if score.above_baseline is not None or score.baseline is None:
        return bool(score.above_baseline)
    end = score.high if score.better == "lower" else score.low
    return end is not None and (end < score.baseline if score.better == "lower" else end > score.baseline)


def all_scores(answers: Mapping[str, ModelAnswers]) -> list[Score]:
    """Scores of every model, each once: those of evaluate, each tuning's first, and those it compares with before."""
    known = [one.quality for one in answers.values() if not isinstance(one.quality, NotKnown)]
    unique: dict[tuple[str, ...], Score] = {}
    for score in (score for quality in known for score in quality.scores):
        if not score.measured_by.startswith("pretrain"):
            own_name = score.measured_by == "evaluate" or _gained(score)
            unique.setdefault((score.of, score.name if own_name else ""), score)
    return list(unique.values())


def _gained(score: Score) -> bool:
    """Whether a tuning's score shows what tuning gained: stands beside the model before it, with the paired gain."""
    return score.measured_by != "evaluate" and score.baseline_needs_model and score.gain is not None


def score_rows(answers: Mapping[str, ModelAnswers], most: int = 0) -> list[ScoreRow]:
    """Rows of headline scores, paired with their counterparts; at most `most`, if given, of as many tasks as can be."""
    scores = all_scores(answers)
    flagged = any(score.headline and score.measured_by == "evaluate" for score in scores)
    rows = [row for score in scores if score.headline or not flagged if (row := _paired(score, scores))]
    rows.sort(key=lambda row: (row.score.kind in LATER, row.score.measured_by != "evaluate"))
    if not most or len(rows) <= most:
        return rows
    order = sorted(range(len(rows)), key=lambda index: _rank(rows, index))
    return [rows[index] for index in sorted(order[:most])]


def _rank(rows: list[ScoreRow], index: int) -> tuple[bool, bool, int, bool, bool, int]:
    """Order of rows for room: what pretraining and tuning gain, bias and memorisation, a task's first, paired, tuned.

    Never by how a score came out.
    """
    score = rows[index].score
    place = sum((row.score.task, _gained(row.score)) == (score.task, _gained(score)) for row in rows[:index])
    wanted = bool(rows[index].counterpart)
    always = score.task in ("bits_per_byte", "masked") or score.kind in ("bias", "memorisation") or _gained(score)
    return not always or place > 0, not score.headline, place, not wanted, score.measured_by == "evaluate", index


def _gain(gain: float, low: float | None, high: float | None) -> str:
    """A paired gain with its interval in words."""
    return f"{gain:+.2f}" + ("" if low is None or high is None else f" [{low:.2f}, {high:.2f}]")


def _paired(score: Score, scores: Iterable[Score]) -> ScoreRow | None:
    """The row of a score; None if it is shown as the counterpart of another."""
    if score.measured_by != "evaluate" and score.gain is not None:
        return ScoreRow(score, _gain(score.gain, score.gain_low, score.gain_high))
    if score.task == "sentence_pairs":
        return ScoreRow(score, "even", 0.5)
    this, other, name = PAIRS.get(score.task, ("", "", ""))
    if not this:
        return ScoreRow(score)
    if other in score.name:
        return None if any(row.task == score.task and this in row.name for row in scores) else ScoreRow(score)
    wanted = score.name.replace(this, other)
    others = [row for row in scores if row.task == score.task and other in row.name and this in score.name]
    match = next((row for row in others if row.name == wanted), others[0] if others else None)
    return ScoreRow(score, name, match.value) if match else ScoreRow(score)
