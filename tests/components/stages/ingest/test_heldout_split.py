"""The held-out cut depends on names alone, and every source of two groups has both sides."""

from hypothesis import given, settings
from hypothesis import strategies as st

from components.stages.ingest.heldout_split import HeldoutSplit

NAMES = st.sets(st.text(min_size=1, max_size=12), min_size=1, max_size=30)


@given(NAMES, st.floats(0.001, 0.499), st.text(max_size=5))
@settings(max_examples=200, deadline=None)
def test_two_groups_make_two_sides(groups: set[str], fraction: float, salt: str) -> None:
    cut = HeldoutSplit(fraction, salt)
    for group in groups:
        cut.observe("source", group)
    held = {group for group in groups if cut.holds_out("source", group)}
    if len(groups) == 1:
        assert cut.is_single("source")
        assert not held
    else:
        assert 0 < len(held) < len(groups)


def test_groups_that_come_move_no_other_across() -> None:
    few, many = HeldoutSplit(0.1, "salt"), HeldoutSplit(0.1, "salt")
    for number in range(200):
        few.observe("source", f"group {number}")
    for number in range(1000):
        many.observe("source", f"group {number}")
    for number in range(200):
        group = f"group {number}"
        assert few.holds_out("source", group) == many.holds_out("source", group)


def test_the_share_is_near_the_fraction_and_the_salt_changes_which() -> None:
    groups = [f"group {number}" for number in range(5000)]
    cuts = [HeldoutSplit(0.06, salt) for salt in ("one", "two")]
    held = []
    for cut in cuts:
        for group in groups:
            cut.observe("source", group)
        held.append({group for group in groups if cut.holds_out("source", group)})
    assert all(0.05 < len(side) / len(groups) < 0.07 for side in held)
    assert len(held[0] & held[1]) < 0.2 * len(held[0])
