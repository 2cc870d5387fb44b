"""Claims about a model (components/studies/attestation), collected from DVC, the ledger, MLflow and records.

And the digests behind them: outputs of a chain of stages hashed again, links between its stages, copies in MLflow.
"""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.files import canonical_json, folder_md5, md5_file, md5s_below, read_json, rounded, sha256_file
from components.params import read_tree
from components.stages.account.answers import NotKnown
from components.stages.account.model_answers import files_behind, verify_command
from components.stages.account.summary import Files
from components.studies.attestation.claims import Claims, GateVerdict
from components.studies.attestation.training_content import OWNER
from flows.system import paths
from flows.tracking import environment_record, snapshots
from flows.tracking.garbage import local_folder
from flows.tracking.mlflow_run import client
from flows.tracking.model_exposure import states
from flows.tracking.model_origin import collect, gathered, load_of
from flows.tracking.rebuild_commit import hash_in
from flows.tracking.snapshots import ObjectCache, Snapshot

# -- collecting --------------------------------------------------------------------------------------------------------


def claims_of(one: Snapshot, stage: str, names: list[str], owner: dict[str, str]) -> Claims:
    """Everything recorded of the model that `stage` makes, in a state.

    Args:
        names: files of the model's folder. owner: fields of the owner's file.

    Raises:
        UserError: the state has no such model, or its files are gone.
    """
    model, found = stage.replace("@", "/"), gathered(one, stage)
    answers = collect(one, stage)
    stages, file = answers.stages, files_behind(found.file, answers.stages)
    fingerprint = one.fingerprints()[stage]
    commit = answers.rebuild.commit if one.adopted else _commit(stage, fingerprint)
    own = {"command": verify_command(model), "commit": commit, "experiment": ""}
    rebuild = answers.rebuild.model_copy(update=own)
    place: dict[str, Any] = {"state": "", "kind": "", "withdrawn": ""}
    place |= {"load": load_of(one, model, "."), "rebuild": rebuild}
    claims = Claims(
        **answers.model_copy(update=place).model_dump(),
        files={name: sha256_file(_file(found.file, f"models/{model}/{name}")) for name in names},
        md5=one.outputs()[f"models/{model}"],
        lock={name: one.lock[name] for name in (*stages, "evaluate") if name in one.lock},
        commit=commit,
        environment=one.adopted.get("environment") or _environment(stage, fingerprint),
        verdict=_verdict(fingerprint),
        retrieved=_retrieved(file),
        personal=found.records.personal if "filter" in stages else {},
        owner=owner,
    )
    return Claims.model_validate_json(canonical_json(rounded(claims.model_dump(mode="json"))))


def _file(file: Files, path: str) -> Path:
    found = file(path)
    if found is None:
        raise UserError(f"{path}: not in this state; run the pipeline or `dvc pull` first")
    return found


def _retrieved(file: Files) -> list[str]:
    """First and last day on which text that was trained on was retrieved, as its pins say."""
    import polars as pl

    manifest = file("data/bias/train/manifest.json")
    shards = [file(f"data/bias/train/{row['file']}") for row in read_json(manifest)["shards"]] if manifest else []
    if not (known := [path for path in shards if path]):
        return []
    days = pl.scan_parquet(known).select("retrieved").filter(pl.col("retrieved") != "")
    first, last = days.select(pl.min("retrieved").alias("first"), pl.max("retrieved").alias("last")).collect().row(0)
    return [first, last] if first else []


def _commit(stage: str, fingerprint: str) -> str | NotKnown:
    """That of the newest completed run in MLflow that made the stage's output from these inputs."""
    runs = environment_record.runs_of(client(), stage, fingerprint)[:1]
    commit = runs[0].data.tags.get("git.commit") if runs else ""
    return commit or NotKnown(not_known="no run of MLflow here has made this model")


def _environment(stage: str, fingerprint: str) -> dict[str, str] | NotKnown:
    found = environment_record.recorded(client(), stage, fingerprint)
    return found or NotKnown(not_known="no run of MLflow says where this model was made")


def versions_of(fingerprint: str) -> list[Any]:
    """Registered versions that were made from inputs of this fingerprint, the newest first."""
    found = client().search_model_versions(f"tags.fingerprint = '{fingerprint}'")
    return sorted(found, key=lambda version: -int(version.version))


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
    store = ObjectCache()
    for out, md5 in one.outputs().items():
        listed = store.files(md5) if store.path(md5).exists() and md5.endswith(".dir") else {"": md5}
        if not all((paths.ROOT / out / name).exists() for name in listed):
            return replace(one, kind="revision")
    return one


def rehashed(lock: dict[str, dict[str, Any]], here: bool) -> tuple[int, list[str], list[str]]:
    """Hash every output in `lock` again: as it lies here (if `here`), and in DVC's cache, filled from the remote.

    Returns:
        the number of files whose bytes were hashed; what is wrong; what could not be reached.
    """
    store, count = ObjectCache(), 0
    wrong, unreached = list[str](), list[str]()
    for out in (out for entry in lock.values() for out in entry.get("outs", [])):
        path, md5 = out["path"], out["md5"]
        files = md5s_below(paths.ROOT / path) if here and (paths.ROOT / path).exists() else {}
        if files and files.get("", folder_md5(files)) != md5:
            wrong.append(f"{path}: its files here are not those of dvc.lock")
        try:
            objects, gone = store.files(md5), list[str]()
        except UserError as error:
            objects, gone = {}, [str(error)]
        if objects and md5.endswith(".dir") and folder_md5(objects) != md5:
            wrong.append(f"{path}: DVC's listing of it does not have the hash {md5}")
        bad, absent, good = _objects(store, path, objects)
        wrong, gone, count = wrong + bad, gone + absent, count + len(files) + good
        if gone:
            more = f" and {len(gone) - 1} more" * (len(gone) > 1)
            unreached.append(f"{path}: {gone[0]}{more}{' (the files here were hashed)' * bool(files)}")
    return count, wrong, unreached


def _objects(store: ObjectCache, path: str, objects: dict[str, str]) -> tuple[list[str], list[str], int]:
    """Objects of DVC's cache that are not what their name says, that nobody has, and the number of good ones."""
    bad, gone, good = list[str](), list[str](), 0
    store.pull(objects.values())
    for name, md5 in objects.items():
        if not (found := store.path(md5)).exists():
            gone.append(f"{name}: {store.absent(md5)}" if name else store.absent(md5))
            continue
        good += 1
        if md5_file(found) != md5:
            bad.append(f"{f'{path}/{name}'.rstrip('/')}: the object {md5} in DVC's cache has other bytes")
    return bad, gone, good


def chain(lock: dict[str, dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Links between the stages in `lock`: inputs that are not what the stage before made, and those not to be told.

    Args:
        lock: entries of dvc.lock of a model's stages.
    """
    outs = {out["path"]: out["md5"] for entry in lock.values() for out in entry.get("outs", [])}
    inside = {path for path in _deps(lock) if any(path.startswith(f"{out}/") for out in outs)}
    parts = _parts(inside, outs)
    broken = [
        f"dvc.lock: {stage} was run on another {dep['path']} than the stage before made"
        for stage, entry in lock.items()
        for dep in entry.get("deps", [])
        if dep["md5"] != (outs | parts).get(dep["path"], dep["md5"])
    ]
    return broken, [f"the listing of the output that {path} is a part of" for path in sorted(inside - parts.keys())]


def _deps(lock: dict[str, dict[str, Any]]) -> set[str]:
    return {dep["path"] for entry in lock.values() for dep in entry.get("deps", [])}


def _parts(deps: set[str], outs: dict[str, str]) -> dict[str, str]:
    """Inputs that lie inside an output -> the hash that follows from the output's listing, where that is here."""
    store, found = ObjectCache(), dict[str, str]()
    for dep in deps:
        out = next(out for out in outs if dep.startswith(f"{out}/"))
        here = outs[out].endswith(".dir") and store.path(outs[out]).exists()
        if here and (md5 := hash_in(dep.removeprefix(f"{out}/"), store.files(outs[out]))):
            found[dep] = md5
    return found


def mlflow_copies(fingerprint: str, md5: str, files: dict[str, str]) -> tuple[int, list[str], list[str]]:
    """Compare the copies of a model in MLflow with its files; how many agree, what is wrong, what was not reached."""
    mlflow, good = client(), 0
    wrong, unreached = list[str](), list[str]()
    for version in versions_of(fingerprint):
        name = f"{version.name} version {version.version}"
        if version.tags.get("dvc.md5", md5) != md5:
            wrong.append(f"MLflow: {name} names the bytes {version.tags['dvc.md5']}")
        folder = local_folder(mlflow.get_logged_model(version.source.rpartition("/")[2]).artifact_location)
        copy = min(folder.rglob("model.safetensors"), default=None)
        if copy is None:
            unreached.append(f"MLflow: the copy of {name} is not on this machine")
        elif sha256_file(copy) != files.get("model.safetensors"):
            wrong.append(f"MLflow: the copy of {name} has other weights")
        else:
            good += 1
    return good, wrong, unreached
