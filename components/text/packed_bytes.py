"""Texts as packed bytes, their words found and hashed without one Python string per word: what dedup compares.

The texts of a block are lower-cased and laid end to end as UTF-8, with a newline after each. A table tells word bytes
from others (only characters outside ASCII are decoded, see `scan` for what a word is), starts and ends of words follow
from where that changes, and a stretch is hashed from its bytes taken eight at a time. A block is a few hundred
kilobytes, so that its arrays stay in the processor's cache; the same work on whole shards takes three times as long.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from components.text.codepoints import UNSPACED, WORD, kinds_of, mixed

BLOCK_BYTES = 1 << 18
_PADDING = b"\0" * 8
_IS_WORD = bytes(chr(code).isalnum() or code == 0x5F for code in range(128)) + bytes(128)
_MASKS = np.array([(1 << (8 * count)) - 1 for count in range(9)], dtype=np.uint64)
"""The first 0 to 8 bytes of a little-endian number."""
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Packed:
    """A block of texts.

    Attributes:
        first: number of its first text in the shard.
        data: (num_bytes,) uint8, lower-cased UTF-8, a newline after each text, eight NUL bytes at the end.
        bounds: (num_texts + 1,) int64; text i is data[bounds[i] : bounds[i + 1] - 1].
    """

    first: int
    data: np.ndarray
    bounds: np.ndarray


def blocks(texts: Sequence[bytes]) -> Iterator[Packed]:
    """All texts (UTF-8), in order, in blocks."""
    start = size = 0
    for number, text in enumerate(texts):
        size += len(text)
        if size >= BLOCK_BYTES or number == len(texts) - 1:
            yield pack(texts[start : number + 1], start)
            start, size = number + 1, 0


def pack(texts: Sequence[bytes], first: int = 0) -> Packed:
    """One block of these texts."""
    lowered = [text.lower() if text.isascii() else text.decode().lower().encode() for text in texts]
    data = np.frombuffer(b"\n".join([*lowered, _PADDING]), dtype=np.uint8)
    bounds = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) + 1 for text in lowered], out=bounds[1:])
    return Packed(first, data, bounds)


def words(block: Packed) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends (int64) of all words, in order."""
    inside = np.frombuffer(bytearray(block.data.tobytes().translate(_IS_WORD)), dtype=np.uint8)
    lead = np.flatnonzero(block.data >= 0xC0)
    alone, after = _mark(block.data, lead, inside) if len(lead) else (lead, lead)
    changes = np.flatnonzero(inside[1:] != inside[:-1]) + 1  # every word ends: a newline follows each text
    if inside[0]:
        changes = np.concatenate([[0], changes])
    starts, ends = changes[0::2], changes[1::2]
    if len(alone):
        starts = _merged(starts, alone, after[inside[after] != 0])
        ends = _merged(ends, alone[(alone > 0) & (inside[alone - 1] != 0)], after)
    return starts, ends


def _merged(*places: np.ndarray) -> np.ndarray:
    """All of these, in order, each once."""
    together = np.concatenate(places)
    together.sort()
    return together[np.concatenate([[True], together[1:] != together[:-1]])]


def _mark(data: np.ndarray, lead: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mark the bytes of word characters outside ASCII in `inside`; where those that are words by themselves lie."""
    byte = data[lead].astype(np.uint32)
    width = 2 + (byte >= 0xE0).astype(np.int64) + (byte >= 0xF0)
    code = byte & np.array([0, 0, 0x1F, 0x0F, 0x07], dtype=np.uint32)[width]
    for place in range(1, 4):
        more = width > place
        code[more] = (code[more] << np.uint32(6)) | (data[lead[more] + place] & np.uint32(0x3F))
    kinds = kinds_of(code)
    in_word = (kinds & WORD) != 0
    for place in range(4):
        inside[lead[in_word & (width > place)] + place] = 1
    unspaced = (kinds & UNSPACED) != 0
    return lead[unspaced], (lead + width)[unspaced]


def hashes(data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """uint64 hash of each stretch data[start:end]; equal stretches have equal hashes in every block and process.

    `data` must go on for eight bytes after the last stretch.
    """
    windows = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))
    length = ends - starts
    total = mixed((length.astype(np.uint64) * _ODD) ^ (windows[starts] & _MASKS[np.minimum(length, 8)]))
    long = np.flatnonzero(length > 8)
    if len(long):
        counts = (length[long] - 1) // 8  # windows after the first
        begins = np.cumsum(counts) - counts
        number = np.arange(1, counts.sum() + 1) - np.repeat(begins, counts)
        taken = windows[np.repeat(starts[long], counts) + 8 * number]
        taken &= _MASKS[np.minimum(np.repeat(length[long], counts) - 8 * number, 8)]
        taken += number.astype(np.uint64) * _ODD
        total[long] = mixed(total[long] + np.add.reduceat(mixed(taken), begins))
    return total


@dataclass(frozen=True)
class Stretches:
    """Lines or paragraphs: hash, start and end in the block's data; each (n,)."""

    hashes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


def lines_and_paragraphs(block: Packed) -> tuple[Stretches, Stretches]:
    """All lines that are not empty, and all paragraphs: runs of such lines within a text."""
    newline = np.flatnonzero(block.data == 0x0A)
    starts = np.concatenate([[0], newline[:-1] + 1])
    full = newline > starts
    starts, ends = starts[full], newline[full]
    hashed = hashes(block.data, starts, ends)
    lines = Stretches(hashed, starts, ends)
    if not len(starts):
        return lines, lines
    text = np.searchsorted(block.bounds, starts, side="right")
    begins = np.flatnonzero(np.concatenate([[True], (starts[1:] != ends[:-1] + 1) | (text[1:] != text[:-1])]))
    number = np.arange(1, len(starts) + 1) - np.repeat(begins, np.diff(np.append(begins, len(starts))))
    together = mixed(np.add.reduceat(mixed(hashed + number.astype(np.uint64) * _ODD), begins))
    return lines, Stretches(together, starts[begins], ends[np.append(begins[1:], len(starts)) - 1])
