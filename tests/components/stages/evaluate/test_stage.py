"""The stage: the same bytes whatever the workers and whenever it was killed, and reports that say what they must."""

import pickle
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.core.errors import Stopped
from components.core.files import read_json, write_json
from components.core.report import Report, flat
from components.params import Evaluate
from components.params.promote import RULES
from components.scored_items import COLUMNS
from components.scores import as_scores
from components.stages.evaluate.registry import GROUPS, TASKS, result_path, wanted
from components.stages.evaluate.stage import evaluate, report_progress
from components.statistics import paired_difference
from tests.components.killed import killed_when
from tests.components.real_text import tree
from tests.components.stages.evaluate.conftest import World
from tests.progress_recorder import Recorder

pytestmark = pytest.mark.slow

ASKED = set(wanted(Evaluate()))
"""The tasks of a run that names none of the harness."""


@pytest.fixture(scope="module")
def evaluated(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    folder = tmp_path_factory.mktemp("examined")
    return evaluate(**world.stage(folder / "reports", folder / "work")), folder / "reports"


def test_every_task_has_a_result_or_a_reason(evaluated: tuple[Report, Path]) -> None:
    report, reports = evaluated
    assert sorted(name for group in GROUPS for name in group) == sorted(TASKS)
    answered = {name.split("/")[0] for name in report.metrics}
    assert answered | set(report.facts["skipped"]) == ASKED
    assert not answered & set(report.facts["skipped"])
    assert flat(read_json(reports / "metrics.json")).keys() == report.metrics.keys()
    assert len(report.metrics) <= 95
    assert list(read_json(reports / "scores.json")) == ["book", "bpb", "mlm", "sums"]
    assert {name.split("/")[1] for name in report.facts["models"]} >= {"causal", "masked"}
    facts = read_json(reports / "details" / "facts.json")
    assert len(facts["heldout_sha256"]) == 16
    for name, content in tree(reports).items():
        assert str(reports.parents[0]).encode() not in content, name


def test_scores_have_bounds_around_their_value(evaluated: tuple[Report, Path]) -> None:
    _, reports = evaluated
    scores = as_scores(read_json(reports / "details" / "facts.json"))
    assert len(scores) >= 15
    for score in scores:
        assert score.low is None or score.low <= score.value <= score.high, score
        if score.baseline is not None:
            sign = -1 if score.better == "lower" else 1
            assert score.gain == pytest.approx(sign * (score.value - score.baseline), rel=1e-4, abs=1e-5), score
            assert score.baseline_name
        assert score.title in (reports / "details" / "report.md").read_text(encoding="utf-8")


def test_names_of_scores_are_of_tasks_and_what_they_refer_to_is_there(evaluated: tuple[Report, Path]) -> None:
    report, reports = evaluated
    scores = as_scores(report.facts)
    rows = pq.read_table(reports / "details" / "items.parquet").to_pylist()
    items = {f"{row['question']}/{row['metric']}": row["model"] for row in rows}
    items |= {f"{row['question']}/{row['metric']}/{row['condition']}": row["model"] for row in rows}
    names = {score.name for score in scores}
    assert len(names) == len(scores)
    assert {score.task for score in scores} <= set(TASKS)
    assert {score.counterpart for score in scores} - {""} <= names
    assert {items[score.items] for score in scores if score.items} == {"pretrain/causal"}
    assert all(items.get(score.name, score.model) == score.model for score in scores)
    judged = {"causal": "pretrain/causal", "masked": "pretrain/masked", "instruct": "finetune/instruct"}
    for branch, model in judged.items():
        assert {items[RULES[branch].primary]} == {model}
        assert RULES[branch].guards.keys() <= names | items.keys()
    assert set(RULES["causal"].limits) <= report.metrics.keys()


def test_items_are_unique_rebuild_a_metric_and_differ_not_from_themselves(evaluated: tuple[Report, Path]) -> None:
    report, reports = evaluated
    rows = pq.read_table(reports / "details" / "items.parquet").to_pylist()
    keys = {(row["question"], row["condition"], row["metric"], row["item"]) for row in rows}
    assert len(keys) == len(rows) > 1000
    assert tuple(rows[0]) == COLUMNS
    mine = [row for row in rows if (row["question"], row["metric"]) == ("bits_per_byte", "bits_per_byte")]
    value = sum(row["score"] for row in mine) / sum(row["weight"] for row in mine)
    assert value == pytest.approx(report.metrics["bits_per_byte/all"])
    items = reports / "details" / "items.parquet"
    found = paired_difference(items, items)
    assert len(found) > 15
    assert all(one.improvement == 0.0 and one.p_holm == 1.0 for one in found)


def test_each_plot_has_its_table(evaluated: tuple[Report, Path]) -> None:
    plots, curves = evaluated[1] / "plots", evaluated[1] / "details" / "curves"
    assert {path.stem for path in plots.iterdir()} == {path.stem for path in curves.iterdir()}
    drawn = {path.stem for path in plots.glob("*.png")}
    assert {"few_shot", "recall", "reliability", "memorisation"} <= drawn


SCRIPT = """
import pickle, sys
from components.stages.evaluate.stage import evaluate
evaluate(**pickle.load(open(sys.argv[1], "rb")), workers=int(sys.argv[2]))
"""


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_stopped_it_runs_only_what_is_missing_and_workers_change_no_byte(
    world: World, evaluated: tuple[Report, Path], tmp_path: Path, workers: int
) -> None:
    arguments = world.stage(tmp_path / "reports", tmp_path / "work")
    (tmp_path / "arguments").write_bytes(pickle.dumps(arguments))
    work = tmp_path / "work"
    killed_when(lambda: list(work.rglob("*.json")), SCRIPT, tmp_path / "arguments", workers)
    done = list(work.rglob("*.json"))
    assert 0 < len(done) < len(ASKED)
    kept = {path: path.stat().st_mtime_ns for path in done}
    stops = Recorder(lambda seen: bool(seen.done) and seen.done[-1] > seen.done[0])
    with pytest.raises(Stopped):
        evaluate(**arguments, workers=workers, progress=stops)
    assert not tree(tmp_path / "reports")
    progress = Recorder()
    evaluate(**arguments, workers=workers, progress=progress)
    assert {path: path.stat().st_mtime_ns for path in done} == kept
    assert progress.totals == {(100, "%")}
    assert progress.done[-1] == 100
    assert progress.done == sorted(progress.done)
    assert tree(tmp_path / "reports") == tree(evaluated[1])


@pytest.mark.parametrize(
    ("finished", "done", "note"),
    [
        ((), 0, "0 of 12 tasks; bits per byte and answers"),
        (("bits_per_byte", "masked"), 43, "2 of 12 tasks; calibration and answers"),
        ([*GROUPS[0], *GROUPS[1]], 51, "3 of 12 tasks; masked and minimal pairs"),
        (ASKED, 100, "12 of 12 tasks; "),
    ],
)
def test_progress_is_by_the_time_of_tasks_and_names_those_that_run(
    finished: Iterable[str], done: int, note: str, tmp_path: Path
) -> None:
    for name in finished:
        write_json(result_path(tmp_path, name), {})
    progress = Recorder()
    began = dict[str, float]()
    report_progress(wanted(Evaluate()), tmp_path, 2, progress, began)
    assert (progress.done, progress.notes) == ([done], [note])
    for since in (5.0, 1e6):  # the first tasks take a while, and more of it on a slow machine
        report_progress(wanted(Evaluate()), tmp_path, 2, progress, {name: began[name] - since for name in began})
    assert done <= progress.done[1] <= progress.done[2] <= 100
    assert bool(began) == (done < progress.done[2])
