"""The limit on keep rates: it stops at what chance does not explain, in one source too, and only warns of the rest."""

from pathlib import Path

import pytest

from components.core.errors import UserError
from components.params import Bias
from components.stages.bias.counts import BiasCounts, DocumentToxicity
from components.stages.bias.disparate_impact import Impact, check_ratios, impacts, impacts_by_source, low_ratios
from components.text.identity_terms import GROUPS

PARAMS = Bias(min_mentions=5)


def add(counts: BiasCounts, source: str, group: str, kept: int, total: int) -> BiasCounts:
    """`total` documents of ten sentences that mention `group` ("" for none), of which the filter keeps `kept`."""
    bits = 1 << GROUPS.index(group) if group else 0
    for number in range(total):
        counts.documents.append(DocumentToxicity(source, 10, 10, 0, 0, bits))
        counts.dropped.append(number >= kept)
        counts.dropped_raw.append(number >= kept)
    return counts


def rows_of(counts: BiasCounts) -> list[Impact]:
    return [*impacts(counts, PARAMS), *impacts_by_source(counts, PARAMS)]


def test_few_documents_warn_and_do_not_stop(tmp_path: Path) -> None:
    """4 of 6 against 95 of 100 is 0.70, but chance alone does that."""
    rows = rows_of(add(add(BiasCounts(), "web", "jewish", 4, 6), "web", "", 95, 100))
    assert rows[0].ratio.value == pytest.approx(4 / 6 / 0.95)
    assert "mention jewish are kept 0.70 times" in low_ratios(rows[:1], PARAMS)[0]
    check_ratios(rows, PARAMS, tmp_path)


def test_many_documents_stop(tmp_path: Path) -> None:
    """The same shares of a hundred times as many."""
    rows = rows_of(add(add(BiasCounts(), "web", "jewish", 400, 600), "web", "", 9500, 10_000))
    with pytest.raises(UserError, match=r"jewish in source web 0\.70 times .*at most 0\.7\d, for 2 comparisons"):
        check_ratios(rows, PARAMS, tmp_path)
    check_ratios(rows, PARAMS.model_copy(update={"min_keep_ratio": 0.65}), tmp_path)


def test_one_source_does_not_hide_among_others(tmp_path: Path) -> None:
    counts = add(add(BiasCounts(), "forum", "muslim", 60, 100), "forum", "", 950, 1000)
    add(add(counts, "news", "muslim", 1980, 2000), "news", "", 9900, 10_000)
    rows = rows_of(counts)
    assert rows[0].ratio.value > 0.95
    assert not low_ratios(impacts(counts, PARAMS), PARAMS)
    with pytest.raises(UserError, match=r"mention muslim in source forum 0\.63 times"):
        check_ratios(rows, PARAMS, tmp_path)


def test_who_is_kept_more_often_is_no_reason_to_stop(tmp_path: Path) -> None:
    check_ratios(rows_of(add(add(BiasCounts(), "web", "women", 500, 500), "web", "", 100, 500)), PARAMS, tmp_path)


def test_the_interval_widens_with_the_number_of_comparisons(tmp_path: Path) -> None:
    """Surely below by itself, and not if it is the worst of 40: one in 20 of those is below by chance."""
    row = rows_of(add(add(BiasCounts(), "web", "old", 32, 50), "web", "", 980, 1000))[0]
    assert row.ratio.high == row.upper_bound(1) < 0.82 < row.upper_bound(40)
    limit = PARAMS.model_copy(update={"min_keep_ratio": 0.82})
    check_ratios([row] * 40, limit, tmp_path)
    with pytest.raises(UserError, match="at most"):
        check_ratios([row], limit, tmp_path)


def test_groups_with_few_mentions_have_no_row() -> None:
    assert rows_of(add(add(BiasCounts(), "web", "old", 0, 4), "web", "", 10, 10)) == []
