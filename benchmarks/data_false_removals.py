"""Text that the default rules remove though it was written to be read, and text they should: labelled by its origin.

Good: documents, paragraphs and single sentences of the default corpus (`wrong` is the share removed, by rule). Bad:
cookie banners, placeholder text by `faker` and real text in a wrong encoding (`removed` is the share that goes).
"""

import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from faker import Faker

from components.corpus.corpus import Document, read_corpus
from components.params import Filter, Ingest
from components.stages.filter.stage import decide, tag
from components.stages.ingest.stage import ingest
from components.text.sentences import sentences_of

PIECES = 3000
BANNERS = (
    "We use cookies to improve your experience. By continuing to browse you accept our cookie policy.",
    "This website uses cookies. Accept all cookies. Manage cookies. Cookie settings.",
    "Wir verwenden Cookies, um Inhalte zu personalisieren. Cookies akzeptieren oder ablehnen.",
    "Nous utilisons des cookies pour mesurer l'audience. Accepter les cookies.",
    "Utilizamos cookies propias y de terceros. Aceptar las cookies.",
    "Our partners and we use cookies. Cookie preferences.",
)


def good(root: Path) -> dict[str, list[str]]:
    """Texts of the default corpus: whole, by paragraph, by sentence; a sample of each, none below `min_bytes`."""
    (root / "opt_out.txt").touch()
    folders: dict[str, Any] = {name: root / name for name in ("out", "reports", "work")}
    for folder in folders.values():
        folder.mkdir()
    ingest(root=root, params=Ingest(), **folders)
    whole = [document.text for document in read_corpus(root / "out" / "train")]
    paragraphs = [part for text in whole for part in text.split("\n\n")]
    single = [" ".join(part.split()) for text in whole for part in sentences_of(text)]
    chance = random.Random(0)
    parts = {"documents": whole, "paragraphs": paragraphs, "sentences": single}
    fit = {
        name: [text for text in texts if len(text.strip().encode()) >= Ingest().min_bytes]
        for name, texts in parts.items()
    }
    return {name: chance.sample(texts, min(PIECES, len(texts))) for name, texts in fit.items()}


def bad() -> dict[str, list[str]]:
    """Cookie banners, placeholder text, and mojibake of prose in four languages."""
    Faker.seed(0)
    fakes = [Faker(locale) for locale in ("de_DE", "fr_FR", "ru_RU", "pl_PL")]
    prose = [fake.paragraph(12) for fake in fakes[2:3] for _ in range(100)]
    prose += [f"Übermäßige Größe für {fake.name()}: {word}" for fake in fakes[:2] for word in ["später müssen"] * 50]
    lorem = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore. "
    latin = (
        "Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris. Duis aute irure dolor in voluptate velit. "
    )
    return {
        "cookie banners": [f"{a} {b}" for a in BANNERS for b in BANNERS],
        "placeholder text": [lorem * a + latin * b for a in range(1, 9) for b in range(1, 9)],
        "mojibake": [text.encode().decode("latin-1") for text in prose],
    }


def removed(texts: list[str], params: Filter) -> Counter[str]:
    """Texts that go, by the rule that names the reason."""
    fields: dict[str, Any] = dict.fromkeys(Document.__slots__[2:-1], "a")
    columns = tag([Document(str(number), text, **fields) for number, text in enumerate(texts)], params.languages)
    return Counter(rule for rule, _ in decide(params, ["a"] * len(texts), columns).values())


def measure() -> tuple[dict, list[dict]]:
    """Shares removed of good text, by rule, and of bad text."""
    params = Filter()
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as temporary:
        texts = good(Path(temporary))
    wrong = {
        name: {"n": len(some)} | {rule: count / len(some) for rule, count in sorted(removed(some, params).items())}
        for name, some in texts.items()
    }
    right = {name: sum(removed(some, params).values()) / len(some) for name, some in bad().items()}
    return {"false_removals": wrong, "bad_text_removed": right}, []
