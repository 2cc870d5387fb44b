"""dvc.yaml is the one DAG: its reading against small graphs."""

import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo

from components import params
from components.core.files import write_json
from flows.system import dvc
from tests.errors import refused, refuses

ROOT = Path(__file__).resolve().parents[3]


def test_dvc_reads_yaml_with_the_c_parser() -> None:
    """Read with the Python one, a demo's dvc.lock takes an eighth of a second, some fifty times in a run."""
    from ruamel.yaml.main import CParser

    assert CParser is not None


def test_graph_is_in_topological_order() -> None:
    stages = dvc.graph(ROOT)
    dvc.require_stage("mix", "--only mix")
    refuses(lambda: dvc.require_stage("nope", "--only nope"), "dvc.require_stage", "--only nope", "ingest, dedup")
    order = list(stages)
    for stage, needs in stages.items():
        assert all(order.index(need) < order.index(stage) for need in needs)
    assert set(stages["evaluate"]) >= {"pretrain@causal", "finetune@classify"}


def test_reasons_name_keys_files_and_outputs(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("dedup: {threshold: 0.8, near: true}\n")
    locked = {"dedup": {"params": {"params.yaml": {"dedup": {"threshold": 0.7, "near": True}}}, "deps": []}}
    change = {
        "changed deps": {"params.yaml": {"dedup": "modified"}, "data/filter": "deleted"},
        "changed outs": {"data/dedup": "not in cache"},
        "changed command": "python -m flows.other",
    }
    assert dvc._reasons("dedup", change, locked, tmp_path) == [
        "key dedup.threshold: 0.7 -> 0.8", "file data/filter: deleted", "output data/dedup: not in cache",
        "changed command: python -m flows.other",
    ]  # fmt: skip
    assert dvc._reasons("dedup", "always changed", locked, tmp_path) == ["always changed"]


@pytest.mark.parametrize(
    "read", [dvc.lock, lambda root: dvc.inputs("one", root), dvc.stale], ids=["lock", "inputs", "stale"]
)
def test_dvc_lock_is_never_read_half_written(
    tmp_path: Path, read: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that ends beside us has DVC rewrite the file in place; who reads it then waits, however long it takes."""
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0.03)
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / "dvc.yaml").write_text("stages:\n  one:\n    cmd: 'true'\n")
    lock, whole = tmp_path / "dvc.lock", "schema: '2.0'\nstages:\n  one:\n    cmd: 'true'\n"
    lock.write_text(whole)
    expected = read(tmp_path)
    torn = threading.Event()

    def rewrite() -> None:
        with dvc.open_repo(tmp_path):
            lock.write_text(whole[:20])
            torn.set()
            time.sleep(0.3)
            lock.write_text(whole)

    writer = threading.Thread(target=rewrite)
    writer.start()
    torn.wait()
    assert read(tmp_path) == expected
    writer.join()


def test_a_stages_state_in_a_small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it ran, after, with another input, and with another output than the lock says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").write_text("a")
    stages = {"copy": {"cmd": "cp in out", "deps": ["in"], "outs": ["out"]}}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        assert dvc.stale(tmp_path) == {"copy": ["never ran"]}
        repo.reproduce()
    assert dvc.stale(tmp_path) == {}
    before = dvc.fingerprints(tmp_path)
    assert before == {"copy": dvc.inputs("copy", tmp_path).fingerprint}
    assert dvc.hash_of("copy", "out", tmp_path) == dvc.lock(tmp_path)["copy"]["outs"][0]["md5"]
    (tmp_path / "in").write_text("b")
    assert dvc.stale(tmp_path) == {"copy": ["file in: modified"]}
    assert dvc.fingerprints(tmp_path) != before


def test_an_input_that_is_not_there_is_named_with_the_stage_that_makes_it(tmp_path: Path) -> None:
    Repo.init(str(tmp_path), no_scm=True).close()
    stages = {"a": {"cmd": "true", "outs": ["data/x"]}, "b": {"cmd": "true", "deps": ["data", "rows.jsonl"]}}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    with refused("raise_if_not_ready", "b: data", "`greenhouse run --until a`"):
        dvc.raise_if_not_ready("b", tmp_path)
    (tmp_path / "data").mkdir()
    refuses(lambda: dvc.raise_if_not_ready("b", tmp_path), "raise_if_not_ready", "b: rows.jsonl", "params.yaml")
    (tmp_path / "rows.jsonl").write_text("")
    dvc.raise_if_not_ready("b", tmp_path)


def test_a_link_to_nothing_in_a_dependency_is_a_sentence(tmp_path: Path) -> None:
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "gone.txt").symlink_to("nowhere.txt")
    (tmp_path / "dvc.yaml").write_text("stages: {copy: {cmd: ls, deps: [in]}}")
    refuses(lambda: dvc.stale(tmp_path), "open_repo.3", "gone.txt", "link to nothing")


def test_files_that_cannot_be_read_are_named_each_with_its_reason(tmp_path: Path) -> None:
    files = [tmp_path / str(name) for name in range(dvc.MOST_NAMED + 2)]
    assert dvc.cannot_read(*files).count("(a link to nothing)") == dvc.MOST_NAMED
    assert "/7 (a link to nothing), 2 more; remove" in dvc.cannot_read(*files)
    os.mkfifo(files[0])
    files[1].touch()
    assert dvc.cannot_read(*files[:2]) == (
        f"DVC, which versions the folder, cannot read {files[0]} (no regular file); remove or rename them"
    )
    assert not dvc.cannot_read(files[1])


def test_files_that_another_run_has_are_a_sentence(tmp_path: Path) -> None:
    """DVC's own words were shown, with its advice to remove its lock by hand."""
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / "out").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {make: {cmd: ls, outs: [out]}}")
    writer = {str(tmp_path / "out"): {"pid": os.getppid(), "cmd": "dvc repro"}}
    write_json(tmp_path / ".dvc/tmp/rwlock", {"write": writer, "read": {}})
    refuses(lambda: dvc.run("commit", "--force", root=tmp_path), "processes.output.1", f"PID {os.getppid()}")
    with refused("dvc.open_repo.1", f"PID {os.getppid()}"), dvc.open_repo(tmp_path) as repo:
        repo.commit(force=True)


def test_a_database_of_dvcs_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    Repo.init(str(tmp_path), no_scm=True).close()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        refuses(lambda: dvc.graph(tmp_path), "open_repo.4", "disk I/O error")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_the_reduced_graph_has_the_same_paths_and_no_edge_that_a_longer_one_implies() -> None:
    stages = {"ingest": [], "dedup": ["ingest"], "filter": ["dedup", "ingest"], "mix": ["ingest"]}
    stages |= {"end": ["mix", "filter"]}
    assert dvc.reduced(stages) == stages | {"filter": ["dedup"]}
    assert list(dvc.reduced(stages)) == list(stages)


@pytest.mark.parametrize("branch", params.FURTHER)
def test_a_further_tuning_is_a_stage_where_params_list_it(branch: str, tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    Repo.init(str(tmp_path), no_scm=True).close()
    assert f"finetune@{branch}" not in dvc.graph(tmp_path)
    keys = params.read_tree(ROOT / "presets/cpu-40min.yaml")["finetune"]["prefer"]
    own = params.read(ROOT / "params.yaml").overlaid({"finetune": {branch: keys}}).own
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(own))
    stages = dvc.graph(tmp_path)
    assert set(stages[f"finetune@{branch}"]) == {"ingest", "mix", "finetune@instruct"}
    assert f"finetune@{branch}" in stages["evaluate"]
    assert f"finetune@{branch}" in dvc.upstream(stages, "account")


def test_account_depends_on_all_that_stages_report() -> None:
    """It shows what their details say too: a baseline that changes alone must not leave an old table."""
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["account"]["deps"]
    reports = [out for out in dvc.outputs(ROOT) if out.startswith("reports/")]
    assert len(reports) > 20
    assert [out for out in reports if not any(f"{out}/".startswith(f"{dep}/") for dep in deps)] == []
