"""Task `harness`: lm-evaluation-harness's tasks get its own HF backend's scores from our network, and join our rows."""

import json
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from components.params import Evaluate
from components.stages.evaluate.registry import read_result, run_group, wanted
from components.stages.evaluate.tasks.harness import harness, load, run
from components.stages.evaluate.tasks.harness_model import HarnessModel
from components.stages.evaluate.tasks.minimal_pairs import PHENOMENA, pairs
from components.stages.evaluate.tasks.task import TaskResult
from tests.components.stages.evaluate.conftest import World
from tests.errors import refused, refuses

BLIMP = {
    "output_type": "multiple_choice", "validation_split": "train", "doc_to_text": "", "doc_to_target": 0,
    "doc_to_choice": "{{[sentence_good, sentence_bad]}}", "num_fewshot": 0,
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}  # fmt: skip
"""As the harness's own blimp/_template_yaml."""


def write(folder: Path, name: str, rows: list[dict], **config: object) -> str:
    """A task's YAML file and its data beside it."""
    (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"train": str(folder / f"{name}.jsonl")}}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"task": name} | data | config))
    return str(folder / f"{name}.yaml")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory, world: World) -> list[str]:
    """BLiMP's form, a cloze with contexts and few shots, and whole texts longer than the context."""
    folder = tmp_path_factory.mktemp("eval_sets")
    blimp = [{"sentence_good": pair.good, "sentence_bad": pair.bad} for pair in pairs(next(iter(PHENOMENA)), 1, 20)]
    texts = [document.text for document in world.context().heldout][:8]
    cloze = [{"begin": text[:80], "ends": [text[80:100], text[5:25], text[200:210]]} for text in texts]
    choice = {
        "output_type": "multiple_choice", "validation_split": "train", "fewshot_split": "train", "num_fewshot": 2,
        "doc_to_text": "{{begin}}", "doc_to_choice": "{{ends}}", "doc_to_target": 0, "target_delimiter": "",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }  # fmt: skip
    rolling = {
        "output_type": "loglikelihood_rolling", "validation_split": "train", "doc_to_text": "",
        "doc_to_target": "{{text}}", "metric_list": [{"metric": "bits_per_byte"}],
    }  # fmt: skip
    ends = {
        "output_type": "loglikelihood", "validation_split": "train", "doc_to_text": "{{begin}}",
        "doc_to_target": "{{end}}", "target_delimiter": "",
        "metric_list": [{"metric": "perplexity"}, {"metric": "acc"}],
    }  # fmt: skip
    return [
        write(folder, "pairs", blimp, **BLIMP),
        write(folder, "cloze", cloze, **choice),
        write(folder, "texts", [{"text": text} for text in texts], **rolling),
        write(folder, "ends", [{"begin": text[:80], "end": text[80:100]} for text in texts], **ends),
    ]


def logps(samples: list[dict]) -> list[float]:
    """Every log-likelihood of a task's samples, in order."""
    flat = [answer for sample in samples for answer in sample["filtered_resps"]]
    return [float(answer[0] if isinstance(answer, list | tuple) else answer) for answer in flat]


def test_scores_are_those_of_the_harness(world: World, tasks: list[str]) -> None:
    from lm_eval.models.huggingface import HFLM

    ours = run(HarnessModel(world.context().causal), load(tasks))
    theirs = run(HFLM(pretrained=str(world.folders.causal), device="cpu", batch_size=4, dtype="float32"), load(tasks))
    for name in ("pairs", "cloze", "texts", "ends"):
        first, second = (logps(found["samples"][name]) for found in (ours, theirs))
        assert max(abs(a - b) for a, b in zip(first, second, strict=True)) < 1e-4 * max(map(abs, second))
        for key, value in theirs["results"][name].items():
            close = value if isinstance(value, str) else pytest.approx(value, rel=1e-5, abs=1e-4)
            assert ours["results"][name][key] == close, (name, key)


def test_its_items_are_rows_of_ours(world: World, tasks: list[str], tmp_path: Path) -> None:
    context = world.context(tasks=tasks)
    run_group(("harness",), context.folders, context.params, context.numerics, tmp_path)
    result = read_result(tmp_path, "harness")
    assert isinstance(result, TaskResult)
    rows = result.rows("pairs_acc")
    assert len({row["item"] for row in rows}) == len(rows) == 20
    assert {(row["direction"], row["baseline"], row["condition"]) for row in rows} == {("higher", 0.5, "pairs")}
    assert result.metrics["pairs_acc"] == sum(row["score"] for row in rows) / 20
    assert result.rows("cloze_acc")[0]["baseline"] == pytest.approx(1 / 3)
    assert result.rows("cloze_acc_norm")[0]["baseline"] is None
    # No means over items are facts without rows: a perplexity's items are log-likelihoods, of which more is better.
    assert result.facts["texts"]["bits_per_byte"] > 0
    assert result.facts["ends"]["perplexity"] > 1
    assert result.rows("ends_acc")
    assert not [metric for metric in result.metrics if "perplexity" in metric or "texts" in metric]
    assert [row["item"] for row in harness(context).rows("pairs_acc")] == [row["item"] for row in rows]
    assert "harness" not in wanted(Evaluate())
    assert "harness" in wanted(context.params)


@pytest.mark.parametrize(
    ("config", "code", "fact"),
    [
        ({"dataset_path": "nyu-mll/blimp", "dataset_kwargs": None}, "pinned_data.load_dataset", "nyu-mll/blimp"),
        (
            {"dataset_path": "nyu-mll/blimp", "dataset_kwargs": {"revision": "main"}},
            "pinned_data.load_dataset",
            "nyu-mll/blimp",
        ),
        ({"dataset_kwargs": {"data_files": {"train": sys.executable}}}, "_require_inside.1", sys.executable),
        ({"dataset_kwargs": {"revision": "a" * 40, "data_dir": "/etc"}}, "_require_inside.1", "/etc"),
        ({"dataset_path": "csv", "dataset_kwargs": {"data_files": {"train": "rows.csv"}}}, "_require_inside.2", "csv"),
        ({"output_type": "generate_until", "generation_kwargs": {"until": ["\n"]}}, "load.2", "bad"),
        ({"doc_to_choice": "{{nothing}}", "validation_split": "no"}, "load.1", "bad.yaml"),
    ],
)
def test_bad_tasks_are_one_sentence(
    tmp_path: Path, config: dict, code: str, fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "bad", [{"sentence_good": "a b", "sentence_bad": "b a"}], **BLIMP | config)
    (tmp_path / "rows.csv").write_text("sentence_good,sentence_bad\na b,b a\n")
    monkeypatch.chdir(tmp_path)
    refuses(lambda: load([path]), f"harness.{code}", "evaluate.tasks", fact)


def test_what_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    from lm_eval.tasks import TaskManager

    monkeypatch.setattr("lm_eval.tasks.TaskManager", cache(TaskManager))  # reading its index takes seconds
    refuses(lambda: load([f"nothing@{'0' * 40}"]), "harness.known.2", "nothing")
    # The name of a task carries the commit of its data.
    asked: list[dict] = []

    def reach(path: str, name: str | None = None, **options: object) -> None:
        asked.append({"path": path, "name": name} | options)
        raise ConnectionError("no network here")

    monkeypatch.setattr(datasets, "load_dataset", reach)
    refuses(lambda: load([f"blimp_causative@{'a' * 40}"]), "harness.load.1", "blimp_causative: no network here")
    assert asked == [{"path": "nyu-mll/blimp", "name": "causative", "revision": "a" * 40}]
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
    with refused("harness.known.1", "pip install -c constraints.txt -e '.[lm-eval]'"):
        load([str(tmp_path / "no.yaml")])
