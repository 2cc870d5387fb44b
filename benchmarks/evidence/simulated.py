"""How often a table says "better" where nothing is: rows beside rules, and arms of `study data` beside a control.

A table of scores has eleven rows, the number of the demo's. Each is of ten works, held against four rules of which the
best is as good as the model would be on average over seeds; a seed moves the row as it was measured to over a few
trainings. Arms differ from the control in seeds, and in works that suit one more than the other.
"""

import numpy as np

from benchmarks.evidence.gate import RULE, noisy_runs
from benchmarks.evidence.rates import rate, rate_goal
from components.scores import Baseline, Score
from components.statistics import ratio
from components.studies.data_choices import Arm, gains
from components.verdicts import verdicts

ROWS, RULES, WORKS, TRAININGS = 11, 4, 10, 5
WORK_SD, SEED_SD = 0.03, 0.013
"""Of a gain on one work; of a seed on all works alike (docs/results.md)."""
ARMS, SEEDS = 4, 3


def rows_table(draw: np.random.Generator) -> bool:
    """Whether a table of rows without any true gain over the best rule has one that is called better."""
    scores, works = [], [str(work) for work in range(WORKS)]
    known = draw.normal(0.0, SEED_SD, (ROWS, TRAININGS)).std(axis=1, ddof=1)
    spread = {f" row/{row}": (float(known[row]), TRAININGS) for row in range(ROWS)}
    for row in range(ROWS):
        seed, handicaps = draw.normal(0.0, SEED_SD), [0.0, *draw.exponential(0.05, RULES - 1)]
        beside = [
            ratio((worse + seed + draw.normal(0.0, WORK_SD, WORKS)).tolist(), None, works, paired=True)
            for worse in handicaps
        ]
        baseline = Baseline("rule", 0.5, beside[0], against=tuple(beside), rules=RULES)
        scores.append(Score.of(f"row/{row}", "", beside[0], baseline, model="", measured_by=""))
    return "better" in verdicts(scores, spread).values()


def arms_table(draw: np.random.Generator) -> bool:
    """Whether a table of arms that are like their control has one that is called better."""
    rows, scores = noisy_runs(draw, [0.0] * (1 + ARMS), SEEDS)
    control, *arms = (
        Arm(name, {RULE.primary: of}, runs) for (name, runs), of in zip(scores.items(), rows, strict=True)
    )
    return any(one.verdict == "better" for one in gains([(control, arm) for arm in arms], [RULE.primary]))


def measure(worlds: int) -> tuple[dict, list[dict]]:
    """False alarms of both kinds of table."""
    draw = np.random.default_rng(1)
    rows, arms = (rate(sum(table(draw) for _ in range(worlds)), worlds) for table in (rows_table, arms_table))
    says = f"{ARMS} arms like one control, {SEEDS} seeds each, any called better"
    return {"null_rows_called_better": rows, "null_arms_called_better": arms}, [
        rate_goal("null_rows_called_better", rows, 0.05, "lower", f"{ROWS} rows without a gain, any called better"),
        rate_goal("null_arms_called_better", arms, 0.05, "lower", says),
    ]
