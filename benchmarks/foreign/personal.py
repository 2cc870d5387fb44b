"""Personal data found on a set of many countries (personal_set.py), ours beside well-kept packages in the same lines.

`ours` is the default, `both` has the packages of `filter.redact` in it. Peers run as they ship: phonenumbers with the
country of the identified language, detect-secrets' scan of a file with all plugins, datatrove's formatter of PII.
"""

import re
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks.foreign.labels import share
from benchmarks.foreign.personal_set import Planted, planted
from benchmarks.results import goal, write_rows
from components.stages.filter.pii import KINDS, find
from components.stages.filter.pii_packages import PACKAGES, find_with_phonenumbers
from components.text.language import identify

SEED = 20261201
PEERS = {"phone": "phonenumbers", "secret": "detect-secrets", "email": "datatrove", "ip": "datatrove"}
"""Kind -> package that looks for it; for numbers of cards and accounts there is none, and no goal."""
UNTOUCHED = "b"
"""The half of the set of which no line was read before a detector was mended; of `a`, two misses were."""
KNOWN = "on the half of a set that no detector was mended on; its writer had read none"
Finds = list[tuple[str, int, int]]
"""(kind, start, end)."""


def measure() -> tuple[dict, list[dict]]:
    """Recall by kind and tool, with the peers' on the same texts; precision of each tool's finds."""
    cases = list(planted(SEED))
    rows = [row for case in cases for row in _judged(case)]
    write_rows("foreign-personal", rows)
    results, goals = dict[str, Any](), list[dict]()
    for kind in KINDS:
        tools = {row["tool"] for row in rows if row["kind"] == kind}
        results[f"pii_recall_{kind}"] = {tool: _recall(rows, kind, tool) for tool in sorted(tools)}
        half = [row for row in rows if row["half"] == UNTOUCHED]
        shares = {tool: _recall(half, kind, tool) for tool in sorted(tools)}
        results[f"pii_recall_{kind}_untouched"] = shares
        if kind in PEERS:
            best, mine = shares[PEERS[kind]]["share"], shares["both"]["share"]
            whole = results[f"pii_recall_{kind}"]
            says = f"found with the extra, of {shares['both']['n']}, {KNOWN}; the goal is what {PEERS[kind]} finds; "
            says += f"of all {whole['both']['n']} {whole['both']['share']:.3f}, {whole[PEERS[kind]]['share']:.3f}"
            goals.append(goal(f"pii_recall_{kind}", mine, best, "higher", says))
    for tool in ("ours", "both", *sorted(set(PEERS.values()))):
        some = [row for row in rows if row["tool"] == tool]
        results[f"pii_precision_{tool}"] = _precision(some)
        results[f"pii_precision_{tool}_untouched"] = _precision([row for row in some if row["half"] == UNTOUCHED])
    for tool in ("ours", "both"):
        found = results[f"pii_precision_{tool}_untouched"]
        says = f"finds that are personal data, of {found['n']}, {KNOWN}"
        says += ", with the extra" if tool == "both" else ""
        goals.append(goal(f"pii_precision_{tool}", found["share"], 0.9, "higher", says))
    return results, goals


def _precision(rows: list[dict]) -> dict[str, Any]:
    right, wrong = (sum(row[name] for row in rows) for name in ("right", "wrong"))
    return share(right, right + wrong)


def _recall(rows: list[dict], kind: str, tool: str) -> dict[str, Any]:
    some = [row for row in rows if row["kind"] == kind and row["tool"] == tool]
    forms = sorted({row["form"] for row in some if not row["right"]})
    return share(sum(row["right"] > 0 for row in some), len(some)) | {"missed": forms}


def _judged(case: Planted) -> list[dict[str, Any]]:
    """Of each tool that looks for the case's kind, finds that are right and wrong; all tools where there is nothing."""
    start = case.text.find(case.value) if case.kind else -1
    rows = []
    for tool, finder in TOOLS.items():
        if tool in ("ours", "both") or not case.kind or PEERS.get(case.kind) == tool:
            right = wrong = 0
            for kind, begin, end in finder(case.text):
                fits = kind == case.kind and begin < start + len(case.value) and end > start
                right, wrong = right + fits, wrong + (not fits)
            found = {"tool": tool, "right": right, "wrong": wrong}
            rows.append({"kind": case.kind, "form": case.form, "half": case.half} | found)
    return rows


def _language(text: str) -> str:
    return identify(text)[0]


def _phonenumbers(text: str) -> Finds:
    return [("phone", one.start, one.end) for one in find_with_phonenumbers(text, _language(text))]


def _detect_secrets(text: str) -> Finds:
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import default_settings

    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file, default_settings():
        file.write(text)
        file.flush()
        found = {one.secret_value for one in scan_file(file.name) if one.type != "Public IP (ipv4)"}
    return [("secret", *one.span()) for value in found if value for one in re.finditer(re.escape(value), text)]


def _datatrove(text: str) -> Finds:
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter()
    return [
        (kind, *one.span())
        for kind, replacer in (("email", formatter.emails_replacer), ("ip", formatter.ip_replacer))
        for one in replacer.regex.finditer(text)
        if not replacer.validator or replacer.validator(one[0])
    ]


TOOLS: dict[str, Callable[[str], Finds]] = {
    "ours": lambda text: [(one.kind, one.start, one.end) for one in find(text)],
    "both": lambda text: [(one.kind, one.start, one.end) for one in find(text, [*KINDS, *PACKAGES], _language(text))],
    "phonenumbers": _phonenumbers,
    "detect-secrets": _detect_secrets,
    "datatrove": _datatrove,
}
