"""Results: every figure keeps the machine, day and commit of its own measurement."""

import pytest

from benchmarks import data_table, results, stamp, tables, train

OLD = {"commit": "a" * 40, "date": "2026-01-01", "machine": "old processor"}
NEW = {"commit": "b" * 40, "date": "2026-02-02", "machine": "new processor"}


def test_a_part_measured_again_stamps_its_own_figures_alone() -> None:
    before = results.merged(
        {}, {"x": 1, "y": 2}, [results.goal("fast", 5, 1, "higher"), results.goal("small", 0, 1, "lower")], OLD
    )
    after = results.merged(before, {"y": 3}, [results.goal("small", 2, 1, "lower")], NEW)
    assert after["results"] == {"x": 1, "y": 3}
    assert after["measured"] == {"x": OLD, "y": NEW}
    fast, small = after["goals"]
    assert fast == before["goals"][0]
    assert fast.items() >= OLD.items()
    assert small.items() >= NEW.items()
    assert (small["value"], small["met"]) == (2, False)
    assert after.keys() == {"results", "measured", "goals"}  # nothing states one machine for all


def test_a_best_rate_at_the_edge_of_those_tried_is_an_error() -> None:
    assert results.inner_best("ours", {"0.01": 2.0, "0.02": 1.0, "0.04": 3.0}) == 0.02
    for edge in ({"0.01": 1.0, "0.02": 2.0, "0.04": 3.0}, {"0.01": 3.0, "0.1": 2.0}):
        with pytest.raises(ValueError, match=r"ours: the best rate, .*is at the edge"):
            results.inner_best("ours", edge)


def test_tables_say_which_figure_is_of_which_machine() -> None:
    rows = [results.goal("fast", 5, 1, "higher") | OLD, results.goal("small", 2, 1, "lower") | NEW]
    assert tables.goals_table({"goals": rows}).endswith(
        "Measured on:\n\n- `fast`: old processor, 2026-01-01, commit aaaaaaaaa.\n"
        "- `small`: new processor, 2026-02-02, commit bbbbbbbbb."
    )
    alone = tables.goals_table({"goals": rows[:1]})
    assert alone.endswith("\n\nMeasured on old processor, 2026-01-01, commit aaaaaaaaa.")
    here = tables.goals_table({"goals": [rows[0] | {"machine": "old processor, Python 3.11.7, Linux"}]})
    assert here == alone


def test_the_terabyte_names_the_machine_of_each_rate() -> None:
    seconds = {"seconds": {"median": 1.0}}
    found = {
        "results": {
            "near_dedup": {"megabytes": 100, "ours, 32 x 4 and exact verification": seconds},
            "filters_10_mb": {"ours": seconds},
            "encode": {"megabytes": 50, "ours": seconds},
        },
        "measured": {"near_dedup": OLD, "filters_10_mb": NEW, "encode": OLD},
    }
    table = data_table.terabyte(found)
    assert "- `dedup, sketches to clusters`, `encoding`: old processor" in table
    assert "- `filter, all scores and four rule sets`: new processor" in table


def test_every_committed_figure_has_its_stamp() -> None:
    for path in (results.ROOT / "benchmarks" / "results").glob("*.json"):
        found = results.read_json(path)
        assert found["measured"].keys() == found["results"].keys(), path.name
        assert all(each.keys() >= set(stamp.KEYS) for each in [*found["measured"].values(), *found["goals"]]), path.name


def test_a_sweep_that_is_in_the_results_keeps_its_stamp(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[dict]] = []
    there = {row["name"]: row["value"] for row in train.read_json(train.RESULTS)["goals"]}
    swept = {name: there.get(name, 0.9) for name in train.SCALING_GOALS if name in there}
    monkeypatch.setattr(train, "write", lambda name, found, goals: written.append(goals))
    monkeypatch.setattr(train, "scaling_goals", lambda: [results.goal(name, swept[name], 1, "lower") for name in swept])
    train.renew_scaling()
    assert not written
    swept["scaling_error_3x"] = 0.5
    train.renew_scaling()
    assert [[row["name"] for row in rows] for rows in written] == [["scaling_error_3x"]]
