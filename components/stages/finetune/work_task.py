"""Classification: which work (file, package, thread) is this passage from?

The held-out corpus has few of the training corpus's works, so here the test passages are a fifth of the training
corpus's own: unseen in fine-tuning, but seen without labels in pretraining. The report says so. The works are the
classes, so intervals resample documents.
"""

from dataclasses import replace

from components.corpus.corpus import Document
from components.instruction_pairs.examples import Draw, Examples, NotEnoughText, Passage, lowest, passages

LEAST = 40
"""Passages a work needs to be a class."""
MOST_CLASSES = 8
TEST_SHARE = 0.2


def draw(draw: Draw) -> Examples[Passage]:
    """Passages of the largest works.

    Raises:
        NotEnoughText: fewer than two works have enough text.
    """
    found: dict[str, list[tuple[str, str, Passage]]] = {}
    for document in draw.documents(draw.train):
        both = (passages(one, document, draw.passage_chars) for one in (draw, draw.of_heldout))
        three = (
            (key, heldout_key, replace(passage, cluster=document.id, stratum=""))
            for (key, passage), (heldout_key, _) in zip(*both, strict=True)
        )
        found.setdefault(_work(document), []).extend(three)
    fit = sorted((name for name in found if len(found[name]) >= LEAST), key=lambda name: (-len(found[name]), name))
    if len(fit) < 2:
        has = f"{len(fit)} of {len(found)} works in the training text have the {LEAST} passages that a class needs"
        raise NotEnoughText(f"{has}, and it takes two works")
    labels = sorted(fit[:MOST_CLASSES])
    train: list[Passage] = []
    heldout: list[Passage] = []
    for label, name in enumerate(labels):
        mine = [(key, held, replace(p, label=label)) for key, held, p in found[name]]
        test = [(held, passage) for _, held, passage in mine if _is_test(held)]
        rest = [(key, passage) for key, held, passage in mine if not _is_test(held)]
        train += lowest(rest, draw.max_train // len(labels))
        heldout += lowest(test, draw.max_heldout // len(labels))
    return Examples(train, heldout, labels, "Test passages are of the same works, and were in the pretraining text.")


def _work(document: Document) -> str:
    """The document's group; of a file cut into pieces, the file: which piece a passage is from means nothing."""
    return document.group.split("#")[0] if document.group == document.location else document.group


def _is_test(key: str) -> bool:
    """By another part of the key than the one that orders."""
    return int(key[-8:], 16) < TEST_SHARE * 16**8
