"""The whole pipeline in a clone, once, and what it leaves in DVC, Prefect and MLflow. Real text, real servers."""

import json
import re

import pytest
from conftest import House

pytestmark = [pytest.mark.house, pytest.mark.slow, pytest.mark.timeout(900)]

STAGES = [
    *("ingest", "dedup", "filter", "bias", "mix", "tokenize", "pretrain@causal", "pretrain@masked"),
    *("finetune@instruct", "finetune@classify", "evaluate", "account"),
]


def test_every_stage_ran_and_the_summary_says_so(grown_house: House) -> None:
    summary = json.loads((grown_house.root / "reports/summary.json").read_text())
    text = json.dumps(summary)
    assert all(stage in text for stage in STAGES[:-1])
    assert "pipeline: Completed" in (grown_house.root / "first-run.log").read_text()


def test_dvc_agrees_and_the_flow_finds_nothing_to_do(grown_house: House) -> None:
    assert "up to date" in grown_house.run("dvc", "status")
    assert "nothing is stale" in grown_house.run("flows.why")
    assert "nothing to do" in grown_house.run("flows.pipeline")
    assert "up to date" in grown_house.run("dvc", "repro")


def test_the_workspace_is_clean_for_git(grown_house: House) -> None:
    left = set(grown_house.git("status", "--porcelain").split("\n")) - {""}
    assert left <= {"?? dvc.lock", "?? first-run.log"}


def test_a_plain_dvc_repro_ends_its_run_in_mlflow_with_the_last_stage(grown_house: House) -> None:
    before = set(mlflow_parents(grown_house))
    assert "account: done" in grown_house.run("dvc", "repro", "--force", "--single-item", "account")
    (ended,) = set(mlflow_parents(grown_house)) - before
    assert ended.startswith("dvc-repro-")
    assert ended.endswith(" FINISHED")
    assert list((grown_house.root / ".greenhouse/parents").glob("*.json")) == []


def mlflow_parents(house: House) -> list[str]:
    """Name and status of each parent run in MLflow."""
    said = house.ask("""
import mlflow
c = mlflow.MlflowClient()
for run in c.search_runs([c.get_experiment_by_name("greenhouse").experiment_id], max_results=1000):
    if "mlflow.parentRunId" not in run.data.tags:
        print("run:", run.info.run_name, run.info.status)
""")
    return [line.removeprefix("run: ") for line in said.splitlines() if line.startswith("run: ")]


def test_nothing_is_written_to_the_home_folder(grown_house: House) -> None:
    written = [str(path) for path in (grown_house.root.parent / "home").rglob("*")]
    assert written == []


def test_dvc_metrics_plots_and_params_show_something(grown_house: House) -> None:
    metrics = grown_house.run("dvc", "metrics", "show")
    assert "bits_per_byte" in metrics
    assert "reports/pretrain/causal/metrics.json" in metrics
    shown = grown_house.run("dvc", "plots", "show")
    page = re.search(r"file://(\S+\.html)", shown)
    assert page, shown
    grown_house.run("dvc", "params", "diff")
    (grown_house.root / "dvc_plots").exists()


def test_push_and_pull_to_a_folder(grown_house: House, tmp_path: object) -> None:
    import shutil

    house = grown_house
    house.run("dvc", "remote", "add", "--local", "shelf", str(tmp_path))
    house.run("dvc", "push", "--remote", "shelf")
    before = (house.root / "models/pretrain/causal/model.safetensors").read_bytes()
    shutil.rmtree(house.root / ".dvc/cache")
    shutil.rmtree(house.root / "models/pretrain/causal")
    house.run("dvc", "pull", "--remote", "shelf")
    assert (house.root / "models/pretrain/causal/model.safetensors").read_bytes() == before
    assert "up to date" in house.run("dvc", "status")


def test_prefect_has_the_run_with_a_flow_under_each_stage(grown_house: House) -> None:
    shown = json.loads(
        grown_house.ask("""
import json
runs = client.read_flow_runs()
first = min((run for run in runs if run.parent_task_run_id is None), key=lambda run: run.start_time).name
runs = [run for run in runs if run.name.split("/")[0] == first]
print(json.dumps({
    "children": sorted({run.name.split("/")[-1] for run in runs if run.parent_task_run_id}),
    "states": sorted({run.state.name for run in runs}),
}))
""")
    )
    assert set(shown["children"]) == set(STAGES)
    assert set(shown["states"]) <= {"Completed", "Cached"}


def test_mlflow_has_a_parent_a_child_per_stage_and_loadable_models(grown_house: House) -> None:
    shown = json.loads(
        grown_house.ask("""
import json, mlflow
mlflow_client = mlflow.MlflowClient()
experiment = mlflow_client.get_experiment_by_name("greenhouse")
runs = mlflow_client.search_runs([experiment.experiment_id], max_results=1000)
parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[-1].info.run_id]
dedup = next(run for run in children if run.info.run_name == "dedup")
model = mlflow.transformers.load_model("models:/greenhouse-causal-2@champion")
print(json.dumps({
    "kind": experiment.tags.get("mlflow.experimentKind"),
    "statuses": sorted({run.info.status for run in [*children, parents[-1]]}),
    "children": sorted(run.info.run_name for run in children),
    "params": dedup.data.params,
    "parent": parents[-1].data.params["dedup.threshold"],
    "system": sorted(key for run in children for key in run.data.metrics if key.startswith("system/cpu")),
    "inputs": {item.dataset.name: item.dataset.digest for item in dedup.inputs.dataset_inputs},
    "text": model("def ", max_new_tokens=5)[0]["generated_text"],
    "challenger": mlflow_client.get_model_version_by_alias("greenhouse-masked-2", "challenger").version,
}))
""").splitlines()[-1]
    )
    assert shown["kind"] == "custom_model_development"
    assert shown["statuses"] == ["FINISHED"]
    assert set(shown["children"]) == set(STAGES)
    assert shown["params"]["dedup.threshold"] == shown["parent"] == "0.7"
    assert "system/cpu_utilization_percentage" in shown["system"]
    hashes = grown_house.outputs()
    assert shown["inputs"]["data/ingest/train"] == hashes["data/ingest/train"].removesuffix(".dir")
    assert shown["text"].startswith("def ")
    assert len(shown["text"]) > 4


def test_one_changed_value_runs_only_what_depends_on_it(grown_house: House) -> None:
    house = grown_house
    with house.edited("params.yaml", ("bootstrap: 200", "bootstrap: 250")):
        why = house.run("flows.why")
        assert "key evaluate.bootstrap: 200 -> 250" in why
        assert "pretrain" not in why
        ran = set(re.findall(r"Running stage '([^']+)'", house.run("flows.pipeline")))
    assert ran <= {"evaluate", "account"}
    assert "evaluate" in ran


def test_a_stage_added_to_dvc_yaml_appears_in_prefect(grown_house: House) -> None:
    house = grown_house
    original = (house.root / "dvc.yaml").read_text()
    lock = (house.root / "dvc.lock").read_text()
    with open(house.root / "dvc.yaml", "a") as file:
        file.write("\n  count:\n    cmd: wc -c data/ingest/heldout/manifest.json > count.txt\n")
        file.write("    deps: [data/ingest/heldout]\n    outs: [count.txt]\n")
    assert "count" in house.run("flows.pipeline")
    names = house.ask("print([run.name for run in client.read_task_runs()])")
    assert "'count'" in names
    (house.root / "dvc.yaml").write_text(original)
    (house.root / "dvc.lock").write_text(lock)
    (house.root / "count.txt").unlink()
    (house.root / ".gitignore").write_text(house.git("show", "HEAD:.gitignore"))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("threshold: 0.7 ", "threshold: 7 ", ["dedup.threshold", "7", "less than or equal to 1"]),
        ("threshold: 0.7 ", "treshold: 0.7 ", ["dedup.treshold", "unknown key"]),
        ("threshold: 0.7 ", "threshold: [0.7 ", ["params.yaml line", "not valid YAML"]),
    ],
)
def test_bad_params_are_refused_before_anything_starts(grown_house: House, old: str, new: str, says: list[str]) -> None:
    house = grown_house
    original = (house.root / "params.yaml").read_text()
    house.edit("params.yaml", old, new)
    try:
        last = house.run("flows.pipeline", expect=1).strip().splitlines()[-1]
        assert all(word in last for word in says), last
    finally:
        (house.root / "params.yaml").write_text(original)


def test_accept_keeps_an_output_on_the_record(grown_house: House) -> None:
    house = grown_house
    original = (house.root / "components/data/mix.py").read_text()
    lock = (house.root / "dvc.lock").read_text()
    (house.root / "components/data/mix.py").write_text(original + "# a comment\n")
    assert "mix" in house.run("flows.why")
    assert "REASON is empty" in house.run("flows.why", "--accept", "mix", expect=1)
    house.run("flows.why", "--accept", "mix", "--reason", "a comment was added")
    record = json.loads((house.root / "accepted.jsonl").read_text())
    assert record["stage"] == "mix"
    assert "components/data/mix.py" in record["changes"][0]
    assert "nothing is stale" in house.run("flows.why")
    (house.root / "components/data/mix.py").write_text(original)
    (house.root / "dvc.lock").write_text(lock)
    (house.root / "accepted.jsonl").unlink()
