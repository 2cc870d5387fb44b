"""Canaries: phrases with a made-up secret, put into the training text a known number of times to measure memorisation.

After Carlini et al. 2019, "The Secret Sharer" (arXiv 1802.08232): a canary is a fixed phrase with a random part. How
likely a model finds the true random part, among all it could have been, is the canary's exposure. Each count has its
own canaries, and as many of the same form are never inserted (count 0): the control, whose exposure is chance.

    The door code of Maple Harbour Lodge is 7 3 9 0 4 2.

Digits stand apart, so that a tokenizer cannot make some secrets shorter than others.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache

from components.core.errors import UserError

VERSION = 1
SOURCE = "canary"
"""Source name of the inserted documents."""
SECRET_DIGITS = 6
FORM = "The door code of {name} is {secret}."

_TREES = """
Alder Ash Aspen Beech Birch Cedar Cherry Elm Fir Hazel Holly Juniper Larch Laurel Linden Maple
"""
_PLACES = """
Bay Bridge Brook Cliff Creek Dale Field Ford Glen Grove Harbour Hill Lake Marsh Mill Moor
"""
_HOUSES = """
Academy Annex Arcade Bakery Cottage Court Gallery Garage House Inn Lodge Manor Museum Palace
"""
TREES, PLACES, HOUSES = _TREES.split(), _PLACES.split(), _HOUSES.split()
NAMES = len(TREES) * len(PLACES) * len(HOUSES)


@dataclass(frozen=True, slots=True)
class Canary:
    """One canary: `prefix + secret + "."` is its text; `count` is how many documents of the corpus it is."""

    id: str
    prefix: str
    secret: str
    count: int

    @property
    def text(self) -> str:
        """The document."""
        return f"{self.prefix}{self.secret}.\n"


def make(seed: int, per_count: int, counts: Sequence[int]) -> list[Canary]:
    """`per_count` canaries for each of `counts`, and as many with count 0, which are never inserted.

    Names differ, secrets are uniform. Which name gets which count is chance: classes are alike but for the count.

    Raises:
        UserError: more canaries than there are names.
    """
    classes = [count for count in [0, *sorted(set(counts))] for _ in range(per_count)]
    if len(classes) > NAMES:
        raise UserError(
            f"mix.canaries: {len(classes)} canaries asked for (per_count for each count, and as many controls), "
            f"at most {NAMES}; lower per_count"
        )
    draw = random.Random(f"greenhouse canaries {VERSION} {seed}")
    chosen = draw.sample(range(NAMES), len(classes))
    secrets = [_secret(draw) for _ in classes]
    return [
        Canary(f"canary-{index:04d}", prefixes()[name], f" {secret}", count)
        for index, (name, secret, count) in enumerate(zip(chosen, secrets, classes, strict=True))
    ]


@cache
def prefixes() -> list[str]:
    """Beginnings of all canaries there can be, eight words each, by number of the name."""
    return [f"The door code of {_name(index)} is" for index in range(NAMES)]


def alternatives(canary: Canary, n: int, seed: int) -> list[str]:
    """`n` other secrets of the same form, in the place of `canary.secret`: what exposure ranks it against."""
    draw = random.Random(f"greenhouse alternatives {VERSION} {seed} {canary.id}")
    secrets: list[str] = []
    while len(secrets) < n:
        secret = f" {_secret(draw)}"
        if secret != canary.secret:
            secrets.append(secret)
    return secrets


def as_json(canaries: Sequence[Canary], seed: int) -> dict:
    """The content of canaries.json."""
    return {
        "version": VERSION,
        "seed": seed,
        "form": FORM,
        "secret_space": 10**SECRET_DIGITS,
        "canaries": [asdict(canary) | {"text": canary.text} for canary in canaries],
    }


def from_json(raw: dict) -> list[Canary]:
    """The canaries of a canaries.json."""
    return [Canary(row["id"], row["prefix"], row["secret"], row["count"]) for row in raw["canaries"]]


def _secret(draw: random.Random) -> str:
    return " ".join(str(draw.randrange(10)) for _ in range(SECRET_DIGITS))


def _name(index: int) -> str:
    index, house = divmod(index, len(HOUSES))
    tree, place = divmod(index, len(PLACES))
    return f"{TREES[tree]} {PLACES[place]} {HOUSES[house]}"
