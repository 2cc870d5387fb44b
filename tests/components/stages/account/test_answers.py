"""The five answers of a model: what stages, ledger and MLflow recorded, and a reason where nothing was."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from components.carbon.footprint import intensity
from components.carbon.footprint.costs import LedgerCosts
from components.carbon.ledger.reader import Ledger
from components.core.files import read_json, write_json
from components.params import Account, FinetuneBranches, Params
from components.params.finetune import Instruct
from components.scores import Score
from components.stages.account import html_report, model_card, terminal_table
from components.stages.account.answer_text import cost_text, data_sentence, sentences
from components.stages.account.answers import (
    AgainstChampion,
    Change,
    ModelAnswers,
    NotKnown,
    Removed,
)
from components.stages.account.five_sentences import QUESTIONS, five_sentences
from components.stages.account.model_answers import lineage, model_answers, stages_behind, unknown_origin
from components.stages.account.score_rows import ScoreRow
from components.stages.account.stage import account, costs
from components.stages.account.summary import checkout_files, gather
from components.stages.account.terminal_table import render_table
from components.stages.account.types import Summary
from tests.components.finished_project import project

ROW = {
    "name": "recall/accuracy", "title": "key recall", "model": "pretrain/causal", "measured_by": "evaluate",
    "value": 0.6, "low": 0.5, "high": 0.7, "n": 50, "better": "higher", "baseline": 0.1,
    "baseline_name": "always the first key", "gain": 0.5, "gain_low": 0.4, "gain_high": 0.6, "variance": "items",
    "kind": "context", "headline": True, "note": "",
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project accounted for once."""
    root = tmp_path_factory.mktemp("greenhouse")
    account(root=root, ledger_folder=project(root), params=Params())
    return root


def card(root: Path, model: str) -> ModelAnswers:
    """The object that the account stage left."""
    return ModelAnswers.model_validate(read_json(root / f"reports/cards/{model.replace('/', '-')}/card.json"))


def with_champion(root: Path, champion: AgainstChampion, **other: Any) -> ModelAnswers:
    """The answers of the tuned model beside a champion, its base scored with a row as evaluate writes it."""
    file, grid = checkout_files(root), Params().runtime.grid
    records = gather(file)
    own = [score for score in records.scores if score.measured_by != "evaluate"]
    records.scores = [*own, Score.model_validate(ROW | other)]
    origin = unknown_origin("finetune/instruct").model_copy(update={"champion": champion})
    nothing = costs(LedgerCosts(Ledger([]), grid, intensity.resolve(grid, root)), {})
    return model_answers("finetune/instruct", Account(), records, nothing, [], origin, file, {})


def test_every_model_has_five_answers(root: Path) -> None:
    for model in ("pretrain/causal", "pretrain/masked", "finetune/instruct", "finetune/classify"):
        answers = card(root, model)
        assert answers.data.documents == 23
        assert answers.data.licences == {"BSD-3-Clause": 23}
        assert {(row.stage, row.documents) for row in answers.data.removed} >= {("dedup", 4), ("bias", 1)}
        assert answers.cost.stages == answers.stages == stages_behind(model, {})
        assert len(answers.load.lines) == 2
        assert all("not known: " in text or len(text) > 40 for text in sentences(answers).values())


def test_what_is_beyond_the_size_of_a_source_was_not_removed_by_a_filter(root: Path) -> None:
    """A removal of one document on a source with a limit was told as "filters had removed 18 more"."""
    data = card(root, "pretrain/causal").data
    before = data_sentence(data)
    data.removed.append(Removed(rule="over_limit", stage="ingest", documents=17, of=40))
    assert data_sentence(data) == before.replace(" more", " more, 17 were beyond the limit of their source", 1)


def test_of_removals_in_few_works_a_card_says_so(root: Path) -> None:
    answers, note = card(root, "pretrain/causal"), "too few works: 3, at least 5"
    row = Removed(stage="bias", rule="women", documents=3, of=8, removal_ratio=7.0, low=0.0, note=note)
    answers.data.groups = [row]
    assert f"3 of 8 documents that mention women ({note})" in sentences(answers)["data"]
    assert re.search(rf"\| women \| 3 \| 8 \| 7[.0]* \({note}\) \|", model_card.card(answers))


def test_the_cost_is_that_of_the_stages_behind_the_model(root: Path) -> None:
    rows: dict[str, Any] = read_json(root / "reports/summary.json")["cost"]["stages"]
    cost = card(root, "finetune/classify").cost
    assert cost.kwh[1] == pytest.approx(sum(rows[stage]["kwh"][1] for stage in cost.stages), rel=1e-4)
    assert "pretrain@causal" not in cost.stages
    assert cost.own_kwh == rows["finetune@classify"]["kwh"]
    assert isinstance(cost.forecast, NotKnown)


def test_what_nobody_recorded_says_why(root: Path) -> None:
    answers = with_champion(root, FIRST)
    assert isinstance(answers.cost, NotKnown)
    assert "no completed run" in sentences(answers)["cost"]
    assert "not known: neither git nor DVC was asked" in sentences(answers)["rebuild"]
    assert "it is x version 1" in sentences(answers)["quality"]


def test_the_report_names_models_that_evaluate_has_not_scored_as_they_are(root: Path) -> None:
    summary, file = Summary.model_validate(read_json(root / "reports/summary.json")), checkout_files(root)
    summary.scores += [Score.model_validate(ROW)]
    params, answers = Params(), {}
    for name in ("pretrain/causal", "finetune/instruct"):
        stale = unknown_origin(name).model_copy(update={"scored_earlier": ["pretrain/causal"]})
        answers[name] = model_answers(
            name, params.account, summary, summary.cost, [], stale, file, params.finetune.model_dump()
        )
        assert "key recall" not in model_card.card(answers[name])
        assert "Evaluate has not scored pretrain/causal as it is now" in model_card.card(answers[name])
    said = five_sentences(summary, answers, [])["quality"]
    assert said.count("Evaluate has not scored pretrain/causal as it is now") == 1


CORPUS = ["ingest", "dedup", "filter", "bias", "mix"]
FIRST = AgainstChampion(champion="x version 1", is_this=True, compared="2026-01-31", is_first=True)


def test_a_card_says_why_a_figure_has_no_interval(root: Path) -> None:
    why = "no interval: 3 works, at least 5 are needed"
    assert "| 0.500 to 0.700 (items) |" in model_card.card(with_champion(root, FIRST))
    assert f"| {why} |" in model_card.card(with_champion(root, FIRST, low=None, high=None, variance=why))


def test_a_card_says_how_many_batches_its_trainings_passed_over(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "models/finetune/instruct/greenhouse.json"
    known = read_json(path)
    known["training"]["skipped_batches"], known["finetuning"]["skipped_batches"] = [3, 9], []
    write_json(path, known)
    [said] = [line for line in with_champion(tmp_path, FIRST).limits if "batches" in line]
    assert said == "2 batches of its pretraining were passed over for a bad loss: it did not learn from them."
    assert "batches" not in " ".join(with_champion(root, FIRST).limits)


def test_the_parameters_say_what_a_model_comes_from() -> None:
    chain = {"prefer": {"base": "./models/finetune/instruct/"}}
    tuned = ["finetune/instruct", "finetune/prefer"]
    assert lineage("finetune/prefer", chain) == ["pretrain/causal", *tuned]
    stages = [*CORPUS, "tokenize", "pretrain@causal", *(name.replace("/", "@") for name in tuned)]
    assert stages_behind("finetune/prefer", chain) == stages
    assert lineage("finetune/prefer", {"prefer": {}}) == ["pretrain/causal", *tuned]
    foreign = chain | {"instruct": {"base": "/hub/Qwen3-0.6B", "data": "chats.jsonl"}}
    assert lineage("finetune/prefer", foreign) == ["Qwen3-0.6B", *tuned]
    assert stages_behind("finetune/instruct", foreign) == ["finetune@instruct"]
    on_mix = foreign | {"prefer": {"base": "models/finetune/instruct", "data": "data/mix/train"}}
    assert stages_behind("finetune/prefer", on_mix) == [*CORPUS, "finetune@instruct", "finetune@prefer"]
    circle = {"instruct": {"base": "models/finetune/prefer"}}
    assert lineage("finetune/instruct", circle) == ["instruct", "finetune/prefer", "finetune/instruct"]


@pytest.mark.parametrize(("data", "behind"), [("chats.jsonl", []), ("data/bias/train", CORPUS[:4])])
def test_of_a_base_made_elsewhere_only_the_stages_behind_the_tuning_count(
    data: str, behind: list[str], tmp_path: Path
) -> None:
    own = Instruct(base="/hub/Qwen3-0.6B", data=data)
    params = Params(finetune=FinetuneBranches(instruct=own))
    ledger, origin = project(tmp_path), {"base_name": "Qwen/Qwen3-0.6B", "base_revision": "c0f", "base_licence": "mit"}
    if behind:
        facts = tmp_path / "models/finetune/instruct/greenhouse.json"
        write_json(facts, read_json(facts) | {"finetuning": origin})
    account(root=tmp_path, ledger_folder=ledger, params=params)
    answers = card(tmp_path, "finetune/instruct")
    assert (answers.base, answers.stages) == ("Qwen3-0.6B", [*behind, "finetune@instruct"])
    assert (answers.cost.stages, answers.cost.missing) == (answers.stages, [])
    assert {score.model for score in answers.quality.scores} == {"finetune/instruct"}
    said = (
        "Qwen/Qwen3-0.6B (revision c0f, licence: mit)" if behind else "Qwen3-0.6B (licence: none stated in its folder)"
    )
    assert f"It comes from {said}, which was made elsewhere: " in " ".join(answers.limits)
    line = "Qwen/Qwen3-0.6B, revision c0f" if behind else "Qwen3-0.6B"
    assert f"\nbase        {line}\n" in terminal_table.model_page(answers)
    assert answers.own_rows == ([] if behind else ["chats.jsonl"])
    assert "made elsewhere" not in " ".join(card(tmp_path, "finetune/classify").limits)
    text = (tmp_path / "reports/cards/finetune-instruct/README.md").read_text()
    limit = "\n* It was tuned on rows of chats.jsonl, whose licence and origin are not recorded here.\n"
    assert (limit in text) == (not behind)
    assert "training_type: fine-tuning" in text
    if behind:
        assert (answers.data.documents, answers.data.mixture, answers.data.num_tokens) == (23, 23, None)
    else:
        assert "Not known: its base and its rows were made elsewhere" in text
        assert "finetune@instruct alone" in " ".join(sentences(answers)["cost"].split())
        assert "no text of this pipeline is behind it. It was tuned on rows of" in sentences(answers)["data"]
        # In the summary its line of text stood above the scores and the energy of models that are not behind it.
        said = " ".join((tmp_path / "reports/summary.md").read_text().split())
        assert "trained on finetune/instruct: not known: its base and its rows were made elsewhere; " in said
        assert "is behind it. The other models: 23 documents" in said
        (energy,) = re.findall(r"That is all models together; finetune/instruct: (\S+ Wh .*?)\. ", said)
        assert energy.count("(") == energy.count(")") == 1
        assert re.search(r"Of \d+ scores of all models, \d+ held against counting", said)
        assert re.search(r"worse \(-\), \d better of the \d of finetune/instruct; ", said)


def test_a_page_fits_a_terminal(root: Path) -> None:
    for model in ("pretrain/causal", "finetune/instruct"):
        lines = terminal_table.model_page(card(root, model)).splitlines()
        assert len(lines) <= 40
        assert max(map(len, lines)) <= terminal_table.WIDTH
        assert {"data", "cost", "quality", "rebuild", "load"} <= {line.split(" ")[0] for line in lines}


def test_the_card_of_a_chat_says_which_questions_it_was_taught(root: Path) -> None:
    answers = card(root, "finetune/instruct")
    answers.facts.task["range"] = "numbers below 100"
    assert "\n* Of questions that were taught it knows numbers below 100.\n" in model_card.card(answers)


@pytest.mark.parametrize("first", ["TF-IDF model in `tfidf/`", "network"])
def test_a_classifiers_page_begins_with_what_to_use_and_its_card_loads_that_first(root: Path, first: str) -> None:
    answers = card(root, "finetune/classify")
    said = f"Use the {first}, not the other: " + "it was right more often, " * 6
    task = answers.facts.task | {"advice": said}
    answers = answers.model_copy(update={"facts": answers.facts.model_copy(update={"task": task})})
    page, text = terminal_table.model_page(answers), model_card.card(answers)
    assert " ".join(page.splitlines()[1:4]).startswith(said.strip())
    assert "* **Load, in the checkout's folder.**" in text
    calls = [text.index(call) for call in (" import TfidfVectorizer", "pipeline(")]
    assert calls == sorted(calls, reverse=first == "network")
    assert model_card.tfidf_lines(answers) in text
    summary = Summary.model_validate_json((root / "reports/summary.json").read_text())
    table = terminal_table.render_table(summary, {answers.model: answers})
    assert ('open("models/finetune/classify/tfidf/tfidf.json")' in page) == (first != "network")
    for said in (page, table):  # whole: lines are longer than a page is wide
        assert re.search(r"\nfrom transformers import pipeline(; |\n)model = pipeline\(", said)
    assert ("the lines that `greenhouse card classify` shows" in " ".join(table.split())) == (first != "network")
    assert table.count("import ") == 1, "eleven lines of it pushed the scores away"


def test_what_the_filter_took_much_of_comes_first(root: Path, tmp_path: Path) -> None:
    facts = {"metrics.json": {"documents": 9}, "details/facts.json": {"warnings": ["filter: mail: 39% went\n    one"]}}
    for name, content in facts.items():
        write_json(tmp_path / "reports/filter" / name, content)
    summary = Summary.model_validate_json((root / "reports/summary.json").read_text())
    summary.losses = gather(checkout_files(tmp_path)).losses
    first = "Much was removed: filter: mail: 39% went. "
    assert five_sentences(summary, {}, [])["text"].startswith(first)
    assert terminal_table.render_table(summary, {"finetune/instruct": card(root, "finetune/instruct")}).startswith(
        f"trained on  {first}"
    )


def test_the_model_tuned_on_own_rows_stands_for_a_run_and_what_to_use_is_said(root: Path) -> None:
    summary = Summary.model_validate_json((root / "reports/summary.json").read_text())
    answers = {name: card(root, name) for name in ("finetune/instruct", "finetune/classify")}
    assert "instruct" in five_sentences(summary, answers, [])["load"]
    facts = answers["finetune/classify"].facts
    more = {
        "finetuning": facts.finetuning | {"rows": "own.csv"},
        "task": facts.task | {"advice": "Use that, not this: x"},
    }
    answers["finetune/classify"] = answers["finetune/classify"].model_copy(
        update={"facts": facts.model_copy(update=more)}
    )
    load = five_sentences(summary, answers, [])["load"]
    assert load.startswith("Use that, not this. The network: with ")
    assert "classify" in load


def with_scores(root: Path, number: int, cost: str) -> ModelAnswers:
    """A model of many scores, and a text on its cost."""
    answers = with_champion(root, FIRST)
    row = ROW | {"model": answers.model}
    scores = [Score.model_validate(row | {"name": f"task{n}/accuracy", "title": f"score {n}"}) for n in range(number)]
    quality = answers.quality.model_copy(update={"scores": scores})
    return answers.model_copy(update={"quality": quality, "cost": NotKnown(not_known=cost)})


def test_tables_of_two_runs_have_the_same_scores_however_long_their_texts_are(root: Path) -> None:
    """A line more on cost or rebuild took a score away."""
    summary = Summary.model_validate_json((root / "reports/summary.json").read_text())
    tables, pages = [], []
    for words in (3, 60):
        answers = with_scores(root, 20, "word " * words)
        pages.append(re.findall(r"^   (score \d+)", terminal_table.model_page(answers), re.M))
        long = summary.cost.model_copy(update={"zone_missing": words > 3})
        text = render_table(summary.model_copy(update={"cost": long}), {answers.model: answers})
        tables.append(re.findall(r"^   (score \d+)", text, re.M))
        assert re.search(r"\((\d+) more: \1 no sign\); cards: ", text)
        report = html_report.render_html(summary, {answers.model: answers}, root / "reports")
        assert "Of all 20 scores, which the head counts, these 10. Intervals cover" in report
    for first, second in (tables, pages):
        assert first == second
        assert len(first) == terminal_table.MOST_SCORES


@pytest.mark.parametrize(
    ("changes", "says"),
    [([-0.2], "of 1 score 0 better and 1 worse than x version 1"),
     ([0.2, -0.2, 0.0], "of 3 scores 1 better and 1 worse than x version 1")],
)  # fmt: skip
def test_the_summary_says_which_way_scores_differ_from_the_champions(
    root: Path, changes: list[float], says: str
) -> None:
    rows = [
        Change(name="recall", champion=0.4, this=0.4 + by, improvement=by, low=by, high=by, significant=by != 0)
        for by in changes
    ]
    champion = AgainstChampion(champion="x version 1", is_this=False, compared="2026-01-31", changes=rows)
    answers = with_champion(root, champion)
    summary = Summary.model_validate_json((root / "reports/summary.json").read_text())
    whether = "whether the change of settings does it: not established"
    assert f"; on the same texts, {says}; {whether}" in five_sentences(summary, {answers.model: answers}, [])["quality"]
    assert says in sentences(answers)["quality"]


def test_the_energy_of_runs_that_ended_early_is_said_to_be_of_the_models_stages(root: Path) -> None:
    """`greenhouse cost` has a killed run as a whole."""
    cost = card(root, "pretrain/causal").cost.model_copy(update={"attempts": 1, "attempts_kwh": [0.0, 6.2e-6, 0.0]})
    assert " of it, in these stages alone)" in cost_text(cost)


def test_what_licences_ask() -> None:
    assert model_card.asks("MIT OR Apache-2.0").count("keep its copyright notice") == 2
    assert "share adaptations alike" in model_card.asks("CC-BY-SA-4.0")
    assert model_card.asks("CC0-1.0") == "CC0-1.0 asks for nothing."
    assert model_card.asks("Made-Up-1.0") == "Made-Up-1.0 is not summarised here: read it."
    with pytest.raises(ValidationError, match="licence"):
        Account(licence="free for\nall: yes")


def test_what_tuning_gained_is_not_counted_as_better_than_counting(root: Path) -> None:
    answers = {"finetune/instruct": with_champion(root, FIRST)}
    summary = Summary.model_validate_json((root / "reports/summary.json").read_text())
    rule = Score.model_validate(ROW)
    model = rule.model_copy(update={"baseline_name": "the base model", "baseline_needs_model": True})
    learned = rule.model_copy(update={"ceiling": 1.0, "ceiling_name": "copy rule", "gain_low": 0.1})
    not_learned = learned.model_copy(update={"gain_low": -0.1})
    rows = [ScoreRow(rule, verdict="better"), ScoreRow(rule, verdict="worse"), ScoreRow(model)]
    said = five_sentences(summary, answers, [*rows, *map(ScoreRow, (learned, not_learned, rule))])
    assert list(said) == list(QUESTIONS)
    assert said["quality"].startswith(
        "Of 6 scores, 2 held against counting: 1 better (+), 0 not shown (~), 1 worse (-); "
        "1 of 2 abilities learned (=), the others not shown (~); 2 held against no rule (no sign)"
    )
    assert "finetune/instruct is champion as the first of its name, compared with none" in said["quality"]
