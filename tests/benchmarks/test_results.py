"""Results: every figure keeps the machine, day and commit of its own measurement."""

from benchmarks import results, spread, stamp, tables

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


def test_every_committed_figure_has_its_stamp() -> None:
    for path in (results.ROOT / "benchmarks" / "results").glob("*.json"):
        found = results.read_json(path)
        assert found["measured"].keys() == found["results"].keys(), path.name
        assert all(each.keys() >= set(stamp.KEYS) for each in [*found["measured"].values(), *found["goals"]]), path.name


def test_a_row_says_how_often_its_figure_was_measured() -> None:
    one, many, rate = results.figure([2.5]), results.figure([1.5, 3.5]), {"rate": 0.5, "low": 0.4, "high": 0.6, "n": 90}
    found = {"alone": one, "deeper": {"often": many}, "share": rate}
    said = [spread.spread({"name": name, "value": value}, found) for name, value in (
        ("alone", 2.5), ("other", 3.5), ("bound", 0.6), ("nowhere", 7.0), ("share", 0))]  # fmt: skip
    assert said == ["one run", "n = 2: 1.5 to 3.5", "n = 90: 0.4 to 0.6", "one run", "n = 90: 0.4 to 0.6"]
