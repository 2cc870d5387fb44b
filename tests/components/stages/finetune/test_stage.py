"""The finetune stage on real text: it learns, repeats to the byte, survives kills, and its models load elsewhere."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from components.core.errors import Stopped, UserError
from components.core.files import read_json
from components.core.progress import Progress
from components.core.report import Report
from components.corpus.corpus import CorpusWriter, read_corpus
from components.model import export
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import Classify, Finetune, Instruct, ModelShape, Numerics, Prefer
from components.scores import as_scores
from components.stages.finetune import source_task
from components.stages.finetune.example_selection import select
from components.stages.finetune.stage import finetune
from components.tokens.hub_encoder import encoder_of
from components.tokens.tokenizer import ASSISTANT, END, END_OF_TEXT, USER, Encoder, train_bpe
from tests.components import task_corpora as corpora
from tests.progress_recorder import Recorder, stops_at

NUMERICS = Numerics()
FAST: dict[str, Any] = {"steps": 12, "batch": 8, "context": 64, "max_pairs": 120, "checkpoint_every": 4}
PARAMS: dict[str, Finetune] = {
    "instruct": Instruct(**FAST), "classify": Classify(**FAST), "prefer": Prefer(**FAST, base="causal", data="mix"),
}  # fmt: skip

REPEATED = ("classify", "prefer")
"""Branches that are run again undisturbed; another is killed, and all are by `make bench NAME=long`."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora, and a base model of each kind with random weights."""
    root = corpora.python_docs(tmp_path_factory.mktemp("finetune"))
    with CorpusWriter(root / "mix") as writer:
        for document in (corpora.document("", task, task, f"curriculum/{task}") for task in ("recall", "arithmetic")):
            writer.add(document)
    tokenizer_json = train_bpe([document.text for document in read_corpus(root / "train")], 600).to_str()
    for kind in ("causal", "masked"):
        shape = derive_shape(ModelShape(size=2, width=64, heads=2), 600, 64, causal=kind == "causal")
        model = Transformer(shape).initialise(1)
        export.save(model, tokenizer_json, root / kind, {"training": {"steps": 0}})
    return root


def run(
    place: Path,
    target: Path,
    branch: str,
    params: Finetune | None = None,
    progress: Progress | None = None,
    train: str = "",
    base: Path | None = None,
    numerics: Numerics = NUMERICS,
) -> Report:
    folders = {name: target / name for name in ("out", "reports", "work")}
    return finetune(
        branch=branch,  # type: ignore[arg-type]
        base=base or place / ("masked" if branch == "classify" else "causal"),
        train=place / (train or ("mix" if branch == "prefer" else "train")),
        heldout=place / "heldout",
        params=params or PARAMS[branch],
        numerics=numerics,
        progress=progress,
        **folders,
    )


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def same(a: Path, b: Path) -> bool:
    return all(hashes(a / part) == hashes(b / part) for part in ("out", "reports"))


@pytest.fixture(scope="module")
def made(place: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Report]]:
    found = {}
    for branch in PARAMS:
        target = tmp_path_factory.mktemp(branch)
        found[branch] = (target, run(place, target, branch))
    return found


@pytest.mark.parametrize("branch", REPEATED)
def test_a_run_repeats_to_the_byte(branch: str, place: Path, made: dict, tmp_path: Path) -> None:
    report = run(place, tmp_path, branch)
    assert report == made[branch][1]
    assert same(tmp_path, made[branch][0])


@pytest.mark.slow
@pytest.mark.parametrize("branch", ["instruct", *(pytest.param(one, marks=pytest.mark.long) for one in REPEATED)])
def test_a_killed_run_ends_with_the_same_bytes(branch: str, place: Path, made: dict, tmp_path: Path) -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[3:]\n"
        "from pathlib import Path; import tests.components.stages.finetune.test_stage as test_finetune\n"
        "test_finetune.run(Path(sys.argv[1]), Path(sys.argv[2]), '" + branch + "')"
    )
    root = Path(__file__).resolve().parents[4]
    command = [sys.executable, "-c", code, str(place), str(tmp_path), str(root), str(Path(__file__).parent)]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    checkpoints = tmp_path / "work" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("step-00000[48]")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    time.sleep(random.Random(branch).random() * 0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(checkpoints.glob("step-*")), "killed before the first checkpoint"
    for part in ("out", "reports"):  # what the flow does: staging folders are empty when a stage starts
        subprocess.run(["rm", "-rf", str(tmp_path / part)], check=True)
    told = Recorder()
    assert run(place, tmp_path, branch, progress=told) == made[branch][1]
    assert any("going on from step" in line for line in told.lines)
    assert same(tmp_path, made[branch][0])


@pytest.mark.slow
def test_a_stopped_run_goes_on(place: Path, tmp_path: Path) -> None:
    """With LoRA; all weights are tuned in the killed run above."""
    params = PARAMS["instruct"].model_copy(update={"lora_rank": 4})
    with pytest.raises(Stopped):
        run(place, tmp_path / "stopped", "instruct", params, stops_at(6))
    assert not (tmp_path / "stopped" / "out").exists()
    report = run(place, tmp_path / "stopped", "instruct", params)
    assert report == run(place, tmp_path / "whole", "instruct", params)
    assert same(tmp_path / "stopped", tmp_path / "whole")


def test_examples_of_a_corpus_that_the_context_cuts_are_counted(place: Path, made: dict) -> None:
    encoder, folders = encoder_of(place / "causal"), (place / "train", place / "heldout")
    found = select("instruct", *folders, PARAMS["instruct"], encoder, 64)
    pairs: Any = [*found.examples.train, *found.examples.heldout]
    marks = 4  # tokens around prompt and answer
    lengths = [marks + len(encoder.encode(pair.prompt)) + len(encoder.encode(pair.answer)) for pair in pairs]
    assert 0 < found.cut == sum(length > 64 for length in lengths) < len(pairs)
    assert select("instruct", *folders, PARAMS["instruct"], encoder, max(lengths)).cut == 0
    report = made["instruct"][1]
    assert (report.facts["cut"], report.facts["refused"]) == (found.cut, {})
    assert f"Examples not used as they are: {found.cut} cut to fit the context." in report.markdown
    passages = select("classify", *folders, PARAMS["classify"].model_copy(update={"task": "work"}), encoder, 64)
    assert 0 < passages.cut <= len(passages.examples.train) + len(passages.examples.heldout)


def test_instruct_learns(place: Path, tmp_path: Path) -> None:
    params = Instruct(**FAST | {"steps": 60, "learning_rate": 0.003})
    report = run(place, tmp_path, "instruct", params)
    metrics = report.metrics
    assert metrics["answer_bits_per_byte/value"] < metrics["answer_bits_per_byte/before"] - 0.3
    assert metrics["gain_bits_per_byte/low"] > 0
    assert metrics["choice_accuracy/chance"] == 0.25
    assert metrics["choice_accuracy/low"] <= metrics["choice_accuracy/value"] <= metrics["choice_accuracy/high"]
    assert report.facts["task"] == "describe"
    assert report.facts["skipped"] == []
    chosen, bits = as_scores(report.facts)
    assert (chosen.name, bits.name) == ("instruct/choice_accuracy", "instruct/answer_bits_per_byte")
    assert re.fullmatch("works|no interval: .* works, .*", bits.variance)
    assert chosen.value == metrics["choice_accuracy/value"]
    rules = {name: metrics[f"choice_accuracy/{name}"] for name in ("chance", "overlap", "before")}
    assert chosen.baseline == max(rules.values())
    assert (bits.baseline, bits.baseline_name) == (metrics["answer_bits_per_byte/before"], "before tuning")
    assert (bits.gain, bits.unit, bits.better) == (metrics["gain_bits_per_byte/value"], "bits", "lower")
    assert bits.shows_tuning
    assert bits.gain_low > 0.0
    examples = read_json(tmp_path / "reports" / "details" / "examples.json")
    assert len(examples) == 8
    assert examples[0].keys() == {"prompt", "answer", "before", "after"}
    lines = (tmp_path / "reports" / "details" / "heldout_bits_per_byte.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "20", "40", "60"]
    assert float(lines[-1].split(",")[1]) == pytest.approx(metrics["answer_bits_per_byte/value"], rel=1e-3)
    items = pl.read_csv(tmp_path / "reports" / "details" / "heldout.csv")
    assert (len(items), metrics["heldout_choices"]) == (metrics["heldout_pairs"], len(items) // 4 * 4)
    gain = (items["bits_before"] - items["bits_after"]).sum() / items["bytes"].sum()
    assert gain == pytest.approx(metrics["gain_bits_per_byte/value"], rel=1e-4)
    gain = items["right_after"].mean() - items["right_before"].mean()  # type: ignore[operator]
    assert gain == pytest.approx(metrics["choice_gain/value"], rel=1e-4)


@pytest.mark.parametrize("rank", [0, 4])
def test_preferences_are_learned(rank: int, place: Path, tmp_path: Path) -> None:
    words = (place / "causal" / "tokenizer.json").read_text().split('"')[1::2]
    rows = [
        {"prompt": " ".join(words[n * 5 + 400 : n * 5 + 405]), "chosen": f"Yes {n}", "rejected": f"No {n + 1}"}
        for n in range(80)
    ]
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = {"steps": 40, "learning_rate": 0.003, "lora_rank": rank}
    params = Prefer(**FAST | more, base="models/finetune/instruct", data="rows.jsonl")
    report = run(place, tmp_path, "prefer", params, train="rows.jsonl")
    metrics = report.metrics
    assert report.facts["task"] == "rows"
    assert metrics["accuracy/value"] > 0.9
    assert metrics["accuracy/chance"] == 0.5
    assert metrics["accuracy/low"] <= metrics["accuracy/value"] <= metrics["accuracy/high"]
    assert metrics["reward_margin/low"] > 0
    assert metrics["margin_nats/value"] > metrics["margin_nats/before"]
    for rule in ("before", "longer"):
        gain = metrics["accuracy/value"] - metrics[f"accuracy/{rule}"]
        assert metrics[f"gain_over_{rule}/value"] == pytest.approx(gain)
    rows = read_json(tmp_path / "reports" / "details" / "examples.json")
    assert rows[0].keys() == {"prompt", "answer", "rejected", "before", "after"}
    items = pl.read_csv(tmp_path / "reports" / "details" / "heldout.csv")
    right = items["log_probability_chosen_before"] > items["log_probability_rejected_before"]
    assert right.mean() == pytest.approx(metrics["accuracy/before"])
    facts = read_json(tmp_path / "out" / "greenhouse.json")
    assert facts["task"]["branch"] == "prefer"
    assert facts["task"]["chat"]
    assert (tmp_path / "out" / "adapter").exists() == bool(rank)


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.long), 8])
def test_classify_learns(rank: int, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_task, "SNIPPET_CHARS", 60)  # an untrained model knows nothing of a few words
    params = Classify(**FAST | {"steps": 40, "learning_rate": 0.003, "lora_rank": rank})
    report = run(place, tmp_path, "classify", params)
    assert report.facts["task"] == "source"
    assert report.facts["labels"] == ["docs", "tales"]
    assert report.metrics["accuracy/value"] > 0.8
    assert report.metrics["accuracy/chance"] == 0.5
    gain = report.metrics["accuracy/value"] - report.metrics["accuracy/tfidf"]
    assert report.metrics["gain_over_tfidf/value"] == pytest.approx(gain)
    advice = report.facts["advice"]
    assert report.markdown.split("\n\n")[1] == advice
    assert read_json(tmp_path / "out" / "greenhouse.json")["task"]["advice"] == advice
    assert read_json(tmp_path / "out" / "tfidf" / "tfidf.json")["labels"] == ["docs", "tales"]
    items = pl.read_csv(tmp_path / "reports" / "details" / "heldout.csv")
    scored = pl.read_parquet(tmp_path / "reports" / "details" / "items.parquet")
    assert set(zip(scored["question"], scored["metric"], strict=True)) == {("classify", "accuracy")}
    assert scored["score"].mean() == pytest.approx(report.metrics["accuracy/value"])
    rules = [
        report.metrics[f"accuracy/{rule}"] for rule in ("tfidf", "naive_bayes", "lsa_and_regression", "largest_class")
    ]
    assert scored["baseline"].mean() == pytest.approx(max(rules))
    assert (items["tfidf"] == items["true"]).mean() == pytest.approx(report.metrics["accuracy/tfidf"])
    assert items["probability"].is_between(0.5, 1.0).all()
    confusion = (tmp_path / "reports" / "details" / "confusion.csv").read_text().splitlines()
    counts = [int(number) for line in confusion[1:] for number in line.split(",")[1:]]
    assert sum(counts) == report.metrics["heldout_passages"]
    assert read_json(tmp_path / "out" / "config.json")["id2label"] == {"0": "docs", "1": "tales"}
    assert not any("lora" in name for name in load_file(tmp_path / "out" / "model.safetensors"))
    assert (tmp_path / "out" / "adapter").exists() == bool(rank)


@pytest.mark.long
def test_a_causal_model_learns_to_classify(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForSequenceClassification

    monkeypatch.setattr(source_task, "SNIPPET_CHARS", 60)
    params = Classify(**FAST | {"steps": 200, "learning_rate": 0.003})
    folders = {name: tmp_path / name for name in ("out", "reports", "work")}
    corpora = {"train": place / "train", "heldout": place / "heldout"}
    report = finetune(branch="classify", base=place / "causal", params=params, numerics=NUMERICS, **corpora, **folders)
    assert report.metrics["accuracy/low"] > 0.6
    made = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert type(made).__name__ == "Qwen3ForSequenceClassification"


@pytest.mark.parametrize("targets", ["all", "attention"])
def test_the_adapter_on_its_base_is_the_saved_model(targets: str, place: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base_folder, alpha = place / "causal", {"all": 0, "attention": 6}[targets]
    more = {"lora_rank": 4, "lora_alpha": alpha, "lora_targets": targets, "learning_rate": 0.01}
    run(place, tmp_path, "instruct", Instruct(**FAST | more))
    written = read_json(tmp_path / "out" / "adapter" / "adapter_config.json")
    attention, others = {"q_proj", "k_proj", "v_proj", "o_proj"}, {"gate_proj", "up_proj", "down_proj"}
    assert written["lora_alpha"] == (alpha or 8)
    assert set(written["target_modules"]) == (attention if alpha else attention | others)
    ids = torch.randint(7, 600, (2, 40))
    with torch.inference_mode():
        base = AutoModelForCausalLM.from_pretrained(base_folder)
        before = base(ids).logits
        with_adapter = PeftModel.from_pretrained(base, tmp_path / "out" / "adapter").eval()(ids).logits
        saved, _, _ = export.load(tmp_path / "out")
        assert (before - with_adapter).abs().max() > 0.01
        assert (saved(ids) - with_adapter).abs().max() < 1e-4
    made_for = read_json(tmp_path / "out" / "adapter" / "greenhouse.json")["base"]
    assert made_for["model_sha256"] == hashlib.sha256((base_folder / "model.safetensors").read_bytes()).hexdigest()
    assert made_for["path"] == "models/pretrain/causal"


def test_the_tuned_model_is_an_ordinary_one(made: dict) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = made["instruct"][0] / "out"
    ours, _, facts = export.load(folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = Encoder((folder / "tokenizer.json").read_text())
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Why?"}], add_generation_prompt=True)
    question = [END_OF_TEXT, USER, *encoder.encode("Why?"), ASSISTANT]
    assert chat["input_ids"] == question
    asked = torch.tensor([[*question, *encoder.encode("So."), END]])
    with torch.inference_mode():
        torch.testing.assert_close(ours(asked), theirs(asked).logits, atol=2e-5, rtol=1e-5)
    example = facts["task"].pop("example")  # what `greenhouse chat` shows
    assert example["prompt"].startswith("What does this do?\n")
    assert example["answer"]
    assert facts["task"] == {
        "name": "describe",
        "title": "name and signature of a Python object -> first sentence of its docstring",
        "branch": "instruct",
        "chat": True,
    }
    assert facts["finetuning"] == {"steps": 12, "examples": 96, "lora_rank": 0}
    assert facts["training"] == {"steps": 0}


@pytest.mark.parametrize("branch", PARAMS)
def test_reports_hold_no_paths_and_all_they_should(branch: str, place: Path, made: dict) -> None:
    folder, report = made[branch]
    text = json.dumps([report.metrics, report.markdown, report.facts])
    assert str(folder) not in text
    assert str(place) not in text
    assert (folder / "reports" / "plots" / "learning.png").stat().st_size > 5000
    losses = (folder / "reports" / "details" / "training_loss.csv").read_text().splitlines()
    assert len(losses) == 13
    for score in as_scores(report.facts):
        assert (score.model, score.measured_by) == (f"finetune/{branch}", f"finetune@{branch}")
        assert report.metrics[f"{score.name.split('/')[1]}/value"] == score.value
    assert "| " in report.markdown


@pytest.mark.parametrize("language", ["german", "japanese"])
def test_plain_text_of_one_work(language: str, place: Path, tmp_path: Path) -> None:
    rng = random.Random(1)
    words = list(corpora.JAPANESE) if language == "japanese" else [f"{word} " for word in corpora.GERMAN.split()]
    train, heldout = ("".join(rng.choices(words, k=count)) for count in (9000, 3000))
    corpora.write(tmp_path, corpora.plain([train], "book"), corpora.plain([heldout], "exam"))
    for kind in ("causal", "masked"):
        (tmp_path / kind).symlink_to(place / kind)
    expected = {"instruct": ("continue", ["describe", "heading"]), "classify": ("order", ["source", "work"])}
    for branch, (task, skipped) in expected.items():
        report = run(tmp_path, tmp_path / branch, branch)
        assert report.facts["task"] == task
        assert [entry["task"] for entry in report.facts["skipped"]] == skipped
        assert all(entry["reason"] in report.markdown for entry in report.facts["skipped"])


def test_bad_input_is_explained(place: Path, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("out", "reports", "work")}
    common = {"train": place / "train", "heldout": place / "heldout", "numerics": NUMERICS, **folders}
    with pytest.raises(UserError, match="holds no causal model; give the one that pretrain@causal wrote"):
        finetune(branch="instruct", base=place / "masked", params=PARAMS["instruct"], **common)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"finetune.instruct.task = heading: .* set it to auto"):
        run(place, tmp_path / "heading", "instruct", Instruct(**FAST | {"task": "heading"}))
    with pytest.raises(ValueError, match="task"):
        Instruct(task="order")  # type: ignore[arg-type]
