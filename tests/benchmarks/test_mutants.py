"""Mutants: each changes one place, and what would be an error at once is not among them."""

import ast

from benchmarks import mutants

TEXT = '''
"""Docs."""


def capped(values: list[int], most: int = 3) -> int:
    total = 0
    for value in values:
        if value < most and not value == 5:
            total += value * 2
        print(f"{value - 1}", "a" + str(value))
    total.bit_length()
    return min(total, most)
'''


def test_every_kind_of_change_is_made_once() -> None:
    found = {one.name.removeprefix("capped: "): one.text for one in mutants.mutants(TEXT)}
    assert found.keys() == {
        "3 -> 4", "0 -> 1", "5 -> 6", "2 -> 3", "value < most -> value <= most", "value == 5 -> value != 5",
        "not value == 5 -> value == 5", "value < most and (not value == 5) -> value < most or not value == 5",
        "value < most and (not value == 5) -> not (value < most and (not value == 5))", "value * 2 -> value / 2",
        "total += value * 2 -> total -= value * 2", "total.bit_length() -> pass", "min -> max",
        "return min(total, most) -> return None",
    }  # fmt: skip
    original = ast.dump(ast.parse(TEXT))
    assert all(ast.dump(ast.parse(text)) != original for text in found.values())
    assert "if value <= most and not value == 5:" in found["value < most -> value <= most"].replace("(", "").replace(
        ")", ""
    )
