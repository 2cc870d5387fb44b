"""Index of held-out and evaluation text, which finds training documents that contain it by shared word n-grams.

Looked for are the held-out set, the items of evaluation sets in a folder, and canaries. An item (a
sentence, a question, an answer) that occurs word for word, or a canary, is enough to drop a
document; of the held-out set, text of the same kind shares phrases, so a share of the document's
n-grams is needed, and only rare ones count: a run of words that `BOILERPLATE` training documents
have (a footer, a licence) says nothing of where a document is from. 13 words is the length of GPT-3
(Brown et al. 2020, arXiv:2005.14165, appendix C). Words and hashes are those of `ngram_overlap`.
"""

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.core.errors import UserError
from components.core.files import written_whole
from components.core.plain_text import plain_name, strings_in
from components.corpus.corpus import read_corpus
from components.params import Decontaminate
from components.similarity import ngram_overlap
from components.synthetic.canaries import SOURCE, prefixes

RULE = "contaminated"
HELD_OUT = "held-out"
"""Name of the held-out set among the evaluation sets."""
FEWEST_WORDS = 8
"""Shorter items are not looked for: they occur by chance."""
BOILERPLATE = 5
"""Training documents from which a held-out run of words is boilerplate, and no evidence."""
_COMMON = np.uint16(65535)
"""In the place of an evaluation set, for boilerplate."""
LEAST_RUNS = 5
"""Shared held-out runs below which a share of them says nothing: one sentence."""
PASSAGE_CHARS = 300
"""Of a passage of boilerplate that are listed."""
LISTED = 1000
"""Documents that are listed, those that share most; all are counted."""


@dataclass(frozen=True)
class Hit:
    """Overlap of a text with an evaluation set: `shared` of its `total` runs of `ngram` words, without boilerplate."""

    name: str
    ngram: int
    shared: int
    total: int

    @property
    def share(self) -> float:
        """Of the document's n-grams."""
        return self.shared / self.total

    def drops(self, params: Decontaminate) -> bool:
        """Whether the document is dropped for it."""
        return self.name != HELD_OUT or (self.shared >= LEAST_RUNS and self.share > params.max_share)

    def reason(self) -> str:
        """For the dropped record."""
        return f"{self.shared} of {self.total} runs of {self.ngram} words are in {self.name}"


def most_shared(rows: Iterable[list]) -> list[list]:
    """The `LISTED` rows [set, source, location, shared, total, ...] with the largest share, in order."""
    return heapq.nsmallest(LISTED, rows, key=lambda row: (-row[3] / row[4], *row[:3]))


@dataclass(frozen=True)
class ContaminationIndex:
    """Index of all text looked for: per length in words, sorted hashes (uint64) and the evaluation set each is from.

    Attributes:
        names: of the evaluation sets.
    """

    names: list[str]
    by_length: dict[int, tuple[np.ndarray, np.ndarray]]

    def hits(self, texts: Sequence[str]) -> list[list[Hit]]:
        """Overlaps of each text with each evaluation set, a list per text."""
        hits: list[list[Hit]] = [[] for _ in texts]
        if not texts:
            return hits
        scanned = ngram_overlap.words(texts)
        for length, (hashes, sets) in sorted(self.by_length.items()):
            if not len(hashes):  # all held-out documents are shorter than a run of words
                continue
            grams, documents = ngram_overlap.ngrams(scanned, length)
            index = np.minimum(np.searchsorted(hashes, grams), len(hashes) - 1)  # of the nearest hash looked for
            is_hit = hashes[index] == grams
            is_common = is_hit & (sets[index] == _COMMON)
            is_hit &= ~is_common
            totals = np.bincount(documents[~is_common], minlength=len(texts))
            # Columns (document, evaluation set) of every hit; equal columns are counted.
            columns = np.stack([documents[is_hit], sets[index[is_hit]].astype(np.int64)])
            pairs, counts = np.unique(columns, axis=1, return_counts=True)
            for document, number, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
                hits[document].append(Hit(self.names[number], length, count, int(totals[document])))
        return hits

    def held_out_runs(self, texts: Sequence[str], ngram: int) -> np.ndarray:
        """Of how many texts each hash looked for of that length is part, (num_hashes,) int64."""
        hashes = self.by_length[ngram][0] if ngram in self.by_length else np.zeros(0, np.uint64)
        if not texts or not len(hashes):
            return np.zeros(len(hashes), np.int64)
        grams, documents = ngram_overlap.ngrams(ngram_overlap.words(texts), ngram)
        nearest = np.minimum(np.searchsorted(hashes, grams), len(hashes) - 1)
        is_hit = hashes[nearest] == grams
        once = np.unique(np.stack([documents[is_hit], nearest[is_hit]]), axis=1)[1]
        return np.bincount(once, minlength=len(hashes))

    def with_boilerplate(self, documents: np.ndarray, ngram: int) -> "ContaminationIndex":
        """The index with frequent held-out runs known as boilerplate; evaluation sets' runs stay what they are.

        Args:
            documents: of how many training documents each run is part, see `held_out_runs`.
        """
        if ngram not in self.by_length:
            return self
        hashes, sets = self.by_length[ngram]
        known = np.where((documents >= BOILERPLATE) & (sets == 0), _COMMON, sets)
        return ContaminationIndex(self.names, self.by_length | {ngram: (hashes, known)})

    def save(self, path: Path) -> None:
        """Write it for the workers."""
        arrays: dict[str, np.ndarray] = {"names": np.array(self.names)}
        for length, (hashes, sets) in self.by_length.items():
            arrays |= {f"hashes-{length}": hashes, f"sets-{length}": sets}
        with written_whole(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> "ContaminationIndex":
        """The reverse of `save`."""
        with np.load(path, allow_pickle=False) as arrays:
            lengths = [int(name.partition("-")[2]) for name in arrays.files if name.startswith("hashes-")]
            tables = {length: (arrays[f"hashes-{length}"], arrays[f"sets-{length}"]) for length in lengths}
            return cls(arrays["names"].tolist(), tables)


def boilerplate_passages(
    heldout: Path, index: ContaminationIndex, documents: np.ndarray, ngram: int
) -> tuple[int, list[tuple]]:
    """Number of held-out runs that are boilerplate; (passage, training documents with a run of it,
    held-out documents, runs), the most frequent first.

    Args:
        index, documents: of `ContaminationIndex.with_boilerplate`.
    """
    hashes, sets = index.by_length.get(ngram, (np.zeros(0, np.uint64), np.zeros(0, np.uint16)))
    hashes, documents = hashes[sets == _COMMON], documents[sets == _COMMON]
    passages: dict[str, list[int]] = {}
    for document in read_corpus(heldout) if len(hashes) else ():
        for passage, runs in ngram_overlap.passages(document.text, hashes, ngram):
            row = passages.setdefault(passage[:PASSAGE_CHARS], [0, 0, len(runs)])
            row[0] = max(row[0], int(documents[np.searchsorted(hashes, runs)].max()))
            row[1] += 1
    rows = ((passage, *row) for passage, row in passages.items())
    return len(hashes), heapq.nsmallest(LISTED, rows, key=lambda row: (-row[1], -row[2], row[0]))


def contamination_index(heldout: Path | None, items: Path | None, ngram: int) -> ContaminationIndex:
    """Everything that training text must not hold.

    Args:
        heldout: the held-out corpus.
        items: folder of evaluation sets, a file or subfolder each.

    Raises:
        UserError: there is no `items`, or a file there cannot be read; it is named with the line.
    """
    if items and not items.exists():
        raise UserError(f"filter.decontaminate.items: {items} is not there; correct it in params.yaml")
    # By length in words, since an item shorter than `ngram` words is looked for as a whole.
    grams: dict[int, list[tuple[np.ndarray, int]]] = {}
    names = [HELD_OUT]
    for document in read_corpus(heldout) if heldout else ():
        grams.setdefault(ngram, []).append((ngram_overlap.ngrams(ngram_overlap.words([document.text]), ngram)[0], 0))
    files = [path for path in sorted(items.rglob("*")) if path.suffix in (".jsonl", ".txt")] if items else []
    for path in filter(Path.is_file, files):
        names.append(plain_name(path.relative_to(items or "").as_posix()))
        for text in _texts(path, names[-1]):
            tokens = ngram_overlap.words([text])
            length = min(ngram, len(tokens.hashes))
            if length >= FEWEST_WORDS:
                grams.setdefault(length, []).append((ngram_overlap.ngrams(tokens, length)[0], len(names) - 1))
    names.append(SOURCE)
    grams.setdefault(FEWEST_WORDS, []).append((ngram_overlap.ngrams(ngram_overlap.words(prefixes()), FEWEST_WORDS)[0],
                                               len(names) - 1))  # fmt: skip
    return ContaminationIndex(names, {length: _sorted(entries) for length, entries in grams.items()})


def _sorted(entries: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Distinct hashes in order, and the set each is from: an evaluation set's before the held-out set's."""
    hashes = np.concatenate([grams for grams, _ in entries])
    sets = np.concatenate([np.full(len(grams), number, dtype=np.uint16) for grams, number in entries])
    order = np.lexsort((~sets, hashes))  # of equal hashes the largest number first: the held-out set is number 0
    hashes, sets = hashes[order], sets[order]
    first = np.ones(len(hashes), bool)
    first[1:] = hashes[1:] != hashes[:-1]
    return hashes[first], sets[first]


def _texts(path: Path, name: str) -> Iterator[str]:
    """The items of a file."""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if path.suffix == ".txt":
            yield line
        elif line.strip():
            try:
                texts = list(strings_in(json.loads(line)))
            except (ValueError, RecursionError) as error:
                raise UserError(f"filter.decontaminate: {name} line {number}: not JSON ({error}); fix it") from None
            yield from (text.encode("utf-8", "replace").decode() for text in texts)  # half of a surrogate pair is none
