"""N-gram models of token ids: a chain of contexts around a place, and their mixture with a cache of what is read."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

_HASH = 0x9E3779B97F4A7C15
BLOCK = 128
"""Places whose distributions are computed together: 2 MB of a vocabulary of 2,048, what a processor's cache holds."""
Found = tuple[np.ndarray, np.ndarray]
"""Where each of some hashes stands among the sorted known ones, and whether it is one of them: int64, bool."""


def before(order: int) -> tuple[int, ...]:
    """The context of an n-gram model: the ids before a place, the farthest first."""
    return tuple(range(1 - order, 0))


class NGram:
    """Interpolated Kneser-Ney model of token ids (Kneser and Ney 1995; three discounts per order,
    Chen and Goodman 1999) given ids around a place, which need not be its neighbours.

    Attributes:
        offsets: where the ids of the context stand, those to be forgotten first at the beginning:
            (-2, -1) for a trigram, (1, -1) for what stands between two neighbours.
        orders: what was counted, from no context to all of it.
    """

    def __init__(self, windows: Sequence[np.ndarray], offsets: Sequence[int], vocab_size: int) -> None:
        """Count inside windows of ids below `vocab_size`; of a shorter context, after how many longer ones."""
        self.vocab_size, self.offsets = vocab_size, (*offsets, 0)
        self.orders: list[_Order] = []
        grams = self._counted(windows)
        while grams.shape[1]:
            hashes, first, counts = np.unique(_hashed(grams), return_index=True, return_counts=True)
            grams = grams[first]
            self.orders.insert(0, _Order(hashes, grams, counts))
            grams = grams[:, 1:]

    def _counted(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """Contexts and the ids in them, where all of a context lies in one window: (num_grams, offsets)."""
        ids, sizes = np.concatenate(windows).astype(np.int32), [len(window) for window in windows]
        first, reach = min(self.offsets), max(self.offsets) - min(self.offsets) + 1
        window = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        inside = window[reach - 1 :] == window[: max(0, len(ids) - reach + 1)]
        columns = [offset - first for offset in self.offsets]
        return np.stack([ids[column : column + len(inside)][inside] for column in columns], axis=1)

    def grams(self, window: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Context of each position and the id there: (num_positions, offsets); beyond the window no id is known."""
        edge = max(map(abs, self.offsets))
        return np.pad(window, edge, constant_values=self.vocab_size)[positions[:, None] + edge + np.array(self.offsets)]

    def logp(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Natural log-probability of each id after the first: float64 (len - 1,)."""
        return np.log(self.probability(np.asarray(ids))[0])

    def probability(self, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each id after the first, its probability, and how many ids of its context were seen together.

        Float64 (len - 1,), int64 (len - 1,); ids of a context are counted from its end.
        """
        grams = self.grams(window, np.arange(1, len(window)))
        probability, known = np.full(len(grams), 1.0 / self.vocab_size), np.zeros(len(grams), dtype=np.int64)
        for length, order in enumerate(self.orders, 1):
            exact, left, seen = order.lookup(_hashed(grams[:, -length:]), _hashed(grams[:, -length:-1]))
            probability = exact + left * probability
            known[seen] = length - 1
        return probability, known

    def distribution(self, window: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Probability of every id of the vocabulary at each of the positions: float64 (num_positions, vocab_size)."""
        return self.after(self.contexts(window, positions))

    def contexts(self, window: np.ndarray, positions: np.ndarray) -> list[Found]:
        """The ids around each of the positions among the contexts that were counted, the one of no ids first."""
        grams = self.grams(window, positions)
        return [_locate(order.contexts, _hashed(grams[:, -length:-1])) for length, order in enumerate(self.orders, 1)]

    def after(self, contexts: Sequence[Found]) -> np.ndarray:
        """Probability of every id of the vocabulary in contexts: float64 (num_places, vocab_size)."""
        left = np.ones(len(contexts[0][0]))
        probabilities = np.zeros((len(left), self.vocab_size))
        for order, context in zip(self.orders[:0:-1], contexts[:0:-1], strict=True):
            order.add_followers(probabilities, left, context)
        return probabilities + left[:, None] * self.anywhere

    @cached_property
    def anywhere(self) -> np.ndarray:
        """Probability of every id where nothing is known of what stands around: float64 (vocab_size,)."""
        ids = np.arange(self.vocab_size)[:, None]
        exact, left, _ = self.orders[0].lookup(_hashed(ids), _hashed(ids[:, :0]))
        return exact + left / self.vocab_size


class _Order:
    """The n-grams of one length: each follower's discounted count, and by context what the discounts leave."""

    def __init__(self, hashes: np.ndarray, grams: np.ndarray, counts: np.ndarray) -> None:
        times = np.array([int((counts == number).sum()) for number in range(1, 5)])
        base = (times[0] + 1) / (times[0] + 2 * times[1] + 2)  # never 0 or 1, however few n-grams there are
        more = np.arange(2, 4) - np.arange(3, 5) * base * (times[2:] + 1) / (times[1:3] + 1)
        self.discounts = np.array([base, *np.clip(more, base, [1.9, 2.9])])[np.minimum(counts, 3) - 1]
        self.hashes, self.shares = hashes, np.maximum(counts - self.discounts, 0.0)
        self.contexts, self.inverse = np.unique(_hashed(grams[:, :-1]), return_inverse=True)
        self.totals = np.bincount(self.inverse, counts)
        self.left = 1.0 - np.bincount(self.inverse, self.shares) / self.totals
        self.last = grams[:, -1]

    @cached_property
    def by_context(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Followers and their discounted counts, those of one context together; where each begins, and how many."""
        order, sizes = np.argsort(self.inverse, kind="stable"), np.bincount(self.inverse)
        return self.last[order], self.shares[order], np.cumsum(sizes) - sizes, sizes

    def lookup(self, hashes: np.ndarray, contexts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Share of each n-gram in its context, what is left to shorter ones (all of an unknown one), if it is known."""
        index, seen = _locate(self.contexts, contexts)
        gram, known = _locate(self.hashes, hashes)  # its context is known as well
        return np.where(known, self.shares[gram] / self.totals[index], 0), np.where(seen, self.left[index], 1), seen

    def add_followers(self, probabilities: np.ndarray, left: np.ndarray, contexts: Found) -> None:
        """Add to each row of `probabilities` what its context's followers have of `left`, which keeps the rest."""
        index, seen = contexts
        tokens, masses, begins, counts = self.by_context
        rows, index = np.flatnonzero(seen), index[seen]
        sizes = counts[index]
        entries = np.arange(sizes.sum()) + np.repeat(begins[index] - (np.cumsum(sizes) - sizes), sizes)
        probabilities[np.repeat(rows, sizes), tokens[entries]] += (
            np.repeat(left[rows] / self.totals[index], sizes) * masses[entries]
        )
        left[rows] *= self.left[index]


class Mixture:
    """N-gram models mixed with n-grams of what stands earlier in the same window (Kuhn and De Mori 1990).

    It reads what the network reads, windows that begin afresh, or longer ones if told to. How much
    each part counts depends on how much of the context either knows, and is fitted by expectation
    maximisation to the last of the training windows, beside n-gram models of the others.
    """

    CACHED = 4
    """Ids looked back in the window, and one."""
    FITTED = 100_000
    """Tokens that the weights are fitted to, a twentieth of all at most."""
    ROUNDS = 20

    def __init__(
        self, windows: Sequence[np.ndarray], contexts: Sequence[Sequence[int]], vocab_size: int, context: int
    ) -> None:
        """Count and fit.

        Args:
            contexts: those of the n-gram models, the main one first.
            context: ids in a window, one more with the first.
        """
        self.context = context
        count = max(1, min(len(windows) // 20, self.FITTED // len(windows[-1])))
        self.ngrams = [NGram(windows[:-count] or windows, offsets, vocab_size) for offsets in contexts]
        parts, cases = (np.concatenate(rows) for rows in zip(*map(self.parts, windows[-count:]), strict=True))
        shape = (len(contexts[0]) + 1) * (self.CACHED + 1), parts.shape[1]
        self.weights = np.full(shape, 1 / shape[1])
        for _ in range(self.ROUNDS):
            share = parts * self.weights[cases]
            share /= share.sum(1, keepdims=True)
            sums = np.stack([np.bincount(cases, column, minlength=shape[0]) for column in share.T], axis=1)
            self.weights = sums + 10.0 * share.mean(0)  # a rare case leans on the mean of all
            self.weights /= self.weights.sum(1, keepdims=True)
        self.ngrams = [NGram(windows, offsets, vocab_size) for offsets in contexts]

    def logp(self, ids: Sequence[int] | np.ndarray, context: int = 0) -> np.ndarray:
        """Natural log-probability of each id after the first, in windows of `context`: float64 (len - 1,)."""
        logps = [np.zeros(0)]
        for window in self._windows(ids, context):
            parts, cases = self.parts(window)
            logps.append(np.log((parts * self.weights[cases]).sum(1)))
        return np.concatenate(logps)

    def _windows(self, ids: Sequence[int] | np.ndarray, context: int) -> list[np.ndarray]:
        size = context or self.context
        return [np.asarray(ids[start : start + size + 1], dtype=np.int32) for start in range(0, len(ids) - 1, size)]

    def parts(self, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probability of each id after the first by every part, and the case that says how the parts are weighed.

        The parts are the n-gram models and the window's n-grams before the place; where the window
        has not shown a context, the main n-gram model speaks: float64 (len - 1, parts), int64
        (len - 1,).
        """
        (main, known), *others = (ngram.probability(window) for ngram in self.ngrams)
        counts, totals = self._cached(window)
        cached = np.where(totals, counts / np.maximum(totals, 1), main[:, None])
        columns = [main, *(probability for probability, _ in others), *cached.T]
        return np.stack(columns, axis=1), self._cases(known, totals)

    def _cases(self, known: np.ndarray, totals: np.ndarray) -> np.ndarray:
        return known * (self.CACHED + 1) + (totals > 0).sum(1)

    def _cached(self, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each id after the first, how often it stood earlier after the same ids, and how often these did.

        By number of ids looked back, from 0: float64 (len - 1, `CACHED`) each.
        """
        counts, totals = np.zeros((2, len(window) - 1, self.CACHED))
        order = np.argsort(window, kind="stable")
        begins = np.searchsorted(window[order], window[order])
        times = np.zeros(len(window))
        times[order] = np.arange(len(window)) - begins
        counts[:, 0], totals[:, 0] = times[1:], np.arange(1, len(window))
        for positions in _blocks(window):
            for back, (rows, earlier) in enumerate(self._earlier(window, positions), 1):
                same = window[earlier] == window[positions[rows]]
                totals[positions - 1, back] = np.bincount(rows, minlength=len(positions))
                counts[positions - 1, back] = np.bincount(rows, same, minlength=len(positions))
        return counts, totals

    def _earlier(self, window: np.ndarray, positions: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """By number of ids looked back, from 1: pairs of one of the positions and an earlier one after the same ids.

        The former as indices into `positions`: int64 (num_pairs,) each.
        """
        rows, earlier = np.nonzero(window[positions - 1][:, None] == window[: positions[-1] - 1])
        before = earlier + 1 < positions[rows]
        rows, earlier = rows[before], earlier[before] + 1
        for back in range(1, self.CACHED):
            yield rows, earlier
            same = (earlier > back) & (window[earlier - back - 1] == window[positions[rows] - back - 1])
            rows, earlier = rows[same], earlier[same]


def _blocks(window: np.ndarray) -> Iterator[np.ndarray]:
    """The places of a window after the first, `BLOCK` at a time."""
    for start in range(1, len(window), BLOCK):
        yield np.arange(start, min(start + BLOCK, len(window)))


def _locate(known: np.ndarray, hashes: np.ndarray) -> Found:
    index = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return index, known[index] == hashes


def _hashed(grams: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each row: uint64 (num_grams,)."""
    hashes = np.zeros(len(grams), dtype=np.uint64)
    for column in range(grams.shape[1]):
        hashes = (hashes ^ (hashes >> np.uint64(31))) * np.uint64(_HASH)
        hashes += grams[:, column].astype(np.uint64) + np.uint64(1)
    return hashes
