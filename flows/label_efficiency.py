"""What pretraining is worth, in labels: accuracy against the number of labels, with the models just made."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import UserError
from components.core.files import fingerprint
from components.core.workers import pool
from components.params import LabelEfficiency, Params
from flows.execution.stage import Study, as_task
from flows.execution.study_run import StudyRecord, require, study_run
from flows.system import dvc, paths

if TYPE_CHECKING:
    from components.studies.label_efficiency.points import StudySetup

INPUTS = ("models/pretrain/causal", "models/pretrain/masked", "data/bias/train", "data/tokenize", "data/ingest/heldout")
REPORTS = paths.ROOT / "reports" / "label_efficiency"
BASES = ("masked", "causal")


def run_study(name: str, params: Params, settings: LabelEfficiency) -> Path:
    """Accuracy by number of labels: pretrained, from scratch and naive Bayes; masked or causal; LoRA or all weights.

    Raises:
        UserError: the classifier is tuned on rows, or from a base, of one's own.
    """
    from components.studies.label_efficiency.points import StudySetup

    require(INPUTS, "greenhouse run")
    own = params.finetune.classify
    if own.data != "data/bias/train" or own.base != "models/pretrain/masked":
        raise UserError(
            "finetune.classify is set to rows or a base of your own; this study draws labels from the corpus, for the "
            "pipeline's models: set its data to data/bias/train and its base to models/pretrain/masked"
        )
    chosen = {
        "label_efficiency": settings.model_dump(mode="json"),
        "finetune.classify": own.model_dump(mode="json"),
        "numerics": params.numerics.model_dump(mode="json"),
    }
    inputs = [dvc.inputs(f"finetune@{branch}").hashes for branch in ("classify", "instruct")]
    work = paths.WORK / "label_efficiency" / fingerprint([chosen, inputs, dvc.inputs("tokenize").hashes])
    setup = StudySetup(
        paths.ROOT / "data", paths.ROOT / "models", work, settings, own, params.numerics, paths.LEDGER,
        params.runtime, paths.ROOT,
    )  # fmt: skip
    with study_run(STUDY, name, params, work) as record:
        record.finish(compare(setup, params.runtime.workers, record), chosen, REPORTS)
    return REPORTS


STUDY = Study("label_efficiency", LabelEfficiency, "What pretraining is worth, in labels", run_study)


def compare(setup: "StudySetup", workers: int, record: StudyRecord) -> dict[str, float]:
    """Examples, points, report; its headline figures."""
    from components.carbon.metering.counters import cpu_model
    from components.studies.label_efficiency import curves, report
    from components.studies.label_efficiency import points as study

    task = as_task(study.draw)(setup)
    results = as_task(train_points)(setup, workers, record)
    heldout = setup.passages(0)
    found = curves.summary(results, [passage.cluster for passage in heldout], study.before(setup))
    facts: dict[str, Any] = {
        "task": task,
        "items": len(heldout),
        "seeds": setup.params.seeds,
        "replay_share": setup.params.replay_share,
        "megabytes": {arm: study.peak_megabytes(arm, setup) for arm in study.ARMS if arm != "replay"},
        "bases": [f"{name} {dvc.hash_of(f'pretrain@{name}', f'models/pretrain/{name}')[:8]}" for name in BASES],
        "processor": cpu_model(),
    }
    report.write(found, facts, REPORTS)
    needed = {f"label_efficiency/{key}": value for key, value in found["label_efficiency"].items()}
    accuracy = {
        f"accuracy/{arm}_{row['labels']}": row["value"] for arm in found["curves"] for row in found["curves"][arm]
    }
    return {name: value for name, value in (needed | accuracy).items() if value is not None}


def train_points(setup: "StudySetup", workers: int, record: StudyRecord) -> list[dict[str, Any]]:
    """Results of all points, in their order; finished ones are read back."""
    from components.studies.label_efficiency import points as study

    chosen, results = study.points(setup.params), []
    known = {point.name for point in chosen if study.result_path(point, setup).exists()}
    with pool(min(workers, len(chosen))) as executor:
        for point, result in zip(chosen, executor.map(partial(study.run_point, setup=setup), chosen), strict=True):
            results.append(result)
            accuracy = result["right"].count("1") / len(result["right"])
            note = "read back" if point.name in known else f"{result['cpu_s']:.0f} CPU s, {result['joules']:.0f} J"
            print(f"[{len(results)}/{len(chosen)}] {point.name}: accuracy {accuracy:.3f}, {note}", flush=True)
            metrics = {"accuracy": accuracy} | {key: result[key] for key in ("joules", "cpu_s", "steps")}
            settings = {"labels": point.labels, "seed": point.seed, "arm": point.arm}
            record.child(point.name, settings, metrics, arm=point.arm)
    return results
