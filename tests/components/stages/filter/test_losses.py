"""What is so much that a person should see it: by contamination, by another rule, and of a few documents."""

from collections import Counter

import pytest

from components.similarity.decontaminate import RULE
from components.stages.filter.losses import MOST, SHIPPED, Losses


@pytest.mark.parametrize(
    ("documents", "rule", "count", "is_much"),
    [
        (1000, RULE, 100, False),
        (1000, RULE, 101, True),
        (20, RULE, 2, False),
        (20, RULE, 3, True),
        (1000, "max_boilerplate", 10, False),
        (1000, "max_boilerplate", 11, True),
        (1000, "toxic", 11, True),
        (20, "max_boilerplate", 2, True),
        (20, "max_boilerplate", 1, False),
        (1, "max_boilerplate", 1, False),
    ],
)
def test_a_tenth_contaminated_or_a_hundredth_by_another_rule_is_much(
    documents: int, rule: str, count: int, is_much: bool
) -> None:
    assert Losses("mail", documents, Counter({rule: count})).much == [rule] * is_much
    assert max(0.01, 3 * SHIPPED) == MOST
