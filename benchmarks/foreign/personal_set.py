"""Personal data as people write it in thirty countries, and what only looks alike: personal_set.txt, line by line.

The lines were written by hand, before any detector's code, tests or earlier set was read; values stand in «angle
quotes». Check digits of cards (L) and IBANs (KK) are computed, random characters of keys ({a20}) drawn from a seed.
Lines of even and odd number are two halves, so that a detector can be mended on one and measured on the other.
"""

import random
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.foreign.texts import path_of

CHARACTERS = {
    "a": string.ascii_letters + string.digits, "A": string.ascii_letters, "b": f"{string.ascii_letters}0123456789+/",
    "B": string.ascii_uppercase + string.digits, "d": string.digits, "h": "0123456789abcdef",
    "U": f"{string.ascii_uppercase}234567", "w": f"{string.ascii_letters}0123456789-_",
}  # fmt: skip
"""Letter of a place such as {a20} -> what it is drawn from."""
PLACE = re.compile(r"\{(\w)(\d+)\}")


@dataclass(frozen=True)
class Planted:
    """A text; the value in it, its kind, the line as it was written, "" where there is none, and the half: a or b."""

    text: str
    value: str = ""
    kind: str = ""
    form: str = ""
    half: str = ""


def planted(seed: int) -> Iterator[Planted]:
    """Every line of the set."""
    chance, kind = random.Random(seed), ""
    for number, line in enumerate(filter(None, path_of("personal_set.txt").read_text("utf-8").splitlines())):
        if line in ("# email", "# phone", "# ip", "# card", "# iban", "# secret", "# none"):
            kind = line[2:].replace("none", "")
            continue
        text = PLACE.sub(lambda found: "".join(chance.choices(CHARACTERS[found[1]], k=int(found[2]))), line)
        before, _, rest = text.partition("«")
        value, _, after = rest.partition("»")
        value = checked(value, kind)
        yield Planted(f"{before}{value}{after}", value, kind, line if kind else "", "ab"[number % 2])


def checked(value: str, kind: str) -> str:
    """The value with its check digits: by Luhn in the place of the L of a card, by ISO 7064 in that of the KK."""
    if kind == "card":
        digits = [int(sign) for sign in reversed(value) if sign.isdigit()]
        doubled = (sum(divmod(2 * digit, 10)) for digit in digits[::2])
        return value.replace("L", str(-(sum(doubled) + sum(digits[1::2])) % 10))
    if kind == "iban":
        signs = re.sub(r"[^0-9A-Z]", "", value.upper())
        number = "".join(str(int(sign, 36)) for sign in f"{signs[4:]}{signs[:2]}00")
        return value[:2] + value[2:].replace("KK", f"{98 - int(number) % 97:02d}", 1)
    return value
