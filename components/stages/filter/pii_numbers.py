"""Personal data made of digits: payment cards, bank accounts, telephone numbers."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

WORDS: dict = json.loads(Path(__file__).with_name("pii.json").read_text(encoding="utf-8"))
"""`phone`, `secret`: language -> words that come before one, or patterns of them; `keys`: what each published form of a
key holds -> the form; `regions`: language -> the country whose telephone numbers are read (ISO 3166)."""


class PersonalDataSpan(NamedTuple):
    """A stretch text[start:end] of personal data."""

    start: int
    end: int
    kind: str


# -- payment cards (ISO/IEC 7812) --------------------------------------------------------------------------------------

_CARD = re.compile(r"(?<![\w.,+-])\d{4}(?:[ -]?\d){8,15}(?![\w-]|[.,]\d)")
_LEAST_WITH_DATE = 15
"""Digits of a card after which more are tried as none of it."""
_ISSUERS: tuple[tuple[re.Pattern[str], tuple[int, ...]], ...] = tuple(
    (re.compile(prefix), lengths)
    for prefix, lengths in (
        (r"4", (13, 16, 19)),  # Visa
        (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
        (r"3[47]", (15,)),  # American Express
        (r"6011|64[4-9]|65", (16, 19)),  # Discover
        (r"30[0-5]|3[689]", (14, 16, 19)),  # Diners
        (r"35(?:2[89]|[3-8])", (16, 19)),  # JCB
        (r"2131|1800", (15,)),  # JCB, older
        (r"50|5[6-8]|6[0-9]", (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro
        (r"62", (16, 17, 18, 19)),  # UnionPay
    )
)


def find_cards(text: str) -> Iterator[PersonalDataSpan]:
    """Numbers with a known issuer's prefix and length, one kind of separator, and Luhn's check digit."""
    for match in _CARD.finditer(text):
        cuts = [match[0], match[0].rpartition(" ")[0]]  # the month of a date, or a code, may follow
        for number in cuts if len(re.sub(r"\D", "", cuts[1])) >= _LEAST_WITH_DATE else cuts[:1]:
            if _is_card(number):
                yield PersonalDataSpan(match.start(), match.start() + len(number), "card")
                break


def _is_card(number: str) -> bool:
    digits, groups = re.sub(r"[ -]", "", number), re.split(r"[ -]", number)
    if len(set(number) & {" ", "-"}) > 1 or len(set(digits)) == 1 or not _is_issued(digits) or not luhn(digits):
        return False
    return len(groups) == 1 or all(len(group) == 4 for group in groups[:-1]) or list(map(len, groups)) == [4, 6, 5]


def _is_issued(digits: str) -> bool:
    return any(prefix.match(digits) and len(digits) in lengths for prefix, lengths in _ISSUERS)


def luhn(digits: str) -> bool:
    """The check digit is right: every second digit from the right doubled, digit sums added, divisible by ten."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


# -- bank accounts (ISO 13616) -----------------------------------------------------------------------------------------

_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=[ \u00a0-]?[A-Za-z0-9])")
IBAN_LENGTHS = dict(
    pair.split(":")
    for pair in (  # noqa: SIM905 - a table reads better as one text
        "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 "
        "DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28 "
        "IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 "
        "MD:24 ME:22 MK:19 MR:27 MT:31 MU:30 NL:18 NO:15 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 SA:24 "
        "SC:31 SE:24 SI:19 SK:24 SM:27 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 VG:24 XK:20 "
    ).split()
)
"""Characters of an IBAN by country."""


def find_ibans(text: str) -> Iterator[PersonalDataSpan]:
    """Accounts of their country's length, in one piece or in groups of one kind, with the right checksum."""
    for match in _IBAN.finditer(text):
        length = int(IBAN_LENGTHS.get(match[0][:2].upper(), 0))
        mark = text[match.end()] if text[match.end()] in " \u00a0-" else ""
        end, chars = match.start(), list[str]()
        while len(chars) < length and end < len(text) and (text[end].isalnum() or text[end] == mark):
            if text[end] != mark:
                chars.append(text[end])
            elif text[end - 1] == mark:
                break
            end += 1
        at_end = not (end < len(text) and text[end].isalnum())
        if length and len(chars) == length and at_end and _checksum("".join(chars)):
            yield PersonalDataSpan(match.start(), end, "iban")


def _checksum(iban: str) -> bool:
    """Country and check digits moved to the end, letters as 10 to 35: 1 modulo 97."""
    if not (iban.isascii() and iban.isalnum()):
        return False
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


# -- telephone numbers -------------------------------------------------------------------------------------------------

_UNSPACED = r"[\u0e00-\u9fff\uac00-\ud7a3]"
"""Characters of scripts that write no space between a word and a number."""
_PHONE = re.compile(
    rf"(?:(?<![\w.%#$/@+-])|(?<={_UNSPACED})(?=[\d+]))(?:\+ ?|\()?(?:\(?\+ ?)?\d[\d ().\-/]{{5,22}}\d"
    rf"(?:(?: ?x| ?ext\.? ?)\d{{1,6}})?(?:(?![\w%])|(?={_UNSPACED}))(?![.,:/-]\d|\()"
)
_PHONE_WORDS = "|".join(word for words in WORDS["phone"].values() for word in words)
_CALL = re.compile(
    rf"(?:(?:(?<!\w)|(?<={_UNSPACED}))(?:{_PHONE_WORDS})(?![a-zа-яà-ž])"
    r"|\b(?:reach|text)\b[^.\n]{1,40}\b(?:at|on)\b)(?P<gap>[^\d\n]{0,20})$",
    re.IGNORECASE,
)
_NORTH_AMERICA = re.compile(
    r"(?:\+?1[ .-]?|001[ .-])?(?:\([2-9]\d\d\) ?[2-9]\d\d[.-]|[2-9]\d\d([.-])[2-9]\d\d\1)\d{4}(?: ?x ?\d{1,6})?"
)
_WITH_TRUNK = re.compile(r"(?:\(0\d{1,4}\)|0[1-9]\d{1,4}) ?[/-]? ?\d{2,8}(?:[ -]\d{2,5}){0,4}|0[1-9](?:[ .-]\d\d){4}")
_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:1[5-9]|20)\d\d"
_DATE = re.compile(rf"(?<!\d)(?:{_YEAR}[-/.]{_MONTH}[-/.]{_DAY}|{_DAY}[-/.]{_DAY}[-/.]{_YEAR})(?!\d)")
_POSTCODE = re.compile(r"\d{5}-\d{3,4}")
_BEFORE_POSTCODE = re.compile(r"\b(?:[A-Z]{2}|Mass|CEP)[.,:]?[\s#*;/]{1,6}$")
"""States of the USA (MA 02110-1301), and the word of Brazil."""
_NO_COUNTRY = re.compile(
    r"0|1[01]|21[04579]|259|28|384|388|42[2-9]|69[3-9]|80[1-79]|83|85[14789]|87[1-79]|89|978|99[079]"
)
"""Calling codes that no country has (ITU-T E.164), and areas that North America has not."""
_FEW_DIGITS = 8
"""Without groups, no more are a telephone number only right after a word for one (not "ring buffer size 1048576",
nor the +43951789 of a printf)."""


def find_phones(text: str) -> Iterator[PersonalDataSpan]:
    """Numbers in international form, in the forms of North America or with a trunk 0, or after a word like "call"."""
    for match in _PHONE.finditer(text):
        number = match[0]
        digits = re.sub(r"\D", "", re.split(r" ?(?:x|ext)", number)[0])
        if not 7 <= len(digits) <= 15 or _DATE.search(number) or _is_sequence(number):
            continue
        before = max(0, match.start() - 8), match.start()
        if _POSTCODE.fullmatch(number) and _BEFORE_POSTCODE.search(text, *before):
            continue
        if _is_international(number, digits) or _is_national(number, digits) or _is_called(text, match, digits):
            yield PersonalDataSpan(match.start(), match.end() - _open_brackets(number), "phone")


def _is_international(number: str, digits: str) -> bool:
    if re.fullmatch(r"\+ \d+", number):  # a sum
        return False
    fewest = _FEW_DIGITS + (number[1:] == digits)
    return number.lstrip("(").startswith("+") and not _NO_COUNTRY.match(digits) and len(digits) >= fewest


def _is_national(number: str, digits: str) -> bool:
    if _NORTH_AMERICA.fullmatch(number):
        return True
    return 9 <= len(digits) <= 12 and not number.isdigit() and bool(_WITH_TRUNK.fullmatch(number))


def _is_called(text: str, match: re.Match[str], digits: str) -> bool:
    """A word nearby says so, and the digits are grouped as in no list of numbers."""
    groups = re.findall(r"\d+", match[0])
    if len(groups) > 6 or len(set(digits)) <= 2:
        return False
    called = _CALL.search(text, max(0, match.start() - 60), match.start())
    if not called or len(groups) > 1 or len(digits) > _FEW_DIGITS:
        return bool(called)
    return ":" in called["gap"] or len(called["gap"]) <= 3


def _is_sequence(number: str) -> bool:
    """Counting up or down in equal steps, such as 01 02 03 04 05."""
    groups = [int(group) for group in re.findall(r"\d+", number)]
    steps = {second - first for first, second in pairwise(groups)}
    return len(groups) > 3 and len(steps) == 1


def _open_brackets(number: str) -> int:
    """Characters at the end that close a bracket opened before the number."""
    return int(number.endswith(")") and number.count("(") < number.count(")"))
