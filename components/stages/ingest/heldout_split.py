"""The split of a source's works into training text and held-out text.

In the order of sha256(salt, source, work), works give a contiguous final part until ten have given one and
`heldout_fraction` of the source's bytes is reached; a short work gives all of itself. Where all works together would
fall short of it so, as many as are needed give larger parts. So many works are represented, and a work's place in that
order depends on its name alone: text that comes or goes elsewhere moves documents only next to a cut. No setting of a
later stage has a say.

Of a work in several editions the first is held out in part. The same part of its other editions is dropped: the same
words in another spelling are no unseen text, and no second piece of evidence.
"""

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from components.core.files import sha256_bytes
from components.corpus.corpus import Document

Side = Literal["train", "heldout", "other_edition"]

MIN_WORKS = 10
"""Works of a source that give a part, if it has as many: fewer clusters make poor intervals."""

MIN_PART_BYTES = 1000
"""Least bytes of a part: less is a sentence, not a text."""

SHORTEST_CUT = 2 * MIN_PART_BYTES
"""Shorter documents are not cut in two."""

MAX_SHARE = 0.25
"""Largest share of a source that is held out so that `MIN_WORKS` have a part, unless `fraction` is larger."""

WHOLE = 1.5
"""A work of up to this many parts is held out whole: what would be left to train on is less than what is scored."""

SHORT = 0.9
"""Share of the wanted bytes from which on a source does not fall short."""

EDITION_MARGIN = 0.05
"""Share of another edition that is dropped before the same place: editions are not of the same length."""

TAIL = "heldout"
"""Last part of the location of a document's tail."""
CUTS = (r"\n\s*\n(?=\S)", r"\n\s*\n", r"\n", r"[.!?]\s+|[\u3002\uff01\uff1f]", r"\s")
"""Where a long document may be cut, best first: before an unindented line after a blank one (a heading, a paragraph),
at a blank line, a line, a sentence, a word."""


@dataclass(frozen=True, slots=True)
class Works:
    """The works of a source: `hashes`, `sizes` (bytes of the first edition), `parts` (bytes held out), one per work.

    All are in the order of the hash, so that the works that give a part come first.
    """

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

    Attributes:
        fraction: share of each source's bytes to hold out.
        salt: changes which works.
    """

    fraction: float
    salt: str
    _observed: dict[str, tuple[array, array, array]] = field(default_factory=dict)
    _works: dict[str, Works] = field(default_factory=dict)
    _cuts: dict[int, tuple[int, float, int]] = field(default_factory=dict)
    _sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    _read: dict[tuple[int, int], int] = field(default_factory=dict)

    def hash_of(self, source: str, work: str) -> int:
        """64 bits that depend on salt, source and the work's name alone."""
        return int(sha256_bytes(f"{self.salt}\n{source}\n{work}".encode())[:16], 16)

    def observe(self, document: Document, num_bytes: int) -> None:
        """Take note of a document; memory grows by 24 bytes for each edition that follows another."""
        work = self.hash_of(document.source, document.group)
        edition = self.hash_of("edition", edition_of(document))
        works, editions, sizes = self._observed.setdefault(document.source, (array("Q"), array("Q"), array("Q")))
        if works and (works[-1], editions[-1]) == (work, edition):
            sizes[-1] += num_bytes
        else:
            works.append(work)
            editions.append(edition)
            sizes.append(num_bytes)

    def works(self, source: str) -> Works:
        """The works of a source that was observed, and what each gives."""
        if source not in self._works:
            work, edition, size = (np.frombuffer(column, dtype=np.uint64) for column in self._observed[source])
            hashes, first, index = np.unique(work, return_index=True, return_inverse=True)
            is_first = edition == edition[first][index]
            sizes = np.bincount(index[is_first], size[is_first], minlength=len(hashes)).astype(np.int64)
            works = Works(hashes, edition[first], sizes, self._parts(sizes, int(size.sum())))
            self._works[source] = works
            self._prepare(works, work, edition, size)
        return self._works[source]

    def _parts(self, sizes: np.ndarray, total: int) -> np.ndarray:
        """Bytes that each work gives: 0 after enough have given."""
        wanted, most = self.fraction * total, max(self.fraction, MAX_SHARE) * total
        fewest = min(MIN_WORKS, len(sizes))
        part = int(min(max(wanted / fewest, MIN_PART_BYTES), most))
        parts = np.where(sizes <= WHOLE * part, sizes, part)
        cumulative = np.cumsum(parts)
        if cumulative[-1] < SHORT * wanted:
            return _filled(sizes, wanted, fewest)
        enough = max(fewest, int(np.searchsorted(cumulative, wanted)) + 1)
        affordable = max(1, int(np.searchsorted(cumulative, most, side="right")))
        parts[min(enough, affordable) :] = 0
        return parts

    def _prepare(self, works: Works, work: np.ndarray, edition: np.ndarray, size: np.ndarray) -> None:
        """Note the cut of each work that gives a part, and the size of each of its editions."""
        num = works.num_heldout
        for name, first, length, part in zip(
            *(column[:num].tolist() for column in (works.hashes, works.editions, works.sizes, works.parts)), strict=True
        ):
            self._cuts[name] = first, 1.0 - part / length, part
        chosen = np.isin(work, works.hashes[:num])
        for key in zip(work[chosen].tolist(), edition[chosen].tolist(), size[chosen].tolist(), strict=True):
            self._sizes[key[:2]] = self._sizes.get(key[:2], 0) + key[2]

    def sides(self, document: Document, num_bytes: int) -> Iterator[tuple[Side, Document]]:
        """The document with its side; a long one at a cut comes in two pieces, the head to train on."""
        self.works(document.source)
        work = self.hash_of(document.source, document.group)
        if work not in self._cuts:
            yield "train", document
            return
        first, share, part = self._cuts[work]
        key = work, self.hash_of("edition", edition_of(document))
        start = self._read.get(key, 0)
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


def _filled(sizes: np.ndarray, wanted: float, fewest: int) -> np.ndarray:
    """Bytes that each work gives where most are small: the first few that suffice, and of those the large ones more."""
    count = max(fewest, int(np.searchsorted(np.cumsum(sizes), wanted)) + 1)
    ascending = np.sort(sizes[:count])
    left = wanted - np.concatenate([[0], np.cumsum(ascending)[:-1]])  # when all smaller ones have given themselves
    levels = left / np.arange(len(ascending), 0, -1)
    part = int(levels[np.argmax(levels <= ascending)])
    parts = np.zeros_like(sizes)
    parts[:count] = np.minimum(sizes[:count], part)
    return parts


def edition_of(document: Document) -> str:
    """Name of the edition a document belongs to: of a text that was cut into passages its file, else "".

    Files of package documentation and records are pieces of one work, not editions of it.
    """
    is_passage = any(transform.startswith("cut_at_") for transform in document.transforms)
    return document.location.split("#")[0] if is_passage else ""


def whole_location(location: str) -> str:
    """Location of the document that a piece was cut from: its head keeps it."""
    return re.sub(rf"[/#]{TAIL}$", "", location)


def cut_document(document: Document, num_bytes: int) -> tuple[Document, Document] | None:
    """Head and tail of a document, cut near `num_bytes` at the best of `CUTS`; None if its text has none of them.

    The tail has its own id and location.
    """
    text = document.text
    wanted = len(text.encode()[:num_bytes].decode(errors="ignore"))
    reach = max(1, (len(text) - wanted) // 2)
    for pattern in CUTS:
        ends = [match.end() for match in re.compile(pattern).finditer(text, max(1, wanted - reach), wanted + reach)]
        if ends:
            end = min(ends, key=lambda position: abs(position - wanted))
            break
    else:
        return None
    location = f"{document.location}{'/' if '#' in document.location else '#'}{TAIL}"
    name = sha256_bytes(f"{document.source}\n{location}".encode("utf-8", "surrogatepass"))[:16]
    head, tail = _piece(document, text[:end].rstrip() + "\n"), _piece(document, text[end:])
    return head, replace(tail, id=name, location=location)


def _piece(document: Document, text: str) -> Document:
    return replace(document.changed(text, "cut_for_heldout"), sha256=sha256_bytes(text.encode()))
