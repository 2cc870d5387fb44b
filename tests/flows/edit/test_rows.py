"""`greenhouse edit rows`: rows and bases are looked at, shown, and named in params.yaml."""

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file, save_file

from components import params as schema
from components.core.files import write_json
from components.corpus.corpus import CorpusWriter
from components.model import export
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape, Numerics
from components.stages.finetune.stage import finetune
from components.tokens.tokenizer import train_bpe
from flows.edit import rows as subject
from flows.planning import inspect_text
from flows.system import dvc, params_file, paths
from flows.system.paths import ROOT
from tests.errors import refused, refuses

COMMIT = "0123456789" * 4


@pytest.fixture
def params_yaml(checkout: Path) -> Path:
    """A params.yaml of our own, as shipped."""
    return paths.PARAMS


def small_base(folder: Path, text: str, causal: bool = True) -> Path:
    """A model of 64 positions."""
    shape = derive_shape(ModelShape(size=1, width=32, heads=2), 300, 64, causal)
    export.save(Transformer(shape).initialise(1), train_bpe([text], 300).to_str(), folder, {})
    return folder


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    rows: list[Any] = [{"prompt": f"What comes after {number}, and why?", "completion": f"It is {number + 1}."}
                       for number in range(60)]  # fmt: skip
    (path := tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": "x"}]))
    return path


def test_rows_are_shown_and_written(params_yaml: Path, chats: Path, greenhouse: Callable[..., str]) -> None:
    before = params_yaml.read_text()
    shown = greenhouse("edit", "rows", chats, "--dry-run")
    assert params_yaml.read_text() == before
    assert not params_file.before(params_yaml).exists()
    assert "54 rows to train on, 6 held out (kind chat)" in shown
    assert "  columns: prompt = prompt, completion = completion (--columns prompt=... changes them)\n" in shown
    assert "left out: 1 x missing field, first chats.jsonl line 61 (completion)" in shown
    assert "rows are used as they are, personal data included, and a model may repeat it" in shown
    assert "user: What comes after" in shown
    assert f"+    data: {chats}" in shown
    assert "steps of tuning: instruct 10 (finetune.instruct.steps)\n" in shown
    said = greenhouse("edit", "rows", chats)
    assert "written; tune with `greenhouse run --until finetune@instruct`" in said
    assert "; `mv params.yaml.before params.yaml` goes back" in said
    assert params_file.before(params_yaml).read_text() == before
    tuned = schema.load(params_yaml).finetune.instruct
    assert (tuned.data, tuned.max_pairs, tuned.steps) == (str(chats), 54, 10)
    assert (tuned.base, schema.load(params_yaml).finetune.classify) == (
        "models/pretrain/causal", schema.Params().finetune.classify
    )  # fmt: skip
    assert "nothing changed" in greenhouse("edit", "rows", chats)


def test_columns_are_named_once_and_forgotten_with_the_next_rows(
    params_yaml: Path, tmp_path: Path, greenhouse: Callable[..., str]
) -> None:
    lines = [f"a text of number {n},{'ab'[n % 2]},{'xyz'[n % 3]}" for n in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(["summary,label,genre", *lines]))
    said = greenhouse("edit", "rows", tmp_path / "rows.csv", "--columns", "text=summary,label=genre")
    assert "  columns: text = summary, label = genre (" in said
    assert schema.load(params_yaml).finetune.classify.columns == {"text": "summary", "label": "genre"}
    assert not schema.load(params_yaml).finetune.instruct.columns
    (tmp_path / "rows.csv").write_text("\n".join(["review,label,genre", *lines]))
    greenhouse("edit", "rows", tmp_path / "rows.csv")
    assert schema.load(params_yaml).finetune.classify.columns == {}


def test_what_a_score_or_a_training_leaves_out_is_said(
    params_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Most rows unseen, answers known from training, a test file trained on: none of it was said."""
    words = ["river", "harbour", "market", "library", "garden", "station", "museum"]
    rows = [{"prompt": f"{words[n % 7]} {n}, {words[n % 5]} {n * n}?", "completion": f"It is {n % 20}."}
            for n in range(300)]  # fmt: skip
    (folder := tmp_path / "rows").mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:260]))
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[260:]))
    monkeypatch.setattr(subject, "MOST_STEPS", 10)
    values = subject.wanted(str(folder), None, None, "train")
    shown = capsys.readouterr().out
    assert f"{folder}: 260 rows to train on, 40 held out (kind chat)" in shown
    assert "  held out: the 40 rows of test.jsonl\n" in shown
    assert "  40 of 40 held-out answers are also answers of training rows, word for word: the gain may be" in shown
    assert values["finetune.instruct.steps"] == 10
    assert "160 of 260 training rows are seen, once; raise finetune.instruct.steps from 10 to 17 for all.\n" in shown


@pytest.mark.parametrize(("context", "remedy"), [
    (32, "raise finetune.instruct.context (the base has 64 positions)"),
    (64, "take a base with more positions (pretrain.common.context, for your own), and raise "
     "finetune.instruct.context too"),
])  # fmt: skip
def test_the_remedy_for_rows_that_are_cut_makes_room(
    context: int, remedy: str, params_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Where base and branch had the same context it named the base's alone, which changes nothing."""
    rows = [{"prompt": f"And {n}?", "completion": f"one {n} " * 60} for n in range(40)]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    base = small_base(tmp_path / "models" / "base", json.dumps(dir(json)) * 3)
    mine = params_file.changed(schema.load(params_yaml), {"finetune.instruct.context": context}, "test")
    params_file.write(params_yaml, mine)
    subject.wanted(str(tmp_path / "long.jsonl"), None, str(base), "train")
    [line] = [line for line in capsys.readouterr().out.splitlines() if "rows cut to" in line]
    assert line.endswith(f"; to keep them whole, {remedy}")


def test_rows_go_to_the_branch_that_learns_from_them(
    params_yaml: Path, chats: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "labels.csv").write_text("text,label\n" + "".join(f"one{i} two{i},{i % 2}\n" for i in range(40)))
    with (tmp_path / "labels.csv").open("a") as file:
        file.write("one40 two40,0\none40 two40,1\n")
    found = subject.wanted(str(tmp_path / "labels.csv"), None, None, "train")
    first = "first labels.csv line 42 (labels.csv line 43 has the same text)"
    assert f"left out: 2 x contradicts another row, {first}" in capsys.readouterr().out
    assert found["finetune.classify.max_pairs"] == 36
    assert found["finetune.classify.steps"] == 20 * 36 // 16, "few rows: more passes, for the head begins untrained"
    (tmp_path / "rare.csv").write_text(
        "text,label\n" + "".join(f"one{i} two{i},{'rare' if i == 17 else i % 2}\n" for i in range(40))
    )
    subject.wanted(str(tmp_path / "rare.csv"), None, None, "train")
    assert "no held-out row is of the classes 'rare': no score here is about them" in capsys.readouterr().out
    for classes, says in (
        (("no", "No", "yes"), "  classes that differ in case alone: 'No', 'no'; if two mean one, write them alike"),
        (("None", "N/A", "age"), "  N/A, None: if that means that the label is missing, leave these rows out\n"),
    ):
        lines = [f"one{i} two{i},{classes[i % 3]}" for i in range(60)]
        (tmp_path / "classes.csv").write_text("\n".join(["text,label", *lines]))
        subject.wanted(str(tmp_path / "classes.csv"), None, None, "train")
        assert says in capsys.readouterr().out
    rows = [{"text": f"one{i} two{i}", "labels": ["even"] * (i % 2 == 0)} for i in range(40)]
    (tmp_path / "several.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "finetune.classify.data" in subject.wanted(str(tmp_path / "several.jsonl"), None, None, "train")
    assert "classes: even " in capsys.readouterr().out
    (tmp_path / "scores.csv").write_text("text,score\n" + "".join(f"one{i} two{i},{i / 2}\n" for i in range(40)))
    with refused("formats.read.2", "scores.csv", "text, score", "--columns text=COLUMN,label=COLUMN"):
        subject.wanted(str(tmp_path / "scores.csv"), None, None, "train")
    with refused("rows.wanted", chats, "for instruct (kind chat)", "classify"):
        subject.wanted(str(chats), "classify", None, "train")


def test_changed_rows_make_their_branch_stale(params_yaml: Path, chats: Path, tmp_path: Path) -> None:
    (root := tmp_path / "checkout").mkdir()
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    tuning = stages["finetune"]
    tuning["do"] = {"cmd": "true", "params": tuning["do"]["params"], "deps": tuning["do"]["deps"][:2]}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"finetune": tuning}}))
    subject.apply(subject.wanted(str(chats), None, None, "train"), dry_run=False)
    for name in ("params.yaml", "defaults.yaml"):
        shutil.copy(params_yaml.with_name(name), root)
    for name in ("models/pretrain/causal", "models/pretrain/masked", "models/finetune/instruct", "data/bias/train"):
        (root / name).mkdir(parents=True)
    from dvc.repo import Repo

    Repo.init(str(root), no_scm=True).close()
    before = dvc.fingerprints(root)
    with chats.open("a") as file:
        file.write('{"prompt": "new", "completion": "row"}\n')
    after = dvc.fingerprints(root)
    assert {stage for stage in before if before[stage] != after[stage]} == {"finetune@instruct"}


def test_a_base_is_described_before_it_is_written(params_yaml: Path, chats: Path, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture) -> None:  # fmt: skip
    for causal in (True, False):
        small_base(tmp_path / f"model-{causal}", json.dumps(dir(json)) * 3 + chats.read_text(), causal)
    found = subject.wanted(str(chats), None, str(tmp_path / "model-True"), "train")
    assert found["finetune.instruct.base"] == str(tmp_path / "model-True")
    assert found["finetune.instruct.learning_rate"] == 5e-5
    for change, rate in ({"lora_rank": 8}, 5e-4), ({"learning_rate": 3e-4}, None):
        mine = {f"finetune.instruct.{name}": value for name, value in change.items()}
        params_file.write(params_yaml, params_file.changed(schema.load(params_yaml), mine, "test"))
        kept = subject._started_from(tmp_path / "model-True", "instruct")
        assert kept.get("finetune.instruct.learning_rate") == rate
    own = subject._started_from(paths.ROOT / "models/finetune/instruct", "prefer")
    assert own["finetune.prefer.learning_rate"] == 1e-4
    shown = capsys.readouterr().out
    assert re.search(r": 0\.0\d+ M parameters; tuning all of them takes", shown)
    assert "needs the extra peft" in shown
    assert "tokens per row: median" in shown
    long = [{"prompt": f"{number} a long question " * 200, "completion": f"{number}"} for number in range(40)]
    chats.write_text("".join(json.dumps(row) + "\n" for row in long))
    with refused("rows.encoded", "64 positions", "finetune.instruct.context is 256"):
        subject.wanted(str(chats), None, str(tmp_path / "model-True"), "train")
    with chats.open("a") as file:
        file.writelines(json.dumps({"prompt": f"Which {i}?", "completion": "x" * i}) + "\n" for i in range(1, 21))
    subject.wanted(str(chats), None, str(tmp_path / "model-True"), "train")
    shown = capsys.readouterr().out
    assert re.search(r"left out: \d+ x nothing to learn, first chats\.jsonl line \d+ \(the first answer begins", shown)
    assert "max_pairs counts rows before the context of" in shown
    write_json(tmp_path / "adapter" / "adapter_config.json", {})
    write_json(tmp_path / "model-True" / "greenhouse.json", {"training": {"tokenizer_sha256": "0" * 64}})
    for folder, says in {
        tmp_path / "adapter": ["export.inspected.1"],
        tmp_path / "model-True": ["export._refuse_retokenized"],
        tmp_path / "model-False": ["rows.described", "instruct"],
        tmp_path: ["export.inspected.2", "config.json"],
        "": ["export.inspected.2", "config.json"],  # of a variable that is not set
    }.items():
        with refused(*says):
            subject.wanted(str(chats), None, str(folder), "train")


@pytest.mark.parametrize("branch", ["instruct", "prefer"])
def test_counts_are_those_of_the_stage(branch: Any, params_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture
                                       ) -> None:  # fmt: skip
    answers: Any = {"chosen": "Yes.", "rejected": "No."} if branch == "prefer" else {"completion": "Yes."}
    texts = [f"{number}: which of {number * number} and {number + 1} is it?" for number in range(60)]
    texts[3] += " And of what else, if so, before or after that, and why should it be so at all?" * 4
    rows = [json.dumps({"prompt": text} | answers) for text in texts]
    (folder := tmp_path / "rows").mkdir()
    (folder / "rows.jsonl").write_text("".join(f"{row}\n" for row in rows))
    base = small_base(tmp_path / "base", "\n".join(texts))
    values = subject.wanted(str(folder), None, str(base), "train")
    printed = capsys.readouterr().out
    most = values[f"finetune.{branch}.max_pairs"]
    subject.apply(values, dry_run=False)
    tuned = schema.load(params_yaml).finetune
    assert branch in tuned.stages()
    params = getattr(tuned, branch).model_copy(update={"steps": 1, "batch": 2})
    with CorpusWriter(tmp_path / "heldout"):
        pass
    folders = {name: tmp_path / name for name in ("heldout", "out", "reports", "work")}
    report = finetune(branch=branch, base=base, train=folder, params=params, numerics=Numerics(), **folders)
    because = f"The base has 64 positions, so no example has more tokens, though finetune.{branch}.context is 256."
    assert because in report.markdown
    assert sum(report.facts["refused"].values()) == 1
    trained = next(int(value) for name, value in report.metrics.items() if name.startswith("train_p"))
    assert f"{trained} rows to train on, " in printed
    assert most == trained + 1
    assert f"before the context of 64 positions of the base (finetune.{branch}.context is " in printed
    assert "leaves 1 of them out" in printed


def test_a_base_with_numbers_that_are_not_finite_is_refused(params_yaml: Path, chats: Path, tmp_path: Path) -> None:
    base = small_base(tmp_path / "base", chats.read_text())
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"][3] = math.nan
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    with refused("export.load_tensors.3", base, "model.norm.weight"):
        subject.wanted(str(chats), None, str(base), "train")


def test_the_hub_is_read_at_a_commit_alone(params_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub

    with refused("pinned.2", "https://huggingface.co/datasets/owner/rows/commits/main"):
        subject.fetched_rows("owner/rows", "train")
    refuses(lambda: subject.fetched_base("owner/model@main"), "pinned.2", "owner/model@main")
    refuses(lambda: subject.base("owner/model"), "rows.base", "owner/model", "--branch instruct or classify or prefer")
    refuses(lambda: subject.fetched_rows(str(tmp_path / "nowhere"), "train"), "pinned.1", tmp_path / "nowhere")
    asked: list[Any] = []

    def load(name: str, **options: Any) -> datasets.Dataset:
        asked.append((name, options))
        return datasets.Dataset.from_list([{"text": f"one {i}", "label": i % 2} for i in range(40)])

    def snapshot(name: str, **options: Any) -> None:
        asked.append((name, options["revision"], "*.safetensors" in options["allow_patterns"]))
        assert not any(pattern.endswith((".bin", ".py", ".pt")) for pattern in options["allow_patterns"])
        (folder := Path(options["local_dir"])).mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"")

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    for _ in range(2):  # the second time from the copy
        rows = subject.fetched_rows(f"owner/rows@{COMMIT}", "train")
        base = subject.fetched_base(f"owner/model@{COMMIT}")
    assert asked == [("owner/rows", {"revision": COMMIT, "split": "train"}), ("owner/model", COMMIT, True)]
    assert rows == tmp_path / "downloads" / "owner--rows@01234567-train.parquet"
    assert base.name == "owner--model@01234567"
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: 1 / 0)
    with refused("rows._fetched", "owner/other", "division by zero"):
        subject.fetched_rows(f"owner/other@{COMMIT}", "train")


def test_text_for_pretraining_is_not_guessed_from_rows(chats: Path) -> None:
    with refused("inspect_text._refuse_rows", "chats.jsonl has chats", f"`greenhouse edit rows {chats}`"):
        inspect_text.inspect(str(chats), schema.Ingest())
    rows = chats.with_name("preference.jsonl")
    rows.write_text(json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}) + "\n")
    with refused("inspect_text._refuse_rows", "preference.jsonl has preferences", f"`greenhouse edit rows {rows}`"):
        inspect_text.inspect(str(rows), schema.Ingest())
    pages = [{"text": f"A page about the number {number}. " * 20, "score": number / 7} for number in range(40)]
    (scored := chats.with_name("corpus.jsonl")).write_text("".join(json.dumps(page) + "\n" for page in pages))
    assert inspect_text.inspect(str(scored), schema.Ingest()).text_field == "text"


def test_a_column_of_labels_beside_text_is_a_hint(tmp_path: Path) -> None:
    for name, label in (("label", "spam"), ("labels", ["spam", "mail"])):
        (rows := tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": "A letter. " * 20, name: label}) + "\n")
        own = inspect_text.inspect(str(rows), schema.Ingest())
        assert (own.text_field, own.files, own.not_read) == ("text", 1, "")
        assert f"{name}.jsonl has labels" in own.hint
        assert f"`greenhouse edit rows {rows}` is for labelled rows" in own.hint
