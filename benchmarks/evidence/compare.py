"""How often `compare` says "the change of settings does it" where A = B in truth, and how often where B is better.

A table has rows in bits per byte, each a task of its own, of works with four documents each. A training's seed moves
all documents of a row together, each document moves by itself, and B suits some works more than others (mean zero).
Which noise of seeds is used is decided as `compare` does: measured if enough trainings are known, else the one that
ships, estimated here in ten trainings of standard deviation `SHIPPED_SD` in every world anew, whatever the true one is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from unittest.mock import patch

import numpy as np

from benchmarks.evidence.gate import item_rows
from benchmarks.evidence.rates import rate
from benchmarks.results import goal
from components.statistics import Difference, Rows, paired_rows
from components.studies.noise_floor import Side, all_over_seeds
from components.verdicts import LEVEL
from flows.tracking import seed_runs
from flows.tracking.seed_runs import Compared, SeedRuns

DOCUMENTS, DOCUMENT_SD, WORK_SD = 4, 0.02, 0.02
SHIPPED_SD, SHIPPED_TRAININGS = 0.0043, 10
MODEL = "pretrain/causal"
SHAPES: dict[str, Callable[..., np.ndarray]] = {
    "normal": lambda draw, size: draw.normal(size=size),
    "gamma": lambda draw, size: draw.gamma(1.0, size=size) - 1.0,
    "lognormal": lambda draw, size: (draw.lognormal(size=size) - np.e**0.5) / (np.e**2 - np.e) ** 0.5,
}
"""Effects of works with mean 0 and standard deviation 1; of skewness 0, 2 and 6.2."""
SIZES: dict[str, Callable[..., np.ndarray]] = {
    "normal": lambda draw, size: draw.lognormal(8.0, 0.3, size),
    "gamma": lambda draw, size: 3000.0 * draw.gamma(1.0, size=size) + 1.0,
    "lognormal": lambda draw, size: draw.lognormal(8.0, 1.0, size),
}
JUMP, JUMPS = 0.1, 0.1
"""By how much, and in which share of trainings, a row of the world "jumps" is worse: an ability not learned."""


@dataclass(frozen=True)
class Cell:
    """Worlds of one kind.

    Attributes:
        shape: of the works' effects and sizes.
        seed_sd: by how much a seed moves a row.
        trainings: of A and of B, by other settings.
        known: trainings of the one setting of both, among them the one of each; 0 if there are two settings.
        gain: of B over A in row 0.
        seeds: "alike" in all rows; "one row", which seeds move three times as much; "jumps".
    """

    rows: int
    works: int
    shape: str
    seed_sd: float
    trainings: tuple[int, int]
    known: int = 0
    gain: float = 0.0
    work_sd: float = WORK_SD
    seeds: str = "alike"

    @property
    def label(self) -> str:
        """Its levels in words."""
        a, b = self.trainings
        runs = f"two of {self.known} of one setting" if self.known else f"{a} and {b}" if a != b else f"{a} a side"
        levels = f"{self.rows} rows, {self.works} works, {self.shape}, seed sd {self.seed_sd:g}, trainings {runs}"
        return levels + f", seeds {self.seeds}" * (self.seeds != "alike")

    def moved(self, draw: np.random.Generator, trainings: int) -> np.ndarray:
        """By how much seeds move the rows, (rows, trainings, 1)."""
        moves = draw.normal(0.0, self.seed_sd, (self.rows, trainings, 1))
        if self.seeds == "one row":
            moves[0] *= 3.0
        return moves + JUMP * (draw.random(moves.shape) < JUMPS) if self.seeds == "jumps" else moves

    def shipped(self, draw: np.random.Generator) -> np.ndarray:
        """Standard deviation of each row in the trainings that the spread was measured in."""
        trainings = np.random.Generator.normal(draw, 0.0, SHIPPED_SD, (self.rows, SHIPPED_TRAININGS))
        if self.seeds == "jumps":
            trainings += JUMP * (draw.random(trainings.shape) < JUMPS)
        return trainings.std(axis=1, ddof=1)

    def world(self, draw: np.random.Generator) -> list[tuple[Difference, bool]]:
        """Each row as `compare` prints it, and whether its noise of seeds is known."""
        size = self.rows, self.works
        taste = self.work_sd * SHAPES[self.shape](draw, size)
        taste[0] -= self.gain
        sizes = np.repeat(SIZES[self.shape](draw, size), DOCUMENTS, axis=1)
        hardness = np.repeat(draw.normal(2.2, 0.3, size), DOCUMENTS, axis=1)
        a, b = self.trainings
        own = self.moved(draw, max(a + b, self.known))
        own = own + draw.normal(0.0, DOCUMENT_SD, (*own.shape[:2], sizes.shape[1]))
        rates = hardness[:, None] + own  # (rows, trainings, documents): A's, B's, others
        rates[:, a : a + b] += np.repeat(taste, DOCUMENTS, axis=1)[:, None]
        sides = rates[:, :a], rates[:, a : a + b]
        scores = [_scores(side, sizes) for side in sides]
        known = {"a": _scores(rates - 0.0, sizes)} if self.known else dict(zip("ab", scores, strict=True))
        return self.table([_rows(side.mean(1), sizes, self.works) for side in sides], scores, known, self.shipped(draw))

    def table(
        self, rows: list[dict[str, Rows]], scores: list[list[dict]], known: dict[str, list[dict]], spread: np.ndarray
    ) -> list[tuple[Difference, bool]]:
        """The table of these rows, with the noise that `compare` takes of what is known."""
        names = "aa" if self.known else "ab"
        runs = {name: {str(run): {"scores": one} for run, one in enumerate(ones)} for name, ones in known.items()}
        sides = Side(names[0], scores[0]), Side(names[1], scores[1])
        pair = Compared([], [], sides, SeedRuns(runs), one_training=False, demo_size=True, model=MODEL)
        ships = {f"{MODEL} {_name(row)}": (sd, SHIPPED_TRAININGS) for row, sd in enumerate(spread.tolist())}
        with patch.object(seed_runs, "shipped_spread", lambda: ships):
            shown, without = all_over_seeds(paired_rows(*rows), cache(pair.noise_or_shipped))
        return [(row, row.name not in without and row.low is not None) for row in shown]


def _name(row: int) -> str:
    return f"task{row}/score"


def _scores(rates: np.ndarray, sizes: np.ndarray) -> list[dict[str, float]]:
    """Scores of each training, of rates (rows, trainings, documents)."""
    scores = (rates * sizes[:, None]).sum(2) / sizes.sum(1)[:, None]
    return [{_name(row): score for row, score in enumerate(one)} for one in scores.T.tolist()]


def _rows(rates: np.ndarray, sizes: np.ndarray, works: int) -> dict[str, Rows]:
    clusters = [str(work) for work in range(works) for _ in range(DOCUMENTS)]
    tables = {
        _name(row): item_rows(one, size, clusters) for row, (one, size) in enumerate(zip(rates, sizes, strict=True))
    }
    return {name: {key: item | {"model": MODEL} for key, item in table.items()} for name, table in tables.items()}


def half_differs(draw: np.random.Generator, concentration: float) -> bool:
    """Whether files are said to differ of which A prefers the stereotype in 35%, B in 65%: as far from half."""
    clusters = np.repeat(np.arange(7), 18)
    sides = []
    for mean in (0.35, 0.65):
        chances = draw.beta(mean * concentration, (1.0 - mean) * concentration, 7)[clusters]
        hits = (draw.random(len(clusters)) < chances).astype(float)
        sides.append({"pairs/score": item_rows(hits, np.ones(len(hits)), [str(one) for one in clusters], "half")})
    (row,), _ = all_over_seeds(paired_rows(*sides), lambda _: None)
    return row.p_files < LEVEL


CELLS = [
    Cell(8, 22, "normal", 0.0, (1, 1)),
    Cell(30, 22, "normal", 0.0, (1, 1)),
    Cell(8, 22, "normal", 0.0043, (1, 1)),
    Cell(30, 22, "normal", 0.0043, (1, 1)),
    Cell(8, 22, "normal", 0.013, (1, 1)),
    Cell(30, 22, "normal", 0.013, (1, 1)),
    Cell(8, 5, "lognormal", 0.0043, (1, 1)),
    Cell(8, 10, "lognormal", 0.0043, (1, 1)),
    Cell(30, 10, "lognormal", 0.013, (1, 1)),
    Cell(8, 10, "gamma", 0.013, (1, 1)),
    Cell(8, 10, "normal", 0.013, (2, 2)),
    Cell(30, 22, "normal", 0.013, (2, 2)),
    Cell(8, 22, "normal", 0.013, (3, 3)),
    Cell(30, 10, "lognormal", 0.013, (3, 3)),
    Cell(8, 10, "normal", 0.013, (4, 4)),
    Cell(30, 5, "gamma", 0.013, (4, 4)),
    Cell(8, 22, "normal", 0.013, (10, 10)),
    Cell(30, 22, "lognormal", 0.0043, (10, 10)),
    Cell(8, 22, "normal", 0.013, (1, 1), known=4),
    Cell(30, 22, "normal", 0.013, (1, 1), known=4),
    Cell(30, 10, "gamma", 0.013, (1, 1), known=10),
    Cell(8, 22, "normal", 0.013, (1, 3)),
    Cell(8, 22, "normal", 0.0043, (1, 1), seeds="one row"),
    Cell(8, 22, "normal", 0.0043, (1, 1), seeds="jumps"),
]
"""A = B in truth; the last two are worlds whose seeds the method does not imagine."""
BETTER = [Cell(rows, 22, "normal", 0.0043, (1, 1), gain=8 * SHIPPED_SD, work_sd=0.0) for rows in (8, 30)]
"""Eight standard deviations of a seed better in one row, with one training a side."""


def in_worlds(cell: Cell, worlds: int) -> dict[str, dict[str, float]]:
    """Shares of worlds with a false star, with a verdict in a row at least, and whose first row's interval holds."""
    false = given = held = of = 0
    for world in range(worlds):
        table = cell.world(np.random.default_rng([7, world]))
        stars = [row.p_holm < LEVEL for row, _ in table]
        false += stars[0] if cell.gain else any(stars)
        given += any(known for _, known in table)
        (row, known) = table[0]
        if known and row.low is not None and row.high is not None:
            of, held = of + 1, held + (row.low <= cell.gain <= row.high)
    found = {"star": rate(false, worlds), "verdict": rate(given, worlds)}
    return found | ({"coverage": rate(held, of)} if of else {})


def measure(worlds: int) -> tuple[dict, list[dict]]:
    """False stars and coverage in each cell, power, and rows of kind `half`."""
    cells = {cell.label: in_worlds(cell, worlds) for cell in CELLS}
    power = {cell.label: in_worlds(cell, worlds)["star"] for cell in BETTER}
    half = {
        f"concentration {concentration:g}": rate(
            sum(half_differs(np.random.default_rng([8, world]), concentration) for world in range(worlds)), worlds
        )
        for concentration in (5.0, 50.0)
    }
    false = max((one["star"]["rate"], label) for label, one in cells.items())
    covered = min((one["coverage"]["rate"], label) for label, one in cells.items() if "coverage" in one)
    found = min((one["rate"], label) for label, one in power.items())
    says = f"worst of {len(cells)} cells of {worlds} worlds"
    goals = [
        goal("compare_false_star_max", false[0], 0.06, "lower", f"any false star, {says}: {false[1]}"),
        goal("compare_coverage_min", covered[0], 0.93, "higher", f"over works and seeds, {says}: {covered[1]}"),
        goal("compare_power", found[0], 0.8, "higher", f"8 seed sds of bits per byte, one training a side: {found[1]}"),
        goal("half_rows_false", max(one["rate"] for one in half.values()), 0.06, "lower",
             f"files said to differ that lean as far to either side of half, {worlds} worlds"),
    ]  # fmt: skip
    return {"compare_cells": cells, "compare_power": power, "half_rows": half}, goals
