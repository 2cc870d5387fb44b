"""Canaries: as many as asked, alike but for their count, with controls."""

import json
import re
from collections import Counter

import pytest

from components.core.errors import UserError
from components.synthetic.canaries import Canary, alternatives, as_json, from_json, make


def test_as_many_of_each_count_and_as_many_controls() -> None:
    made = make(1, 8, [64, 1, 4, 16])
    assert Counter(canary.count for canary in made) == {0: 8, 1: 8, 4: 8, 16: 8, 64: 8}
    assert len({canary.prefix for canary in made}) == len({canary.id for canary in made}) == 40


def test_json_holds_them_all() -> None:
    made = make(1, 3, [1, 2])
    raw = json.loads(json.dumps(as_json(made, 1)))
    assert from_json(raw) == made
    assert raw["secret_space"] == 10**6
    assert set(raw["canaries"][0]) == {"id", "prefix", "secret", "count", "text"}


def test_alternatives_have_the_form_and_are_others() -> None:
    canary: Canary = make(1, 1, [1])[0]
    others = alternatives(canary, 500, seed=7)
    assert others == alternatives(canary, 500, seed=7)
    assert canary.secret not in others
    assert all(re.fullmatch(r"( \d){6}", other) for other in others)


def test_more_than_there_are_names_is_refused() -> None:
    with pytest.raises(UserError, match=r"mix\.canaries: 5000 canaries asked for .*at most \d+; lower per_count"):
        make(1, 1000, [1, 4, 16, 64])
