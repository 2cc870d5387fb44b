"""Results: every figure keeps the machine, day and commit of its own measurement."""

from benchmarks import results, spread, stamp, tables
from benchmarks.evidence import claims

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


def test_a_sentence_is_held_against_its_raw_rows() -> None:
    row = "| `noop_flow_s`: the flow with nothing to do, seconds | 6.447 | n = 3: 6.428 to 6.526 | ≤ 20 | yes |"
    held = {"page": "docs/results", "sentence": row[:80], "file": "results/overhead.json", "n": "n = 3",
            "figures": '[raw["results"]["noop_flow_s"]["median"]]', "interval": "1 to 2"}  # fmt: skip
    value = results.read_json(results.ROOT / "benchmarks/results/overhead.json")["results"]["noop_flow_s"]["median"]
    row = row.replace("6.447", f"{value:.4g}")
    assert claims.wrong("docs/results", row, row, [held]) == ""
    assert "raw rows have" in claims.wrong("docs/results", row, row.replace(f"| {value:.4g}", "| 9.999"), [held])
    assert "not said" in claims.wrong("docs/results", row, row, [held | {"n": "one run"}])
    assert claims.wrong("docs/results", row, row, []) == "no raw row is named"
    assert claims.wrong("docs/results", row, row, [held | {"file": ""}]) == "no raw row was kept"


def test_a_sentence_keeps_its_place_in_the_draw_when_it_is_measured_again() -> None:
    assert claims.place("README", "# A\n", "takes 3.5 s") == claims.place("README", "# A\n\nmore", "takes 12 s")
    assert len(claims.drawn()) == claims.NUMBER
