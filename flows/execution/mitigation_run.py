"""The trial of counterfactual augmentation: its models, its report, and its record in MLflow."""

from functools import partial
from pathlib import Path
from typing import Any

from components.carbon.metering.meter import Meter
from components.core.errors import UserError
from components.core.files import fingerprint, write_json, write_text
from components.core.workers import pool
from components.params import Params
from components.studies import mitigation as trial
from flows.execution.stage import as_task
from flows.system import dvc, git, paths, processes
from flows.system.work_folder import sole_writer
from flows.tracking import mlflow_run

INPUTS = ("data/bias/train", "data/tokenize", "data/ingest/heldout")
REPORTS = paths.ROOT / "reports" / "mitigate"


def run_study(name: str, params: Params) -> Path:
    """The whole trial, locked, metered and recorded; returns the folder of its report.

    Raises:
        UserError: the pipeline's data is not there.
    """
    if missing := [path for path in INPUTS if not (paths.ROOT / path).exists()]:
        raise UserError(f"{missing[0]} is not there; run `make demo` or `dvc repro tokenize` first")
    code = {
        path: value for path, value in dvc.inputs("pretrain@causal").hashes.items() if path.startswith("components/")
    }
    known = [params.mitigate.model_dump(mode="json"), params.mix.model_dump(mode="json"), code]
    known += [params.numerics.model_dump(mode="json"), dvc.inputs("mix").hashes, dvc.inputs("tokenize").hashes]
    work = paths.WORK / "mitigate" / fingerprint(known)
    labels = {"stage": "mitigate", "run": name, "fingerprint": work.name}
    with sole_writer(work), Meter(paths.LEDGER, params.runtime.meter_interval_s, labels):
        record = TrialRecord(name, params)
        status = "KILLED"
        try:
            folders = trial.TrialFolders(
                paths.ROOT / "data", work, params.numerics, paths.LEDGER, params.runtime, paths.ROOT
            )
            contrasts = compare(folders, params, record)
            status = "FINISHED"
        finally:
            record.close(status, contrasts if status == "FINISHED" else {})
    return REPORTS


def compare(folders: trial.TrialFolders, params: Params, record: "TrialRecord") -> dict[str, float]:
    """Mixtures, models, report; its headline figures."""
    num_tokens = {arm: as_task(tokens)(arm, folders, params) for arm in trial.ARMS}
    found = trial.summary(as_task(models)(folders, params, record))
    text = trial.markdown(found, params.mitigate, num_tokens)
    write_json(REPORTS / "mitigate.json", found)
    write_text(REPORTS / "report.md", text)
    trial.plot(found, REPORTS / "plots" / "mitigate.png")
    swap = found["contrasts"]["counterfactual - random"]
    return {f"{figure}_swap_{bound}": swap[figure][bound] for figure in swap for bound in ("value", "low", "high")}


def tokens(arm: trial.Arm, folders: trial.TrialFolders, params: Params) -> int:
    """The mixture of an arm as token shards; how many tokens it has."""
    return trial.prepare(arm, folders, params.mix)


def models(folders: trial.TrialFolders, params: Params, record: "TrialRecord") -> list[dict[str, Any]]:
    """Figures of all models, in their order; finished ones are read back."""
    chosen, results = trial.runs(params.mitigate), []
    with pool(min(params.runtime.workers, len(chosen))) as executor:
        work = partial(trial.run_one, folders=folders, params=params.mitigate)
        for run, result in zip(chosen, executor.map(work, chosen), strict=True):
            results.append(result)
            figures = f"gap {result['gap']:+.3f}, {result['bits_per_byte']:.4f} bits per byte"
            print(f"[{len(results)}/{len(chosen)}] {run.arm}, seed {run.seed}: {figures}", flush=True)
            record.model(run, result)
    return results


class TrialRecord:
    """The trial in MLflow: a parent run, and a child per model."""

    def __init__(self, name: str, params: Params) -> None:
        self.mlflow, self.name, self.params = mlflow_run.client(), name, params
        tags = {"kind": "mitigate", "git.commit": git.commit()}
        self.parent = mlflow_run.parent_run(self.mlflow, name, processes.process_tag(), tags)

    def model(self, run: trial.TrialRun, result: dict[str, Any]) -> None:
        """A child run with a model's arm, seed and figures."""
        tags = {"mlflow.user": "greenhouse", "mlflow.parentRunId": self.parent, "stage": "mitigate", "arm": run.arm}
        name = f"{run.arm}-seed{run.seed}"
        child = self.mlflow.create_run(mlflow_run.experiment_id(self.mlflow), run_name=name, tags=tags).info.run_id
        mlflow_run.log_params(self.mlflow, child, {"arm": run.arm, "seed": run.seed})
        mlflow_run.log_metrics(self.mlflow, child, {figure: result[figure] for figure in trial.FIGURES})
        self.mlflow.set_terminated(child, "FINISHED")

    def close(self, status: str, metrics: dict[str, float]) -> None:
        """End the parent run with the swap's effect and the report."""
        files = (REPORTS / "report.md", REPORTS / "mitigate.json", REPORTS / "plots" / "mitigate.png")
        values = {"mitigate": self.params.mitigate.model_dump(mode="json")}
        mlflow_run.close_parent(
            self.mlflow, self.name, status, metrics, values, {}, files if status == "FINISHED" else ()
        )
