"""Personal data as people of other countries write it, and what only looks alike, drawn from a seed.

Telephone numbers are Google's examples by country with other last digits, in four spellings, in sentences of the
country's language, every third without a word for telephone. Keys have the forms that issuers publish. Other kinds are
`faker`'s values in spellings seen in mail and on web pages. Whoever wrote this had read the detectors,
and mended them on some of the look-alikes (drawn with another seed), so precision in real text is lower.
"""

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import phonenumbers
import yaml
from faker import Faker
from phonenumbers import PhoneNumberFormat as Form
from phonenumbers import PhoneNumberType

from benchmarks.foreign.texts import path_of

ALNUM, HEX, UPPER = string.ascii_letters + string.digits, "0123456789abcdef", string.ascii_uppercase + string.digits
PER_KIND = 120
FORMS: dict[str, Any] = yaml.safe_load(path_of("personal_set.yaml").read_text("utf-8"))
"""Sentences by country, forms of keys, spellings by kind, and look-alikes, as personal_set.yaml says."""


@dataclass(frozen=True)
class Planted:
    """A text; the value in it, its kind and spelling, all "" where there is none."""

    text: str
    value: str = ""
    kind: str = ""
    form: str = ""


def planted(seed: int) -> Iterator[Planted]:
    """`PER_KIND` of each kind, and as many of what only looks alike as of all kinds."""
    chance = random.Random(seed)
    Faker.seed(seed)
    fake = Faker(["en_US", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL"])
    yield from phones(chance)
    forms = FORMS["keys"]
    for number in range(PER_KIND):
        form, value = forms[number % len(forms)], filled(forms[number % len(forms)], chance)
        yield Planted(chance.choice(FORMS["in_text"]).format(value), value, "secret", form.split("{")[0])
        for kind, (value, form) in _others(fake, chance).items():
            text = chance.choice(FORMS["spellings"][kind])
            yield Planted(text.replace("{}", value), value, kind, form)
    for number in range(6 * PER_KIND):
        yield Planted(filled(FORMS["lookalikes"][number % len(FORMS["lookalikes"])], chance))


def _others(fake: Faker, chance: random.Random) -> dict[str, tuple[str, str]]:
    """Kind -> (value, spelling)."""
    email, card, iban = (
        fake.email(),
        fake.credit_card_number(chance.choice(["visa", "mastercard", "amex"])),
        fake.iban(),
    )
    name, domain = email.split("@")
    ways = {
        "plain": email, "plus": f"{name}+list@{domain}", "new domain": f"{name}@studio-{name[:3]}.photography",
        "in another script": f"{name}@bücher.example", "entity": f"{name}&#64;{domain}",
        "words": f"{name} (at) {domain}",
    }  # fmt: skip
    form = chance.choices(list(ways), [5, 2, 2, 1, 1, 1])[0]
    mark = chance.choice(["", " ", "-", " "])
    grouped = mark.join((card[:4], card[4:10], card[10:]) if len(card) == 15 else _fours(card))
    space = chance.choice(["", " ", " ", "\u00a0"])
    v6 = chance.random() < 0.3
    return {
        "email": (ways[form], form),
        "card": (grouped, f"groups by {mark!r}"),
        "iban": (space.join(_fours(iban)), f"groups by {space!r}"),
        "ip": (fake.ipv6() if v6 else fake.ipv4_public(), "v6" if v6 else "v4"),
    }


def _fours(value: str) -> list[str]:
    return [value[at : at + 4] for at in range(0, len(value), 4)]


def filled(form: str, chance: random.Random) -> str:
    """A form with random characters in the place of {A16} and the like."""
    letters = {"A": ALNUM, "B": ALNUM + "-_", "H": HEX, "D": string.digits, "L": string.ascii_letters, "U": UPPER}
    letters |= {"h": HEX, "l": string.ascii_lowercase + string.digits}
    pieces = form.replace("}", "{").split("{")
    return "".join(
        "".join(chance.choices(letters[piece[0]], k=int(piece[1:]))) if number % 2 else piece
        for number, piece in enumerate(pieces)
    )


def phones(chance: random.Random) -> Iterator[Planted]:
    """`PER_KIND` numbers or more, every country in four spellings."""
    for regions, sentences in FORMS["regions"].items():
        for region in regions.split():
            for spelling in ("national", "international", "e164", "hyphens"):
                sentence = chance.choice(sentences)
                value = spelled(valid_number(region, chance), spelling)
                yield Planted(sentence.format(value), value, "phone", spelling)


def spelled(number: phonenumbers.PhoneNumber, spelling: str) -> str:
    """The number as people write it; `hyphens`: international, with them in the place of spaces."""
    forms = {"national": Form.NATIONAL, "e164": Form.E164}
    text = phonenumbers.format_number(number, forms.get(spelling, Form.INTERNATIONAL))
    return text.replace(" ", "-") if spelling == "hyphens" else text


def valid_number(region: str, chance: random.Random) -> phonenumbers.PhoneNumber:
    """The country's example of a fixed or mobile number, its last five digits drawn anew until it is valid."""
    example = phonenumbers.example_number_for_type(
        region, chance.choice([PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE])
    )
    assert example is not None
    assert example.national_number is not None
    while True:
        number = phonenumbers.PhoneNumber(
            country_code=example.country_code, italian_leading_zero=example.italian_leading_zero
        )
        number.national_number = example.national_number // 10**5 * 10**5 + chance.randrange(10**5)
        if phonenumbers.is_valid_number_for_region(number, region):
            return number
