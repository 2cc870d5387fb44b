"""`greenhouse compare`: what differs, what that did, and no scores across different held-out sets."""

import html
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.carbon.footprint.costs import LedgerCosts
from components.carbon.footprint.intensity import resolve
from components.carbon.ledger.reader import read
from components.core.files import write_json
from components.core.report import Report
from components.params import Grid
from components.reporting.tables import write_table
from components.statistics import Difference, Spread
from flows import compare
from flows.compare import _energy, score_table, scored_by_themselves
from flows.tracking import snapshots
from flows.tracking.snapshots import Snapshot
from tests.components.finished_project import ledger, own_scores
from tests.errors import shows
from tests.flows.pipeline_clone import PipelineClone
from tests.flows.toy import BIN, change_seed

pytestmark = [pytest.mark.pipeline]


def test_two_states_side_by_side(toy_clone: PipelineClone) -> None:
    change_seed(toy_clone, 3)
    said = toy_clone.run("greenhouse", "compare", "first", "workspace", "--page", "changes.html")
    page = html.unescape((toy_clone.root / "changes.html").read_text())
    assert all(line in page for line in said.splitlines()), "the whole of it"
    assert "pretrain.causal.seed: 1 -> 3" in said
    assert "code: the same" in said
    assert "data: the same" in said
    assert "models/pretrain/causal: " in said
    (scores,) = [line for line in said.splitlines() if line.startswith("bits_per_byte")]
    improvement = scores.split()[3]
    assert improvement == "+0.2000"
    assert "[+0.2000, +0.2000]" in scores
    assert scores.endswith("files"), "no seed noise is known of so small a model"
    assert "whether the change of settings does it is not established: needs trainings a side" in said
    assert said.count("not in this machine's ledger") == 2  # the miniature stages are not metered
    same = toy_clone.run("greenhouse", "compare", "workspace", "workspace")
    assert "scores: the same evaluation" in same
    assert "edited since" not in same
    toy_clone.edit("params.yaml", "    seed: 3 ", "    seed: 4 ")
    edited = toy_clone.run("greenhouse", "compare", "first", "workspace")
    assert "pretrain.causal.seed: 1 -> 3" in edited, "what it was made with"
    assert "edited since the workspace was made and not compared:\n    pretrain.causal.seed: 3 -> 4" in edited


def test_an_experiment_is_compared_by_its_name(toy_clone: PipelineClone) -> None:
    changes = ["-S", "+pretrain.causal.seed=5", "-S", "defaults.yaml:ingest.max_quarantine=0.25"]
    toy_clone.run("dvc", "exp", "run", "--name", "wild-seed", *changes, **BIN)
    toy_clone.git("checkout", "--quiet", "--", ".")
    toy_clone.run("dvc", "checkout")
    said = toy_clone.run("greenhouse", "compare", "workspace", "wild-seed")
    assert "B = wild-seed (experiment" in said
    assert "pretrain.causal.seed: 1 -> 5" in said
    assert "ingest.max_quarantine: 0.05 -> 0.25" in said
    assert "+0.4000" in said


def test_different_exams_do_not_compare(toy_clone: PipelineClone) -> None:
    toy_clone.edit("params.yaml", "\n  watch:", "\n  heldout_salt: other\n  watch:")
    toy_clone.run("dvc", "repro", **BIN)
    said = toy_clone.run("greenhouse", "compare", "first", "workspace")
    assert "NOT COMPARABLE" in said
    assert "improvement" not in said


@pytest.mark.usefixtures("toy_mlflow")
def test_unknown_names_are_refused_with_what_there_could_be(toy_clone: PipelineClone) -> None:
    said = toy_clone.run("greenhouse", "compare", "first", "nothing-of-the-kind", expect=1)
    shows(said, "snapshots._of_run", "nothing-of-the-kind")
    bare = toy_clone.git("commit-tree", "4b825dc642cb6eb9a060e54bf8d69288fbee4904", "-m", "empty").strip()
    shows(toy_clone.run("greenhouse", "compare", bare, "workspace", expect=1), "snapshots._of_commit", bare)


def test_what_a_state_cost_is_told_in_energy_and_carbon(tmp_path: Path) -> None:
    ledger(tmp_path, tmp_path, {"dedup": 0.05})
    one: Any = SimpleNamespace(fingerprints=lambda: {"dedup": "dedup", "mix": "never-ran"})
    grid = Grid(grams_per_kwh=50.0, pue=2.0)
    ledger_costs = LedgerCosts(read(tmp_path), grid, resolve(grid))
    said = re.sub(r" \([^)]*\)", "", _energy(ledger_costs, one))
    wh, grams = (float(part.split()[0]) for part in said.split(";")[0].split(" and "))
    assert said.endswith("; 1 of 2 stages are not in this machine's ledger")
    used = read(tmp_path).where(lambda span: span.labels.get("stage") in ("dedup", None)).energy.mid_kwh
    assert wh == pytest.approx(1000 * used, rel=1e-3)
    assert grams == pytest.approx(used * 2 * 50, rel=1e-3)


def test_licences_are_those_of_real_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mixture's began with 38,432 short texts that it generates."""
    licences = {"MIT": {"num_documents": 3}, "ISC": {"num_documents": 9}}
    write_json(tmp_path / "manifest", {"licences": licences})
    monkeypatch.setattr(compare, "files_of", lambda state: {"data/bias/train/manifest.json": tmp_path / "manifest"}.get)
    state = Snapshot("a", "revision", {})
    assert compare.licence_lines(state, state) == ["licences: ISC 9, MIT 3"]


def test_the_headline_names_the_main_scores_and_the_surest_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It named a part of a task, and neither bits per byte nor what was worse."""

    def row(name: str, gain: float, p_holm: float) -> Difference:
        of_one = ("lower", 4.0, 4.0 - gain, gain, gain - 0.1, gain + 0.1)
        spreads = (Spread(gain, 0.05, 4.0),)
        files = {"p_files": min(p_holm, 0.5) / 2, "model": "pretrain/causal"}
        return Difference(name, *of_one, 0.06, p_holm, 40, 5, 0, 0, spreads, **files)

    rows = [row("chain/bits", 2.0, 0.01), row("bpb", 1.5, 1.0), row("gap", -0.5, 0.01), row("noise", -0.2, 0.9)]
    monkeypatch.setattr(compare, "_scored", lambda *_: [])
    monkeypatch.setattr(compare, "_energies", lambda *_: {"A": "2 Wh", "B": "3 Wh"})
    monkeypatch.setattr(compare, "differences", lambda *_: (rows, []))
    monkeypatch.setattr(compare, "scored_by_themselves", lambda *_: [])
    told = list(compare.scores(Snapshot("a", "revision", {}), Snapshot("b", "revision", {})))
    assert told[0] == (
        "these two files differ on these texts in 2 of 4 scores (B better in 1, worse in 1); the change of settings "
        "does it in 2 (B better in 1, worse in 1); bpb 4.000 -> 2.500, improvement +1.5000, not beyond chance; "
        "chain/bits 4.000 -> 2.000, improvement +2.0000, by the settings; gap 4.000 -> 4.500, improvement -0.5000, by "
        "the settings; Wh: A 2, B 3"
    )
    settings = "the change of settings does it in 2 (B better in 1, worse in 1)"
    assert told[0].brief == f"the files differ in 2 of 4 scores; {settings}"
    says = "2 scores, p 0.06 or more, corrected 0.9 or more; few works give no small p"
    assert told[-1] == f"no * though the interval leaves out zero: {says}"

    states = [Snapshot(name, "revision", tuned_classifier(name)) for name in "ab"]
    told = compare.verdict(*states, [replace(row("bpb", 0.0, 1.0), low=0.0, high=0.0)])
    apart = "; not compared, without items in common: classify"
    assert told == f"no score on items of both differs{apart}; Wh: A 2, B 3", "B was better in 0, worse in 0, of 0"
    assert told.brief == f"no score on items of both differs{apart}"


def test_scores_are_of_the_held_out_set_that_the_evaluation_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a removal that was killed and repeated, scores on two held-out sets were compared."""
    heldout = "data/ingest/heldout"
    cut = {"ingest": {"outs": [{"path": heldout, "md5": "new.dir"}]}}
    states = [
        Snapshot(name, "run", cut | {"evaluate": {"deps": [{"path": heldout, "md5": f"{name}.dir"}]}})
        for name in ("old", "new")
    ]
    monkeypatch.setattr(compare, "different", lambda *_: [])
    monkeypatch.setattr(compare, "outdated", lambda *_: iter(()))
    monkeypatch.setattr(compare, "licence_lines", lambda *_: [])
    monkeypatch.setattr(compare, "energy_lines", lambda *_: [])
    (verdict,) = [line for line in compare.report(*states) if isinstance(line, compare.Verdict)]
    assert verdict.startswith("scores: NOT COMPARABLE: the two were examined on different held-out sets")


def tuned_classifier(md5: str) -> dict[str, Any]:
    """A lock whose classifier has this hash."""
    return {"finetune@classify": {"outs": [{"path": "models/finetune/classify", "md5": md5}]}}


def test_what_is_the_same_on_every_item_is_one_line() -> None:
    def row(name: str, gain: float, model: str = "pretrain/causal") -> Difference:
        return Difference(name, "higher", 0.5, 0.5 + gain, gain, gain, gain, 0.5, 1.0, 40, 10, 0, 0, model=model)

    same = [row(f"recall/accuracy_at_{depth}", 0.0) for depth in range(16)]
    same.append(row("masked/accuracy", 0.0, "pretrain/masked"))
    table = score_table([*same, row("answers/bits_per_byte", 0.1, "finetune/instruct")])
    assert [line.split("  ")[0] for line in table[:-1]] == ["metric".ljust(6), "answers/bits_per_byte"]
    assert table[-1] == "the same on every item: 17 metrics (causal 16, masked 1)"
    assert score_table(same[:1]) == ["the same on every item: 1 metric (causal 1)"]


def test_what_a_stage_measured_of_its_own_rows_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the stage writes it, bounds and baselines beside the value."""

    def state(name: str, score: float, data: str = "data/bias/train") -> Snapshot:
        Report({}, facts=own_scores("finetune/instruct", choice_accuracy={"value": score, "low": 0.1})).write(
            tmp_path / name
        )
        outs = [{"path": path, "md5": name} for path in ("models/finetune/instruct", compare.PAIRS)]
        params = {"params.yaml": {"finetune.instruct": {"data": data, "task": "auto"}}}
        scored = {"outs": [{"path": "reports/evaluate/details", "md5": "of both"}]}
        return Snapshot(name, "revision", {"finetune@instruct": {"outs": outs, "params": params}, "evaluate": scored})

    store = SimpleNamespace(files=lambda md5: {"facts.json": f"{md5}/details/facts.json"}, fetched=tmp_path.joinpath)
    monkeypatch.setattr(snapshots, "ObjectCache", lambda: store)
    (line,) = scored_by_themselves(state("a", 0.25), state("b", 0.5), [])
    assert line.endswith("by their own held-out rows, without an interval: instruct/choice_accuracy 0.2500 -> 0.5000")
    (line,) = scored_by_themselves(state("a", 0.25), state("b", 0.5, "data/rows/mine"), [])
    assert line.endswith("by rows of unlike tasks, without an interval: instruct/choice_accuracy 0.2500 -> 0.5000")
    assert list(compare.scores(state("a", 0.25), state("b", 0.5, "data/rows/mine"))) == [
        "scores: the same evaluation", line
    ]  # fmt: skip
    answers: Any = SimpleNamespace(name="answers/bits", model="finetune/instruct")
    (line,) = scored_by_themselves(state("a", 0.25), state("b", 0.5), [answers])
    assert line.startswith("instruct, by their own held-out rows"), "a score in common tells the models apart"
    assert not list(scored_by_themselves(state("a", 0.25), state("a", 0.25), [])), "the same model"


@pytest.mark.parametrize("base", ["models/finetune/instruct", None])
def test_a_branch_that_is_off_since_has_no_score_to_renew(base: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """dvc.lock keeps its stage, and no run of the pipeline would change that."""
    monkeypatch.setattr(compare.seed_runs, "scores_another", lambda one, kind: kind == "prefer")
    asked = {"params": {"params.yaml": {"finetune": {"prefer": {"base": base}}}}}
    state = Snapshot("b", "workspace", {"finetune@prefer": {}, "evaluate": asked})
    told = ["scores B: of earlier models than these: prefer; run the pipeline there to its end"] if base else []
    assert list(compare.outdated(Snapshot("a", "first", {}), state)) == told


@pytest.mark.parametrize("asked", ["the same", "others"])
def test_the_choices_of_a_tuned_model_are_paired_beside_its_answers(
    asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The headline score of the demo's chat model was left out in silence: evaluate does not ask for choices."""
    places = {"models": "models/finetune/instruct", "pairs": compare.PAIRS, "evaluate": "reports/evaluate/details"}

    def state(name: str, right: float) -> Snapshot:
        measured = {"choice_accuracy": {"value": right}, "answer_bits_per_byte": {"value": 2.0}}
        Report({}, facts=own_scores("finetune/instruct", **measured)).write(tmp_path / f"{name}-report")
        rows = [
            (f"work {n % 8}", "docs", right, 16, 8, f"answer {n}", f"{name * (asked == 'others')} {n}")
            for n in range(40)
        ]
        rows.append(("work 0", "docs", float("nan"), 0, 8, "no group of four", "41"))
        write_columns(tmp_path / f"{name}-pairs", rows)
        outs = [{"path": path, "md5": f"{name}-{kind}"} for kind, path in places.items()]
        return Snapshot(name, "revision", {"finetune@instruct": {"outs": outs}})

    def write_columns(path: Path, rows: list[tuple]) -> None:
        named = ("cluster", "stratum", "right_after", "bits_after", "bytes", "answer", "text")
        write_table(path, named, [["" if value != value else value for value in row] for row in rows])

    def files(md5: str) -> dict[str, str]:
        return {"heldout.csv": md5, "facts.json": f"{md5.split('-')[0]}-report/details/facts.json"}

    store = SimpleNamespace(fetched=tmp_path.joinpath, files=files)
    sides = SimpleNamespace(items_a=[], items_b=[], noise_or_shipped=lambda metric: None)
    answers = Difference("answers/bits_per_byte", "lower", 1.7, 1.8, -0.1, -0.2, -0.05, 0.01, 0.01, 40, 8, 0, 0)
    answers = replace(answers, model="finetune/instruct")
    monkeypatch.setattr(snapshots, "ObjectCache", lambda: store)
    monkeypatch.setattr(compare, "scored_apart", lambda a, b, branch: branch == "instruct")
    monkeypatch.setattr(compare.seed_runs.Compared, "of", lambda a, b, branch: sides)
    monkeypatch.setattr("flows.compare.paired_difference", lambda *_, **__: [answers])
    told = list(compare.scores(state("a", 0.5), state("b", 0.75)))
    paired = [line for line in told if line.startswith("instruct/choice_accuracy")]
    alone = [line for line in told if line.startswith("instruct, by their own held-out rows, without an interval: ")]
    if asked == "the same":
        assert paired[0].split()[1:] == ["0.5000", "0.7500", "+0.2500", "[-0.2118,", "+0.7118]"]
        assert compare.verdict_of(told).brief.startswith("the files differ in 0 of 1 score; whether the change")
        # The same score stood there twice: by evaluate's fewer pairs, and by these.
        assert not [line for line in told if line.startswith("answers/bits_per_byte")]
        assert "the same on every item: 1 metric (instruct 1)" in told
    else:
        assert not paired
        assert alone[0].endswith(
            ": instruct/choice_accuracy 0.5000 -> 0.7500, instruct/answer_bits_per_byte 2.0000 -> 2.0000"
        )


def test_a_state_without_an_evaluation_is_not_called_equal() -> None:
    """As the one that a registered model's alias names, if the run that made it ended early."""
    scored = {"evaluate": {"outs": [{"path": "reports/evaluate/details", "md5": "one.dir"}]}}
    a, b = Snapshot("a", "run", scored), Snapshot("b", "run", {})
    told = compare.verdict_of(list(compare.report(a, b)))
    assert told == "scores: B (run) has none: no run of it came as far as evaluate"
    assert told.brief == "B (run) has none: no run of it came as far as evaluate"
