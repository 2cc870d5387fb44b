"""The verdict of a check: only with every item established is it a success, and a training on record is another."""

import itertools
from typing import Any

import pytest

from components.studies.attestation.verdict import ITEMS, NOTE, SCOPES, TRAINING, CheckVerdict, Finding, Scope

STATUS = {"all": ITEMS, "bytes": ("signature", "bytes")}


@pytest.mark.parametrize("scope", SCOPES)
def test_every_combination_of_answers_has_the_status_of_an_allow_list(scope: Scope) -> None:
    for answers in itertools.product(("yes", "no", "unknown"), repeat=len(ITEMS)):
        known: dict[str, Any] = dict(zip(ITEMS, answers, strict=True))
        verdict = CheckVerdict([Finding(item, answer, item) for item, answer in known.items()], scope)
        wanted = [known[item] for item in STATUS[scope]]
        status = 1 if "no" in answers else 0 if set(wanted) == {"yes"} else 2
        assert verdict.status == status, known
        lists = verdict.lists()
        assert bool(lists["DIFFERENT"]) == (status == 1)
        assert len(lists["not established"]) == wanted.count("unknown")
        assert not any("not looked at" in line for line in lists["not established"]), "each was"
        assert lists["recomputed here"] == [item for item, answer in known.items() if answer == "yes"]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("gone", ITEMS)
def test_an_item_that_nobody_looked_at_is_not_established(scope: Scope, gone: str) -> None:
    verdict = CheckVerdict([Finding(item, "yes", item) for item in ITEMS if item != gone], scope)
    assert verdict.status == (2 if gone in STATUS[scope] else 0)
    assert CheckVerdict([], scope).status == 2
    if gone in STATUS[scope]:
        assert verdict.lists()["not established"] == [f"{ITEMS[gone]}: not looked at"]


@pytest.mark.parametrize("repeated", ["scores", TRAINING])
def test_a_training_or_scores_on_record_alone_are_no_success_and_no_failure(repeated: str) -> None:
    others = [Finding(item, "yes", item) for item in ITEMS if item != repeated]
    recorded = CheckVerdict([*others, Finding(repeated, "recorded", "by the ledger"), Finding(NOTE, "recorded", "x")])
    assert (recorded.status, recorded.lists()["recorded, by whom and when"]) == (3, ["by the ledger", "x"])
    assert CheckVerdict(recorded.findings, "bytes").status == 0
    assert CheckVerdict([*recorded.findings, Finding(repeated, "yes", "again")]).status == 3, "the worst counts"
    assert CheckVerdict([*recorded.findings, Finding("chain", "unknown", "x")]).status == 2
    assert CheckVerdict([*recorded.findings, Finding(repeated, "no", "x")]).status == 1


def test_the_worst_answer_on_an_item_counts_and_a_note_establishes_nothing() -> None:
    whole = [Finding(item, "yes", item) for item in ITEMS]
    assert CheckVerdict([*whole, Finding("chain", "unknown", "a listing is not here")]).status == 2
    assert "chain" not in CheckVerdict([*whole, Finding("chain", "unknown", "x")]).lists()["recomputed here"]
    assert CheckVerdict([*whole, Finding("chain", "no", "another input")]).status == 1
    assert CheckVerdict([Finding(NOTE, "yes", "energy")] * 9).status == 2
    assert CheckVerdict([*whole, Finding(NOTE, "recorded", "energy"), Finding(NOTE, "unknown", "code")]).status == 0
