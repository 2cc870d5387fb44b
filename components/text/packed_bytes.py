"""Texts as packed bytes, whose words, lines and paragraphs are found and hashed in arrays, for dedup.

The texts of a block are lower-cased and laid end to end as UTF-8, with a newline after each. A table tells word bytes
from others (only characters outside ASCII are decoded; `components.text` defines a word), starts and ends of words
follow from where that changes, and a stretch is hashed from its bytes taken eight at a time. A block is a few hundred
kilobytes, so that its arrays stay in the processor's cache; the same work on whole shards takes three times as long.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from components.text.codepoints import UNSPACED, WORD, kinds_of, mixed, sorted_union, text_blocks

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
    for start, end in text_blocks(texts, BLOCK_BYTES):
        yield pack(texts[start:end], start)


def pack(texts: Sequence[bytes], first: int = 0) -> Packed:
    """One block of these texts."""
    lowered = [text.lower() if text.isascii() else text.decode().lower().encode() for text in texts]
    data = np.frombuffer(b"\n".join([*lowered, _PADDING]), dtype=np.uint8)
    bounds = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) + 1 for text in lowered], out=bounds[1:])
    return Packed(first, data, bounds)


def words(block: Packed) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends (int64) of all words, in order.

    For `a1, ไท` (two Thai letters, three bytes each) `inside` is 1 1 0 0 1 1 1 1 1 1 0: it changes at 0, 2, 4 and 10.
    Each Thai letter is a word by itself, so the second run is also cut at 7.
    """
    inside = np.frombuffer(bytearray(block.data.tobytes().translate(_IS_WORD)), dtype=np.uint8)
    lead = np.flatnonzero(block.data >= 0xC0)  # first bytes of characters outside ASCII
    alone, after = _mark(block.data, lead, inside) if len(lead) else (lead, lead)
    changes = np.flatnonzero(inside[1:] != inside[:-1]) + 1  # every word ends: a newline follows each text
    if inside[0]:
        changes = np.concatenate([[0], changes])
    starts, ends = changes[0::2], changes[1::2]  # outside to inside, then inside to outside, in turn
    if len(alone):
        # A character that is a word by itself starts one, and so does what follows it if that is in a word; it ends
        # one, and so does what stands before it.
        starts = sorted_union(starts, alone, after[inside[after] != 0])
        ends = sorted_union(ends, alone[(alone > 0) & (inside[alone - 1] != 0)], after)
    return starts, ends


def _mark(data: np.ndarray, lead: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Set `inside` for the bytes of word characters outside ASCII. Returns starts and ends of those that are words
    alone.

    UTF-8: 110xxxxx begins two bytes, 1110xxxx three, 11110xxx four; each that follows, 10xxxxxx, adds six bits.
    """
    byte = data[lead].astype(np.uint32)
    width = 2 + (byte >= 0xE0).astype(np.int64) + (byte >= 0xF0)
    code = byte & np.array([0, 0, 0x1F, 0x0F, 0x07], dtype=np.uint32)[width]
    for offset in range(1, 4):
        more = width > offset
        code[more] = (code[more] << np.uint32(6)) | (data[lead[more] + offset] & np.uint32(0x3F))
    kinds = kinds_of(code)
    in_word = (kinds & WORD) != 0
    for offset in range(4):
        inside[lead[in_word & (width > offset)] + offset] = 1
    unspaced = (kinds & UNSPACED) != 0
    return lead[unspaced], (lead + width)[unspaced]


def hashes(data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """uint64 hash of each stretch data[start:end]; equal stretches have equal hashes in every block and process.

    `data` must go on for eight bytes after the last stretch. A stretch of 19 bytes is hashed from three numbers of 8, 8
    and 3 bytes. Its length goes into the first, so that "a" and "a\\0" differ; the place of each other one goes into
    it, so that their order counts although they are summed.
    """
    # windows[i] is the number made of data[i : i + 8]: a view with a stride of one byte, nothing is copied.
    windows = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))
    length = ends - starts
    total = mixed((length.astype(np.uint64) * _ODD) ^ (windows[starts] & _MASKS[np.minimum(length, 8)]))
    long = np.flatnonzero(length > 8)
    if len(long):
        counts = (length[long] - 1) // 8  # windows after the first
        begins = np.cumsum(counts) - counts
        number = np.arange(1, counts.sum() + 1) - np.repeat(begins, counts)  # 1, 2, ... within each stretch
        values = windows[np.repeat(starts[long], counts) + 8 * number]
        values &= _MASKS[np.minimum(np.repeat(length[long], counts) - 8 * number, 8)]  # not past the end of the stretch
        values += number.astype(np.uint64) * _ODD
        total[long] = mixed(total[long] + np.add.reduceat(mixed(values), begins))
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
    # A paragraph begins at a line that does not start right behind the line before, or in another text. Its hash is
    # that of its lines' hashes, each with its number in the paragraph mixed in.
    text = np.searchsorted(block.bounds, starts, side="right")
    begins = np.flatnonzero(np.concatenate([[True], (starts[1:] != ends[:-1] + 1) | (text[1:] != text[:-1])]))
    number = np.arange(1, len(starts) + 1) - np.repeat(begins, np.diff(np.append(begins, len(starts))))
    together = mixed(np.add.reduceat(mixed(hashed + number.astype(np.uint64) * _ODD), begins))
    return lines, Stretches(together, starts[begins], ends[np.append(begins[1:], len(starts)) - 1])
