"""What forgetting takes for a copy, and what it keeps of a removal."""

import json
from hashlib import md5
from pathlib import Path

import pytest

from components.core.errors import UserError
from components.core.files import write_json
from components.lineage.documents import View
from flows.system.disk import remove_path
from flows.tracking import forgetting, mlflow_run, snapshots
from flows.tracking.forgetting import Copy
from flows.tracking.snapshots import ObjectCache, Snapshot

WEIGHTS = {f"models/{kind}/model.safetensors": "0" for kind in ("pretrain/causal", "finetune/instruct")}


def manifests(folder: Path) -> View:
    """Manifests of two corpus shards each, and of the token shards that were made of them."""
    for corpus, tokens in (("data/mix/train", "train"), ("data/ingest/heldout", "heldout")):
        shards = [{"file": f"part-0000{number}.parquet"} for number in (0, 1)]
        write_json(folder / corpus / "manifest.json", {"shards": shards})
        rows = [{"tokens": f"tokens-0000{number}.bin"} for number in (0, 1)]
        write_json(folder / "data/tokenize" / tokens / "manifest.json", {"shards": rows})
    return lambda path: folder / path


@pytest.mark.parametrize(
    ("shard", "made"),
    [
        ("data/mix/train/part-00001.parquet", {"data/tokenize/train/tokens-00001.bin", *WEIGHTS}),
        ("data/ingest/heldout/part-00000.parquet", {"data/tokenize/heldout/tokens-00000.bin"}),
        ("data/bias/train/part-00000.parquet", {"models/finetune/instruct/model.safetensors"}),
        ("data/dedup/dropped/part-00000.parquet", set()),
    ],
)
def test_tokens_and_weights_made_of_a_shard_are_copies(tmp_path: Path, shard: str, made: set[str]) -> None:
    files = WEIGHTS | {"models/finetune/instruct/config.json": "1"}
    assert forgetting._made_of({shard}, files, manifests(tmp_path)) == made


def test_models_tuned_from_a_tuned_one_count_too() -> None:
    def stage(*deps: str) -> dict:
        return {"deps": [{"path": path} for path in deps]}

    lock = {
        "finetune@prefer": stage("models/finetune/instruct", "data/mix/train"),
        "finetune@instruct": stage("models/pretrain/causal", "rows.jsonl"),
        "finetune@classify": stage("models/pretrain/masked", "data/bias/train"),
        "evaluate": stage("models/pretrain/causal"),
    }
    assert forgetting.tuned_from(lock, {"models/pretrain/causal"}) == {
        "models/finetune/instruct", "models/finetune/prefer"
    }  # fmt: skip
    assert forgetting.tuned_from(lock, {"data/bias/train"}) == {"models/finetune/classify"}
    assert forgetting.tuned_from(lock, set()) == set()


def test_a_model_tuned_from_another_one_of_that_path_is_not_named() -> None:
    """Instruct was tuned again on rows after prefer was tuned from the one before; again is of the new one."""

    def stage(model: str, *deps: tuple[str, str]) -> dict:
        read = [{"path": path, "md5": md5} for path, md5 in deps]
        return {"deps": read, "outs": [{"path": model, "md5": f"{model} now"}]}

    instruct = "models/finetune/instruct"
    lock = {
        "finetune@instruct": stage(instruct, ("rows.jsonl", "5")),
        "finetune@prefer": stage("models/finetune/prefer", (instruct, "before")),
        "finetune@again": stage("models/finetune/again", (instruct, f"{instruct} now")),
        "finetune@classify": stage("models/finetune/classify", ("rows.jsonl", "4")),
    }
    assert forgetting.tuned_from(lock, set(), {"5"}) == {instruct, "models/finetune/again"}
    assert forgetting.tuned_from(lock, {instruct}) == {"models/finetune/again"}


def test_an_experiment_goes_though_the_workspace_has_all_its_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = {"saw": "11.dir", "never": "22.dir"}
    for listed, file in (("11.dir", "bad"), ("22.dir", "good")):
        (tmp_path / listed[:2]).mkdir()
        (tmp_path / listed[:2] / listed[2:]).write_text(json.dumps([{"relpath": "part-00000.parquet", "md5": file}]))

    def state(name: str) -> Snapshot:
        return Snapshot(name, "experiment", {"mix": {"outs": [{"path": "data/mix", "md5": locks[name]}]}})

    monkeypatch.setattr(ObjectCache, "__post_init__", lambda self: setattr(self, "folder", tmp_path))
    monkeypatch.setattr(snapshots, "experiments", lambda: dict.fromkeys(locks, "commit"))
    monkeypatch.setattr(snapshots, "find", state)
    assert forgetting.experiments_with([Copy("bad", "data/mix/part-00000.parquet", "workspace")]) == ["saw"]


def test_what_is_gone_already_is_no_error(tmp_path: Path) -> None:
    remove_path(tmp_path / "removed by another")


def test_what_was_purged_from_the_remote_is_no_error_of_dvc(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from dvc.repo import Repo

    with Repo.init(str(tmp_path), no_scm=True) as repo, repo.config.edit() as config:
        config["remote"]["far"] = {"url": str(tmp_path / "remote")}
        config["core"]["remote"] = "far"
    text = json.dumps([{"md5": "0" * 32, "relpath": "purged.parquet"}])
    folder = f"{md5(text.encode()).hexdigest()}.dir"
    (there := tmp_path / "remote" / "files" / "md5" / folder[:2] / folder[2:]).parent.mkdir(parents=True)
    there.write_text(text)
    store = ObjectCache(tmp_path)
    store.pull({folder})
    store.pull({folder, "0" * 32})  # from now on DVC believes that the remote has what a folder lists
    assert store.files(folder) == {"purged.parquet": "0" * 32}
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_remote_that_is_gone_is_not_called_one_without_the_object(tmp_path: Path) -> None:
    from dvc.repo import Repo

    with Repo.init(str(tmp_path), no_scm=True) as repo, repo.config.edit() as config:
        config["remote"]["far"] = {"url": str(tmp_path / "remote")}
        config["core"]["remote"] = "far"
    with pytest.raises(
        UserError, match=r"not in DVC's cache \(.*\), and DVC remote far: nothing is at .*remote.*; `dvc pull`"
    ):
        ObjectCache(tmp_path).fetched("0" * 32)
    (tmp_path / "remote" / "files" / "md5").mkdir(parents=True)
    with pytest.raises(UserError, match=r"not in DVC's cache \(.*\), nor in a remote; `dvc pull`"):
        ObjectCache(tmp_path).fetched("0" * 32)


@pytest.mark.usefixtures("mlflow_tables")
def test_versions_that_saw_a_text_and_the_aliases_that_point_at_them_are_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(mlflow_run, "client", lambda: client)
    client.create_registered_model("greenhouse-causal-2")
    saw, later = (client.create_model_version("greenhouse-causal-2", str(tmp_path)) for _ in range(2))
    client.set_registered_model_alias("greenhouse-causal-2", "champion", saw.version)
    client.set_registered_model_alias("greenhouse-causal-2", "challenger", later.version)
    assert forgetting.mark([saw], "2 documents") == ["greenhouse-causal-2@champion"]
    tags = [client.get_model_version("greenhouse-causal-2", one.version).tags for one in (saw, later)]
    assert [one.get("forget.saw") for one in tags] == ["2 documents", None]
    marked = client.get_registered_model("greenhouse-causal-2").tags
    assert marked == {"forget.champion": f"version {saw.version} saw or may have seen 2 documents"}
