"""Claims about a model (components/studies/attestation), collected from DVC, the ledger, MLflow and records.

And the digests behind them: outputs of a chain of stages hashed again, links between its stages,
copies in MLflow.
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
from flows.system import git, paths
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


def claims_of(state: Snapshot, stage: str, owner: dict[str, str]) -> Claims:
    """Everything recorded of the model that `stage` makes, in a state.

    Args:
        owner: fields of the owner's file.

    Raises:
        UserError: the state has no such model, or its files are gone.
    """
    model, facts = stage.replace("@", "/"), gathered(state, stage)
    answers = collect(state, stage)
    stages, file = answers.stages, files_behind(facts.file, answers.stages)
    fingerprint = state.fingerprints()[stage]
    commit = answers.rebuild.commit if state.adopted else _commit(stage, fingerprint)
    rebuild = {"command": verify_command(model), "commit": commit, "experiment": ""}
    updates = {"load": load_of(state, model, "."), "rebuild": answers.rebuild.model_copy(update=rebuild)}
    claims = Claims(
        **answers.model_copy(update=updates | {"state": "", "kind": "", "withdrawn": ""}).model_dump(),
        files={name: sha256_file(path) for name, path in model_files(state, model).items()},
        md5=state.outputs()[f"models/{model}"],
        lock={name: state.lock[name] for name in (*stages, "evaluate") if name in state.lock},
        commit=commit,
        environment=state.adopted.get("environment") or recorded(client(), stage, fingerprint) or UNKNOWN_MACHINE,
        verdict=_verdict(fingerprint),
        retrieved=_retrieved(file),
        personal=facts.records.personal if "filter" in stages else {},
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
    """Git commit of the newest completed run in MLflow that made the stage's output from these inputs."""
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
    fields = read_tree(path, "write YAML, such as `provider: ...`") if path else {}
    if unknown := {str(name)[:80] for name in fields} - set(OWNER):
        raise UserError(f"{path}: no field {', '.join(sorted(unknown)[:9])}; there are {', '.join(OWNER)}")
    if shapeless := [name for name, value in fields.items() if value is None or isinstance(value, list | dict)]:
        raise UserError(f"{path}: {', '.join(shapeless)}: no text; write `{shapeless[0]}: ...`, or leave the line out")
    return {name: str(value) for name, value in fields.items()}


# -- digests -----------------------------------------------------------------------------------------------------------


def state_with(model: str, md5: str, lock: dict[str, dict[str, Any]]) -> Snapshot | None:
    """A state of this checkout (workspace, experiment, run, commit) whose dvc.lock records a model by its bytes.

    Several may, such as an experiment that tuned another model: the one with the entries of `lock`
    is taken first.
    """
    stage, out = model.replace("/", "@"), f"models/{model}"
    states_with = list[Snapshot]()
    for state in itertools.chain(states(), snapshots.adopted(), snapshots.committed()):
        if any((row["path"], row["md5"]) == (out, md5) for row in state.lock.get(stage, {}).get("outs", [])):
            if lock.items() <= state.lock.items():
                return state
            states_with.append(state)
    return states_with[0] if states_with else None


def author_of(state: Snapshot) -> str:
    """Who left the dvc.lock of a state, when, and whether it is signed, in words."""
    if state.adopted or state.kind == "run":
        return f"{state.name}: {'its .dvc file' if state.adopted else 'the dvc.lock that its run left in MLflow'}"
    if state.name == "workspace" and git.answer("status", "--porcelain", "--", "dvc.lock"):
        return "dvc.lock of this workspace: not committed, so left by whoever ran it here"
    line = git.answer("log", "-1", "--format=%h of %as by %an%x00%G?", state.commit or "HEAD", "--", "dvc.lock")
    commit, _, signed = line.partition("\0")
    words = {"G": "signed, as git says", "N": "not signed"}.get(signed, "its signature not checked")
    return f"dvc.lock of {state.name}: commit {commit or 'unknown'}, {words}"


def with_its_files(state: Snapshot) -> Snapshot:
    """The state, read from DVC's cache and remote where files of the workspace are gone, as they are in a fresh clone.

    What cannot be read there is an error then; a file that is absent here would be taken for one
    that never was.
    """
    if state.kind != "workspace":
        return state
    files = [*state.outputs(), *dict(files_of(ObjectCache(), state))]
    return state if all((paths.ROOT / file).exists() for file in files) else replace(state, kind="revision")


def rehashed(lock: dict[str, dict[str, Any]], here: bool) -> Iterator[Finding]:
    """Hash every output in `lock` again: as it lies here (if `here`), and in DVC's cache, filled from the remote."""
    store, count = ObjectCache(), 0
    for path, md5 in Snapshot("", "", lock).outputs().items():
        files = md5s_below(paths.ROOT / path) if here and (paths.ROOT / path).exists() else {}
        try:
            objects, missing = store.files(md5), list[str]()
        except UserError as error:
            objects, missing = {}, [str(error)]
        store.pull(objects.values())
        cached = {name: md5_file(store.path(wanted)) for name, wanted in objects.items() if store.path(wanted).exists()}
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
                missing.append(f"{file}: {store.absent(wanted)}")
            elif cached[name] != wanted:
                yield Finding("hashed", "no", f"{file}: the object {wanted} in DVC's cache has other bytes")
        if missing:
            where = "; the files here were hashed" if files else ""
            text = f"{path}: {counted(len(missing), 'file')} of it in no cache, such as {missing[0]}{where}"
            yield Finding(NOTE, "unknown", text)
    if count:
        yield Finding("hashed", "yes", f"{counted(count, 'file')} hashed again by that dvc.lock")


def chain(state_name: str, behind: list[str], lock: dict[str, dict[str, Any]]) -> list[Finding]:
    """Whether each stage behind a model is recorded, and was run on what the stage before made.

    Args:
        state_name: where `lock`, entries of dvc.lock, is from. behind: the model's stages.
    """
    outs = Snapshot("", "", lock).outputs()
    absent = [stage for stage in behind if stage not in lock]
    findings = [Finding("chain", "unknown", f"no stage {stage} in dvc.lock of {state_name}") for stage in absent]
    for stage, dep in ((stage, dep) for stage, entry in lock.items() for dep in entry.get("deps", [])):
        path, expected = dep["path"], outs.get(dep["path"], dep["md5"])
        if out := next((out for out in outs if path.startswith(f"{out}/")), ""):
            if not (store := ObjectCache()).path(outs[out]).exists():
                where = "is not here; `greenhouse sync pull` fetches it if the remote has it"
                findings.append(
                    Finding("chain", "unknown", f"the listing of {out}, which {path} is a part of, {where}")
                )
                continue
            expected = hash_in(path.removeprefix(f"{out}/"), store.files(outs[out]))
        if dep["md5"] != expected:
            text = f"dvc.lock: {stage} was run on another {path} than the stage before made"
            findings.append(Finding("chain", "no", text))
    if behind and not findings:
        findings = [
            Finding("chain", "recorded", f"{len(behind)} stages in dvc.lock of {state_name}, which records this model")
        ]
    return findings


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
