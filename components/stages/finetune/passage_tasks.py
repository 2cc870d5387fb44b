"""Classification tasks drawn from a corpus: which source or work is a passage from, are its halves in order?

Held-out passages of sources and halves are of parts of works that no training text is from. The
held-out corpus has few of the training corpus's works, so test passages of the task of works are a
fifth of the training corpus's own: unseen in fine-tuning, but seen without labels in pretraining,
as the report says. Works are its classes, so its intervals resample documents.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from components.corpus.corpus import Document
from components.instruction_pairs.examples import Draw, Examples, NotEnoughText, Passage, lowest, passages
from components.instruction_pairs.sentences import cut_near

PER_SOURCE = 16
"""Passages a source needs to be a class, in training and in the held-out text each."""
MOST_CLASSES, MOST_TIMES = 20, 3
"""Classes; and held-out passages of one beside those of the rarest: else it would do to say always the same."""
SNIPPET_CHARS = 16
"""A few words: whole lines of documentation and of drama are told apart almost without fail, and a
score at its ceiling compares nothing. At this length naive Bayes gets .89 of the demo's right from
4,096 labels."""
PER_WORK, MOST_WORKS, TEST_SHARE = 40, 8, 0.2
"""Passages a work needs to be a class; classes; share of a work's passages that test."""
FEWEST = 8
"""Passages that the task of halves needs to train on, and half as many held out."""
APART = "Held-out passages are from parts of works that no training text is from."


def from_sources(draw: Draw) -> Examples[Passage]:
    """Passages of each source with enough text, an equal share of the limits for each.

    Raises `NotEnoughText`: fewer than two sources have enough text on both sides.
    """
    by_source = {
        draw.train: _by_source(draw, draw.train), draw.heldout: _by_source(draw.of_heldout, draw.heldout),
    }  # fmt: skip
    names = sorted(by_source[draw.train].keys() | by_source[draw.heldout].keys())
    sizes = {name: min(len(by_source[folder].get(name, [])) for folder in by_source) for name in names}
    fit = sorted((name for name in names if sizes[name] >= PER_SOURCE), key=lambda name: (-sizes[name], name))
    if len(fit) < 2:
        have = ", ".join(f"{name} {sizes[name]}" for name in names)
        raise NotEnoughText(
            f"it takes two sources with {PER_SOURCE} passages in training and held-out text; there are: {have}"
        )
    labels = sorted(fit[:MOST_CLASSES])
    splits = []
    rarest = min(len(by_source[draw.heldout][name]) for name in labels)
    for folder, most in (
        (draw.train, draw.max_train), (draw.heldout, min(draw.max_heldout, MOST_TIMES * rarest * len(labels))),
    ):  # fmt: skip
        by_label = [lowest(by_source[folder][name], most // len(labels)) for name in labels]
        splits.append([replace(p, label=label) for label, group in enumerate(by_label) for p in group])
    return Examples(splits[0], splits[1], labels, APART)


def _by_source(draw: Draw, folder: Path) -> dict[str, list[tuple[str, Passage]]]:
    by_source: dict[str, list[tuple[str, Passage]]] = {}
    chars = min(SNIPPET_CHARS, draw.passage_chars)
    for document in draw.documents(folder):
        by_source.setdefault(document.source, []).extend(passages(draw, document, chars, draw.passage_chars))
    return by_source


def from_works(draw: Draw) -> Examples[Passage]:
    """Passages of the largest works.

    Raises `NotEnoughText`: fewer than two works have enough text.
    """
    by_work: dict[str, list[tuple[str, str, Passage]]] = {}
    for document in draw.documents(draw.train):
        both = (passages(part, document, draw.passage_chars) for part in (draw, draw.of_heldout))
        three = (
            (key, heldout_key, replace(passage, cluster=document.id, stratum=""))
            for (key, passage), (heldout_key, _) in zip(*both, strict=True)
        )
        by_work.setdefault(_work(document), []).extend(three)
    fit = sorted(
        (name for name in by_work if len(by_work[name]) >= PER_WORK), key=lambda name: (-len(by_work[name]), name)
    )
    if len(fit) < 2:
        has = f"{len(fit)} of {len(by_work)} works in the training text have the {PER_WORK} passages that a class needs"
        raise NotEnoughText(f"{has}, and it takes two works")
    labels = sorted(fit[:MOST_WORKS])
    train: list[Passage] = []
    heldout: list[Passage] = []
    for label, name in enumerate(labels):
        rows = [(key, held, replace(p, label=label)) for key, held, p in by_work[name]]
        test = [(held, passage) for _, held, passage in rows if _is_test(held)]
        rest = [(key, passage) for key, held, passage in rows if not _is_test(held)]
        train += lowest(rest, draw.max_train // len(labels))
        heldout += lowest(test, draw.max_heldout // len(labels))
    return Examples(train, heldout, labels, "Test passages are of the same works, and were in the pretraining text.")


def _work(document: Document) -> str:
    """The document's group; of a file cut into pieces, the file: which piece a passage is from means nothing."""
    return document.group.split("#")[0] if document.group == document.location else document.group


def _is_test(key: str) -> bool:
    """By another part of the key than the one that orders."""
    return int(key[-8:], 16) < TEST_SHARE * 16**8


def in_order(draw: Draw) -> Examples[Passage]:
    """Passages, about half of them with their halves swapped.

    Raises `NotEnoughText`: there is hardly any text.
    """
    train = lowest(_halves(draw, draw.train), draw.max_train)
    heldout = lowest(_halves(draw.of_heldout, draw.heldout), draw.max_heldout)
    if len(train) < FEWEST or len(heldout) < FEWEST // 2:
        counts = f"{len(train)} training and {len(heldout)} held-out passages"
        raise NotEnoughText(f"{counts} were found, {FEWEST} and {FEWEST // 2} are needed")
    return Examples(train, heldout, ["in order", "swapped"], APART)


def _halves(draw: Draw, folder: Path) -> Iterator[tuple[str, Passage]]:
    for document in draw.documents(folder):
        for key, passage in passages(draw, document, draw.passage_chars):
            text = passage.text
            middle = cut_near(text, len(text) // 2, len(text) // 4, len(text) * 3 // 4)
            first, second = text[:middle].strip(), text[middle:].strip()
            if first and second:
                swapped = int(key[-1], 16) % 2
                parts = (second, first) if swapped else (first, second)
                yield key, replace(passage, text="\n".join(parts), label=swapped)
