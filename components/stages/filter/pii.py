"""Find personal data and keys in text, and replace them by their kind: `<EMAIL>`, `<PHONE>`, `<IP>`, `<CARD>`, ...

Each kind has a cheap test that most texts fail, a pattern, and a check that weeds out what only looks alike:
Luhn's check digit and issuer prefixes for cards (ISO/IEC 7812), country lengths and the modulo 97 checksum for IBANs
(ISO 13616), `ipaddress` for addresses, shapes and words nearby for telephone numbers, randomness for passwords.
Documentation is full of things that look alike (versions, decorators, floats, seeds), so recall and precision are
measured on a labelled set that was committed before this file (tests/components/stages/filter/test_pii.py), and on one
that is drawn anew from a seed (benchmarks/data_pii_set.py). Names and postal addresses are not found.
"""

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from components.stages.filter.lines import occurrences
from components.stages.filter.pii_numbers import PersonalDataSpan, find_cards, find_ibans, find_phones

KINDS = ("secret", "email", "iban", "card", "ip", "phone")
"""All kinds, in order of precedence where two overlap."""


# -- e-mail ------------------------------------------------------------------------------------------------------------

_LOCAL = re.compile(r"[A-Za-z0-9_%+'-]+(?:\.[A-Za-z0-9_%+'-]+)*$")
_DOMAIN = re.compile(r"(?:\w(?:[\w-]{0,61}\w)?\.){1,6}([^\W\d_]{2,24}|xn--[A-Za-z0-9-]{2,59})(?![\w@-])")
_NO_PERSON = frozenset({"git", "hg", "svn", "noreply", "no-reply"})
_RESERVED = frozenset({"test", "example", "invalid", "local"})
"""Top-level domains of documentation and of local networks (RFC 2606, RFC 6762): addresses as good as others."""


def find_emails(text: str) -> Iterator[PersonalDataSpan]:
    """Addresses around each `@` whose top-level domain is in the Public Suffix List (of the package `tld`)."""
    for at in occurrences(text, "@"):
        local = _LOCAL.search(text, max(0, at - 64), at)
        domain = _DOMAIN.match(text, at + 1)
        if local and domain and local[0].lower() not in _NO_PERSON and _is_top_domain(domain[1].lower()):
            start = local.start() + (len(local[0]) - len(local[0].lstrip("'%+-")))
            if start < at:
                yield PersonalDataSpan(start, domain.end(), "email")


def _is_top_domain(name: str) -> bool:
    from tld import is_tld

    return name in _RESERVED or is_tld(name)


# -- addresses of machines ---------------------------------------------------------------------------------------------

_V4 = re.compile(r"(?<![\w.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?!\w|\.\d|-\w)")
_MAYBE_V4 = re.compile(r"\.\d{1,3}\.\d")
_V6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){3,7}(?![\w:])")
_MAYBE_V6 = re.compile(r":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:")
_VERSION_BEFORE = re.compile(
    r"(?:\bv|version|release|section|chapter|firmware|driver|build|update|patch|revision|[<>=~]=|[<>~^])\s*$",
    re.IGNORECASE,
)
_SMALL = 32
_MOST_SMALL = 2
"""Parts of an address under `_SMALL`: more are a version's (5.15.2.100), in all but 0.7% of cases."""


def find_ips(text: str) -> Iterator[PersonalDataSpan]:
    """Public addresses. Three small numbers of four, or four after a word like "version", are a version."""
    for match in _V4.finditer(text) if _MAYBE_V4.search(text) else ():
        small = sum(int(part) < _SMALL for part in match[0].split("."))
        if small <= _MOST_SMALL and not _VERSION_BEFORE.search(text, max(0, match.start() - 12), match.start()):
            yield from _if_public(match)
    for match in _V6.finditer(text) if _MAYBE_V6.search(text) else ():
        if _looks_v6(match[0]):
            yield from _if_public(match)


def _looks_v6(text: str) -> bool:
    """Eight groups with letters in them, or a shortened address in the range that is handed out (2000::/3)."""
    groups = text.split(":")
    if "" not in groups:
        return len(groups) == 8 and len(text) >= 20 and bool(re.search("[A-Fa-f]", text))
    return len(groups[0]) == 4 and groups[0][0] in "23" and len([group for group in groups if group]) >= 3


def _if_public(match: re.Match[str]) -> Iterator[PersonalDataSpan]:
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return
    if address.is_global or (address.version == 6 and "::" not in match[0] and not address.is_private):
        yield PersonalDataSpan(match.start(), match.end(), "ip")


# -- keys and passwords ------------------------------------------------------------------------------------------------

_KEY_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (mark, re.compile(pattern))
    for mark, pattern in (
        ("AKIA", r"\bAKIA[0-9A-Z]{16}\b"),
        ("ASIA", r"\bASIA[0-9A-Z]{16}\b"),
        ("gh", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
        ("github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{60,255}\b"),
        ("glpat-", r"\bglpat-[A-Za-z0-9_-]{20,}"),
        ("_live_", r"\b[rs]k_live_[A-Za-z0-9]{16,}\b"),
        ("xox", r"\bxox[abprs]-[A-Za-z0-9-]{20,}"),
        ("AIza", r"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
        ("npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
        ("SG.", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b"),
        (":AA", r"\b\d{8,10}:AA[A-Za-z0-9_-]{32,33}\b"),
        ("hf_", r"\bhf_[A-Za-z]{30,40}\b"),
        ("sk-", r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}"),
        ("eyJ", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
        (
            "PRIVATE KEY",
            r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[\s\S]{16,8000}?-----END [A-Z ]{0,20}PRIVATE KEY-----",
        ),
    )
)
_VALUE = r"([A-Za-z0-9+/_\-!$%&*#=^~.]{12,128})"
_ASSIGNED = re.compile(
    r"(?:(?:pass(?:word|wd|phrase)|secret|(?:api|access|account)[_-]?key|auth[_-]?token|token)[\w-]{0,20}[\"']?\s{0,3}[:=]"
    rf"|bearer)\s{{0,3}}[\"']?{_VALUE}(?![A-Za-z0-9(\[])",
    re.IGNORECASE,
)
_ASSIGNED_MARKS = ("pass", "secret", "api", "access", "account", "auth", "token", "bearer")
_IN_URL = re.compile(r"://[^\s/:@]{1,64}:([^\s/:@]{12,128})@")


def find_secrets(text: str) -> Iterator[PersonalDataSpan]:
    """Keys in the published form of their issuer, and random values given to a password, secret, key or token."""
    for mark, pattern in _KEY_FORMS:
        if mark in text:
            yield from (PersonalDataSpan(match.start(), match.end(), "secret") for match in pattern.finditer(text))
    for pattern, places in ((_ASSIGNED, _marks(text)), (_IN_URL, occurrences(text, "://"))):
        for match in filter(None, (pattern.match(text, place) for place in places)):
            if _is_random(match[1]):
                yield PersonalDataSpan(match.start(1), match.end(1), "secret")


def _marks(text: str) -> list[int]:
    """Where an assignment may begin. Finding words and matching there is ten times faster than one search."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters become two in lower case, and places shift
        lowered = text
    return [place for mark in _ASSIGNED_MARKS for place in occurrences(lowered, mark)]


_HEX = re.compile(r"[0-9a-f]{24,}|[0-9A-F]{24,}")
_CLASSES = re.compile(r"[a-z]+|[A-Z]+|\d+|.")
_MIN_CHANGES = 0.36
"""Share of neighbours that are of another class (small, capital, digit, sign): 0.62 in random text, under 0.35 in names
that programs give (`pbkdf2_sha256`, `AutoTokenizer.from_pretrained`)."""


def _is_random(value: str) -> bool:
    """Letters and a digit mixed as in no word, with more than 3 bits of entropy per character; or hex digits."""
    counts = Counter(value)
    entropy = -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    digits = sum(character.isdigit() for character in value)
    if not (1 <= digits < len(value) and entropy > 3.0) or re.search(r"0123|1234|abcd|(.{5}).*\1", value):
        return False
    changes = len(_CLASSES.findall(value)) - 1
    return bool(_HEX.fullmatch(value)) or changes >= _MIN_CHANGES * (len(value) - 1)


# -- all together ------------------------------------------------------------------------------------------------------

_FINDERS: dict[str, Callable[[str], Iterator[PersonalDataSpan]]] = {
    "secret": find_secrets,
    "email": find_emails,
    "iban": find_ibans,
    "card": find_cards,
    "ip": find_ips,
    "phone": find_phones,
}


def find(text: str, kinds: Iterable[str] = KINDS) -> list[PersonalDataSpan]:
    """All personal data of these kinds, by place; where two overlap, the kind that comes first in KINDS stays."""
    wanted, spans = set(kinds), list[PersonalDataSpan]()
    for kind in KINDS:
        if kind in wanted:
            for found in _FINDERS[kind](text):
                if all(found.end <= span.start or found.start >= span.end for span in spans):
                    spans.append(found)
    return sorted(spans)


def redact(text: str, kinds: Iterable[str] = KINDS) -> tuple[str, Counter[str]]:
    """The text with each find replaced by `<KIND>`, and how many of each kind there were."""
    spans = find(text, kinds)
    pieces, done = [], 0
    for span in spans:
        pieces += [text[done : span.start], f"<{span.kind.upper()}>"]
        done = span.end
    return "".join([*pieces, text[done:]]), Counter(span.kind for span in spans)
