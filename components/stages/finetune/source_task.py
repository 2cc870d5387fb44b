"""Classification: which source is this bit of text from? Held-out lines are of parts that no training text is from."""

from dataclasses import replace
from pathlib import Path

from components.instruction_pairs.examples import Draw, Examples, NotEnoughText, Passage, lowest, passages

LEAST = 16
"""Passages a source needs to be a class, in training and in the held-out text each."""
MOST_CLASSES, MOST_TIMES = 20, 3
"""Classes; and held-out passages of one beside those of the rarest: else it would do to say always the same."""
SNIPPET_CHARS = 16
"""A few words: whole lines of documentation and of drama are told apart almost without fail, and a score at its ceiling
compares nothing. At this length naive Bayes gets .89 of the demo's right from 4,096 labels."""


def draw(draw: Draw) -> Examples[Passage]:
    """Passages of each source with enough text, an equal share of the limits for each.

    Raises:
        NotEnoughText: fewer than two sources have enough text on both sides.
    """
    found = {
        draw.train: _by_source(draw, draw.train), draw.heldout: _by_source(draw.of_heldout, draw.heldout),
    }  # fmt: skip
    names = sorted(found[draw.train].keys() | found[draw.heldout].keys())
    sizes = {name: min(len(found[folder].get(name, [])) for folder in found) for name in names}
    fit = sorted((name for name in names if sizes[name] >= LEAST), key=lambda name: (-sizes[name], name))
    if len(fit) < 2:
        have = ", ".join(f"{name} {sizes[name]}" for name in names)
        raise NotEnoughText(
            f"it takes two sources with {LEAST} passages in training and held-out text; there are: {have}"
        )
    labels = sorted(fit[:MOST_CLASSES])
    drawn = []
    rarest = min(len(found[draw.heldout][name]) for name in labels)
    for folder, most in (
        (draw.train, draw.max_train), (draw.heldout, min(draw.max_heldout, MOST_TIMES * rarest * len(labels))),
    ):  # fmt: skip
        each = [lowest(found[folder][name], most // len(labels)) for name in labels]
        drawn.append([replace(p, label=label) for label, mine in enumerate(each) for p in mine])
    note = "Held-out passages are from parts of works that no training text is from."
    return Examples(drawn[0], drawn[1], labels, note)


def _by_source(draw: Draw, folder: Path) -> dict[str, list[tuple[str, Passage]]]:
    found: dict[str, list[tuple[str, Passage]]] = {}
    chars = min(SNIPPET_CHARS, draw.passage_chars)
    for document in draw.documents(folder):
        found.setdefault(document.source, []).extend(passages(draw, document, chars, draw.passage_chars))
    return found
