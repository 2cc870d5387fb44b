"""The finetune stage on real text: it learns, repeats to the byte, survives kills, and its models load elsewhere."""

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from safetensors.torch import load_file

from components.core.files import read_json, sha256_file
from components.core.progress import Progress
from components.core.report import Report
from components.corpus.corpus import CorpusWriter, read_corpus
from components.model import export
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import Classify, Finetune, Instruct, ModelShape, Numerics, Prefer
from components.scores import as_scores
from components.stages.finetune import passage_tasks
from components.stages.finetune.example_selection import select
from components.stages.finetune.stage import finetune
from components.tokens.hub_encoder import encoder_of
from components.tokens.tokenizer import train_bpe
from tests.components import task_corpora as corpora
from tests.components.killed import killed_when
from tests.components.real_text import tree
from tests.progress_recorder import Recorder

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
    save_bases(root, tokenizer_json, 600, 64)
    return root


def save_bases(root: Path, tokenizer_json: str, vocabulary: int, context: int) -> None:
    """A base model of each kind with random weights."""
    for kind in ("causal", "masked"):
        shape = derive_shape(ModelShape(size=2, width=64, heads=2), vocabulary, context, causal=kind == "causal")
        export.save(Transformer(shape).initialise(1), tokenizer_json, root / kind, {"training": {"steps": 0}})


def run(
    place: Path, target: Path, branch: str, params: Finetune | None = None, progress: Progress | None = None,
    train: str = "", base: Path | None = None, numerics: Numerics = NUMERICS,
) -> Report:  # fmt: skip
    return finetune(
        branch=branch,  # type: ignore[arg-type]
        base=base or place / ("masked" if branch == "classify" else "causal"),
        train=place / (train or ("mix" if branch == "prefer" else "train")),
        heldout=place / "heldout",
        params=params or PARAMS[branch],
        numerics=numerics,
        progress=progress,
        **{name: target / name for name in ("out", "reports", "work")},
    )


def same(a: Path, b: Path) -> bool:
    return all(tree(a / part) == tree(b / part) for part in ("out", "reports"))


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
    folders, checkpoints = Path(__file__).resolve().parents, tmp_path / "work" / "checkpoints"
    killed_when(
        lambda: list(checkpoints.glob("step-00000[48]")), code, place, tmp_path, folders[4], folders[0],
        wait_s=random.Random(branch).random() * 0.05, OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert list(checkpoints.glob("step-*")), "killed before the first checkpoint"
    for part in ("out", "reports"):  # what the flow does: staging folders are empty when a stage starts
        shutil.rmtree(tmp_path / part, ignore_errors=True)
    told = Recorder()
    assert run(place, tmp_path, branch, progress=told) == made[branch][1]
    assert any("going on from step" in line for line in told.lines)
    assert same(tmp_path, made[branch][0])


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
    params = Instruct(**FAST | {"steps": 180, "learning_rate": 0.003})  # one row in five is not a taught question
    report = run(place, tmp_path, "instruct", params)
    metrics = report.metrics
    assert metrics["answer_bits_per_byte/value"] < metrics["answer_bits_per_byte/before"] - 0.3
    assert metrics["gain_bits_per_byte/low"] > 0
    assert metrics["choice_accuracy/chance"] == 0.25
    assert (report.facts["task"], report.facts["skipped"]) == ("describe", [])
    chosen, bits = as_scores(report.facts)
    assert (chosen.name, bits.name) == ("instruct/choice_accuracy", "instruct/answer_bits_per_byte")
    assert re.fullmatch("works|no interval: .* works, .*", bits.variance)
    assert chosen.value == metrics["choice_accuracy/value"]
    rules = {name: metrics[f"choice_accuracy/{name}"] for name in ("chance", "overlap", "before")}
    assert chosen.baseline == max(rules.values())
    assert (bits.baseline, bits.baseline_name) == (metrics["answer_bits_per_byte/before"], "before tuning")
    assert (bits.gain, bits.unit, bits.better) == (metrics["gain_bits_per_byte/value"], "bits", "lower")
    assert bits.shows_tuning
    examples = read_json(tmp_path / "reports" / "details" / "examples.json")
    assert len(examples) == 8
    assert examples[0].keys() == {"prompt", "answer", "before", "after"}
    lines = (tmp_path / "reports" / "details" / "heldout_bits_per_byte.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "60", "120", "180"]
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
    task = read_json(tmp_path / "out" / "greenhouse.json")["task"]
    assert (task["branch"], task["chat"]) == ("prefer", True)
    assert (tmp_path / "out" / "adapter").exists() == bool(rank)
    if rank:
        adapter = read_json(tmp_path / "out" / "adapter" / "greenhouse.json")
        assert adapter["task"] == {"name": "rows", "branch": "prefer", "chat": True}


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.long), 8])
def test_classify_learns(rank: int, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passage_tasks, "SNIPPET_CHARS", 60)  # an untrained model knows nothing of a few words
    params = Classify(**FAST | {"steps": 40, "learning_rate": 0.003, "lora_rank": rank})
    report = run(place, tmp_path, "classify", params)
    assert (report.facts["task"], report.facts["labels"]) == ("source", ["docs", "tales"])
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
    names = ("tfidf", "naive_bayes", "lsa_and_regression", "largest_class")
    rules = [report.metrics[f"accuracy/{rule}"] for rule in names]
    assert scored["baseline"].mean() == pytest.approx(max(rules))
    assert (items["tfidf"] == items["true"]).mean() == pytest.approx(report.metrics["accuracy/tfidf"])
    assert items["probability"].is_between(0.5, 1.0).all()
    confusion = (tmp_path / "reports" / "details" / "confusion.csv").read_text().splitlines()
    counts = [int(number) for line in confusion[1:] for number in line.split(",")[1:]]
    assert sum(counts) == report.metrics["heldout_passages"]
    assert read_json(tmp_path / "out" / "config.json")["id2label"] == {"0": "docs", "1": "tales"}
    assert not any("lora" in name for name in load_file(tmp_path / "out" / "model.safetensors"))
    if rank:
        adapter = read_json(tmp_path / "out" / "adapter" / "greenhouse.json")
        base = adapter["base"]
        assert not adapter["task"]["chat"]
        assert base["path"] == "models/pretrain/masked"
        assert base["model_sha256"] == sha256_file(place / "masked" / "model.safetensors")


def test_a_tuned_model_holds_its_task_and_how_it_was_trained(made: dict) -> None:
    _, _, facts = export.load(made["instruct"][0] / "out")
    task = facts["task"]
    assert task["example"]["prompt"].startswith("What does this do?\n")  # what `greenhouse chat` shows
    assert task["title"] == "name and signature of a Python object -> first sentence of its docstring"
    assert (task["name"], task["branch"], task["chat"]) == ("describe", "instruct", True)
    assert facts["finetuning"] == {"steps": 12, "examples": 96, "lora_rank": 0}
    assert facts["training"] == {"steps": 0}


@pytest.mark.parametrize("branch", PARAMS)
def test_reports_hold_no_paths_and_all_they_should(branch: str, place: Path, made: dict) -> None:
    folder, report = made[branch]
    text = json.dumps([report.metrics, report.markdown, report.facts])
    assert not [path for path in (folder, place) if str(path) in text]
    assert (folder / "reports" / "plots" / "learning.png").stat().st_size > 5000
    losses = (folder / "reports" / "details" / "training_loss.csv").read_text().splitlines()
    assert len(losses) == 13
    for score in as_scores(report.facts):
        assert (score.model, score.measured_by) == (f"finetune/{branch}", f"finetune@{branch}")
        assert report.metrics[f"{score.name.split('/')[1]}/value"] == score.value
    assert "| " in report.markdown
