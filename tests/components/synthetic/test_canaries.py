"""Canaries: as many as asked, alike but for their count, with controls."""

import re

from components.synthetic.canaries import Canary, alternatives, make
from tests.errors import refuses


def test_alternatives_have_the_form_and_are_others() -> None:
    canary: Canary = make(1, 1, [1])[0]
    others = alternatives(canary, 500, seed=7)
    assert others == alternatives(canary, 500, seed=7)
    assert canary.secret not in others
    assert all(re.fullmatch(r"( \d){6}", other) for other in others)


def test_more_than_there_are_names_is_refused() -> None:
    refuses(lambda: make(1, 1000, [1, 4, 16, 64]), "canaries.make", "mix.canaries", "5000", "per_count")
