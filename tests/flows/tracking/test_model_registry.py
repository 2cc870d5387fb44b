"""Registered copies of models: loaded back with MLflow, with task, labels, example and licence."""

import json
import re
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from safetensors.numpy import load_file

from benchmarks.bases.surfaces import SURFACES, ids_of
from components.core.files import read_json, sha256_bytes, write_json
from components.instruction_pairs.examples import Passage
from components.model import export
from components.params import FURTHER, Account, FinetuneBranches, Params, Prefer
from components.stages.account.answers import ModelAnswers
from components.stages.account.model_answers import load_answer
from components.stages.account.stage import account
from components.stages.account.summary import MODELS
from components.stages.finetune import tfidf
from components.tokens.tokenizer import END_OF_TEXT, Encoder, train_bpe, with_beginning
from flows.execution.stages import STAGES
from flows.export import WRITERS_OF_TEXT
from flows.system import dvc
from flows.tracking import model_registry, snapshots
from flows.tracking.snapshots import Snapshot
from tests.components.finished_project import project
from tests.components.model.test_transformer import network


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny tuned model of each kind under models/."""
    root = tmp_path_factory.mktemp("tuned")
    docs = [text for name in sorted(dir(torch)) if isinstance(text := getattr(torch, name).__doc__, str)]
    tokenizer = train_bpe(docs[:200], 300).to_str()
    begun = with_beginning(tokenizer)
    assert with_beginning(begun) == begun != tokenizer
    for name in ("pretrain/causal", "finetune/instruct"):
        export.save(network(True), begun, root / "models" / name, {})
    classifier = root / "models/finetune/classify"
    export.save(network(False), tokenizer, classifier, {})
    labels = {"0": "python-docs", "1": "shakespeare"}
    config = read_json(classifier / "config.json") | {"id2label": labels}
    config |= {"architectures": ["EuroBertForSequenceClassification"], "label2id": {"python-docs": 0, "shakespeare": 1}}
    write_json(classifier / "config.json", config)
    passages = [Passage(text, place, str(place)) for text, place in ((docs[0], 0), ("To be, or not to be", 1)) * 5]
    settings = tfidf.Settings(("words",), 1.0)
    simple = tfidf.train(passages, 2, "single_label_classification", settings)
    simple.save(list(labels.values()), classifier / "tfidf")
    return root


@pytest.fixture
def client(tmp_path: Path, mlflow_tables: None, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """A client of a store of its own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(dvc, "hash_of", lambda stage, path: "md5")
    return mlflow.MlflowClient()


def test_every_branch_of_fine_tuning_can_be_registered_and_described() -> None:
    start = {"base": "models/finetune/instruct", "data": "data/mix/train"}
    params = Params(finetune=FinetuneBranches(prefer=Prefer(**start)))
    assert STAGES["finetune"].branches == tuple(FinetuneBranches.model_fields) == ("instruct", "classify", *FURTHER)
    for branch in STAGES["finetune"].branches:
        assert branch in model_registry.TASKS
        assert model_registry.registered_name(params, "finetune", branch) == f"greenhouse-{branch}-2"
        assert f"finetune/{branch}" in MODELS
        assert (f"finetune@{branch}" in WRITERS_OF_TEXT) == (branch != "classify")


def logged(client: mlflow.MlflowClient, root: Path, branch: str, licence: str, stage: str = "finetune") -> Any:
    """The registered version of a model."""
    experiment = client.create_experiment("e", artifact_location=(root / "artifacts" / branch).as_uri())
    run = client.create_run(experiment).info.run_id
    params = Params(account=Account(licence=licence))
    folder = root / "models" / stage / branch
    name = model_registry.registered_name(params, stage, branch)
    model = model_registry.ModelRecord(stage, branch, name, licence, "md5", "print")
    model_registry.log_model(client, run, folder, model)
    return client.get_model_version_by_alias(name, "champion")


def test_one_raw_prompt_is_the_same_ids_on_every_surface(
    client: mlflow.MlflowClient, models: Path, tmp_path: Path
) -> None:
    logged(client, models, "causal", "", "pretrain")
    folder, prompt = models / "models/pretrain/causal", "Returns a new tensor\n  with 12 caf\u00e9s"
    expected = [END_OF_TEXT, *Encoder((folder / "tokenizer.json").read_text()).encode(prompt)]
    found = ids_of(folder, "models:/greenhouse-causal-2@champion", prompt, tmp_path)
    assert found == dict.fromkeys(SURFACES, expected)


def test_an_experiments_model_is_challenger_alone_and_the_workspaces_first_is_champion(
    client: mlflow.MlflowClient, models: Path
) -> None:
    experiment = client.create_experiment("first", artifact_location=(models / "artifacts/first").as_uri())
    for number, workspace in enumerate((False, True, True), 1):
        run = client.create_run(experiment).info.run_id
        record = model_registry.ModelRecord("finetune", "classify", "first-2", "", "md5", f"print {number}", workspace)
        model_registry.log_model(client, run, models / "models/finetune/classify", record)
        aliases = {name: int(version) for name, version in client.get_registered_model("first-2").aliases.items()}
        assert aliases == {"challenger": number} | ({"champion": 2} if number > 1 else {})


def test_the_tuned_model_is_a_chat_model(client: mlflow.MlflowClient, models: Path, tmp_path: Path) -> None:
    version = logged(client, models, "instruct", "Apache-2.0")
    place = f"models:/{version.name}@champion"
    info = mlflow.models.get_model_info(place)
    assert info.flavors["transformers"]["source_model_name"] == "models/finetune/instruct"
    assert info.metadata
    assert info.metadata["task"] == "llm/v1/chat"
    copy = Path(mlflow.artifacts.download_artifacts(place))
    assert (copy / "LICENSE.txt").read_text().startswith("SPDX-License-Identifier: Apache-2.0")
    assert "license: apache-2.0" in (copy / "model_card_data.yaml").read_text()
    assert not [path for path in copy.rglob("*") if path.suffix in (".bin", ".pkl", ".pt")]
    example = json.loads((copy / "input_example.json").read_text())
    (answer,) = mlflow.pyfunc.load_model(place).predict(example)
    assert answer["choices"][0]["message"]["role"] == "assistant"
    scope: dict[str, Any] = {}
    exec("\n".join(load_answer("finetune/instruct", place).lines), scope)
    assert scope["model"].task == "text-generation"
    shown = load_answer("finetune/instruct", str(models / "models/finetune/instruct"))
    exec("\n".join(shown.lines), scope)
    assert type(scope["model"].model).__name__ == "Qwen3ForCausalLM"


def test_the_classifier_answers_with_labels_and_gets_its_card(
    client: mlflow.MlflowClient, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = logged(client, models, "classify", "")
    root = tmp_path / "greenhouse"
    ledger, facts = project(root), root / "models/finetune/classify/greenhouse.json"
    task = read_json(facts).get("task", {}) | {"advice": "Use the network.", "problem": "single_label_classification"}
    write_json(facts, read_json(facts) | {"task": task})
    account(root=root, ledger_folder=ledger, params=Params())
    model_registry.describe_models(client, root / "reports/cards", {"finetune@classify": "print"})
    place = f"models:/{version.name}@champion"
    copy = Path(mlflow.artifacts.download_artifacts(place))
    assert "has stated no licence" in (copy / "LICENSE.txt").read_text()
    assert ModelAnswers.model_validate(read_json(copy / "card.json")).model == "finetune/classify"
    assert (copy / "README.md").read_text().startswith("---\nlibrary_name: transformers\npipeline_tag: text-classif")
    assert "BSD-3-Clause" in (copy / "ATTRIBUTION.md").read_text()
    (answer,) = mlflow.pyfunc.load_model(place).predict(json.loads((copy / "input_example.json").read_text()))["label"]
    assert answer in ("python-docs", "shakespeare")
    described = client.get_model_version(version.name, version.version).description
    assert described
    assert described.startswith("Use the network.\n\n**data** 23 documents")
    card = (copy / "README.md").read_text()
    assert card.partition("\n# ")[2].splitlines()[2] == "Use the network."
    (lines,) = re.findall(r"TF-IDF, from .*?```python\n(.*?)```", card, re.DOTALL)
    assert [line for line in lines.splitlines() if line[0] == " " or line[-1] == ":"] == [], "a prompt takes them"
    monkeypatch.chdir(copy)
    loaded: dict[str, Any] = {}
    exec(lines, loaded)
    kept = load_file(models / "models/finetune/classify/tfidf/tfidf.safetensors")
    hashes = [{name: sha256_bytes(one.tobytes()) for name, one in each.items()} for each in (loaded["arrays"], kept)]
    assert hashes[0] == hashes[1]
    terms = read_json(copy / "tfidf/tfidf.json")["vocabulary"]["words"]
    text = " ".join(term for term in terms if not {"to", "be", "or", "not"} & set(term.split()))
    assert loaded["classify"](["not to be", text]) == ["shakespeare", "python-docs"]


def test_a_version_names_a_line_that_loads_its_own_weights(
    client: mlflow.MlflowClient, models: Path, tmp_path: Path
) -> None:
    """Of each of two versions; the folder in the workspace holds the later one alone."""
    root, expected = tmp_path / "greenhouse", []
    account(root=root, ledger_folder=project(root), params=Params())
    folder, made = models / "models/finetune/instruct", read_json(root / "reports/cards/finetune-instruct/card.json")
    experiment = client.create_experiment("e", artifact_location=(tmp_path / "artifacts").as_uri())
    for number in ("1", "2"):
        model, tokenizer, _ = export.load(folder)
        with torch.no_grad():
            model.embed_tokens.weight.add_(float(number))
        copy = tmp_path / number
        export.save(model, tokenizer.to_str(), copy, {})
        run = client.create_run(experiment).info.run_id
        record = model_registry.ModelRecord("finetune", "instruct", "two", "", "md5", number)
        model_registry.log_model(client, run, copy, record)
        model_registry.describe_models(client, root / "reports/cards", {"finetune@instruct": number})
        expected.append(model.embed_tokens.weight.detach())
    assert made["load"]["tool"] == "Transformers"
    for number, weight in zip(("1", "2"), expected, strict=True):
        version = client.get_model_version("two", number)
        assert version.description
        files = Path(mlflow.artifacts.download_artifacts(f"models:/two/{number}"))
        card = (files / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
        said = version.description.partition("**load** ")[2]
        for lines in (card, said, "\n".join(read_json(files / "card.json")["load"]["lines"])):
            scope: dict[str, Any] = {}
            exec(lines, scope)
            assert torch.equal(scope["model"].model.model.embed_tokens.weight, weight)


def test_an_alias_is_found_by_the_run_that_made_the_model(
    client: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = client.create_experiment("e", artifact_location=(tmp_path / "with a space").as_uri())
    parent = client.create_run(experiment, tags={"git.commit": "abc"}).info.run_id
    client.log_text(parent, "stages: {mix: {outs: []}}", "dvc.lock")
    child = client.create_run(experiment, tags={"mlflow.parentRunId": parent}).info.run_id
    client.create_registered_model("small-causal-2")
    version = client.create_model_version("small-causal-2", (tmp_path / "model").as_uri(), child)
    client.set_registered_model_alias("small-causal-2", "champion", version.version)
    monkeypatch.setattr(snapshots, "client", lambda: client)
    found = snapshots.find("small-causal-2@champion")
    assert found == Snapshot("small-causal-2@champion", "run", {"mix": {"outs": []}}, "abc")


def test_a_model_of_a_base_made_elsewhere_is_registered_under_its_name() -> None:
    params = Params()
    assert model_registry.registered_name(params, "finetune", "instruct") == "greenhouse-instruct-2"
    own = params.finetune.instruct.model_copy(update={"base": "/home/me/downloads/Qwen--Qwen3-0.6B@01234567"})
    params = params.model_copy(update={"finetune": params.finetune.model_copy(update={"instruct": own})})
    assert model_registry.registered_name(params, "finetune", "instruct") == (
        "greenhouse-instruct-Qwen--Qwen3-0.6B-01234567"
    )
    assert model_registry.registered_name(params, "finetune", "prefer").endswith("-prefer-Qwen--Qwen3-0.6B-01234567")
    assert model_registry.registered_name(params, "finetune", "classify") == "greenhouse-classify-2"
