"""Models by name, and the five answers of one: collected from dvc.lock, DVC's cache, the ledger, MLflow and records.

A model is named as in the workspace (`instruct`, `finetune/instruct`, `finetune@instruct`), with
the state it is of, or by a registered alias (`greenhouse-instruct-2@champion`).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components import params as schema
from components.carbon.footprint import intensity
from components.carbon.footprint.costs import LedgerCosts, stage_runs
from components.carbon.planning.forecast import checked
from components.core.errors import UserError
from components.core.files import fingerprint, read_json, write_json
from components.params import Account
from components.stages.account.answers import (
    NEEDED,
    AgainstChampion,
    LoadAnswer,
    ModelAnswers,
    ModelOrigin,
    NotKnown,
    RebuildAnswer,
    Verification,
)
from components.stages.account.model_answers import (
    Tunings,
    lineage,
    load_answer,
    model_answers,
    stages_behind,
    verify_command,
)
from components.stages.account.summary import MODELS, Files, checkout_files, gather
from components.stages.account.types import Cost, StageRecords
from components.studies.withdrawn import withdrawn
from flows.system import environment, git, paths
from flows.tracking import seed_runs, snapshots
from flows.tracking.mlflow_run import client
from flows.tracking.rebuild_commit import rebuild_commit
from flows.tracking.snapshots import ObjectCache, Snapshot, find
from flows.tracking.team_ledger import ledger_of

EVALUATION = "reports/evaluate/details"


def target(model: str, stages: list[str], outputs: Collection[str] = ()) -> str:
    """The stage that makes a model: `causal`, `pretrain/causal`, `models/pretrain/causal`, `pretrain@causal` are one.

    Args:
        outputs: those that there are, for the message; empty for all that there could be.

    Raises `UserError`: no stage makes such a model.
    """
    wanted = model.removeprefix("models/").strip("/").replace("/", "@")
    makers = [stage for stage in stages if stage.startswith(("pretrain", "finetune"))]
    matching = [stage for stage in makers if wanted in (stage, stage.split("@")[-1])]
    if len(matching) != 1:
        models = [stage for stage in makers if f"models/{stage.replace('@', '/')}" in outputs] or makers
        raise UserError(f"{model}: no such model; there are {', '.join(models)}, or a registered name@alias")
    return matching[0]


def choose(model: str, state_name: str) -> tuple[Snapshot, str]:
    """The state that recorded a model, and the stage that makes it.

    Args:
        model: as in the workspace, or a registered alias, which names the state as well.
        state_name: `workspace`, a git revision, a DVC experiment, or a pipeline run of MLflow.
    """
    if (other := model.removeprefix("models/").replace("@", "/")).startswith("adopted/"):
        return find(other), other.replace("/", "@")
    stages = [name.replace("/", "@") for name in MODELS]
    name, _, alias = model.rpartition("@")
    if name and alias and model not in stages:
        return find(model), target(name.split("-")[-2] if name.count("-") > 1 else name, stages)
    state = find(state_name, whole=False)
    stage = target(model, stages, state.outputs())
    if state.early and stage not in state.lock:
        raise UserError(state.early)
    return state, stage


def files_of(state: Snapshot) -> Files:
    """Files of a state: the workspace as it lies here, another by the hashes in its dvc.lock, pulled where needed."""
    return checkout_files(paths.ROOT) if state.kind == "workspace" else snapshots.files_of(state)


def model_files(state: Snapshot, model: str) -> dict[str, Path]:
    """Relative path -> place of the files in a model's folder, pulled where needed.

    Raises `UserError`: one is gone.
    """
    if state.kind == "workspace":
        folder = paths.ROOT / "models" / model
        return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    file, names = snapshots.files_of(state), sorted(ObjectCache().files(state.outputs()[f"models/{model}"]))
    return {name: path for name in names if (path := file(f"models/{model}/{name}"))}


def tunings_of(state: Snapshot) -> Tunings:
    """Settings of each fine-tuning in a state, as its own stage recorded them."""
    sections: dict[str, Any] = {}
    for stage, entry in state.lock.items():
        if stage.startswith("finetune@"):
            sections |= replace(state, lock={stage: entry}).params().get("finetune", {})
    return sections


# -- the five answers --------------------------------------------------------------------------------------------------


def collect(state: Snapshot, stage: str, where: str = "") -> ModelAnswers:
    """The five answers of the model that `stage` makes, in a state.

    Args:
        where: `models:/...` of a registered model, or a folder that holds a copy; the workspace's
            own by default.

    Raises `UserError`: the state has no such model, or its files are gone.
    """
    model, facts = stage.replace("@", "/"), gathered(state, stage)
    answers = model_answers(
        model,
        Account.model_validate(state.params().get("account", {})),
        facts.records,
        facts.cost,
        facts.forecasts,
        origin(state, model, where),
        facts.file,
        tunings_of(state),
    )
    if state.adopted:
        from components.studies import adoption

        answers = adoption.answered(answers, state.adopted)
    return answers.model_copy(update={"withdrawn": withdrawn(paths.ROOT, state.outputs().get(f"models/{model}"))})


@dataclass(frozen=True)
class Gathered:
    """Facts of a model before they are put into answers: records, cost by stage, forecasts, its files."""

    records: StageRecords
    cost: Cost
    forecasts: list[dict[str, Any]]
    file: Files


def gathered(state: Snapshot, stage: str) -> Gathered:
    """Facts that the stages and the ledger recorded of the model that `stage` makes.

    Raises `UserError`: the state has no such model, or its files are gone.
    """
    model, file = stage.replace("@", "/"), files_of(state)
    from components.studies import adoption  # what the pipeline imports does without

    if stage not in state.lock and state.kind != "workspace":
        raise UserError(f"{state.name}: its dvc.lock has no stage {stage}; run the pipeline there first")
    records = adoption.records_of(model, state.adopted) if state.adopted else gather(file)
    if model not in records.models:
        raise UserError(f"{state.name}: no models/{model} there; run the pipeline or `dvc checkout` first")
    grid = schema.load(paths.PARAMS).runtime.grid
    fingerprints, here = state.fingerprints(), state.kind == "workspace"
    behind = stages_behind(model, tunings_of(state))
    ledger = ledger_of({(name, fingerprints[name]) for name in behind if name in fingerprints})
    known = {(span.stage, span.labels.get("fingerprint")) for span in ledger}
    counted = [name for name in behind if here or (name, fingerprints.get(name)) in known]
    runs = stage_runs(ledger, counted, fingerprints, paths.ROOT.name)
    from components.stages.account.stage import costs, forecast_row

    cost = costs(LedgerCosts(ledger, grid, intensity.resolve(grid, paths.ROOT)), runs)
    return Gathered(records, cost, [forecast_row(row) for row in checked(ledger)], file)


def origin(state: Snapshot, model: str, where: str = "") -> ModelOrigin:
    """Origin of a model by git, DVC and the records of earlier commands."""
    name = state.name if "@" in state.name else model.replace("/", "@")
    experiment = {"workspace": worktree_experiment(), "experiment": state.name}.get(state.kind, "")
    state_name = experiment or ("" if state.kind in ("workspace", "adopted") or "@" in state.name else state.name)
    copy = f"greenhouse export {name}{f' --at {state_name}' if state_name else ''} --to hub --out model"
    elsewhere = not where and (bool(experiment) or state.kind not in ("workspace", "adopted"))
    return ModelOrigin(
        state=state.name,
        kind=state.kind,
        rebuild=_rebuild(state, model, verify_command(name, state_name), experiment),
        load=load_of(state, model, where or ("model" if elsewhere else f"models/{model}"), copy if elsewhere else ""),
        champion=_champion(state, model),
        scored_earlier=[name for name in lineage(model, tunings_of(state))[-2:] if _scored_earlier(state, name)],
    )


def load_of(state: Snapshot, model: str, where: str, first: str = "") -> LoadAnswer:
    """How Python loads the model of a state from the folder `where`."""
    if known := state.adopted:
        tool = known["tool"] if known["tool"] in NEEDED else ""  # an earlier version adopted it
        return LoadAnswer(tool=tool, call=known["call"].replace("{}", where), first=first)
    return load_answer(model, where, first, environment.mlflow_address())


def _scored_earlier(state: Snapshot, model: str) -> bool:
    """Whether evaluate scored other weights than these; also where what it scored can no longer be looked up."""
    try:
        return model in MODELS and seed_runs.scores_another(state, model.split("/")[1])
    except UserError:
        return True


def worktree_experiment() -> str:
    """The experiment whose worktree this checkout is: it is saved under that name at its end. "" if it is none."""
    return paths.ROOT.name if paths.ROOT.parent == paths.WORKTREES else ""


def _rebuild(state: Snapshot, model: str, command: str, experiment: str) -> RebuildAnswer:
    behind, md5 = stages_behind(model, tunings_of(state)), state.outputs().get(f"models/{model}")
    absent = [stage for stage in behind if stage not in state.lock or state.adopted]
    record = verified_file(md5)
    commit: str | NotKnown = git.commit() if experiment and state.kind == "workspace" else state.commit
    if state.kind == "workspace" and not experiment:
        commit = rebuild_commit(state.lock, behind)
    unknown = NotKnown(not_known="nobody recorded one" if state.adopted else "no commit is recorded")
    return RebuildAnswer(
        commit=commit or unknown,
        dvc_lock=NotKnown(not_known=f"dvc.lock has no {', '.join(absent)}") if absent else lock_behind(state, model),
        model=md5 or NotKnown(not_known="dvc.lock has no such output"),
        verified=Verification.model_validate(read_json(record))
        if record.exists()
        else NotKnown(not_known="nobody has rebuilt these bytes yet"),
        command=command,
        experiment=experiment,
    )


def lock_behind(state: Snapshot, model: str) -> str:
    """Hash of the entries of dvc.lock of the stages behind a model; each must be there."""
    return fingerprint([state.lock[stage] for stage in stages_behind(model, tunings_of(state)) if stage in state.lock])


def verified_file(md5: str | None) -> Path:
    """Where the result of the last rebuild of a model here is kept, by DVC's hash of it."""
    return paths.FINDINGS / "verified" / f"{md5}.json"


def record_verification(state: Snapshot, stage: str, difference: str, environment: dict[str, str]) -> None:
    """Keep the result of a rebuild, for the model's bytes and the lock that it was compared with."""
    result = f"differs: {difference}" if difference else "identical"
    model, facts = stage.replace("@", "/"), {"result": result, "at": today(), "processor": environment["processor"]}
    file = verified_file(state.outputs()[f"models/{model}"])
    write_json(file, environment | facts | {"dvc_lock": lock_behind(state, model)})


def today() -> str:
    """Now, in UTC, to the minute."""
    return datetime.now(UTC).isoformat(timespec="minutes")


# -- against the champion ----------------------------------------------------------------------------------------------


def registered_alias(name: str, alias: str) -> Any:
    """The version of a registered model that has an alias; None if there is none."""
    mlflow = client()  # before its other modules: MLflow is imported by one thread at a time
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _champion(state: Snapshot, model: str) -> AgainstChampion | NotKnown:
    if state.adopted:
        return NotKnown(not_known="models of other trainers have none")
    if state.name.endswith("@champion"):
        return AgainstChampion(champion=state.name, is_this=True, compared=today())
    record = paths.FINDINGS / "compared" / f"{state.outputs().get(EVALUATION)}.json"
    recorded: dict[str, Any] = read_json(record) if record.exists() else {}
    md5 = state.outputs().get(f"models/{model}")
    if model not in recorded or recorded[model].get("of") != md5:  # an evaluation outlives the models it was of
        return NotKnown(not_known="this model was not compared with the champion; run the pipeline to its end")
    kind = NotKnown if "not_known" in recorded[model] else AgainstChampion
    return kind.model_validate(recorded[model])


def record_comparison(state: Snapshot, comparisons: dict[str, AgainstChampion | NotKnown]) -> None:
    """Keep how the models of a state, named by their hashes, compare with their champions."""
    outputs = state.outputs()
    rows = {name: row.model_dump() | {"of": outputs.get(f"models/{name}")} for name, row in comparisons.items()}
    write_json(paths.FINDINGS / "compared" / f"{outputs[EVALUATION]}.json", rows)
