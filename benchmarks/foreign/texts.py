"""Documents of the packages by kind: manual pages, help, handbooks, sayings, entries of dictionaries."""

import gzip
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lxml import html

from benchmarks.foreign.packages import files
from components.corpus.corpus import Document
from components.params import Filter
from components.stages.filter.stage import decide, tag

MOST_BYTES = 20_000
"""Of a document that are read: ingest cuts longer ones."""
ENTRIES = 12
"""Entries of a dictionary in one document."""
HEADING = re.compile(r"[.'](SH|SS|TH|B|I|BR|BI|IP|TP|PP|P|IR|RB|RI)\b\s*(.*)")
ESCAPE = re.compile(r"\\f(?:\[[^\]]*\]|\(..|.)|\\&|\\[|^/,)]|\\s[-+]?\d")
SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
TAGS = {
    "medical": re.compile(r"\((?:Med|Anat|Surg|Physiol)\.\)"),
    "legal": re.compile(r"\((?:O\. Eng\. |Eng\. |Civil )?Law\)"),
    "identity": re.compile(
        r"\b(?:Jew|Jews|Jewish|Negro|Negroes|African|Africans|Chinese|Indians?|Mohammedans?|Moslems?|Hindoos?|Hindus?"
        r"|Catholics?|Christians?|women|homosexual|immigrants?|deaf|blind persons?|Turks?|Arabs?|Germans?|Irish)\b"
    ),
}


def manual(language: str) -> Iterator[str]:
    """Manual pages, without the macros of roff."""
    for path in files(f"usr/share/man/{language}/*/*.gz"):
        yield _without_roff(gzip.decompress(path.read_bytes()).decode("utf-8", "replace"))[:MOST_BYTES]


def _without_roff(text: str) -> str:
    lines = []
    for line in text.split("\n"):
        if match := HEADING.match(line):
            line = match[2].replace('"', "")
        elif line[:1] in (".", "'"):
            continue
        lines.append(ESCAPE.sub("", line).replace("\\-", "-").replace("\\e", "\\"))
    return "\n".join(lines).strip()


def pages(pattern: str) -> Iterator[str]:
    """Text of HTML pages, a line for each block."""
    for path in files(pattern):
        if not (raw := path.read_bytes()).strip():
            continue
        tree = html.fromstring(raw)
        for element in tree.xpath("//script|//style|//header|//footer|//nav"):
            element.drop_tree()
        for element in tree.iter("p", "br", "li", "h1", "h2", "h3", "tr", "div", "pre", "dt", "dd"):
            element.tail = "\n" + (element.tail or "")
        yield re.sub(r"\s*\n\s*", "\n", tree.text_content()).strip()[:MOST_BYTES]


def sayings(language: str) -> Iterator[str]:
    """Sayings, poems and jokes of `fortune`."""
    names = {"de": "de/*", "ru": "ru/*", "zh": "*"}[language]
    package = f"fortunes-{language}"
    for path in files(f"usr/share/games/fortunes/{names}"):
        if package in str(path) and not path.suffix:
            text = re.sub(r"\x1b\[[0-9;]*m", "", path.read_text(encoding="utf-8", errors="replace"))
            yield from (part.strip() for part in text.split("\n%\n"))


def dictionary(name: str) -> Iterator[str]:
    """Entries of a dictionary of dictd, each once."""
    (data,), (index,) = files(f"usr/share/dictd/{name}.dict.dz"), files(f"usr/share/dictd/{name}.index")
    text, seen = gzip.decompress(data.read_bytes()), set[int]()
    for line in index.read_text(encoding="utf-8", errors="replace").splitlines():
        word, *where = line.split("\t")
        start, length = (int("".join(f"{SIGNS.index(sign):06b}" for sign in one), 2) for one in where[:2])
        if not word.startswith("00") and start not in seen:
            seen.add(start)
            yield text[start : start + length].decode("utf-8", "replace").strip()


def entries_about(kind: str) -> Iterator[str]:
    """Documents of a dozen entries each of the Collaborative International Dictionary that are about law, ..."""
    found = [entry for entry in dictionary("gcide") if TAGS[kind].search(entry) and len(entry) < 3000]
    yield from ("\n\n".join(found[at : at + ENTRIES]) for at in range(0, len(found), ENTRIES))


def by_language() -> dict[str, list[str]]:
    """Language -> documents: manual pages, help, handbook and sayings."""
    handbook, help_ = "usr/share/doc/debian-handbook/html/{}/*.html", "usr/share/libreoffice/help/{}/**/*.html"
    return {
        "de": [*manual("de"), *pages(handbook.format("de-DE")), *pages(help_.format("de")), *sayings("de")],
        "ru": [*manual("ru"), *pages(handbook.format("ru-RU")), *pages(help_.format("ru")), *sayings("ru")],
        "zh": [*manual("zh_CN"), *pages(handbook.format("zh-CN")), *pages(help_.format("zh-CN")), *sayings("zh")],
        "ar": [*pages(handbook.format("ar-MA"))],
    }


def path_of(name: str) -> Path:
    """A file beside this module."""
    return Path(__file__).parent / name


def documents_of(texts: Sequence[str]) -> list[Document]:
    """Texts as documents of one source."""
    fields: dict[str, Any] = dict.fromkeys(Document.__slots__[2:-1], "a")
    return [Document(str(number), text, **fields) for number, text in enumerate(texts)]


def verdicts(texts: Sequence[str]) -> dict[int, str]:
    """Number of each text that the default rules of the filter drop -> the rule."""
    gone = decide(Filter(), ["a"] * len(texts), tag(documents_of(texts), []))
    return {number: rule for number, (rule, _) in gone.items()}
