"""Small versions of the simulations of `make bench NAME=evidence` on bias, which see rates that are far off."""

import numpy as np

from benchmarks.evidence import bias
from components.params import Bias
from components.stages.bias.disparate_impact import impacts


def test_no_world_without_associations_has_one() -> None:
    """Groups and words that come in clumps, independent of each other."""
    assert bias.false_discoveries(20) <= 2


def test_the_null_world_has_pairs_to_test() -> None:
    tables = bias.tables(np.random.default_rng(1))
    assert 50 < len(bias.associations({"a": tables}, 50)) < 300


def test_a_stereotype_that_is_planted_is_found() -> None:
    found, others = bias.plants()
    assert found == bias.PLANTS
    assert others <= 3


def test_a_mitigation_without_effect_is_hardly_ever_shown() -> None:
    assert bias.false_mitigations(100) <= 9


def test_a_group_removed_five_times_as_often_is_found_and_one_as_often_as_others_is_not() -> None:
    assert bias.audits_that_find(40) >= 28
    assert bias.audits_that_find(40, 1.0) <= 3
    (row, *_) = impacts(bias._audited(np.random.default_rng(1), 5.0), Bias())
    assert 2 < row.detectable < 8
