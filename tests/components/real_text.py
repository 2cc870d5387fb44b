"""Real text for tests of the data stages: docstrings of installed packages, as documents and corpora."""

import ast
import hashlib
import random
import re
import sysconfig
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from components.corpus.corpus import CorpusWriter, Document


def document(location: str, text: str, source: str = "docs") -> Document:
    """A document with made-up provenance."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    name = hashlib.sha256(f"{source}\0{location}".encode()).hexdigest()[:16]
    return Document(name, text, source, "1", location, location, "BSD-3-Clause", "test", "2025-01-01", digest)


@cache
def modules(package: str = "scipy", count: int = 150) -> tuple[Document, ...]:
    """The docstrings of `count` modules of an installed package, one document each."""
    site = Path(sysconfig.get_paths()["purelib"])
    found = []
    for path in sorted((site / package).rglob("*.py")):
        if "tests" in path.relative_to(site).parts:  # not in the absolute path: the checkout may be below a `tests`
            continue
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        text = "\n\n".join(filter(None, (ast.get_docstring(node) for node in nodes if isinstance(node, kinds))))
        if len(text) > 200:
            found.append(document(str(path.relative_to(site)), text[:20_000]))
        if len(found) == count:
            break
    assert len(found) == count
    return tuple(found)


def edited(text: str, rate: float, seed: int) -> str:
    """`text` with this share of its words replaced by others of it."""
    chance = random.Random(seed)
    words = re.findall(r"\S+|\s+", text)
    pool = [word for word in words if not word.isspace()]
    return "".join(chance.choice(pool) if not word.isspace() and chance.random() < rate else word for word in words)


def places(folder: Path) -> dict[str, Path]:
    """Where a stage function writes: folders `out`, `reports` and `work`."""
    found = {name: folder / name for name in ("out", "reports", "work")}
    for each in found.values():
        each.mkdir(parents=True, exist_ok=True)
    return found


def corpus(folder: Path, documents: Iterable[Document], shard_bytes: int = 200_000) -> Path:
    """Write a corpus."""
    with CorpusWriter(folder, shard_bytes) as writer:
        for each in documents:
            writer.add(each)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file under `folder`, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
