"""The data card says what the stages counted."""

from pathlib import Path

import pytest

from components.core.report import Report
from components.reporting.tables import Page
from components.stages.account.data_card import data_card
from components.stages.account.summary import checkout_files, gather
from tests.components.finished_project import data, reports


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose data stages ran, with the tables that ingest, filter and bias leave."""
    root = tmp_path_factory.mktemp("greenhouse")
    data(root)
    reports(root)
    books = {"files": 3, "documents_in": 38, "kept": 35, "dropped": {"opted_out": 2}, "quarantined": {"nul": 1}}
    books |= {"files_skipped": {".png is no format that ingest reads": 2}, "files_not_read": 1}
    facts = {"sources": {"num|py": books | {"kept_bytes": 9000, "heldout": 5}}}
    Report({"documents/in": 38}, "", facts).write(root / "reports/ingest")
    Report({"probe_gap": 0.031, "probe_gap_unmasked": 0.2}).write(root / "reports/bias")
    Page("", root / "reports/ingest").table("opted_out", "line kind documents", [(1, "id", 2)])
    Page("", root / "reports/filter").table("personal", "source kind found", [("a", "email", 7)])
    mentions = [(source, "women", 4, kept) for source, kept in (("a", 4), ("b", 1))]
    Page("", root / "reports/bias").table("mentions", "source group documents documents_kept", mentions)
    return root


def test_the_card_counts_by_source_licence_rule_and_group(root: Path) -> None:
    card = data_card(gather(checkout_files(root)), "my greenhouse")
    for line in (
        "| num\\|py | 3 | 38 | 35 | opted_out 2 | 1 | 0.01 | 5 |",
        "Files that were not read: 2 x .png is no format that ingest reads; 1 x beyond the limit of their source;",
        "| dedup | 30 | 26 | dedup_rule 4 | 0 | 0 |",
        "| women | 8 | 5 | 3 | too few |  |",
        "| BSD-3-Clause | 40 |",
        "Opt-out list: 1 entries, 2 documents left out.",
        "0.031 (0.200 if it saw which group is meant)",
        "it sees mention, not identity",
    ):
        assert line in card, line


def test_of_removals_in_few_works_the_card_tells_no_interval(root: Path) -> None:
    path, note = root / "reports/bias", "too few works: 3, at least 5"
    columns = "group removal_ratio removal_ratio_low removal_ratio_high note"
    Page("", path).table("disparate_impact", columns, [("women", 7.0, 0.0, "", note)])
    try:
        assert f"| women | 8 | 5 | 3 | 7.0 | {note} |" in data_card(gather(checkout_files(root)), "my greenhouse")
    finally:
        (path / "details/disparate_impact.csv").unlink()


def test_the_card_says_which_mitigations_the_mixture_has(root: Path) -> None:
    folder = root / "reports/mix"
    weighted = {"augment": "random", "group_weights": {"women": 1.5, "old": 2.0}}
    for facts, says in (
        ({"augment": "none"}, ""),
        (weighted, "source's: old 2.0, women 1.5.\n\nUnchanged"),
        ({"augment": "counterfactual"}, "a copy with the gender swapped."),
    ):
        Report({"documents_in": 3}, "", facts).write(folder)
        card = data_card(gather(checkout_files(root)), "title")
        assert says in card
        assert ("Sampling weights" in card) == ("group_weights" in facts)
        assert ("gender" in card) == (facts["augment"] != "none")
        assert "\n\n## Held-out text\n" in card


def test_without_any_stage_there_is_a_card(tmp_path: Path) -> None:
    assert "has not been made yet" in data_card(gather(checkout_files(tmp_path)), "new")


def test_where_nobody_was_judged_the_card_says_so(tmp_path: Path) -> None:
    """An empty table of groups read as if nobody had been removed."""
    data(tmp_path)
    reports(tmp_path)
    metrics = {"probe_gap": 0.0, "probe_gap_unmasked": 0.1, "documents_unjudged": 9, "documents_in": 10}
    Report(metrics).write(tmp_path / "reports/bias")
    card = data_card(gather(checkout_files(tmp_path)), "zh")
    assert "**Nothing is known of who is filtered here**: not judged: language: 9 of 10 documents." in card
    assert "flags harmless English template sentences" in card
