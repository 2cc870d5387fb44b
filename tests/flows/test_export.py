"""`greenhouse export`: a GGUF file, a folder for the hub, and what is refused before work starts."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import Mock, call

import gguf
import huggingface_hub
import pytest
from huggingface_hub import ModelCard
from huggingface_hub.errors import LocalTokenNotFoundError

from components.core.files import read_json, write_json
from components.model.export import save
from components.stages.account.answers import ModelAnswers
from components.tokens.tokenizer import train_bpe
from flows import export
from flows.system import paths
from flows.tracking import model_origin
from flows.tracking.snapshots import Snapshot
from tests.components.model.test_transformer import network
from tests.errors import refused, refuses
from tests.flows.test_card import LOCK, workspace

__all__ = ["workspace"]


@pytest.fixture
def models(workspace: Path) -> Path:
    """The workspace with a causal model that has weights."""
    folder = workspace / "models/pretrain/causal"
    tokenizer_json = train_bpe([Path(export.__file__).read_text()], 300).to_str()
    save(network(True), tokenizer_json, folder, read_json(folder / "greenhouse.json"))
    return workspace


@pytest.fixture
def run(greenhouse: Callable[..., str]) -> Callable[..., str]:
    """Runs `greenhouse export`; what it prints."""
    return partial(greenhouse, "export")


def state(monkeypatch: pytest.MonkeyPatch, licence: str) -> None:
    """Have the workspace's record state a licence."""
    lock = LOCK | {"account": {"params": {"params.yaml": {"account": {"licence": licence}}}}}
    monkeypatch.setattr(model_origin, "find", lambda name, whole=True: Snapshot(name, "workspace", lock, "abc"))


def test_gguf_holds_licence_and_lineage(models: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., str]) -> None:
    state(monkeypatch, "Apache-2.0")
    run("causal", "--to", "gguf")
    fields = gguf.GGUFReader(models / "exports/causal.gguf").fields
    assert fields["general.license"].contents() == "apache-2.0"
    answers = ModelAnswers.model_validate_json(fields["greenhouse.card"].contents())
    assert answers.model == "pretrain/causal"
    assert fields["greenhouse.command"].contents() == "greenhouse verify pretrain@causal"
    names = {path.name: path.stat().st_size for path in (models / "exports").iterdir()}
    assert sorted(names, key=names.__getitem__) == [
        "causal.Modelfile", "causal-q8_0.gguf", "causal-f16.gguf", "causal.gguf"
    ]  # fmt: skip
    assert 'FROM ./causal.gguf\nTEMPLATE """{{ .Prompt }}"""\n' in (models / "exports/causal.Modelfile").read_text()
    with refused("raise_if_not_writable.2", "/proc/model.gguf"):
        run("causal", "--to", "gguf", "--out", "/proc/model.gguf")
    refuses(lambda: run("causal", "--to", "gguf"), "raise_if_not_writable.1")


def test_the_folder_is_one_the_hub_takes(models: Path, run: Callable[..., str]) -> None:
    shown = run("causal", "--to", "hub")
    folder = models / "exports/causal"
    assert {path.name for path in folder.iterdir()} == {
        "ATTRIBUTION.md", "README.md", "card.json", "config.json", "generation_config.json", "greenhouse.json",
        "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    data = ModelCard.load(folder / "README.md").data
    assert (data.library_name, data.pipeline_tag, data.license) == ("transformers", "text-generation", "unknown")
    assert 'model="./causal"' in (folder / "README.md").read_text()
    assert not [path for path in folder.iterdir() if str(models).encode() in path.read_bytes()]
    assert "Nothing was sent" in shown
    assert "No licence is stated" in shown


def test_rows_of_ones_own_are_named_in_what_is_exported(
    models: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., str]
) -> None:
    facts = models / "models/finetune/instruct/greenhouse.json"
    task = {"name": "rows", "title": "rows of r.jsonl -> the last answer of a chat", "chat": True}
    write_json(facts, read_json(facts) | {"task": task, "finetuning": {"steps": 5, "rows": "r.jsonl"}})
    before = facts.read_bytes()
    out = {"outs": [{"path": "models/finetune/instruct", "md5": "1.dir"}]}
    lock = {"finetune@instruct": out | {"params": {"params.yaml": {"finetune.instruct": {"data": "r.jsonl"}}}}}
    monkeypatch.setattr(model_origin, "find", lambda name, whole=True: Snapshot(name, "workspace", lock, "abc"))
    run("instruct", "--to", "hub")
    folder = models / "exports/instruct"
    assert read_json(folder / "greenhouse.json")["task"]["title"] == task["title"]
    assert facts.read_bytes() == before
    said = (folder / "ATTRIBUTION.md").read_text()
    assert "tuned on rows of r.jsonl, whose licence and origin are not recorded here. Those rows are as their" in said
    assert "personal data in them was not replaced" in said


def test_a_push_is_explicit_private_and_checked_first(
    models: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., str]
) -> None:
    hub, bad = Mock(spec=["create_repo", "upload_folder"]), ValueError('- Error: "license" must be one of\n[...]')
    hub.create_repo.side_effect = [None, LocalTokenNotFoundError("no token")]
    hub.upload_folder.return_value.commit_url = "https://hub/commit/1"
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(ModelCard, "validate", Mock(side_effect=[None, None, bad]))
    for repository, *says in (
        ("a b/c", "check_push.1", "--push a b/c"),
        ("name", "check_push.2", "--push name"),
        ("me/it", "export.write.2", "account.licence"),
    ):
        with refused(*says):
            run("causal", "--to", "hub", "--push", repository)
    assert not (models / "exports").exists()
    state(monkeypatch, "MIT")
    said = run("causal", "--to", "hub", "--push", "me/it")
    assert hub.mock_calls[0] == call.create_repo("me/it", private=True, exist_ok=True)
    assert hub.upload_folder.call_args.kwargs["folder_path"] == models / "exports/causal"
    assert "sent: https://hub/commit/1" in said
    with refused("export.send.2", "stranger/it", "no token"):
        run("causal", "--to", "hub", "--push", "stranger/it", "--out", str(paths.ROOT / "other"))
    state(monkeypatch, "ISC")
    with refused("export.send.1", 'Error: "license" must be one of [...]'):
        run("causal", "--to", "hub", "--push", "me/third", "--out", str(paths.ROOT / "third"))
    with refused("check_push.1", "--push bad name"):  # though the folder exists
        run("causal", "--to", "hub", "--push", "bad name")
    assert [one[0] for one in hub.mock_calls] == ["create_repo", "upload_folder", "create_repo"]


@pytest.mark.parametrize(
    ("spdx", "licence", "name"),
    [
        ("Apache-2.0", "apache-2.0", None), ("GPL-3.0-or-later", "gpl-3.0", None),
        ("LicenseRef-own", "other", "licenseref-own"),
    ],
)  # fmt: skip
def test_a_licence_that_the_hub_has_no_id_for_is_named(
    models: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., str], spdx: str, licence: str, name: str | None
) -> None:
    state(monkeypatch, spdx)
    run("causal", "--to", "hub", "--out", str(paths.ROOT / licence))
    data = ModelCard.load(paths.ROOT / licence / "README.md").data.to_dict()
    assert (data["license"], data.get("license_name")) == (licence, name)


def test_what_cannot_be_exported_is_one_sentence(
    models: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., str]
) -> None:
    for model in ("masked", "classify"):
        with refused("export.write.1", model):
            run(model, "--to", "gguf")
    refuses(lambda: run("causal", "--to", "gguf", "--push", "me/it"), "export.export.2", "--push", "--to hub")
    refuses(lambda: run("causal", "--to", "signed"), "export.export.4", "--key KEY", "--out FOLDER")
