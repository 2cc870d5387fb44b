"""How often a table says "better" where nothing is: rows and arms that differ from what they are held against in noise.

A table has eleven rows, the number of the demo's. Each is of ten works, held against four rules of which the best is
as good as the model would be on average over seeds; a seed moves the row as it was measured to over a few trainings.
"""

import numpy as np

from benchmarks.evidence.rates import rate, rate_goal
from components.scores import Baseline, Score
from components.statistics import ratio
from components.verdicts import verdicts

ROWS, RULES, WORKS, TRAININGS, ARMS = 11, 4, 10, 5, 4
WORK_SD, SEED_SD = 0.03, 0.013
"""Of a gain on one work; of a seed on all works alike (docs/results.md)."""


def table(draw: np.random.Generator, rules: int, rows: int, common: float = 0.0) -> bool:
    """Whether a table without any true gain has a row that is called better.

    Args:
        rules: that a row is held against. common: what one training gives to all rows alike.
    """
    works, scores = [str(work) for work in range(WORKS)], []
    known = draw.normal(0.0, SEED_SD, (rows, TRAININGS)).std(axis=1, ddof=1)
    spread = {f" row/{row}": (float(known[row]), TRAININGS) for row in range(rows)}
    for row in range(rows):
        seed = draw.normal(0.0, SEED_SD) + common
        handicaps = [0.0, *draw.exponential(0.05, rules - 1)]
        gains = [
            ratio((worse + seed + draw.normal(0.0, WORK_SD, WORKS)).tolist(), None, works, paired=True)
            for worse in handicaps
        ]
        beside = Baseline("rule", 0.5, gains[0], against=tuple(gains))
        scores.append(Score.of(f"row/{row}", "", gains[0], beside, model="", measured_by=""))
    return "better" in verdicts(scores, spread).values()


def measure(worlds: int) -> tuple[dict, list[dict]]:
    """False alarms of tables of rows, and of tables of arms beside one control."""
    draw = np.random.default_rng(1)
    rows = rate(sum(table(draw, RULES, ROWS) for _ in range(worlds)), worlds)
    arms = rate(sum(table(draw, 1, ARMS, draw.normal(0.0, SEED_SD)) for _ in range(worlds)), worlds)
    return {"null_rows_called_better": rows, "null_arms_called_better": arms}, [
        rate_goal("null_rows_called_better", rows, 0.05, "lower", f"{ROWS} rows without a gain, any called better"),
        rate_goal("null_arms_called_better", arms, 0.05, "lower", f"{ARMS} arms like one control, any called better"),
    ]
