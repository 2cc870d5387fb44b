"""The trial of counterfactual augmentation: its models, its report, and its record in MLflow."""

from functools import partial
from pathlib import Path
from typing import Any

from components.core.files import fingerprint, write_json, write_text
from components.core.workers import pool
from components.params import Mitigate, Params
from components.studies import mitigation as trial
from flows.execution.stage import Study, as_task, code_hashes
from flows.execution.study_run import StudyRecord, require, study_run
from flows.system import dvc, paths

INPUTS = ("data/bias/train", "data/tokenize", "data/ingest/heldout")
REPORTS = paths.ROOT / "reports" / "mitigate"


def run_study(study: Study, name: str, params: Params, settings: Mitigate) -> Path:
    """The whole trial, locked, metered and recorded; returns the folder of its report.

    Raises:
        UserError: the pipeline's data is not there.
    """
    require(INPUTS, "dvc repro tokenize")
    values = {"mitigate": settings.model_dump(mode="json")}
    known = [values["mitigate"], params.mix.model_dump(mode="json"), code_hashes()]
    known += [params.numerics.model_dump(mode="json"), dvc.inputs("mix").hashes, dvc.inputs("tokenize").hashes]
    work = paths.WORK / "mitigate" / fingerprint(known)
    with study_run(study, name, params, work) as record:
        folders = trial.TrialFolders(
            paths.ROOT / "data", work, params.numerics, paths.LEDGER, params.runtime, paths.ROOT
        )
        record.finish(compare(folders, params, settings, record), values, REPORTS)
    return REPORTS


def compare(folders: trial.TrialFolders, params: Params, settings: Mitigate, record: StudyRecord) -> dict[str, float]:
    """Mixtures, models, report; its headline figures."""
    num_tokens = {run.arm: as_task(tokens)(run, folders, params) for run in trial.runs(settings)}
    result = trial.summary(as_task(models)(folders, settings, params.runtime.workers, record))
    text = trial.markdown(result, settings, num_tokens)
    write_json(REPORTS / "mitigate.json", result)
    write_text(REPORTS / "report.md", text)
    trial.plot(result, REPORTS / "plots" / "mitigate.png")
    swap = result["contrasts"]["counterfactual - random"]
    bounds = ("value", "low", "high")
    return {f"{f}_swap_{b}": swap[f][b] for f in swap for b in bounds if swap[f][b] is not None}


def tokens(run: trial.TrialRun, folders: trial.TrialFolders, params: Params) -> int:
    """The mixture of a run as token shards; how many tokens it has."""
    return trial.prepare(run, folders, params.mix)


def models(folders: trial.TrialFolders, settings: Mitigate, workers: int, record: StudyRecord) -> list[dict[str, Any]]:
    """Figures of all models, in their order; finished ones are read back."""
    chosen, results = trial.runs(settings), []
    with pool(min(workers, len(chosen))) as executor:
        work = partial(trial.run_one, folders=folders, params=settings)
        for run, result in zip(chosen, executor.map(work, chosen), strict=True):
            results.append(result)
            figures = f"spread {result['spread']:.3f}, {result['bits_per_byte']:.4f} bits per byte"
            print(f"[{len(results)}/{len(chosen)}] {run.arm}, seed {run.seed}: {figures}", flush=True)
            metrics = {figure: result[figure] for figure in trial.FIGURES}
            record.child(f"{run.arm}-seed{run.seed}", {"arm": run.arm, "seed": run.seed}, metrics, arm=run.arm)
    return results
