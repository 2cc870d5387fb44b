"""Find personal data and keys in text, and replace them by their kind: `<EMAIL>`, `<PHONE>`, `<IP>`, `<CARD>`, ...

Each kind has a cheap test that most texts fail, a pattern, and a check that weeds out what only looks alike:
Luhn's check digit and issuer prefixes for cards (ISO/IEC 7812), country lengths and the modulo 97 checksum for IBANs
(ISO 13616), `ipaddress` for addresses, shapes and words nearby for telephone numbers, randomness for passwords.
Documentation is full of things that look alike (versions, decorators, floats, seeds), so recall and precision are
measured on a labelled set that was committed before this file (tests/components/stages/filter/test_pii.py), and beside
other packages on one that is drawn from a seed (benchmarks/foreign). Names and postal addresses are not found.
"""

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from components.stages.filter.lines import occurrences
from components.stages.filter.pii_numbers import WORDS, PersonalDataSpan, find_cards, find_ibans, find_phones
from components.stages.filter.pii_packages import find_with_detect_secrets, find_with_phonenumbers

KINDS = ("secret", "email", "iban", "card", "ip", "phone")
"""All kinds, in order of precedence where two overlap."""
_PRECEDENCE = ("secret", "detect-secrets", "email", "iban", "card", "ip", "phone", "phonenumbers")


# -- e-mail ------------------------------------------------------------------------------------------------------------

_LOCAL = re.compile(r"[A-Za-z0-9_%+'\u00c0-\u024f-]+(?:\.[A-Za-z0-9_%+'\u00c0-\u024f-]+)*$")
_DOMAIN = re.compile(r"(?:\w(?:[\w-]{0,61}\w)?\.){1,6}([^\W\d_]{2,24}|xn--[A-Za-z0-9-]{2,59})(?![\w@-])")
_NO_PERSON = frozenset({"git", "hg", "svn", "noreply", "no-reply"})
_RESERVED = frozenset({"test", "example", "invalid", "local"})
"""Top-level domains of documentation and of local networks (RFC 2606, RFC 6762): addresses as good as others."""


def find_emails(text: str) -> Iterator[PersonalDataSpan]:
    """Addresses around each `@` whose domain ends in one of the Public Suffix List (of the package `tld`)."""
    for sign in occurrences(text, "@"):
        local = _LOCAL.search(text, max(0, sign - 64), sign)
        domain = _DOMAIN.match(text, sign + 1)
        if local and domain and local[0].lower() not in _NO_PERSON and _is_public(domain[0].lower()):
            start = local.start() + (len(local[0]) - len(local[0].lstrip("'%+-")))
            if start < sign:
                yield PersonalDataSpan(start, domain.end(), "email")


def _is_public(domain: str) -> bool:
    """Whether the last part is a public suffix, or the last two are: of `za` and `np` the list has `ac.za` alone."""
    from tld import is_tld

    last = domain.split(".")[-2:]
    return last[-1] in _RESERVED or is_tld(last[-1]) or is_tld(".".join(last))


# -- addresses of machines ---------------------------------------------------------------------------------------------

_V4 = re.compile(r"(?<![\w.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?!\w|\.\d|-\w)")
_MAYBE_V4 = re.compile(r"\.\d{1,3}\.\d")
_V6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){3,7}(?![\w:])")
_MAYBE_V6 = re.compile(r":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:")
_VERSION_BEFORE = re.compile(
    r"(?:\bv|version|release|section|chapter|firmware|driver|build|update|patch|revision|kernel|[<>=~]=|[<>~^])\s*$",
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
    if address.is_global and not address.is_multicast:
        yield PersonalDataSpan(match.start(), match.end(), "ip")


# -- keys and passwords ------------------------------------------------------------------------------------------------

_KEY_FORMS = {mark: re.compile(form) for mark, form in WORDS["keys"].items()}
_PASSWORD_WORDS = [word for words in WORDS["secret"].values() for word in words]
_VALUE = r"([A-Za-z0-9+/_\-!$%&*#=^~.]{12,128})"
_ASSIGNED = re.compile(
    r"(?:(?:pass(?:word|wd|phrase)|secret|(?:api|access|account)[_-]?key|auth[_-]?token|token)[\w-]{0,20}[\"']?\s{0,3}[:=]"
    rf"|(?:{'|'.join(_PASSWORD_WORDS)})\s{{0,3}}[:=：]|bearer)\s{{0,3}}[\"']?{_VALUE}(?![A-Za-z0-9(\[])",
    re.IGNORECASE,
)
_ASSIGNED_MARKS = ("pass", "secret", "api", "access", "account", "auth", "token", "bearer", *_PASSWORD_WORDS)
_IN_URL = re.compile(r"://[^\s/:@]{1,64}:([^\s/:@]{12,128})@")


def find_secrets(text: str) -> Iterator[PersonalDataSpan]:
    """Keys in the published form of their issuer, and random values given to a password, secret, key or token."""
    for mark, pattern in _KEY_FORMS.items():
        if mark in text:
            yield from (PersonalDataSpan(match.start(), match.end(), "secret") for match in pattern.finditer(text))
    for pattern, starts in ((_ASSIGNED, _marks(text)), (_IN_URL, occurrences(text, "://"))):
        for match in filter(None, (pattern.match(text, start) for start in starts)):
            if _is_random(match[1]):
                yield PersonalDataSpan(match.start(1), match.end(1), "secret")


def _marks(text: str) -> list[int]:
    """Where an assignment may begin. Finding words and matching there is ten times faster than one search."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters become two in lower case, and places shift
        lowered = text
    return [start for mark in _ASSIGNED_MARKS for start in occurrences(lowered, mark)]


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
    "detect-secrets": find_with_detect_secrets,
    "email": find_emails,
    "iban": find_ibans,
    "card": find_cards,
    "ip": find_ips,
    "phone": find_phones,
}


def find(text: str, kinds: Iterable[str] = KINDS, language: str = "") -> list[PersonalDataSpan]:
    """All personal data of these kinds, by place; where two overlap, the kind that comes first in `KINDS` stays.

    Args:
        kinds: and packages that look for more of a kind, as in `filter.redact`.
        language: of the text (ISO 639-1), for the package that reads numbers as one of its countries writes them.
    """
    finders = _FINDERS | {"phonenumbers": partial(find_with_phonenumbers, language=language)}
    wanted, spans = set(kinds), list[PersonalDataSpan]()
    for kind in _PRECEDENCE:
        if kind in wanted:
            for hit in finders[kind](text):
                if all(hit.end <= span.start or hit.start >= span.end for span in spans):
                    spans.append(hit)
    return sorted(spans)


def redact(text: str, kinds: Iterable[str] = KINDS, language: str = "") -> tuple[str, Counter[str]]:
    """The text with each find replaced by `<KIND>`, and how many of each kind there were."""
    spans = find(text, kinds, language)
    pieces, done = [], 0
    for span in spans:
        pieces += [text[done : span.start], f"<{span.kind.upper()}>"]
        done = span.end
    return "".join([*pieces, text[done:]]), Counter(span.kind for span in spans)
