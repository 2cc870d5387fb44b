"""Baselines of the eval tasks: what rules that need no neural network score on the same items.

A task hands the item-by-item scores of its rules to `best_rule` and puts those of the best into its rows. Text models
are an n-gram model and a compressor, both primed with the tokens that the causal model was trained on, and no others.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import zstandard
from numpy.lib.stride_tricks import sliding_window_view

from components.core.files import read_json
from components.lineage.exposure import Training
from components.tokens.shards import TokenShards
from components.training.data_order import PretrainBatches, phase_of

MOST_TOKENS = 20_000_000
"""Tokens that a baseline is primed with at most, the last ones seen: an n-gram model of so many takes 13 s and 2 GB."""
_HASH = 0x9E3779B97F4A7C15
ZSTD_LEVEL, ZSTD_WINDOW = 19, 24
"""Level, and binary logarithm of the bytes that zstd looks back: all of the primer."""


def best_rule(rules: Mapping[str, Sequence[float]], better: str = "higher") -> tuple[str, list[float]]:
    """Name and scores of the rule with the best total; the first of equals."""
    best = max if better == "higher" else min
    name = best(rules, key=lambda rule: sum(rules[rule]))
    return name, list(rules[name])


class TrainingText:
    """The tokens a model was trained on: its data order, run once more over the corpus of the tokenize stage."""

    def __init__(self, model: Path, shards: TokenShards, causal: bool = True) -> None:
        facts = read_json(model / "greenhouse.json")["training"]
        context, steps = facts["context"], facts["steps"]
        batch = facts["tokens"] // (steps * context)
        skipped = tuple(facts["skipped_batches"])
        self.shards = shards
        warmup = facts.get("length_warmup", 0.0)
        self.order = Training(shards.num_tokens, context, batch, facts["seed"], steps, causal, skipped, warmup)

    @cached_property
    def windows(self) -> list[np.ndarray]:
        """The ids of each window, in the order of training; at most about the last `MOST_TOKENS`."""
        order = self.order
        hides = None if order.causal else 0.0
        batches = PretrainBatches(self.shards, order.phases, hides, document_mask=False)
        found = []
        for number in order.batches[-max(1, MOST_TOKENS // (order.batch * order.context)) :]:
            phase = phase_of(order.phases, number)
            windows = batches.windows(phase)
            found += [windows.window(sample) for sample in phase.samples(number)]
        return found

    @cached_property
    def ids(self) -> np.ndarray:
        """The tokens of `windows`, one after the other: int64."""
        return np.concatenate(self.windows)

    @property
    def share(self) -> float:
        """Share of the batches seen that `windows` holds."""
        return min(1.0, max(1, MOST_TOKENS // (self.order.batch * self.order.context)) / self.order.steps)


def runs(windows: Sequence[np.ndarray], length: int) -> np.ndarray:
    """All runs of `length` ids that lie in one window: (num_runs, length)."""
    ids, sizes = np.concatenate(windows), [len(window) for window in windows]
    window = np.repeat(np.arange(len(sizes)), sizes)
    return sliding_window_view(ids, length)[window[length - 1 :] == window[: len(ids) - length + 1]]


class NGram:
    """Interpolated Kneser-Ney model of token ids (Kneser and Ney 1995; one discount per order, Ney et al. 1994)."""

    def __init__(self, windows: Sequence[np.ndarray], order: int, vocab_size: int) -> None:
        """Count the n-grams inside windows of ids up to `order`; below it, in how many contexts each occurs."""
        self.vocab_size = vocab_size
        self.orders: list[tuple[_Table, _Table, _Table, float]] = []
        grams = runs(windows, order)
        while grams.shape[1]:
            hashes, first, counts = np.unique(_hashed(grams), return_index=True, return_counts=True)
            grams = grams[first]
            contexts, inverse = np.unique(_hashed(grams[:, :-1]), return_inverse=True)
            totals, followers = np.bincount(inverse, counts), np.bincount(inverse)
            once, twice = (int((counts == times).sum()) for times in (1, 2))
            discount = (once + 1) / (once + 2 * twice + 2)  # never 0 or 1, however few n-grams there are
            tables = _Table(hashes, counts), _Table(contexts, totals), _Table(contexts, followers)
            self.orders.insert(0, (*tables, discount))
            grams = grams[:, 1:]

    def logp(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Natural log-probability of each id after the first, given those before it: float64 (len - 1,)."""
        sequence = np.asarray(ids)
        probability = np.full(len(sequence), 1.0 / self.vocab_size)
        for length, (counts, totals, followers, discount) in enumerate(self.orders, 1):
            if length > len(sequence):
                break
            grams = sliding_window_view(sequence, length)
            hashes, contexts = _hashed(grams), _hashed(grams[:, :-1])
            total = totals[contexts]
            seen, norm = total > 0, np.maximum(total, 1)
            own = np.maximum(counts[hashes] - discount, 0) / norm
            lower = probability[length - 1 :]
            mixed = own + discount * followers[contexts] / norm * lower
            probability[length - 1 :] = np.where(seen, mixed, lower)
        return np.log(probability[1:])


class CacheNGram:
    """An n-gram model mixed with n-grams of what stands earlier in the same window (Kuhn and De Mori 1990).

    So it reads what the network reads. How much each order of the window counts is fitted by expectation maximisation
    to the last of the training windows, beside an n-gram model of the others.
    """

    ORDERS = 3
    FITTED = 100_000
    """Tokens that the weights are fitted to, a twentieth of all at most."""
    ROUNDS = 20

    def __init__(self, windows: Sequence[np.ndarray], order: int, vocab_size: int, context: int) -> None:
        self.context = context
        count = max(1, min(len(windows) // 20, self.FITTED // len(windows[-1])))
        rest = NGram(windows[:-count] or windows, order, vocab_size)
        parts = np.concatenate([self._parts(ids, rest.logp(ids)) for ids in windows[-count:]])
        self.weights = np.full(self.ORDERS + 1, 1 / (self.ORDERS + 1))
        for _ in range(self.ROUNDS):
            share = parts * self.weights
            self.weights = (share / share.sum(1, keepdims=True)).mean(0)
        self.ngram = NGram(windows, order, vocab_size)

    def logp(self, ids: Sequence[int]) -> np.ndarray:
        """Natural log-probability of each id after the first, in windows as the network reads them: float64."""
        known = self.ngram.logp(ids)
        found = [np.zeros(0)]
        for start in range(0, len(ids) - 1, self.context):
            window = ids[start : start + self.context + 1]
            found.append(np.log(self._parts(window, known[start : start + len(window) - 1]) @ self.weights))
        return np.concatenate(found)

    def _parts(self, window: Sequence[int] | np.ndarray, known: np.ndarray) -> np.ndarray:
        """Probability of each id after the first by the n-gram model, and by the window's n-grams before it.

        An order whose context the window has not shown says what the n-gram model says: float64 (len - 1, ORDERS + 1).
        """
        parts = np.repeat(np.exp(known)[:, None], self.ORDERS + 1, axis=1)
        ids = [int(id) for id in window]
        counts: list[dict[tuple[int, ...], dict[int, int]]] = [{} for _ in range(self.ORDERS)]
        for place, id in enumerate(ids):
            for order, seen in enumerate(counts):
                if place < order:
                    continue
                followers = seen.setdefault(tuple(ids[place - order : place]), {})
                if place and followers:
                    parts[place - 1, order + 1] = followers.get(id, 0) / sum(followers.values())
                followers[id] = followers.get(id, 0) + 1
        return parts


class CommonestFollower:
    """Guesses the token that most often followed the last two, else the last one, else the commonest of all.

    Its confidence is how often that one followed, over how often anything did and once more.
    """

    name = "trigram's guess"

    def __init__(self, windows: Sequence[np.ndarray], order: int = 3) -> None:
        self.orders: list[tuple[_Table, _Table]] = []
        for length in range(1, order + 1):
            grams = runs(windows, length)
            _, first, counts = np.unique(_hashed(grams), return_index=True, return_counts=True)
            contexts, inverse = np.unique(_hashed(grams[first, :-1]), return_inverse=True)
            best = np.lexsort((grams[first, -1], -counts, inverse))[
                np.searchsorted(np.sort(inverse), np.arange(len(contexts)))
            ]
            sure = counts[best] / (np.bincount(inverse, counts) + 1)
            self.orders.append((_Table(contexts, grams[first[best], -1]), _Table(contexts, sure)))

    def guess(self, ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Whether each id after the first is guessed from those before, and how sure: bool, float64 (len - 1,)."""
        sequence = np.asarray(ids)
        guessed, sure = np.zeros(len(sequence), dtype=np.int64), np.zeros(len(sequence))
        for length, (tokens, shares) in enumerate(self.orders, 1):
            if length > len(sequence):
                break
            contexts = _hashed(sliding_window_view(sequence, length)[:, :-1])
            share = shares[contexts]
            seen = share > 0
            guessed[length - 1 :][seen], sure[length - 1 :][seen] = tokens[contexts][seen], share[seen]
        return (guessed == sequence)[1:], sure[1:]


class _Table:
    """A map from sorted hashes to numbers, 0 where there is none."""

    def __init__(self, hashes: np.ndarray, values: np.ndarray) -> None:
        self.hashes, self.values = hashes, values

    def __getitem__(self, hashes: np.ndarray) -> np.ndarray:
        index = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[index] == hashes, self.values[index], 0)


def _hashed(grams: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each row: uint64 (num_grams,)."""
    hashes = np.zeros(len(grams), dtype=np.uint64)
    for column in range(grams.shape[1]):
        hashes = (hashes ^ (hashes >> np.uint64(31))) * np.uint64(_HASH)
        hashes += grams[:, column].astype(np.uint64) + np.uint64(1)
    return hashes


def compressed_bits(texts: Sequence[str], primer: str) -> list[int]:
    """Bits of each text under zstd, which has read the primer and the texts before it."""
    parameters = zstandard.ZstdCompressionParameters.from_level(ZSTD_LEVEL, window_log=ZSTD_WINDOW)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    def written(text: str) -> int:
        pieces = compressor.compress(text.encode()), compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        return 8 * sum(map(len, pieces))

    written(primer)
    return [written(text) for text in texts]
