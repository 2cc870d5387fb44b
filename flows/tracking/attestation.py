"""Claims about a model (components/studies/attestation), collected from DVC, the ledger, MLflow and records.

And the digests behind them: outputs of a chain of stages hashed again, links between its stages, copies in MLflow.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.files import canonical_json, folder_md5, md5_file, md5s_below, rounded, sha256_file
from components.core.plain_text import counted
from components.lineage.documents import shards
from components.params import read_tree
from components.stages.account.answers import NotKnown
from components.stages.account.model_answers import files_behind, verify_command
from components.stages.account.summary import Files
from components.studies.attestation.claims import Claims, GateVerdict
from components.studies.attestation.training_content import OWNER
from components.studies.attestation.verdict import NOTE, Finding
from flows.system import paths
from flows.tracking import snapshots
from flows.tracking.environment_record import recorded, runs_of
from flows.tracking.garbage import local_folder
from flows.tracking.mlflow_run import client
from flows.tracking.model_exposure import states
from flows.tracking.model_origin import collect, gathered, load_of, model_files
from flows.tracking.rebuild_commit import hash_in
from flows.tracking.search import files_of
from flows.tracking.snapshots import ObjectCache, Snapshot

UNKNOWN_MACHINE = NotKnown(not_known="no run of MLflow says where this model was made")

# -- collecting --------------------------------------------------------------------------------------------------------


def claims_of(one: Snapshot, stage: str, owner: dict[str, str]) -> Claims:
    """Everything recorded of the model that `stage` makes, in a state.

    Args:
        owner: fields of the owner's file.

    Raises:
        UserError: the state has no such model, or its files are gone.
    """
    model, found = stage.replace("@", "/"), gathered(one, stage)
    answers = collect(one, stage)
    stages, file = answers.stages, files_behind(found.file, answers.stages)
    fingerprint = one.fingerprints()[stage]
    commit = answers.rebuild.commit if one.adopted else _commit(stage, fingerprint)
    own = {"command": verify_command(model), "commit": commit, "experiment": ""}
    place = {"load": load_of(one, model, "."), "rebuild": answers.rebuild.model_copy(update=own)}
    claims = Claims(
        **answers.model_copy(update=place | {"state": "", "kind": "", "withdrawn": ""}).model_dump(),
        files={name: sha256_file(path) for name, path in model_files(one, model).items()},
        md5=one.outputs()[f"models/{model}"],
        lock={name: one.lock[name] for name in (*stages, "evaluate") if name in one.lock},
        commit=commit,
        environment=one.adopted.get("environment") or recorded(client(), stage, fingerprint) or UNKNOWN_MACHINE,
        verdict=_verdict(fingerprint),
        retrieved=_retrieved(file),
        personal=found.records.personal if "filter" in stages else {},
        owner=owner,
    )
    return Claims.model_validate_json(canonical_json(rounded(claims.model_dump(mode="json"))))


def _retrieved(file: Files) -> list[str]:
    """First and last day on which text that was trained on was retrieved, as its pins say."""
    import polars as pl

    if not (known := [shard.path for shard in shards(file, ("bias", "train"))]):
        return []
    days = pl.scan_parquet(known).select("retrieved").filter(pl.col("retrieved") != "")
    first, last = days.select(pl.min("retrieved").alias("first"), pl.max("retrieved").alias("last")).collect().row(0)
    return [first, last] if first else []


def _commit(stage: str, fingerprint: str) -> str | NotKnown:
    """That of the newest completed run in MLflow that made the stage's output from these inputs."""
    commits = [run.data.tags.get("git.commit") for run in runs_of(client(), stage, fingerprint)[:1]]
    return next(filter(None, commits), NotKnown(not_known="no run of MLflow here has made this model"))


def versions_of(fingerprint: str) -> list[Any]:
    """Registered versions that were made from inputs of this fingerprint, the newest first."""
    versions = client().search_model_versions(f"tags.fingerprint = '{fingerprint}'")
    return sorted(versions, key=lambda version: -int(version.version))


def _verdict(fingerprint: str) -> GateVerdict | NotKnown:
    rows = versions_of(fingerprint)
    for row in rows:
        if verdict := row.tags.get("gate.verdict"):
            champion, reasons = (row.tags.get(f"gate.{name}", "") for name in ("champion", "reasons"))
            facts = {"registered": row.name, "version": str(row.version), "verdict": verdict, "champion": champion}
            return GateVerdict(**facts, reasons=reasons.split("\n"))
    why = "the gate was not asked about this model" if rows else "no version of this model is registered here"
    return NotKnown(not_known=why, is_none=bool(rows))


def owner_fields(path: Path | None) -> dict[str, str]:
    """The fields of an owner's file (YAML).

    Raises:
        UserError: it cannot be read, or has a field that nobody asks for.
    """
    found = read_tree(path, "write YAML, such as `provider: ...`") if path else {}
    if unknown := {str(name)[:80] for name in found} - set(OWNER):
        raise UserError(f"{path}: no field {', '.join(sorted(unknown)[:9])}; there are {', '.join(OWNER)}")
    if shapeless := [name for name, value in found.items() if value is None or isinstance(value, list | dict)]:
        raise UserError(f"{path}: {', '.join(shapeless)}: no text; write `{shapeless[0]}: ...`, or leave the line out")
    return {name: str(value) for name, value in found.items()}


# -- digests -----------------------------------------------------------------------------------------------------------


def state_with(model: str, md5: str, lock: dict[str, dict[str, Any]]) -> Snapshot | None:
    """A state of this checkout (workspace, experiment, run, commit) whose dvc.lock records a model by its bytes.

    Several may, such as an experiment that tuned another model: the one with the entries of `lock` is taken first.
    """
    stage, out = model.replace("/", "@"), f"models/{model}"
    known = list[Snapshot]()
    for one in itertools.chain(states(), snapshots.adopted(), snapshots.committed()):
        if any((row["path"], row["md5"]) == (out, md5) for row in one.lock.get(stage, {}).get("outs", [])):
            if lock.items() <= one.lock.items():
                return one
            known.append(one)
    return known[0] if known else None


def with_its_files(one: Snapshot) -> Snapshot:
    """The state, read from DVC's cache and remote where files of the workspace are gone, as they are in a fresh clone.

    What cannot be read there is an error then; a file that is absent here would be taken for one that never was.
    """
    if one.kind != "workspace":
        return one
    files = [*one.outputs(), *dict(files_of(ObjectCache(), one))]
    return one if all((paths.ROOT / file).exists() for file in files) else replace(one, kind="revision")


def rehashed(lock: dict[str, dict[str, Any]], here: bool) -> Iterator[Finding]:
    """Hash every output in `lock` again: as it lies here (if `here`), and in DVC's cache, filled from the remote."""
    store, count = ObjectCache(), 0
    for path, md5 in Snapshot("", "", lock).outputs().items():
        files = md5s_below(paths.ROOT / path) if here and (paths.ROOT / path).exists() else {}
        try:
            objects, gone = store.files(md5), list[str]()
        except UserError as error:
            objects, gone = {}, [str(error)]
        store.pull(objects.values())
        cached = {name: md5_file(store.path(one)) for name, one in objects.items() if store.path(one).exists()}
        count += len(files) + len(cached)
        if files and files.get("", folder_md5(files)) != md5:
            other, *_ = min(files.items() ^ (objects or files).items(), default=("",))
            named = f"{path}/{other}".rstrip("/")
            yield Finding("hashed", "no", f"{named}: not as dvc.lock records it, in this workspace")
        if objects and md5.endswith(".dir") and folder_md5(objects) != md5:
            yield Finding("hashed", "no", f"{path}: DVC's listing of it does not have the hash {md5}")
        for name, wanted in objects.items():
            file = f"{path}/{name}".rstrip("/")
            if name not in cached:
                gone.append(f"{file}: {store.absent(wanted)}")
            elif cached[name] != wanted:
                yield Finding("hashed", "no", f"{file}: the object {wanted} in DVC's cache has other bytes")
        if gone:
            where = "; the files here were hashed" if files else ""
            yield Finding(
                NOTE, "unknown", f"{path}: {counted(len(gone), 'file')} of it in no cache, such as {gone[0]}{where}"
            )
    if count:
        yield Finding("hashed", "yes", f"{counted(count, 'file')} hashed again by that dvc.lock")


def chain(state: str, behind: list[str], lock: dict[str, dict[str, Any]]) -> list[Finding]:
    """Whether each stage behind a model is recorded, and was run on what the stage before made.

    Args:
        state: where `lock`, entries of dvc.lock, is from. behind: the model's stages.
    """
    outs = Snapshot("", "", lock).outputs()
    absent = [stage for stage in behind if stage not in lock]
    found = [Finding("chain", "unknown", f"no stage {stage} in dvc.lock of {state}") for stage in absent]
    for stage, dep in ((stage, dep) for stage, entry in lock.items() for dep in entry.get("deps", [])):
        path, made = dep["path"], outs.get(dep["path"], dep["md5"])
        if whole := next((out for out in outs if path.startswith(f"{out}/")), ""):
            if not (store := ObjectCache()).path(outs[whole]).exists():
                where = "is not here; `greenhouse sync pull` fetches it if the remote has it"
                found.append(Finding("chain", "unknown", f"the listing of {whole}, which {path} is a part of, {where}"))
                continue
            made = hash_in(path.removeprefix(f"{whole}/"), store.files(outs[whole]))
        if dep["md5"] != made:
            text = f"dvc.lock: {stage} was run on another {path} than the stage before made"
            found.append(Finding("chain", "no", text))
    if behind and not found:
        found = [Finding("chain", "yes", f"{len(behind)} stages in dvc.lock of {state}, which records this model")]
    return found


def mlflow_copies(fingerprint: str, md5: str, files: dict[str, str]) -> Iterator[Finding]:
    """The copies of a model in MLflow, compared with its files."""
    for version in versions_of(fingerprint):
        name = f"{version.name} version {version.version}"
        if version.tags.get("dvc.md5", md5) != md5:
            yield Finding("hashed", "no", f"MLflow: {name} names the bytes {version.tags['dvc.md5']}")
        folder = local_folder(client().get_logged_model(version.source.rpartition("/")[2]).artifact_location)
        copy = min(folder.rglob("model.safetensors"), default=None)
        if copy is None:
            yield Finding(NOTE, "unknown", f"MLflow: the copy of {name} is not on this machine")
        elif sha256_file(copy) != files.get("model.safetensors"):
            yield Finding("hashed", "no", f"MLflow: the copy of {name} has other weights")
        else:
            yield Finding("bytes", "yes", f"MLflow: the copy of {name} has these weights")
