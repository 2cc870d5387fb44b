"""Classification: are the two halves of this passage in their true order, or swapped? Any text feeds it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from components.instruction_pairs.examples import Draw, Examples, NotEnoughText, Passage, lowest, passages
from components.instruction_pairs.sentences import cut_near

LEAST = 8
LABELS = ["in order", "swapped"]


def draw(draw: Draw) -> Examples[Passage]:
    """Passages, about half of them with their halves swapped.

    Raises:
        NotEnoughText: there is hardly any text.
    """
    train = lowest(_halves(draw, draw.train), draw.max_train)
    heldout = lowest(_halves(draw.of_heldout, draw.heldout), draw.max_heldout)
    if len(train) < LEAST or len(heldout) < LEAST // 2:
        found = f"{len(train)} training and {len(heldout)} held-out passages"
        raise NotEnoughText(f"{found} were found, {LEAST} and {LEAST // 2} are needed")
    return Examples(train, heldout, LABELS, "Held-out passages are from parts of works that no training text is from.")


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
