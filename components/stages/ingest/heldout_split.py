"""The split of a source's works into training text and held-out text.

A work gives `heldout_fraction` of its bytes, a contiguous final part. Where that is less than `PART_BYTES` it gives so
many, or all of itself if it is short, with a probability that keeps the expected share: where sha256(salt, source,
work), as a number from 0 to 1, is below it. So whether a work gives, and what, follows from its name and size alone:
text that comes or goes elsewhere moves nothing. Only where fewer than ten works of a source would give are all
probabilities raised by one factor, until ten do or a quarter of the source is held out. Documents that are opted out
count in all this as if they were there, so a removal moves no other document into or out of the held-out set. No
setting of a later stage has a say.

Of a work in several editions the first is held out in part. The same part of its other editions is dropped: the same
words in another spelling are no unseen text, and no second piece of evidence.
"""

import re
from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from components.core.files import sha256_bytes
from components.corpus.corpus import Document

Side = Literal["train", "heldout", "other_edition"]

MIN_WORKS = 10
"""Works of a source that give a part, if it has as many: fewer clusters make poor intervals."""

PART_BYTES = 4000
"""Least bytes of a part, some thousand tokens: scores by position need as many. Less where a source is tiny."""

SHORTEST_CUT = 2000
"""Shorter documents (bytes) are not cut in two."""

MAX_SHARE = 0.25
"""Largest expected share of a source that is held out so that `MIN_WORKS` have a part, unless `fraction` is larger."""

WHOLE = 1.5
"""A work of up to this many parts is held out whole: what would be left to train on is less than what is scored."""

EDITION_MARGIN = 0.05
"""Share of another edition that is dropped before the same place: editions are not of the same length."""

TAIL = "heldout"
"""Last part of the location of a document's tail."""
CUTS = (r"\n\s*\n(?=\S)", r"\n\s*\n", r"\n", r"[.!?]\s+|[\u3002\uff01\uff1f]", r"\s", "")
"""Where a long document may be cut, best first: before an unindented line after a blank one (a heading, a paragraph),
at a blank line, a line, a sentence, a word, anywhere."""


@dataclass(frozen=True, slots=True)
class Works:
    """The works of a source that have text: `sizes` (bytes of the first edition) and `parts` (bytes held out of it)."""

    hashes: np.ndarray
    editions: np.ndarray
    sizes: np.ndarray
    parts: np.ndarray

    @property
    def num_heldout(self) -> int:
        """Works that give a part."""
        return int(np.count_nonzero(self.parts))

    @property
    def num_cut(self) -> int:
        """Works that give a part and whose rest is trained on."""
        return int(np.count_nonzero((self.parts > 0) & (self.parts < self.sizes)))


@dataclass
class HeldoutSplit:
    """The side of every document: first `observe` them all, then call `sides` for each in the same order.

    Those that are opted out are observed too, and have no side.

    Attributes:
        fraction: share of each source's bytes to hold out.
        salt: changes which works.
    """

    fraction: float
    salt: str
    _observed: dict[str, tuple[array, array, array, array]] = field(default_factory=dict)
    _works: dict[str, Works] = field(default_factory=dict)
    _cuts: dict[int, tuple[int, float, int]] = field(default_factory=dict)
    _sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    _read: dict[tuple[int, int], int] = field(default_factory=dict)
    _kept: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    _placed: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    _gaps: dict[tuple[int, int, int], int] = field(default_factory=lambda: defaultdict(int))

    def hash_of(self, source: str, work: str) -> int:
        """64 bits that depend on salt, source and the work's name alone."""
        return int(sha256_bytes(f"{self.salt}\n{source}\n{work}".encode())[:16], 16)

    def observe(self, document: Document, num_bytes: int, opted_out: bool = False) -> None:
        """Take note of a document; memory grows by 32 bytes for each edition that follows another."""
        columns = works, editions, sizes, kept = self._observed.setdefault(
            document.source, (array("Q"), array("Q"), array("Q"), array("Q"))
        )
        key = self._key(document)
        if not works or (works[-1], editions[-1]) != key:
            for column, value in zip(columns, (*key, 0, 0), strict=True):
                column.append(value)
        sizes[-1] += num_bytes
        kept[-1] += 0 if opted_out else num_bytes
        if opted_out:
            self._gaps[(*key, self._kept[key])] += num_bytes  # before the kept document of this number
        else:
            self._kept[key] += 1

    def _key(self, document: Document) -> tuple[int, int]:
        """Hashes of a document's work and edition."""
        return self.hash_of(document.source, document.group), self.hash_of("edition", edition_of(document))

    def works(self, source: str) -> Works:
        """The works of a source that was observed, and what each gives."""
        if source not in self._works:
            work, edition, size, kept = (np.frombuffer(column, dtype=np.uint64) for column in self._observed[source])
            hashes, first, index = np.unique(work, return_index=True, return_inverse=True)
            is_first = edition == edition[first][index]
            sizes = np.bincount(index[is_first], size[is_first], minlength=len(hashes)).astype(np.int64)
            here = np.bincount(index, kept) > 0
            parts = self._parts(hashes, sizes, np.bincount(index, size), here)
            works = Works(*(column[here] for column in (hashes, edition[first], sizes, parts)))
            self._works[source] = works
            self._prepare(works, work, edition, size)
        return self._works[source]

    def _parts(self, hashes: np.ndarray, sizes: np.ndarray, whole: np.ndarray, here: np.ndarray) -> np.ndarray:
        """Bytes that each work gives of its first edition, 0 for most small ones: int64 (num_works,).

        Args:
            hashes: uint64. sizes: bytes of the first editions. whole: bytes of all editions. here: bool, works
                that are not opted out whole, of which one gives at least.
        """
        part = min(PART_BYTES, MAX_SHARE * float(whole.sum()))
        given = np.where(sizes <= WHOLE * part, sizes, np.minimum(np.maximum(part, self.fraction * whole), sizes))
        # A work gives where its hash is below its probability, that is where this ratio is below 1.
        ratio = hashes / 2.0**64 / np.minimum(1.0, self.fraction * whole / np.maximum(given, 1))
        order = np.sort(ratio)
        most = max(1.0, MAX_SHARE / self.fraction)
        level = max(ratio[here].min(initial=np.inf), min(most, max(1.0, order[min(MIN_WORKS, len(order)) - 1])))
        return np.where(ratio <= level, given, 0).astype(np.int64)

    def _prepare(self, works: Works, work: np.ndarray, edition: np.ndarray, size: np.ndarray) -> None:
        """Note the cut of each work that gives a part, and the size of each of its editions."""
        gives = works.parts > 0
        for name, first, length, part in zip(
            *(column[gives].tolist() for column in (works.hashes, works.editions, works.sizes, works.parts)),
            strict=True,
        ):
            self._cuts[name] = first, 1.0 - part / length, part
        chosen = np.isin(work, works.hashes[gives])
        for key in zip(work[chosen].tolist(), edition[chosen].tolist(), size[chosen].tolist(), strict=True):
            self._sizes[key[:2]] = self._sizes.get(key[:2], 0) + key[2]

    def sides(self, document: Document, num_bytes: int) -> Iterator[tuple[Side, Document]]:
        """The document with its side; a long one at a cut comes in two pieces, the head to train on."""
        self.works(document.source)
        key = self._key(document)
        if key[0] not in self._cuts:
            yield "train", document
            return
        first, share, part = self._cuts[key[0]]
        start = self._read.get(key, 0) + self._gaps.get((*key, self._placed[key]), 0)
        self._placed[key] += 1
        end = self._read[key] = start + num_bytes
        if key[1] != first:
            yield ("other_edition" if end > (share - EDITION_MARGIN) * self._sizes[key] else "train"), document
            return
        cut, size = round(share * self._sizes[key]), self._sizes[key]
        is_long = num_bytes > max(part, SHORTEST_CUT)
        pieces = cut_document(document, cut - start) if is_long and start < cut < end else None
        is_last = end == size and (start > 0 or len(self._works[document.source].sizes) > 1)
        if pieces:
            yield "train", pieces[0]
            yield "heldout", pieces[1]
        else:
            yield ("heldout" if is_last or end - cut >= num_bytes / 2 else "train"), document


def edition_of(document: Document) -> str:
    """Name of the edition a document belongs to: of a text that was cut into passages its file, else "".

    Files of package documentation and records are pieces of one work, not editions of it.
    """
    is_passage = any(transform.startswith("cut_at_") for transform in document.transforms)
    return document.location.split("#")[0] if is_passage else ""


def whole_location(location: str) -> str:
    """Location of the document that a piece was cut from: its head keeps it."""
    return re.sub(rf"[/#]{TAIL}$", "", location)


def cut_document(document: Document, num_bytes: int) -> tuple[Document, Document]:
    """Head and tail of a document, cut near `num_bytes` at the best of `CUTS`; the tail has its own id and location."""
    text = document.text
    wanted = len(text.encode()[:num_bytes].decode(errors="ignore"))
    reach = max(1, (len(text) - wanted) // 2)
    for pattern in CUTS:
        ends = [match.end() for match in re.compile(pattern).finditer(text, max(1, wanted - reach), wanted + reach)]
        if ends:
            end = min(ends, key=lambda position: abs(position - wanted))
            break
    location = f"{document.location}{'/' if '#' in document.location else '#'}{TAIL}"
    name = sha256_bytes(f"{document.source}\n{location}".encode("utf-8", "surrogatepass"))[:16]
    head, tail = _piece(document, text[:end].rstrip() + "\n"), _piece(document, text[end:])
    return head, replace(tail, id=name, location=location)


def _piece(document: Document, text: str) -> Document:
    return replace(document.changed(text, "cut_for_heldout"), sha256=sha256_bytes(text.encode()))
