"""Data choices: which settings of the data make a better model, over works and training seeds, beside one control.

Every arm is trained as often as the control, on as many tokens, and scored on the same held-out
text. A gain is the paired difference of two means over trainings. Its interval covers the works and
the seeds of both sides (noise_floor.py): two arms that differ in seeds alone share no training, so
both sides' seeds count. Holm's correction is over all rows of the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from components.statistics import CONFIDENCE, Difference, Rows, critical_t, difference
from components.studies.noise_floor import POWER, Scores, Side, all_over_seeds, seed_noise
from components.verdicts import LEVEL, PRINTED, Verdict

CONTROL = "as params.yaml says"
"""Name of the arm that the others are held against."""


@dataclass(frozen=True)
class Arm:
    """The trainings of one choice.

    Attributes:
        name: as it was asked for.
        rows: metric -> its items, each the mean over the trainings.
        scores: of each training.
    """

    name: str
    rows: Mapping[str, Rows]
    scores: Sequence[Scores]


@dataclass(frozen=True)
class Gain:
    """Gain of an arm over the control, or over the arm that its name says, in one metric, and its verdict."""

    arm: str
    metric: str
    row: Difference
    verdict: Verdict


def gains(pairs: Sequence[tuple[Arm, Arm]], metrics: Sequence[str]) -> list[Gain]:
    """The gain of each pair's second arm over its first in every metric, over works and seeds, corrected for all."""
    differences, noises, asked = [], {}, []
    for control, arm in pairs:
        name = arm.name if control.name == CONTROL else f"{arm.name}, less {control.name}"
        for metric in metrics:
            row = difference(metric, control.rows[metric], arm.rows[metric])
            assert row is not None, metric
            sides = Side(control.name, control.scores), Side(arm.name, arm.scores)
            key = f"{name}\n{metric}"
            noises[key] = seed_noise(metric, *sides, {control.name: control.scores, arm.name: arm.scores})
            differences.append(replace(row, name=key))
            asked.append((name, metric))
    rows, _ = all_over_seeds(differences, noises.get)
    return [Gain(arm, metric, row, _verdict(row)) for (arm, metric), row in zip(asked, rows, strict=True)]


def _verdict(row: Difference) -> Verdict:
    """Verdict on a difference: nothing is shown below the printed rounding, or without an interval."""
    if row.low is None or row.high is None or row.p_holm >= LEVEL:
        return "not shown"
    sides: tuple[tuple[Literal["better", "worse"], float], ...] = (("better", row.low), ("worse", -row.high))
    return next((name for name, margin in sides if round(margin, PRINTED) > 0.0), "not shown")


def least_gain(deviation: float, seeds: int, rows: int) -> float:
    """The smallest true gain that so many seeds a side show in `POWER` of cases, if all works agree.

    Args:
        deviation: of the score over seeds.
        rows: of the table: the first of Holm's steps divides the level by them.
    """
    freedom, first = 2.0 * (seeds - 1), 1.0 - (1.0 - CONFIDENCE) / rows
    return (critical_t(freedom, first) + critical_t(freedom, 2.0 * POWER - 1.0)) * deviation * (2.0 / seeds) ** 0.5
