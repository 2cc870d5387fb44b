"""Scores measured again: what rounding may move, and what it may not."""

from typing import Any

import pytest

from components.scores import Score
from components.studies.attestation.rescored import difference

SHARE = Score(
    name="choice/accuracy", title="choice", model="finetune/instruct", measured_by="evaluate", value=0.5, low=0.45,
    high=0.55, n=300, baseline=0.25, gain=0.25, gain_low=0.2, gain_high=0.3, against=((0.25, 0.02, 9.0, 0.1),),
)  # fmt: skip
BITS = SHARE.model_copy(update={"unit": "bits", "n": 10**6})


@pytest.mark.parametrize(
    ("signed", "named"),
    [({}, ""), ({"value": 0.509, "low": 0.468}, ""), ({"value": 0.52}, "value"), ({"value": float("nan")}, "value"),
     ({"low": None}, "low"), ({"low": 0.5}, "low"), ({"gain_low": 0.24}, "gain_low"), ({"baseline": 0.2}, "baseline"),
     ({"n": 301}, "n"), ({"title": "ability"}, "title"), ({"better": "lower"}, "better"),
     ({"against": ((0.29, 0.02, 9.0, 0.1),)}, "gains over rules"), ({"against": ()}, "gains over rules")],
)  # fmt: skip
def test_the_first_number_that_is_not_as_measured_is_named(signed: dict[str, Any], named: str) -> None:
    said = difference(SHARE.model_copy(update=signed), SHARE)
    assert bool(said) == bool(named)
    assert named in said


def test_three_items_may_fall_the_other_way_only_where_items_are_counted() -> None:
    assert difference(BITS.model_copy(update={"value": 0.5004}), BITS) == ""
    assert "value" in difference(BITS.model_copy(update={"value": 0.501}), BITS)
