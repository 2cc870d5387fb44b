"""Baselines of the eval tasks: what rules that need no neural network score on the same items.

A task hands the item-by-item scores of its rules to `best_rule` and puts those of the best into its rows. Text models
are an n-gram model and a compressor, both primed with the tokens that the causal model was trained on, and no others.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import zstandard
from numpy.lib.stride_tricks import sliding_window_view

from components.core.files import read_json
from components.lineage.exposure import Training
from components.tokens.shards import TokenShards
from components.training.data_order import PretrainBatches
from greenhouse_record.order import phase_of

MOST_TOKENS = 20_000_000
"""Tokens that a baseline is primed with at most, the last ones seen: an n-gram model of so many takes 13 s and 2 GB."""
NGRAM_ORDER = 5
"""Of the n-gram model of text."""
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
        self.shards = shards
        self.order = Training.of(read_json(model / "greenhouse.json"), shards.num_tokens, causal)

    @property
    def windows(self) -> list[np.ndarray]:
        """The ids of each window, in the order of training; at most about the last `MOST_TOKENS`.

        Text that was read several times is here once, where it was read last. If every n-gram occurred as often as
        there were epochs, nothing would be left to discount, and the weights that are fitted to the last windows would
        be fitted to text that the counts hold already.
        """
        return self._read[0]

    @property
    def share(self) -> float:
        """Share of the batches trained on that were gone through for `windows`, from the last one back."""
        return self._read[1]

    @cached_property
    def ids(self) -> np.ndarray:
        """The tokens of `windows`, one after the other: int64."""
        return np.concatenate(self.windows)

    @cached_property
    def _read(self) -> tuple[list[np.ndarray], float]:
        order = self.order
        batches = PretrainBatches(self.shards, order.phases, None if order.causal else 0.0, document_mask=False)
        known, found, tokens, read = np.zeros(order.num_tokens, bool), [], 0, 0
        for number in reversed(order.batches):
            if tokens >= MOST_TOKENS:
                break
            read += 1
            phase = phase_of(order.phases, number)
            windows = batches.windows(phase)
            for sample in reversed(phase.samples(number)):
                start = windows.start(sample)  # of a causal window the first token is input alone
                own = known[start + order.causal : start + windows.length]
                if own.mean() < 0.5:  # windows of another length of training lie across those of this one
                    own[:] = True
                    found.append(windows.window(sample))
                    tokens += windows.length
        return found[::-1], read / order.steps


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
        self.orders: list[_Order] = []
        grams = runs(windows, order)
        while grams.shape[1]:
            hashes, first, counts = np.unique(_hashed(grams), return_index=True, return_counts=True)
            grams = grams[first]
            self.orders.insert(0, _Order(hashes, grams, counts))
            grams = grams[:, 1:]

    def logp(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Natural log-probability of each id after the first, given those before it: float64 (len - 1,)."""
        sequence = np.asarray(ids)
        probability = np.full(len(sequence), 1.0 / self.vocab_size)
        for length, order in enumerate(self.orders, 1):
            if length > len(sequence):
                break
            grams = sliding_window_view(sequence, length)
            own, left = order.looked_up(_hashed(grams), _hashed(grams[:, :-1]))
            probability[length - 1 :] = own + left * probability[length - 1 :]
        return np.log(probability[1:])

    def distribution(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Probability of every id of the vocabulary at each place after the first: float64 (len - 1, vocab_size)."""
        sequence = np.asarray(ids)
        found, left = np.zeros((len(sequence) - 1, self.vocab_size)), np.ones(len(sequence) - 1)
        for length in range(min(len(self.orders), len(sequence)), 1, -1):
            contexts = _hashed(sliding_window_view(sequence, length)[:, :-1])
            self.orders[length - 1].add_followers(found[length - 2 :], left[length - 2 :], contexts)
        return found + left[:, None] * self.anywhere

    @cached_property
    def anywhere(self) -> np.ndarray:
        """Probability of every id where nothing is known of what stands before: float64 (vocab_size,)."""
        ids = np.arange(self.vocab_size)[:, None]
        own, left = self.orders[0].looked_up(_hashed(ids), _hashed(ids[:, :0]))
        return own + left / self.vocab_size


class _Order:
    """The n-grams of one length: each follower's discounted count, and by context what the discount leaves."""

    def __init__(self, hashes: np.ndarray, grams: np.ndarray, counts: np.ndarray) -> None:
        once, twice = (int((counts == times).sum()) for times in (1, 2))
        self.discount = (once + 1) / (once + 2 * twice + 2)  # never 0 or 1, however few n-grams there are
        self.hashes, self.counts = hashes, counts
        self.contexts, inverse = np.unique(_hashed(grams[:, :-1]), return_inverse=True)
        self.totals, self.followers = np.bincount(inverse, counts), np.bincount(inverse)
        self.begins = np.cumsum(self.followers) - self.followers
        self.last, self.inverse = grams[:, -1], inverse

    @cached_property
    def by_context(self) -> tuple[np.ndarray, np.ndarray]:
        """Followers and their discounted counts, those of one context together."""
        order = np.argsort(self.inverse, kind="stable")
        return self.last[order], np.maximum(self.counts[order] - self.discount, 0)

    def looked_up(self, hashes: np.ndarray, contexts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Share of each n-gram in its context, and what is left to shorter ones: all, where the context is unknown."""
        at, seen = _found(self.contexts, contexts)
        gram, known = _found(self.hashes, hashes)  # its context is known as well
        own = np.where(known, np.maximum(self.counts[gram] - self.discount, 0) / self.totals[at], 0)
        return own, np.where(seen, self.discount * self.followers[at] / self.totals[at], 1)

    def add_followers(self, found: np.ndarray, left: np.ndarray, contexts: np.ndarray) -> None:
        """Add to each row of `found` what its context's followers have of `left`, which keeps the rest."""
        at, seen = _found(self.contexts, contexts)
        rows, at = np.flatnonzero(seen), at[seen]
        sizes = self.followers[at]
        entries = np.arange(sizes.sum()) + np.repeat(self.begins[at] - (np.cumsum(sizes) - sizes), sizes)
        shares, (tokens, masses) = left[rows] / self.totals[at], self.by_context
        found[np.repeat(rows, sizes), tokens[entries]] += np.repeat(shares, sizes) * masses[entries]
        left[rows] = shares * self.discount * sizes


class CacheNGram:
    """An n-gram model mixed with n-grams of what stands earlier in the same window (Kuhn and De Mori 1990).

    It reads what the network reads: windows that begin afresh. How much each order of the window counts is fitted by
    expectation maximisation to the last of the training windows, beside an n-gram model of the others.
    """

    ORDERS = 3
    FITTED = 100_000
    """Tokens that the weights are fitted to, a twentieth of all at most."""
    ROUNDS = 20

    def __init__(self, windows: Sequence[np.ndarray], order: int, vocab_size: int, context: int) -> None:
        self.context, self.order = context, order
        count = max(1, min(len(windows) // 20, self.FITTED // len(windows[-1])))
        rest = NGram(windows[:-count] or windows, order, vocab_size)
        parts = np.concatenate([self._parts(ids, rest.logp(ids)) for ids in windows[-count:]])
        self.weights = np.full(self.ORDERS + 1, 1 / (self.ORDERS + 1))
        for _ in range(self.ROUNDS):
            share = parts * self.weights
            self.weights = (share / share.sum(1, keepdims=True)).mean(0)
        self.ngram = NGram(windows, order, vocab_size)

    def logp(self, ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Natural log-probability of each id after the first: by the n-gram model alone, and with the cache."""
        known = [self.ngram.logp(window) for window in self._windows(ids)]
        parts = [self._parts(window, logp) for window, logp in zip(self._windows(ids), known, strict=True)]
        none = np.zeros(0)
        return np.concatenate([none, *known]), np.concatenate([none, *(np.log(part @ self.weights) for part in parts)])

    def guess(self, ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Whether the likeliest id is right at each place after the first, and its probability: bool, float64."""
        found = [(np.zeros(0, bool), np.zeros(0))]
        for window in self._windows(ids):
            mixed = self.distribution(window)
            found.append((mixed.argmax(1) == window[1:], mixed.max(1)))
        hit, sure = zip(*found, strict=True)
        return np.concatenate(hit), np.concatenate(sure)

    def distribution(self, window: np.ndarray) -> np.ndarray:
        """Probability of every id of the vocabulary at each place of a window but the first: (len - 1, vocab_size)."""
        left, cached = np.full(len(window) - 1, self.weights[0]), np.zeros((len(window) - 1, self.ngram.vocab_size))
        for weight, earlier in zip(self.weights[1:], self._earlier(window), strict=True):
            totals, (rows, places) = earlier.sum(1), np.nonzero(earlier)
            np.add.at(cached, (rows, window[places]), weight / totals[rows])
            left += np.where(totals, 0, weight)
        return left[:, None] * self.ngram.distribution(window) + cached

    def _windows(self, ids: Sequence[int]) -> list[np.ndarray]:
        starts = range(0, len(ids) - 1, self.context)
        return [np.asarray(ids[start : start + self.context + 1]) for start in starts]

    def _parts(self, window: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Probability of each id after the first by the n-gram model, and by the window's n-grams before it.

        An order whose context the window has not shown says what the n-gram model says: float64 (len - 1, ORDERS + 1).
        """
        parts = np.repeat(np.exp(known)[:, None], self.ORDERS + 1, axis=1)
        same = window[1:, None] == window
        for order, earlier in enumerate(self._earlier(window), 1):
            totals = earlier.sum(1)
            np.divide((earlier & same).sum(1), totals, out=parts[:, order], where=totals > 0)
        return parts

    def _earlier(self, window: np.ndarray) -> Iterator[np.ndarray]:
        """By number of ids looked back, the earlier places after the same ids as each place: bool (len - 1, len)."""
        same, earlier = window[:, None] == window, np.tri(len(window), k=-1, dtype=bool)
        for back in range(1, self.ORDERS + 1):
            yield earlier[1:]
            earlier[:back], earlier[:, :back] = False, False
            earlier[back:, back:] &= same[:-back, :-back]


def _found(known: np.ndarray, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each hash stands among the sorted known ones, and whether it is one of them."""
    at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return at, known[at] == hashes


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
