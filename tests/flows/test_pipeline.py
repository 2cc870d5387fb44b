"""The whole pipeline in a clone, once, and what it leaves in DVC, Prefect and MLflow. Real text, real servers."""

import json
import os
import re
import signal
import time
from pathlib import Path

import psutil
import pytest

from flows.tracking.mlflow_run import name_of
from tests.errors import shows
from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline, pytest.mark.slow, pytest.mark.timeout(900)]

STAGES = [
    *("ingest", "dedup", "filter", "bias", "mix", "tokenize", "pretrain@causal", "pretrain@masked"),
    *("finetune@instruct", "finetune@classify", "evaluate", "account"),
]


def test_every_stage_ran_and_the_summary_says_so(finished_clone: PipelineClone) -> None:
    summary = json.loads((finished_clone.root / "reports/summary.json").read_text())
    text = json.dumps(summary)
    assert all(stage in text for stage in STAGES[:-1])
    log = (finished_clone.root / "first-run.log").read_text()
    assert "pipeline: Completed" in log
    assert re.search(r"Use the (network|TF-IDF model in `tfidf/`), not the .* held-out rows, used for no choice", log)


def test_dvc_agrees_and_the_flow_finds_nothing_to_do(finished_clone: PipelineClone) -> None:
    assert "up to date" in finished_clone.run("dvc", "status")
    assert "nothing is stale" in finished_clone.run("greenhouse", "plan", "--why")
    assert "nothing to do" in finished_clone.run("greenhouse", "run")
    assert "up to date" in finished_clone.run("dvc", "repro")


def test_the_workspace_is_clean_for_git(finished_clone: PipelineClone) -> None:
    left = set(finished_clone.git("status", "--porcelain").split("\n")) - {""}
    assert left <= {"?? dvc.lock", "?? first-run.log"}


def test_a_plain_dvc_repro_ends_its_run_in_mlflow_with_the_last_stage(finished_clone: PipelineClone) -> None:
    before = set(mlflow_parents(finished_clone))
    assert "account: done" in finished_clone.run("dvc", "repro", "--force", "--single-item", "account")
    (ended,) = set(mlflow_parents(finished_clone)) - before
    assert ended.startswith("dvc-repro-")
    assert ended.endswith(" FINISHED")
    assert (finished_clone.root / ".greenhouse/runs" / ended.split()[0] / "closed").exists()


def mlflow_parents(clone: PipelineClone) -> list[str]:
    """Name and status of each parent run in MLflow."""
    runs = [run for run in clone.mlflow_runs() if "mlflow.parentRunId" not in run.data.tags]
    return [f"{name_of(run)} {run.info.status}" for run in runs]


def test_nothing_is_written_to_the_home_folder(finished_clone: PipelineClone) -> None:
    written = [str(path) for path in (finished_clone.root.parent / "home").rglob("*")]
    assert written == []


def test_dvc_metrics_plots_and_params_show_something(finished_clone: PipelineClone) -> None:
    metrics = finished_clone.run("dvc", "metrics", "show").splitlines()
    assert "bpb" in metrics[0]
    named = {line.split()[0] for line in metrics[1:]}
    assert named == {f"reports/{stage}/scores.json" for stage in ("finetune/instruct", "finetune/classify", "evaluate")}
    assert "reports/evaluate/scores.json" in finished_clone.run("dvc", "metrics", "diff"), "dvc.lock is not committed"
    assert max(len(line.rstrip()) for line in metrics) <= 100
    shown = finished_clone.run("dvc", "plots", "show")
    page = re.search(r"file://(\S+\.html)", shown)
    assert page, shown
    assert Path(page[1]).is_relative_to(finished_clone.root / "dvc_plots")
    assert Path(page[1]).exists()
    finished_clone.run("dvc", "params", "diff")


def test_prefect_has_one_flow_run_with_a_task_its_log_and_its_report_for_each_stage(
    finished_clone: PipelineClone,
) -> None:
    rows = finished_clone.prefect_rows
    ((first, name, state), *_) = rows("select id, name, state_name from flow_run order by start_time")
    assert (state, rows(f"select count(*) from flow_run where name like '{name}%'")) == ("Completed", [(1,)])
    tasks = rows(f"select name, state_name, id from task_run where flow_run_id = '{first}'")
    assert {stage: state for stage, state, _ in tasks} == dict.fromkeys(STAGES, "Completed")
    assert {task for (task,) in rows("select distinct task_run_id from log")} >= {task for *_, task in tasks}
    artifacts = {key for (key,) in rows("select key from artifact")}
    assert {"forecast", "pipeline", "summary", "card-finetune-instruct"} <= artifacts
    assert {stage.replace("@", "-") for stage in STAGES} <= artifacts


def test_mlflow_has_a_parent_a_child_per_stage_and_loadable_models(finished_clone: PipelineClone) -> None:
    runs, client = finished_clone.mlflow_runs(), finished_clone.mlflow
    parent = [run for run in runs if "mlflow.parentRunId" not in run.data.tags][-1]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    dedup = next(run for run in children if run.info.run_name == "dedup")
    assert {run.info.status for run in [*children, parent]} == {"FINISHED"}
    assert {run.info.run_name for run in children} == {*STAGES, "machine"}
    assert dedup.data.params["dedup.threshold"] == parent.data.params["dedup.threshold"] == "0.7"
    assert next(iter(parent.data.metrics)) == "instruct"
    machine = next(run for run in children if run.info.run_name == "machine")
    assert "system/cpu_utilization_percentage" in machine.data.metrics
    assert "loss" in next(run for run in children if run.info.run_name == "pretrain@causal").data.metrics
    inputs = {item.dataset.name: item.dataset.digest for item in dedup.inputs.dataset_inputs}
    assert inputs["data/ingest/train"] == finished_clone.outputs()["data/ingest/train"].removesuffix(".dir")
    assert client.get_model_version_by_alias("greenhouse-masked-2", "challenger").version
    text = finished_clone.run_code("""
import flows, mlflow
model = mlflow.transformers.load_model("models:/greenhouse-causal-2@champion")
ids = model("def ", max_new_tokens=5, min_new_tokens=5, return_tensors=True)[0]["generated_token_ids"]
print(repr(model.tokenizer.decode(ids)), len(ids) - len(model.tokenizer("def ").input_ids))
""")
    assert text.startswith(("'<|endoftext|>def ", '"<|endoftext|>def '))  # what follows is drawn, and may be spaces
    assert text.endswith(" 5")


def ran_in(output: str) -> set[str]:
    """The stages that ran to their end, of ours and of the user's own."""
    return set(re.findall(r"^ *(\S+) \| \1: done$", output, re.M)) | set(re.findall(r"Running stage '(\S+)'", output))


def test_one_changed_value_runs_only_what_depends_on_it_and_a_new_stage_appears(finished_clone: PipelineClone) -> None:
    """In the workspace; tests/flows/test_forms.py changes a value of an earlier stage."""
    clone = finished_clone
    with clone.setting(account__licence="MIT"):
        why = clone.run("greenhouse", "plan", "--why")
        assert "key account.licence:  -> MIT" in why
        assert "evaluate" not in why
        with open(clone.root / "dvc.yaml", "a") as file:
            file.write("\n  count:\n    cmd: wc -c data/ingest/heldout/manifest.json > count.txt\n")
            file.write("    deps: [data/ingest/heldout]\n    outs: [count.txt]\n")
        ran = ran_in(clone.run("greenhouse", "run"))
        clone.git("checkout", "--quiet", "--", "dvc.yaml", ".gitignore")
    (clone.root / "count.txt").unlink(missing_ok=True)
    assert ran == {"account", "count"}
    assert ("count",) in clone.prefect_rows("select name from task_run")


@pytest.mark.long
def test_pretraining_resumes_from_its_last_checkpoint(finished_clone: PipelineClone) -> None:
    clone = finished_clone
    work = clone.root / ".greenhouse/work/pretrain@causal"

    def checkpoints() -> set[Path]:
        return {folder for folder in work.glob("*/step-*") if folder.name > "step-000000"}  # 0: before the first step

    # A longer run, so that a kill lands between checkpoints.
    with clone.setting(pretrain__causal__steps=120):
        earlier = checkpoints()  # of runs that another test cancelled
        pipeline = clone.start("greenhouse", "run", "--until", "pretrain@causal")
        deadline = time.monotonic() + 240
        while not checkpoints() - earlier and time.monotonic() < deadline:
            time.sleep(0.02)
        tree = psutil.Process(pipeline.pid).children(recursive=True)
        os.kill(pipeline.pid, signal.SIGKILL)
        pipeline.communicate()
        psutil.wait_procs(tree, timeout=60)
        assert checkpoints() - earlier, "the kill came after the end"
        log = clone.run("greenhouse", "run", "--until", "pretrain@causal")
        assert re.search(r"going on from step [1-9]", log), log[-3000:]
        resumed = clone.outputs()["models/pretrain/causal"]
        clone.run("dvc", "repro", "--force", "--single-item", "pretrain@causal")
        assert clone.outputs()["models/pretrain/causal"] == resumed


@pytest.mark.long
def test_other_filter_settings_leave_the_exam_as_it_is(finished_clone: PipelineClone) -> None:
    before = finished_clone.outputs()
    with finished_clone.setting(filter__limits={"min_words": 1500}, dedup__threshold=0.6):
        finished_clone.run("greenhouse", "run", "--until", "filter")
        after = finished_clone.outputs()
    assert after["data/ingest/heldout"] == before["data/ingest/heldout"]
    assert after["data/filter"] != before["data/filter"]
    assert finished_clone.outputs() == before


@pytest.mark.long
def test_preferences_are_learned_and_judged_once_they_have_a_base(finished_clone: PipelineClone) -> None:
    clone, quick = finished_clone, "    steps: 3\n    batch: 4\n    context: 64\n    max_pairs: 60\n"
    more = f"  prefer:\n    base: models/finetune/instruct\n    data: data/mix/train\n{quick}"
    with clone.edited("params.yaml", ("\nevaluate:", f"{more}\nevaluate:")):
        ran = ran_in(clone.run("greenhouse", "run"))
        summary = json.loads((clone.root / "reports/summary.json").read_text())
        with clone.edited("params.yaml", ("prefer:\n    base", "prefer:\n    beta: 0.2\n    base")):
            why = clone.run("greenhouse", "plan", "--why")
    assert ran == {"finetune@prefer", "evaluate", "account"}
    tuned = {f"finetune/{name}" for name in ("instruct", "prefer")}
    assert tuned <= set(summary["models"])
    assert "finetune@prefer" in why
    assert "finetune@instruct" not in why


def test_accept_keeps_an_output_on_the_record(finished_clone: PipelineClone) -> None:
    clone = finished_clone
    original = (clone.root / "components/stages/mix/stage.py").read_text()
    lock = (clone.root / "dvc.lock").read_text()
    (clone.root / "components/stages/mix/stage.py").write_text(original + "# a comment\n")
    assert "mix" in clone.run("greenhouse", "plan", "--why")
    shows(clone.run("greenhouse", "plan", "--accept", "mix", expect=1), "staleness.accepted.1", "--reason")
    clone.run("greenhouse", "plan", "--accept", "mix", "--reason", "a comment was added")
    record = json.loads((clone.root / "accepted.jsonl").read_text())
    assert record["stage"] == "mix"
    assert "components/stages/mix/stage.py" in record["changes"][0]
    assert "nothing is stale" in clone.run("greenhouse", "plan", "--why")
    (clone.root / "components/stages/mix/stage.py").write_text(original)
    (clone.root / "dvc.lock").write_text(lock)
    (clone.root / "accepted.jsonl").unlink()
