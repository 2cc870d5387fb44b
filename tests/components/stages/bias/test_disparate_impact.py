"""The limit on removal ratios: it stops at what is surely above, in one source too, and only warns of the rest."""

import csv
import math
from pathlib import Path

import pytest

from components.params import Bias
from components.stages.bias.counts import BiasCounts, DocumentToxicity
from components.stages.bias.disparate_impact import Impact, check_ratios, high_ratios, impacts, impacts_by_source
from components.stages.bias.report import write_report
from components.stages.bias.template_probe import Probe
from components.text.identity_terms import GROUPS
from tests.errors import refuses

PARAMS = Bias(min_mentions=5)


def add(counts: BiasCounts, source: str, group: str, kept: int, total: int) -> BiasCounts:
    """`total` documents of ten sentences that mention `group` ("" for none), of which the filter keeps `kept`."""
    bits = 1 << GROUPS.index(group) if group else 0
    for number in range(total):
        counts.add_document(DocumentToxicity(source, 10, 10, 0, 0, bits), number >= kept, number >= kept)
    return counts


def rows_of(counts: BiasCounts) -> list[Impact]:
    return [*impacts(counts, PARAMS), *impacts_by_source(counts, PARAMS)]


def web(group: str, kept: tuple[int, int], others: tuple[int, int]) -> list[Impact]:
    """Rows of one source: of a group's documents and of others so many are kept of so many."""
    return rows_of(add(add(BiasCounts(), "web", group, *kept), "web", "", *others))


def test_few_documents_warn_at_most_and_do_not_stop(tmp_path: Path) -> None:
    """2 of 6 against 5 of 100 is 6.7 times, but chance may do that; 3 of 6 is more than that, and not surely twice."""
    rows = web("jewish", (4, 6), (95, 100))
    assert (rows[0].ratio.value, rows[0].removed.count) == (pytest.approx(2 / 6 / 0.05), 2)
    assert not high_ratios(rows, PARAMS)
    rows = web("jewish", (3, 6), (95, 100))
    assert "mention jewish are removed 10.0 times" in high_ratios(rows[:1], PARAMS)[0]
    check_ratios(rows, PARAMS, tmp_path)


@pytest.mark.parametrize(
    ("kept", "others", "times", "warned", "facts"),
    [
        ((400, 600), (9500, 10_000), 6.667, "6.7 times", ["web 6.7 times", "for 2", "200 of 600"]),
        ((400, 600), (10_000, 10_000), math.inf, "and no comparable one", ["no comparable one"]),
        ((900, 1000), (9950, 10_000), 20.0, "20.0 times", ["20.0 times"]),  # a keep ratio of .905 did not see it
    ],
)
def test_many_documents_stop(
    kept: tuple[int, int], others: tuple[int, int], times: float, warned: str, facts: list[str], tmp_path: Path
) -> None:
    rows = web("jewish", kept, others)
    assert rows[0].ratio.value == pytest.approx(times, rel=1e-3)
    assert f"mention jewish are removed {warned}" in high_ratios(rows[:1], PARAMS)[0]
    refuses(lambda: check_ratios(rows, PARAMS, tmp_path), "check_ratios", "jewish in source", "at least", *facts)
    if times < math.inf:
        check_ratios(rows, PARAMS.model_copy(update={"max_removal_ratio": times + 1}), tmp_path)


def test_one_source_does_not_hide_among_others(tmp_path: Path) -> None:
    counts = add(add(BiasCounts(), "forum", "muslim", 60, 100), "forum", "", 950, 1000)
    add(add(counts, "news", "muslim", 19_600, 20_000), "news", "", 98_000, 100_000)
    rows = rows_of(counts)
    assert rows[0].ratio.value < 1.2
    assert not high_ratios(impacts(counts, PARAMS), PARAMS)
    refuses(lambda: check_ratios(rows, PARAMS, tmp_path), "check_ratios", "muslim", "source forum", "8.0 times")


def test_the_interval_widens_with_the_number_of_comparisons(tmp_path: Path) -> None:
    """Surely above by itself, and not if it is the worst of 40: one in 20 of those is above by chance."""
    row = web("old", (40, 50), (970, 1000))[0]
    assert row.ratio.low == row.lower_bound(1) > 2.9 > row.lower_bound(40)
    limit = PARAMS.model_copy(update={"max_removal_ratio": 2.9})
    check_ratios([row] * 40, limit, tmp_path)
    refuses(lambda: check_ratios([row], limit, tmp_path), "check_ratios", "old")


def test_groups_with_few_mentions_and_documents_that_were_not_judged_have_no_row() -> None:
    counts = add(add(BiasCounts(), "web", "old", 0, 4), "web", "", 10, 10)
    for _ in range(5):
        counts.add_document(DocumentToxicity("web", 10, 4, 2, 2, 1 << GROUPS.index("old")), False, False)
    assert rows_of(counts) == []


@pytest.mark.parametrize("works", [-1, 0, 2, 40])
def test_works_that_go_whole_count_as_one_removal_each(works: int) -> None:
    """Documents were taken as independent: of groups of which a few works hold much, half looked biased."""
    counts = add(add(BiasCounts(), "web", "jewish", 200, 200), "web", "", 1800, 1800)
    for number in range(80):  # half of them mention the group, by works that hold it whole
        work = number % works if works > 0 else works
        bits = 1 << GROUPS.index("jewish") if number % 2 else 0
        counts.add_document(DocumentToxicity("web", 10, 10, 0, 0, bits, work=work), True, True)
    (row,) = impacts(counts, PARAMS)
    assert row.ratio.value == pytest.approx(40 / 240 / (40 / 1840))
    if works in (-1, 40):
        assert row.ratio.p < 0.001
        assert row.ratio.low > 2.0
    else:
        assert (row.ratio.p, row.ratio.low, row.ratio.high, row.detectable) == (1.0, 0.0, math.inf, math.inf)


@pytest.mark.parametrize(("works", "note"), [(3, "too few works: 3, at least 5"), (6, "")])
def test_the_report_says_of_how_many_works_it_tells_something(works: int, note: str, tmp_path: Path) -> None:
    """It called intervals exact that are not, and left it open why one was empty."""
    counts = add(add(BiasCounts(), "web", "jewish", 200, 200), "web", "", 1800, 1800)
    for number in range(60):
        bits = 1 << GROUPS.index("jewish") if number % 3 else 0
        counts.add_document(DocumentToxicity("web", 10, 10, 0, 0, bits, work=number % works), True, True)
    probe = [Probe("jewish", 10, 0, 8, 8)]
    report = write_report(
        counts, {True: probe, False: probe}, PARAMS.model_copy(update={"max_removal_ratio": 100}), tmp_path
    )
    with (tmp_path / "details/disparate_impact.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["works"], row["note"], bool(row["removal_ratio_high"])) == (str(works), note, not note)
    assert "exact" not in report.markdown
    assert ("| too few works: 3, at least 5 |" in report.markdown) == bool(note)
