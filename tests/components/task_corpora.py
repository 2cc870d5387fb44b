"""Small corpora of real text in many forms, as the stages before fine-tuning leave them."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import networkx
import numpy
import scipy

from components.core.files import sha256_bytes
from components.corpus.corpus import CorpusWriter, Document
from components.instruction_pairs.examples import Draw
from components.stages.ingest.docstrings import module_name, module_text

JAPANESE = (
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で"
    "ニャーニャー泣いていた事だけは記憶している。吾輩はここで始めて人間というものを見た。しかもあとで聞くと"
    "それは書生という人間中で一番獰悪な種族であったそうだ。この書生というのは時々我々を捕えて煮て食うという話である。"
)
GERMAN = (
    "Es war einmal ein König, der hatte zwölf Töchter, eine immer schöner als die andere. Sie schliefen zusammen in "
    "einem Saal, wo ihre Betten nebeneinander standen. Abends, wenn sie darin lagen, schloss der König die Tür zu und "
    "verriegelte sie. Wenn er aber am Morgen die Türe aufschloss, so sah er, dass ihre Schuhe zertanzt waren! "
)


def document(text: str, location: str, group: str, source: str = "docs") -> Document:
    name = sha256_bytes(f"{source} {location}".encode())[:16]
    return Document(name, text, source, "1", location, group, "MIT", "test", "", sha256_bytes(text.encode()))


def modules(package: object, pattern: str, most: int = 60) -> list[Document]:
    """Documentation of a package's modules, one group."""
    root = Path(str(package.__file__)).parent  # type: ignore[attr-defined]
    found = []
    for path in sorted(root.glob(pattern))[:most]:
        location = path.relative_to(root.parent).as_posix()
        text = module_text(path.read_bytes(), module_name(location))
        if len(text) > 40:
            found.append(document(text, location, root.name))
    return found


def plain(texts: Iterable[str], group: str, source: str = "docs") -> list[Document]:
    return [document(text, f"{group}/{index}.txt", group, source) for index, text in enumerate(texts)]


def write(folder: Path, train: list[Document], heldout: list[Document]) -> Path:
    for name, documents in (("train", train), ("heldout", heldout)):
        with CorpusWriter(folder / name) as writer:
            for one in documents:
                writer.add(one)
    return folder


def python_docs(folder: Path) -> Path:
    """Two packages to train on, one held out in works of four documents; a second source of prose beside them."""
    prose = [" ".join(GERMAN.split()[start:] + GERMAN.split()[:start]) for start in range(60)]
    train = modules(networkx, "algorithms/**/*.py") + modules(numpy, "lib/*.py") + plain(prose[:40], "tale", "tales")
    heldout = modules(scipy, "stats/*.py", 30) + plain(prose[40:], "other tale", "tales")
    works = [replace(one, group=f"{one.group} {number // 4}") for number, one in enumerate(heldout)]
    return write(folder, train, works)


def draw(corpus: Path, max_train: int = 200, max_heldout: int = 40, chars: int = 200, seed: int = 1) -> Draw:
    return Draw(corpus / "train", corpus / "heldout", max_train, max_heldout, chars, seed)
