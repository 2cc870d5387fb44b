"""Cookie banners and menus of others, in seven languages, and how many of them the default rules drop.

Each has strings of one package in the order in which a page shows them. Who wrote the phrases of the filter had seen
strings of klaro, tarteaucitron, MediaWiki and DokuWiki, and five phrases of "accept all" were added after their items
had been measured. Strings of Cookie Control, Docusaurus, NexT and Roundcube no author of phrases has seen: they are
held out, and the goal is of them. No rule is for menus: they stay, as verse and lists do, which have their form.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

from benchmarks.foreign.labels import share
from benchmarks.foreign.packages import files
from benchmarks.foreign.texts import path_of, verdicts
from benchmarks.results import goal, write_rows

LANGUAGES = ("de", "fr", "zh", "ru", "ar", "hi", "ja")
SOURCES: dict[str, dict[str, Any]] = yaml.safe_load(path_of("junk.yaml").read_text("utf-8"))
"""Package -> its fields in junk.yaml."""


def measure() -> tuple[dict, list[dict]]:
    """Share of banners and menus that goes, by language, kind and package."""
    rows = [row for language in LANGUAGES for row in _rows(language)]
    gone = verdicts([row["text"] for row in rows])
    for number, row in enumerate(rows):
        row |= {"rule": gone.get(number, ""), "held_out": SOURCES[row["package"]]["held_out"]}
    results: dict[str, Any] = {"junk_removed": _share(rows), "junk_rules": dict(Counter(gone.values()))}
    for field in ("language", "kind", "package", "held_out"):
        for name in sorted({row[field] for row in rows}):
            results[f"junk_removed_{field}_{name}"] = _share([row for row in rows if row[field] == name])
    write_rows("foreign-junk", [{key: value for key, value in row.items() if key != "text"} for row in rows])
    unseen, seen = (results[f"junk_removed_held_out_{held_out}"] for held_out in (True, False))
    of = {kind: _share([row for row in rows if row["held_out"] and row["kind"] == kind]) for kind in ("banner", "menu")}
    results |= {f"junk_removed_held_out_{kind}": found for kind, found in of.items()}
    says = (
        f"of {unseen['n']} banners and menus of four packages whose strings no author of the rules had seen: banners "
    )
    says += (
        f"{of['banner']['share']:.3f} of {of['banner']['n']}, menus {of['menu']['share']:.3f} of {of['menu']['n']}; "
    )
    says += f"of {seen['n']} of four packages that they had seen {seen['share']:.3f}"
    return results, [goal("junk_removed", unseen["share"], 0.7, "higher", says)]


def _share(rows: list[dict]) -> dict[str, float]:
    return share(sum(bool(row["rule"]) for row in rows), len(rows))


def _rows(language: str) -> Iterator[dict[str, Any]]:
    """Language, kind, package, keys and text of each; a menu in lines, and in one line with bars; each text once."""
    seen = set[str]()
    for package, source in SOURCES.items():
        kind, code = source["kind"], source["codes"].get(language, language)
        strings = _strings(source["file"].format(code), source["line"])
        for sign in ("\n",) if kind == "banner" else ("\n", " | "):
            for keys in source["pages"]:
                found = [strings[key] for key in keys.split() if strings.get(key, "").strip()]
                text = sign.join(found)
                if len(found) >= 3 and len(text) >= 20 and text not in seen:
                    seen.add(text)
                    yield {"language": language, "kind": kind, "package": package, "keys": keys, "text": text}


def _strings(pattern: str, line: str) -> dict[str, str]:
    """Strings of a file of translations by key; a regular expression tells how a line of it has them, else it is YAML
    or JSON, whose nested keys are joined by dots."""
    strings: dict[str, str] = {}
    for path in files(pattern):
        text = path.read_text()
        if line:
            found = [(key, _unescaped(value)) for key, value in re.findall(line, text, re.MULTILINE)]
        else:
            found = list(_flat(json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)))
        strings |= {key.removeprefix("theme."): value for key, value in found}
    return strings


def _unescaped(value: str) -> str:
    return value.encode().decode("unicode_escape") if value.isascii() else value


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        elif isinstance(value, str):
            yield f"{before}{key}", value
