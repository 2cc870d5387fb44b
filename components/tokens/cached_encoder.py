"""Encoder with a cache of words: the same ids as `tiktoken`, several times as fast.

The pattern by which text is cut before merging (`tokenizer.PATTERN`) never lets a piece cross certain places: between
an ASCII letter and a sign, around a digit, before white space that follows these, and after the newlines that follow a
sign. So text may be cut there into units, mostly a word with the space or sign before it, and each unit encoded by
itself. Units repeat: their ids are kept in a table under a 64-bit hash of their bytes, and only new ones go to
`tiktoken`, many at once. All is done on arrays, in blocks that stay in cache.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from components.text.packed_bytes import hashes

BLOCK_BYTES = 1 << 18
_SLOT_BITS, _POOL_IDS = 20, 1 << 23
_SIGN, _LETTER, _DIGIT, _SPACE, _NEWLINE, _HIGH, _BETWEEN = range(7)
_KINDS = bytes(
    _HIGH if code >= 0x80
    else _DIGIT if chr(code).isdigit()
    else _LETTER if chr(code).isalpha()
    else _NEWLINE if chr(code) in "\r\n"
    else _SPACE if chr(code) in " \t\v\f"
    else _SIGN
    for code in range(256)
)  # fmt: skip
_CUTS = {(_LETTER, _SIGN), (_SIGN, _SPACE)}
_CUTS |= {(before, after) for before in (_LETTER, _DIGIT) for after in (_SPACE, _NEWLINE)}
_CUTS |= {(before, _DIGIT) for before in (_LETTER, _SIGN, _DIGIT)} | {
    (_DIGIT, after) for after in (_LETTER, _SIGN, _HIGH)
}
_IS_CUT = bytes((pair >> 3, pair & 7) in _CUTS for pair in range(256))
"""For two neighbouring characters' kinds, 8 x the first + the second: may text be cut between them?"""
_PADDING = b"\0" * 8
_AFTER_SPACE, _AFTER_NEWLINE = b" a", b" .\n"
"""They go between new units, so that these are encoded in one call and yet by themselves: after the first, white space
begins a piece; after the second, anything but white space does."""


class UnitEncoder:
    """Caching encoder of one thread.

    Args:
        encode: text -> ids, uint32; must be that of the pattern above.
        token_bytes: (vocab_size,) int64, the bytes of each token.
    """

    def __init__(self, encode: Callable[[str], np.ndarray], token_bytes: np.ndarray) -> None:
        self._encode, self._token_bytes = encode, token_bytes
        self._keys = np.zeros(1 << _SLOT_BITS, dtype=np.uint64)
        self._starts, self._counts = np.zeros((2, 1 << _SLOT_BITS), dtype=np.int32)
        self._pool = np.zeros(_POOL_IDS, dtype=np.uint32)
        self._used = 0

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text, all of it taken as plain text."""
        encoded = [text.encode() for text in texts]
        data = b"\0".join([*encoded, _PADDING])
        if len(data) > _POOL_IDS - self._used:  # a text has at most as many ids as bytes
            if len(data) > _POOL_IDS:
                return [self._encode(text) for text in texts]
            self._keys[:] = 0
            self._used = 0
        bounds = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum([len(text) + 1 for text in encoded], out=bounds[1:])
        array = np.frombuffer(data, dtype=np.uint8)
        starts, ends = cut(data, bounds)
        start, count = self._found(array, starts, ends)
        before = np.cumsum(count) - count
        ids = self._pool[np.arange(count.sum()) + np.repeat(start - before, count)]
        places = np.append(before, count.sum())[np.searchsorted(starts, bounds)]
        return [ids[first:last] for first, last in zip(places[:-1].tolist(), places[1:].tolist(), strict=True)]

    def _found(self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, ...]:
        """Where in the pool the ids of each unit are, and how many."""
        keys = hashes(data, starts, ends) | np.uint64(1)  # 0 marks a free slot
        slots = (keys >> np.uint64(64 - _SLOT_BITS)).astype(np.int64)
        start, count = self._starts[slots].astype(np.int64), self._counts[slots].astype(np.int64)
        missing = np.flatnonzero(self._keys[slots] != keys)
        if len(missing):
            _, first, which = np.unique(keys[missing], return_index=True, return_inverse=True)
            new = missing[first]
            new_start, new_count = self._learn(data, starts[new], ends[new])
            start[missing], count[missing] = new_start[which], new_count[which]
            self._keys[slots[new]] = keys[new]
            self._starts[slots[new]], self._counts[slots[new]] = new_start, new_count
        return start, count

    def _learn(self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Encode new units and keep their ids in the pool: where, and how many."""
        start, count = np.zeros((2, len(starts)), dtype=np.int64)
        kinds = np.frombuffer(_KINDS, dtype=np.uint8)
        first, last = kinds[data[starts]], kinds[data[ends - 1]]
        white = (first == _SPACE) | (first == _NEWLINE)
        alone = last == _SPACE  # what follows would change where the white space is cut
        for number in np.flatnonzero((first == _HIGH) | (last == _HIGH)).tolist():  # it may be white space too
            unit = data[starts[number] : ends[number]].tobytes().decode()
            alone[number] |= unit[0].isspace() or unit[-1].isspace()
        for numbers, between in (
            (np.flatnonzero(white & ~alone), _AFTER_SPACE),
            (np.flatnonzero(~white & ~alone), _AFTER_NEWLINE),
        ):
            if len(numbers):
                start[numbers], count[numbers] = self._learn_together(data, starts[numbers], ends[numbers], between)
        for number in np.flatnonzero(alone).tolist():
            unit = data[starts[number] : ends[number]].tobytes().decode()
            start[number], count[number] = self._keep(self._encode(unit))
        return start, count

    def _learn_together(
        self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray, between: bytes
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same of units that may stand after `between`, encoded in one call."""
        lengths = ends - starts
        before = np.cumsum(lengths) - lengths
        number = np.arange(lengths.sum())
        shift = len(between) * np.arange(1, len(lengths) + 1)
        together = np.empty(lengths.sum() + shift[-1], dtype=np.uint8)
        together[number + np.repeat(shift, lengths)] = data[number + np.repeat(starts - before, lengths)]
        for place, byte in enumerate(between):
            together[before + shift - len(between) + place] = byte
        ids = self._encode(together.tobytes().decode())
        offset, _ = self._keep(ids)
        token_ends = np.cumsum(self._token_bytes[ids])
        first = np.searchsorted(token_ends, before + shift) + 1
        last = np.searchsorted(token_ends, before + shift + lengths) + 1
        return offset + first, last - first

    def _keep(self, ids: np.ndarray) -> tuple[int, int]:
        if self._used + len(ids) > len(self._pool):  # with what goes between, a block may need more than its bytes
            self._pool = np.concatenate([self._pool, np.zeros(len(ids), dtype=np.uint32)])
        self._pool[self._used : self._used + len(ids)] = ids
        self._used += len(ids)
        return self._used - len(ids), len(ids)


def cut(data: bytes, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of the units of texts that lie end to end, a NUL after each."""
    kinds = np.frombuffer(bytearray(data.translate(_KINDS)), dtype=np.uint8)
    kinds[bounds[1:] - 1] = _BETWEEN
    kinds = kinds[: bounds[-1]]
    pairs = (kinds[:-1] << np.uint8(3)) | kinds[1:]
    begins = np.flatnonzero(np.frombuffer(pairs.tobytes().translate(_IS_CUT), dtype=np.uint8)) + 1
    newline = kinds == _NEWLINE
    lines = np.flatnonzero(pairs == _SIGN << 3 | _NEWLINE) + 1  # newlines that go with the sign before them
    line_ends = np.flatnonzero(newline[:-1] & ~newline[1:]) + 1
    after = line_ends[np.searchsorted(line_ends, lines)]
    after = after[kinds[after] != _BETWEEN]
    filled = bounds[:-1][np.diff(bounds) > 1]
    starts = np.concatenate([filled, begins, after])
    starts.sort()
    text = np.searchsorted(bounds, starts, side="right")
    ends = np.minimum(np.append(starts[1:], bounds[-1]), bounds[text] - 1)
    return starts, ends


def blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts, some at a time."""
    start = size = 0
    for number, text in enumerate(texts):
        size += len(text)
        if size >= BLOCK_BYTES or number == len(texts) - 1:
            yield texts[start : number + 1]
            start, size = number + 1, 0
