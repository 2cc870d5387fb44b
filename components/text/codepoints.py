"""Texts as arrays of code points, which filter counts and hashes without one Python string per word.

The texts of a shard are laid end to end, with a newline after each. A table gives the kind of every
code point, starts and ends of words and lines follow from differences, and any stretch is hashed
from prefix sums: the polynomial hash sum(c[j] * B**j) of Karp and Rabin (1987) modulo 2**64,
divided by B**start (B is odd, so it has an inverse), mixed. Equal stretches have equal hashes in
every text, process and numpy version; different ones collide with a chance of about 2**-64 per
pair.

The kinds WORD and UNSPACED make a word: a run of letters, digits, `_` and combining marks (for
ASCII that is `\\w+`); in a script written without spaces (Chinese, Japanese, Thai, Lao, Khmer,
Burmese, Tibetan) each character by itself. The table in `components.text` says who uses it.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import regex

SPACE, WORD, ALPHA, ALNUM, UNSPACED, TERMINAL = (np.uint8(1 << bit) for bit in range(6))
"""Kinds of a code point, one bit each: white space; in a word; a letter; a letter or a digit; of a
script without spaces; ends a sentence (UAX 44).
"""

_UNKNOWN = np.uint8(0x80)
_NEWLINE = 0x0A
_BASE = 0x9E3779B97F4A7C15

UNSPACED_RANGES = (
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x1AAF),  # Tai Le, New Tai Lue, Khmer symbols, Buginese, Tai Tham
    (0x2E80, 0x312F),  # CJK radicals and punctuation, Hiragana, Katakana, Bopomofo
    (0x31A0, 0x9FFF),  # Bopomofo, Katakana, Han
    (0xA980, 0xA9FF),  # Javanese, Myanmar
    (0xAA60, 0xAA7F),  # Myanmar
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9D),  # Katakana, half width
    (0x1B000, 0x1B16F),  # Kana
    (0x20000, 0x3FFFF),  # Han
)
"""Unicode blocks in which a character counts as a word of its own."""


_SENTENCE_END = regex.compile(r"\p{Sentence_Terminal}")


def kind_of(code: int) -> int:
    """The kinds of one code point, as bits."""
    character = chr(code)
    in_word = character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
    unspaced = in_word and any(first <= code <= last for first, last in UNSPACED_RANGES)
    kinds = SPACE * character.isspace() | WORD * in_word | ALPHA * character.isalpha() | ALNUM * character.isalnum()
    return int(kinds | UNSPACED * unspaced | TERMINAL * bool(_SENTENCE_END.match(character)))


_TABLE = np.full(0x110000, _UNKNOWN, dtype=np.uint8)
_TABLE[:128] = [kind_of(code) for code in range(128)]


def kinds_of(codes: np.ndarray) -> np.ndarray:
    """uint8 kinds of each code point. The table is filled with what the texts at hand need."""
    if codes.dtype == np.uint8:
        return _TABLE[:128][codes]
    kinds = _TABLE[codes]
    unknown = (kinds & _UNKNOWN) != 0
    if unknown.any():
        for code in np.unique(codes[unknown]):
            _TABLE[code] = kind_of(int(code))
        kinds = _TABLE[codes]
    return kinds


@dataclass
class Scan:
    """Some texts, end to end.

    Attributes:
        text: all of it; each text is followed by one newline.
        codes: (num_chars,) uint8 if all is ASCII, else uint32.
        kinds: (num_chars,) uint8 bits, see above.
        bounds: (num_texts + 1,) int64; text i is codes[bounds[i] : bounds[i + 1] - 1].
    """

    text: str
    codes: np.ndarray
    kinds: np.ndarray
    bounds: np.ndarray

    def document_of(self, positions: np.ndarray) -> np.ndarray:
        """Which text each position is in."""
        return np.searchsorted(self.bounds, positions, side="right") - 1

    def count(self, positions: np.ndarray) -> np.ndarray:
        """How many of the sorted `positions` lie in each text, (num_texts,) int64."""
        return np.diff(np.searchsorted(positions, self.bounds))


def text_blocks(texts: Sequence[str] | Sequence[bytes], block_size: int) -> Iterator[tuple[int, int]]:
    """Ranges (first, last + 1) of texts, in order, that have `block_size` characters or bytes or just more together."""
    start = size = 0
    for number, text in enumerate(texts):
        size += len(text)
        if size >= block_size or number == len(texts) - 1:
            yield start, number + 1
            start, size = number + 1, 0


def sorted_union(*values: np.ndarray) -> np.ndarray:
    """All of these, in order, each once. (`np.union1d` takes ten times as long.)"""
    together = np.concatenate(values)
    together.sort()
    return together[np.concatenate([[True], together[1:] != together[:-1]])]


def scan(texts: Sequence[str]) -> Scan:
    """Lay `texts` end to end. Memory: at most 5 bytes per character here, about 40 with hashes; give it a shard."""
    joined = "\n".join(texts) + "\n"
    if joined.isascii():
        codes = np.frombuffer(joined.encode("ascii"), dtype=np.uint8)
    else:
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    bounds = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) + 1 for text in texts], out=bounds[1:])
    return Scan(joined, codes, kinds_of(codes), bounds)


def lines(scanned: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends (int64) of all lines, in order; a line's end is its newline's position."""
    ends = np.flatnonzero(scanned.codes == _NEWLINE)
    return np.concatenate([[0], ends[:-1] + 1]).astype(np.int64), ends


def mixed(values: np.ndarray) -> np.ndarray:
    """uint64 values spread over all 64 bits, one to one: the finaliser of splitmix64 (Steele et al. 2014)."""
    values = values ^ (values >> np.uint64(30))
    values = values * np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


class Hasher:
    """Hashes of stretches of a scan, from prefix sums made once.

    With S[i] = c[0] + c[1] B + ... + c[i - 1] B^(i - 1), the stretch from i to j gives
    (S[j] - S[i]) / B^i, which is c[i] + c[i + 1] B + ...: the same number wherever the stretch
    stands, at the cost of two look-ups and a product.
    """

    def __init__(self, codes: np.ndarray) -> None:
        powers, self._inverses = _powers(len(codes))
        self._sums = np.zeros(len(codes) + 1, dtype=np.uint64)
        terms = codes.astype(np.uint64)
        terms *= powers
        np.cumsum(terms, out=self._sums[1:])

    def __call__(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """uint64 hashes of codes[start:end] for each pair."""
        return mixed((self._sums[ends] - self._sums[starts]) * self._inverses[starts])


def hash_word(word: str) -> np.uint64:
    """The hash that `Hasher` gives to a stretch that reads `word`."""
    return Hasher(scan([word]).codes)(np.array([0]), np.array([len(word)]))[0]


_computed: dict[int, np.ndarray] = {}
"""Base -> its powers, as many as were asked for so far."""


def _powers(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Powers 0 to length - 1 of the base and of its inverse, kept for the next call, of whichever thread."""
    return _powers_of(_BASE, length), _powers_of(pow(_BASE, -1, 1 << 64), length)


def _powers_of(base: int, length: int) -> np.ndarray:
    powers = _computed.get(base)
    if powers is None or len(powers) < length:
        steps = np.full(length, base, dtype=np.uint64)
        steps[:1] = 1
        powers = _computed[base] = np.cumprod(steps)
    return powers[:length]
