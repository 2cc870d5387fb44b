"""Costs: attempts that failed are part of what they led to, experiments of the project, cached stages of nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from components.carbon.footprint.costs import LedgerCosts, device_hours, project_total, stage_runs
from components.carbon.footprint.intensity import resolve
from components.carbon.ledger.reader import Energy, Ledger, Span, Spans
from components.params import Grid

START = datetime(2026, 1, 1, tzinfo=UTC)
KWH_UJ = 3_600_000_000_000


def span(number: int, outcome: str, kwh: float = 1.0, parent: str = "", **labels: str) -> Span:
    start = START + timedelta(hours=number)
    energy = Energy(round(kwh * KWH_UJ / 2), round(kwh * KWH_UJ), round(kwh * KWH_UJ * 2))
    hour = start.strftime("%Y-%m-%dT%H")
    return Span(
        str(number), parent, labels.get("stage", "x"), "box", labels, start, start + timedelta(minutes=30), outcome,
        cpu_us=1_000_000, wall_us=1_800_000_000, parts={"cpu": energy}, hours={hour: energy},
        sources={"cpu": "measured:rapl"},
    )  # fmt: skip


def ledger_costs(spans: list[Span], **grid: float | str) -> LedgerCosts:
    found = Grid(**{"zone": "FRA", "pue": 1.0} | grid)  # type: ignore[arg-type]
    return LedgerCosts(Ledger(spans, hosts={"box": {"usable_threads": 64}}), found, resolve(found))


DEDUP = {"stage": "dedup", "fingerprint": "new", "checkout": "main"}


def test_the_run_of_these_inputs_and_the_attempts_before_it() -> None:
    spans = [
        span(0, "Completed", stage="dedup", fingerprint="old", checkout="main"),
        span(1, "Failed", stage="dedup", fingerprint="other", checkout="main"),
        span(2, "Killed", **DEDUP),
        span(3, "BudgetReached", **DEDUP),
        span(4, "Completed", **DEDUP),
        span(5, "Completed", stage="dedup", fingerprint="experiment", checkout="calm-otter"),
        span(6, "Running", **DEDUP),
    ]
    ledger = Ledger(spans)
    found = stage_runs(ledger, ["dedup", "filter"], {"dedup": "new"}, "main")
    assert list(found) == ["dedup"]
    assert found["dedup"].run.id == "4"
    assert [one.id for one in found["dedup"].attempts] == ["1", "2", "3"], "what failed with other settings here too"
    assert found["dedup"].attempt_spans.energy.mid_kwh == 3.0
    assert stage_runs(ledger, ["dedup"], {}, "main")["dedup"].run.id == "4"  # of this checkout
    assert stage_runs(ledger, ["dedup"], {"dedup": "old"}, "main")["dedup"].run.id == "0"  # restored from DVC's cache


def test_all_tries_of_a_record_are_its_models_cost() -> None:
    tries = [span(n, how, **DEDUP, record="r") for n, how in enumerate(("Failed", "Completed", "Killed", "Completed"))]
    found = stage_runs(Ledger(tries), ["dedup"], {"dedup": "new"}, "main")["dedup"]
    total = project_total(ledger_costs(tries))["total"]["kwh"][1]
    assert found.spans.energy.mid_kwh + found.attempt_spans.energy.mid_kwh == total == 4.0


def test_a_verification_is_not_what_made_a_model() -> None:
    spans = [
        span(0, "Failed", **DEDUP),
        span(1, "Completed", **DEDUP),
        span(2, "Completed", **DEDUP | {"checkout": "verify-1"}),
    ]
    ledger = ledger_costs(spans).ledger
    for checkout in ("main", "moved"):
        found = stage_runs(ledger, ["dedup"], {"dedup": "new"}, checkout)["dedup"]
        assert (found.run.id, [attempt.id for attempt in found.attempts]) == ("1", ["0"])


def test_device_hours_are_those_of_the_gpus_or_of_the_machine_and_add_up() -> None:
    plain, two_gpus = span(0, "Completed", **DEDUP), span(1, "Completed", **DEDUP)
    two_gpus = replace(two_gpus, parts=two_gpus.parts | {"gpu0": Energy(), "gpu1": Energy()})
    assert device_hours(Spans([plain])) == 0.5
    assert device_hours(Spans([two_gpus])) == 1.0
    assert device_hours(Spans([plain, two_gpus])) == 1.5
    assert project_total(ledger_costs([plain, two_gpus]))["by_stage"]["dedup"]["device_hours"] == 1.5


def test_all_that_ran_for_a_run_ends_as_the_run_did() -> None:
    """What a killed run cost stood in two rows: its start-up and its whole stages under `Completed`."""
    spans = [
        span(0, "Completed", 0.5, command="pipeline", run="calm-otter"),
        span(1, "Killed", run="calm-otter"),
        span(2, "Completed", parent="1", stage="dedup", run="calm-otter", checkout="greenhouse"),
        span(3, "Killed", 2.0, parent="1", stage="evaluate", run="calm-otter", checkout="greenhouse"),
        span(4, "Completed", 0.25, parent="3", stage="evaluate", run="calm-otter", phase="read"),
        span(5, "Completed", 4.0, stage="dedup", run="repro", checkout="greenhouse"),
        span(6, "Failed", 4.0, stage="evaluate", run="repro", checkout="greenhouse"),
        span(7, "Completed", 0.25, stage="dedup", checkout="verify-12"),
        span(8, "Failed", 0.0, command="pipeline"),
    ]
    total = project_total(ledger_costs(spans))
    assert {name: (row["kwh"][1], row["runs"], row["outcome"]) for name, row in total["by_run"].items()} == {
        "calm-otter": (pytest.approx(4.75), 4, "Killed"), "repro": (8.0, 2, "Failed"), "verify": (0.25, 1, "Completed"),
        "no run began": (0.0, 1, "Failed"),
    }  # fmt: skip
    by_outcome = {name: row["kwh"][1] for name, row in total["by_outcome"].items()}
    assert by_outcome == pytest.approx({"Completed": 0.25, "Failed": 8.0, "Killed": 4.75})
    assert total["total"]["kwh"][1] == pytest.approx(13.0)
    assert set(total["by_stage"]) == {"dedup", "evaluate", "orchestration"}
    assert total["unattributed"]["kwh"] == [0.0] * 3


def test_a_bill_of_many_runs_shows_the_latest_and_each_that_ended_early() -> None:
    spans = [span(number, "Killed" if number == 1 else "Completed", run=f"run-{number}") for number in range(30)]
    rows = project_total(ledger_costs(spans))["by_run"]
    assert list(rows) == ["earlier runs", "run-1", *(f"run-{number}" for number in range(10, 30))]
    assert rows["earlier runs"]["kwh"][1] == 9.0


def test_since_a_time_nothing_that_was_before_counts() -> None:
    spans = [
        span(0, "Completed", 5.0, stage="dedup"),
        span(1, "Completed", 0.1, run="a", cached="dedup"),
        span(30, "Completed", 0.1, run="b", cached="dedup"),
        span(31, "Failed", 2.0, stage="evaluate"),
    ]
    found = ledger_costs(spans)
    one = Energy(KWH_UJ, KWH_UJ, KWH_UJ)
    found.ledger.rest_hours = {"2026-01-01T00": one, "2026-01-02T05": one, "2026-01-02T06": one}
    whole, late = project_total(found), project_total(found, since="2026-01-02T06:30")
    assert whole["total"]["kwh"][1] == pytest.approx(7.2)
    assert whole["cache_saved"]["stages"] == 2
    assert whole["unattributed"]["kwh"] == pytest.approx([3.0] * 3)
    assert late["total"]["kwh"][1] == pytest.approx(2.0)
    assert late["cache_saved"]["stages"] == 0
    assert project_total(found, "2026-01-02")["cache_saved"]["stages"] == 1
    assert late["unattributed"]["kwh"] == pytest.approx([1.0] * 3)
    assert late["unattributed"]["grams"][1] == pytest.approx(56.0)


def test_what_the_cache_saved_is_what_the_stages_cost_when_they_were_made() -> None:
    spans = [
        span(0, "Completed", 5.0, stage="dedup"),
        span(1, "Completed", 2.0, stage="dedup"),
        span(2, "Completed", 0.1, run="a", cached="dedup,never-ran"),
        span(3, "Completed", 9.0, stage="dedup"),
        span(4, "Completed", 0.1, run="b", cached="dedup"),
    ]
    saved = project_total(ledger_costs(spans))["cache_saved"]
    assert saved["stages"] == 2
    assert saved["kwh"][1] == pytest.approx(2.0 + 9.0)
    assert saved["grams"][1] == pytest.approx(11.0 * 56)
