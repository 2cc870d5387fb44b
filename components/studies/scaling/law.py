"""Scaling law: three fits of loss against size, data and compute, which predict larger runs from small ones.

    L(N, D) = E + ((A / N^alpha)^p + (B / D^beta)^p)^(1/p)    the parametric form
    parabola of L in log N at equal compute    its lowest point is the best size (arXiv:2203.15556, approach 2)
    L(C) = E + k / C^gamma                     the rival a law must beat: a power law with a floor through the best runs

The form has two published ones in it: with p = 1 the sum of Hoffmann et al. 2022 (arXiv:2203.15556, approach 3), with
E = 0 and p = 1 / beta that of Kaplan et al. 2020 (arXiv:2001.08361, equation 1.5). In a sum, what a wrong size costs at
equal compute and how fast the best loss falls with compute hang on the same exponents. Small networks pay more for a
wrong size than their best losses' fall allows; a sum then takes large exponents, and with them a floor that larger runs
go below. p sets the two apart: the larger, the more the loss is what the scarcer of size and data permits.

N is the number of weights used in matrix products (blocks and head), D tokens, C floating-point operations as
`Shape.flops_per_token` counts them; L is any loss, here bits per byte. A fit never says more than its points do: where
the lowest loss of a compute budget lies at the edge of the sizes that were run there is no best size, and no exponent.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np

HUBER = 1e-3
"""Residuals of log loss beyond which a point counts linearly (Hoffmann et al.): outliers must not bend the law."""
MIN_BUDGETS = 3
"""Budgets with a best size that an exponent over compute needs."""
FARTHEST = 50.0
"""Bound of the logarithms of A and B."""
LEAST_FLOOR = 0.1
"""Of the lowest loss: descents begin at this floor or a higher one; of one near 0 the logarithm changes nothing."""
LEAST_POWER, MOST_POWER = 0.5, 20.0
"""Bounds of p. At 20 the loss is the larger term's within 4% of what is not floor, everywhere."""


@dataclass(frozen=True)
class Point:
    """One run: N weights, D tokens, C floating-point operations, and the loss it reached."""

    size: float
    tokens: float
    flops: float
    loss: float


@dataclass(frozen=True)
class Law:
    """L(N, D) = floor + ((size_scale / N^size_exponent)^power + (token_scale / D^token_exponent)^power)^(1 / power)."""

    floor: float
    size_scale: float
    size_exponent: float
    token_scale: float
    token_exponent: float
    power: float = 1.0

    def loss(self, size: float, tokens: float) -> float:
        """Expected loss of a run."""
        of_size, of_tokens = self.size_scale / size**self.size_exponent, self.token_scale / tokens**self.token_exponent
        return self.floor + (of_size**self.power + of_tokens**self.power) ** (1 / self.power)

    def tokens_to(self, size: float, loss: float) -> float:
        """Training tokens with which a model of `size` reaches `loss`; infinite if it never does."""
        of_size = self.size_scale / size**self.size_exponent
        if loss - self.floor <= of_size:
            return math.inf
        of_tokens = ((loss - self.floor) ** self.power - of_size**self.power) ** (1 / self.power)
        return (self.token_scale / of_tokens) ** (1 / self.token_exponent)

    @property
    def optimum_exponent(self) -> float:
        """a in N_best ~ C^a, if compute is proportional to N D."""
        return self.token_exponent / (self.size_exponent + self.token_exponent)

    def as_dict(self) -> dict[str, float]:
        """Plain JSON."""
        return asdict(self) | {"optimum_exponent": self.optimum_exponent}


# -- the parametric form -----------------------------------------------------------------------------------------------


def fit(points: Sequence[Point], starts: Sequence[Law] = ()) -> Law:
    """The law with the smallest Huber loss of log residuals, from several starts (the problem is not convex).

    Args:
        points: at least seven, of more than one size and one number of tokens.
        starts: where to begin; empty for a grid of exponents and floors.
    """
    assert len(points) >= 7, "six unknowns need more points"
    data = _Logs.of(points)
    tried = [_descend(data, start) for start in (map(data.free, starts) if starts else data.grid())]
    _, best = min(tried, key=lambda one: one[0])
    return data.law(best)


@dataclass(frozen=True)
class _Logs:
    """Points as logarithms, N and D relative to their geometric means: scales and exponents then hardly interact."""

    size: np.ndarray
    tokens: np.ndarray
    loss: np.ndarray
    middle: tuple[float, float]

    @classmethod
    def of(cls, points: Sequence[Point]) -> "_Logs":
        size, tokens, loss = (np.log([getattr(p, name) for p in points]) for name in ("size", "tokens", "loss"))
        middle = float(size.mean()), float(tokens.mean())
        return cls(size - middle[0], tokens - middle[1], loss, middle)

    def grid(self) -> Iterator[np.ndarray]:
        """Starts: what is not floor is shared between size and data."""
        typical = float(np.median(self.loss))
        for alpha, beta, floor, power in product((0.15, 0.5, 1.0), (0.15, 0.5, 1.0), (0.2, 0.7), (1.0, 3.0)):
            term = typical + math.log(1 - floor) - math.log(2) / power
            yield np.array([typical + math.log(floor), term, alpha, term, beta, math.log(power)])

    def free(self, law: Law) -> np.ndarray:
        """A law as the unknowns of the descent: log E, log A, alpha, log B, beta (relative to the means), log p."""
        a = math.log(law.size_scale) - law.size_exponent * self.middle[0]
        b = math.log(law.token_scale) - law.token_exponent * self.middle[1]
        return np.array([math.log(law.floor), a, law.size_exponent, b, law.token_exponent, math.log(law.power)])

    def law(self, free: np.ndarray) -> Law:
        """The reverse of `free`."""
        floor, a, alpha, b, beta, power = (float(value) for value in free)
        scales = math.exp(a + alpha * self.middle[0]), math.exp(b + beta * self.middle[1])
        return Law(math.exp(floor), scales[0], alpha, scales[1], beta, math.exp(power))

    def _terms(self, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logarithms of the size and the token term: (2, points); of both together: (points,)."""
        _, a, alpha, b, beta, power = free
        terms = np.stack([a - alpha * self.size, b - beta * self.tokens])
        return terms, np.logaddexp.reduce(terms * np.exp(power)) / np.exp(power)

    def residuals(self, free: np.ndarray) -> np.ndarray:
        """log predicted - log measured."""
        return np.logaddexp(free[0], self._terms(free)[1]) - self.loss

    def slopes(self, free: np.ndarray) -> np.ndarray:
        """Derivatives of the residuals by the unknowns: (points, 6)."""
        terms, joint = self._terms(free)
        total = np.logaddexp(free[0], joint)
        share = np.exp((terms - joint) * np.exp(free[5]))  # of the p-th power of both, (2, points)
        of_size, of_tokens = np.exp(joint - total) * share
        of_power = np.exp(joint - total) * ((share * terms).sum(axis=0) - joint)
        return np.stack(
            [np.exp(free[0] - total), of_size, -self.size * of_size, of_tokens, -self.tokens * of_tokens, of_power],
            axis=1,
        )


def _descend(data: _Logs, start: np.ndarray) -> tuple[float, np.ndarray]:
    """(Huber loss, unknowns) reached from a start."""
    from scipy.optimize import least_squares

    low = np.array([-FARTHEST, -FARTHEST, 0.01, -FARTHEST, 0.01, math.log(LEAST_POWER)])
    high = np.array([FARTHEST, FARTHEST, 3.0, FARTHEST, 3.0, math.log(MOST_POWER)])
    begin = np.clip(start, low + 1e-6, high - 1e-6)
    begin[0] = max(begin[0], data.loss.min() + math.log(LEAST_FLOOR))
    solution = least_squares(data.residuals, begin, data.slopes, (low, high), loss="huber", f_scale=HUBER)
    return float(solution.cost), solution.x


def resampled(points: Sequence[Point], law: Law, times: int, seed: int) -> list[Law]:
    """Laws of `times` bootstrap samples of the points, each from the law of all: what other luck would have said."""
    random, laws = np.random.default_rng(seed), list[Law]()
    while len(laws) < times:
        chosen = [points[index] for index in random.integers(0, len(points), len(points))]
        if len({p.size for p in chosen}) > 2 and len({p.tokens for p in chosen}) > 2:
            laws.append(fit(chosen, [law]))
    return laws


# -- equal compute -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Minimum:
    """Best size at a compute budget. `edge` says why there is none: size and loss are NaN."""

    flops: float
    size: float
    loss: float
    curve: tuple[float, float, float]
    edge: str = ""


def mean_by_size(points: Sequence[Point]) -> list[tuple[float, float]]:
    """Size and mean loss of the runs of each size, the smallest first."""
    sizes = sorted({point.size for point in points})
    return [(size, float(np.mean([point.loss for point in points if point.size == size]))) for size in sizes]


def minimum(points: Sequence[Point]) -> Minimum:
    """The lowest point of the parabola through the runs of one budget, of three sizes or more (seeds are averaged)."""
    sizes, loss = zip(*mean_by_size(points), strict=True)
    assert len(sizes) >= 3, "a parabola needs three sizes"
    flops = float(np.mean([point.flops for point in points]))
    bend, slope, level = (float(value) for value in np.polyfit(np.log(sizes), loss, 2))
    lowest = int(np.argmin(loss))
    vertex = math.exp(np.clip(-slope / (2 * bend), -700, 700)) if bend > 0 else math.nan
    edge = ""
    if lowest in (0, len(sizes) - 1):
        edge = f"the {'smallest' if lowest == 0 else 'largest'} size that was run is the best"
    elif not sizes[0] < vertex < sizes[-1]:
        edge = "the parabola has no lowest point between the sizes that were run"
    if edge:
        return Minimum(flops, math.nan, math.nan, (bend, slope, level), edge)
    return Minimum(flops, vertex, level - slope**2 / (4 * bend), (bend, slope, level))


def optimum_exponent(minima: Sequence[Minimum]) -> tuple[float | None, str]:
    """(a, '') of N_best ~ C^a, or (None, why not): a best size at an edge says nothing, so no exponent is given."""
    edges = [one for one in minima if one.edge]
    if edges:
        return None, "; ".join(f"at {one.flops:.3g} FLOPs {one.edge}" for one in edges)
    if len(minima) < MIN_BUDGETS:
        return None, f"{len(minima)} budgets are fewer than {MIN_BUDGETS}"
    slope, _ = np.polyfit(np.log([one.flops for one in minima]), np.log([one.size for one in minima]), 1)
    return float(slope), ""


# -- the rival ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PowerLaw:
    """Loss of the best run with compute C: floor + scale / C^exponent."""

    floor: float
    scale: float
    exponent: float

    def loss(self, flops: float) -> float:
        """Expected loss of the best run with this compute."""
        return self.floor + self.scale / flops**self.exponent


def _best_loss(points: Sequence[Point]) -> float:
    losses = [loss for _, loss in mean_by_size(points)]
    one = minimum(points) if len(losses) >= 3 else None
    return one.loss if one and not one.edge else min(losses)


def power_law(budgets: Mapping[float, Sequence[Point]]) -> PowerLaw:
    """The power law with the least squares through the best loss of each budget: the parabola's lowest point, which
    hangs less on one run's luck than the lowest loss; where it has none, the lowest loss (seeds are averaged).

    For each exponent, floor and scale are a linear problem; neither is negative. Two budgets say nothing of a floor:
    it is 0 then.
    """
    from scipy.optimize import minimize_scalar, nnls

    assert len(budgets) >= 2
    losses = np.array([_best_loss(points) for points in budgets.values()])
    flops = np.array([np.mean([point.flops for point in points]) for points in budgets.values()])
    middle = float(np.exp(np.log(flops).mean()))
    floors = np.full(len(flops), float(len(flops) > 2))

    def fitted(exponent: float) -> tuple[np.ndarray, float]:
        return nnls(np.stack([floors, (flops / middle) ** -exponent], axis=1), losses)

    grid = np.geomspace(0.01, 3.0, 100)
    nearest = int(np.argmin([fitted(exponent)[1] for exponent in grid]))
    bounds = grid[max(0, nearest - 1)], grid[min(len(grid) - 1, nearest + 1)]
    exponent = float(minimize_scalar(lambda exponent: fitted(exponent)[1], bounds=bounds, options={"xatol": 1e-9}).x)
    floor, scale = fitted(exponent)[0]
    return PowerLaw(float(floor), float(scale) * middle**exponent, exponent)


# -- the way back ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    """A network that could be trained: a label, its N, and floating-point operations per token."""

    label: str
    size: float
    flops_per_token: float


@dataclass(frozen=True)
class BudgetPlan:
    """The best a budget buys, by the law."""

    candidate: Candidate
    flops: float
    tokens: float
    loss: float


def best(law: Law, flops: float, candidates: Sequence[Candidate]) -> BudgetPlan:
    """The candidate with the lowest expected loss if all of `flops` is spent on it."""
    plans = []
    for candidate in candidates:
        tokens = flops / candidate.flops_per_token
        plans.append(BudgetPlan(candidate, flops, tokens, law.loss(candidate.size, tokens)))
    return min(plans, key=lambda plan: plan.loss)
