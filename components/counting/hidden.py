"""Rules that restore a hidden token from what stands around it, counted in the windows a model was trained on.

Windows are ids; a hidden place holds an id that is none. Each rule says the likeliest token of
every hidden place.

Legend: H hidden places of a window, V ids of the vocabulary, F features of a candidate.
"""

from collections.abc import Callable, Sequence

import numpy as np

from components.counting.ngrams import NGram
from components.counting.training_text import TrainingText

Window = tuple[np.ndarray, np.ndarray]
"""Ids of a window, and which of them are hidden: bool."""
Guess = Callable[[Window], np.ndarray]

MASK_SHARE = 0.15
FITTED = 3_000_000
"""Candidates, hidden tokens times vocabulary, that the weights of `two_sided` are fitted to, in
windows that are left out of its counts: 130 MB of features."""
ROUNDS, RIDGE, DIGITS = 50, 1.0, 4
"""Steps of the fit at most, weight of its pull to zero in hidden tokens, and decimals of a weight that are kept."""
AROUND = ((-3, -2, -1), (3, 2, 1), (-2, 1, -1), (2, -1, 1), (2, -2, 1, -1))
"""Contexts of the n-gram models that are combined: the ids before, behind, and on both sides."""


def commonest(seen: TrainingText) -> Guess:
    """Always the most frequent token."""
    best = int(np.bincount(seen.ids).argmax())
    return lambda window: np.full(int(window[1].sum()), best)


def by_context(*offsets: int) -> Callable[[TrainingText], Guess]:
    """The likeliest by the n-gram model of one context."""

    def fit(seen: TrainingText) -> Guess:
        model = NGram(seen.windows, offsets, seen.vocab_size)
        return lambda window: model.distribution(*_shown(window, seen.vocab_size)).argmax(1)

    return fit


def two_sided(seen: TrainingText, around: Sequence[tuple[int, ...]] = AROUND) -> Guess:
    """N-grams of several contexts with the window's own tokens, as features of a log-linear model."""
    draw, count = np.random.default_rng(1), max(1, int(FITTED / seen.vocab_size / MASK_SHARE / seen.context))
    count = min(count, max(1, len(seen.windows) // 4))
    models = [NGram(seen.windows[:-count] or seen.windows, offsets, seen.vocab_size) for offsets in around]
    tried = [(ids, draw.random(len(ids)) < MASK_SHARE) for ids in seen.windows[-count:]]
    features = np.concatenate([_features(models, one, seen.vocab_size) for one in tried])
    truth = np.concatenate([ids[hidden] for ids, hidden in tried])
    weights_F = _fitted(features, truth)
    return lambda window: (_features(models, window, seen.vocab_size) @ weights_F).argmax(1)


def _shown(window: Window, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """A window with what is hidden replaced by an id that is none, and the hidden places."""
    ids, hidden = window
    return np.where(hidden, vocab_size, ids), np.flatnonzero(hidden)


def _features(models: Sequence[NGram], window: Window, vocab_size: int) -> np.ndarray:
    """Features of every candidate at each hidden place: float32 (H, V, F).

    Log-probabilities by each context and by none, whether the window holds the token and how often,
    how often after the same token, before it, and between the same two.
    """
    shown, positions = _shown(window, vocab_size)
    logs = [np.log(model.distribution(shown, positions)) for model in models]
    rows = [*logs, np.broadcast_to(np.log(models[0].anywhere), logs[0].shape)]
    counts = np.bincount(shown, minlength=vocab_size + 1)[:vocab_size]
    rows += [np.broadcast_to(np.log1p(counts), logs[0].shape), np.broadcast_to(counts > 0, logs[0].shape)]
    padded = np.pad(shown, 1, constant_values=vocab_size)
    same = [
        (padded[shift][None] == padded[shift][positions][:, None]) & (padded[shift][positions] < vocab_size)[:, None]
        for shift in (slice(None, -2), slice(2, None))
    ]
    for earlier in (*same, same[0] & same[1]):
        neighbours = np.zeros((len(positions), vocab_size + 1))
        where, column = np.nonzero(earlier)
        np.add.at(neighbours, (where, shown[column]), 1)
        rows.append(np.log1p(neighbours[:, :vocab_size]))
    return np.stack(rows, axis=2).astype(np.float32)


def _fitted(features_HVF: np.ndarray, truth_H: np.ndarray) -> np.ndarray:
    """Weights of the features that make the true tokens likeliest: float64 (F,).

    By Newton's method to the one maximum, of which `DIGITS` are kept: then no token depends on the
    order in which a machine adds.
    """
    number = features_HVF.shape[2]
    weights_F = np.full(number, 0.2)
    for _ in range(ROUNDS):
        slope_F, curve_FF = -RIDGE * weights_F, RIDGE * np.eye(number)
        for single_VF, truth in zip(features_HVF, truth_H, strict=True):
            candidates_VF = single_VF.astype(np.float64)
            scores_V = candidates_VF @ weights_F
            chance_V = np.exp(scores_V - scores_V.max())
            chance_V /= chance_V.sum()
            apart_VF = candidates_VF - chance_V @ candidates_VF
            slope_F += apart_VF[truth]
            curve_FF += (apart_VF * chance_V[:, None]).T @ apart_VF
        step_F = np.linalg.solve(curve_FF, slope_F)
        weights_F += step_F / max(1.0, np.abs(step_F).max())
        if np.abs(step_F).max() < 0.01 * 10.0**-DIGITS:
            break
    return weights_F.round(DIGITS)
