"""What `greenhouse clean --unused` may remove: objects of DVC's cache and models in MLflow that nothing names any more.

Named, and so kept, is what these need: the workspace; git tags; every pipeline run whose model is
`champion` or `challenger` or which carries the MLflow tag `keep` (its dvc.lock lies with the run);
the DVC experiment of that name. Other experiments go with their bytes. A team's MLflow server is
left alone: its models are the team's.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from components.core.errors import UserError, clause
from flows.system import dvc, paths
from flows.system.disk import Removable, is_own, removable, remove_path, size_of, together
from flows.tracking import snapshots
from flows.tracking.mlflow_run import client, name_of
from flows.tracking.snapshots import ObjectCache

KEEP_ALIASES = ("champion", "challenger")


def unused() -> tuple[list[Removable], list[str]]:
    """Removable items, and notes on what is kept and why."""
    address, database = os.environ["MLFLOW_TRACKING_URI"], paths.STATE / "mlflow.db"
    ours = address == f"sqlite:///{database}"
    try:
        mlflow = client() if ours and database.exists() else None
        kept_runs = named_runs(mlflow) if mlflow else {}
    except Exception as error:  # SQLAlchemy's and sqlite's, under MLflow's names or not
        raise UserError(
            f"{database}: cannot be read ({clause(error)}), so what it names is not known; restore it from a backup, "
            "or remove it: scores and models of past runs go with it"
        ) from None
    going = {name: commit for name, commit in snapshots.experiments().items() if name not in kept_runs.values()}
    kept = [commit for name, commit in snapshots.experiments().items() if name not in going]
    used, cache = used_objects(kept, kept_runs), ObjectCache().folder
    items = cache_items(used, cache) if is_own(cache) else []
    items += [experiment_item(name) for name in going]
    if mlflow:
        items += model_items(mlflow, set(kept_runs))
    names = ", ".join(sorted(set(kept_runs.values()))) or "none"
    notes = [f"Kept: the workspace, git tags, and runs that are champion, challenger or tagged `keep`: {names}."]
    if not ours:
        notes.append(f"MLflow at {address} is not this checkout's own: its models stay.")
    if not is_own(cache):
        notes.append(f"DVC's cache, {cache}, lies outside of this checkout: its objects stay, others may need them.")
    return items, notes


# -- what is named -----------------------------------------------------------------------------------------------------


def named_runs(mlflow: Any) -> dict[str, str]:
    """MLflow id -> name of each pipeline run that is to be kept."""
    kept: dict[str, str] = {}
    here = set(snapshots.Snapshot("workspace", "workspace", dvc.lock()).fingerprints().values())
    for version in mlflow.search_model_versions(""):
        aliases = mlflow.get_model_version(version.name, version.version).aliases
        named = set(aliases) & set(KEEP_ALIASES) or "keep" in version.tags
        if named or version.tags.get("fingerprint") in here:
            kept |= _parent(mlflow, version.run_id)
    experiment = mlflow.get_experiment_by_name(paths.EXPERIMENT)
    for run in mlflow.search_runs([experiment.experiment_id], "tags.keep LIKE '%'") if experiment else []:
        kept |= _parent(mlflow, run.info.run_id)
    return kept


def _parent(mlflow: Any, run_id: str) -> dict[str, str]:
    run = mlflow.get_run(run_id)
    if above := run.data.tags.get("mlflow.parentRunId"):
        run = mlflow.get_run(above)
    return {run.info.run_id: name_of(run)}


def used_objects(commits: list[str], runs: dict[str, str]) -> set[str]:
    """Hashes of DVC's cache that the workspace, git tags, these commits and these runs need."""
    with dvc.open_repo(paths.ROOT) as repo:
        wanted = repo.used_objs(all_tags=True, revs=commits or None, force=True)
        used = {info.value for hashes in wanted.values() for info in hashes if info.value}
    cache = ObjectCache()
    for name in runs.values():
        try:
            hashes = snapshots._of_run(name).outputs().values()
        except UserError:
            continue  # a run of plain `dvc repro` leaves no dvc.lock; its model is in MLflow
        for md5 in hashes:
            used.add(md5)
            if md5.endswith(".dir") and cache.path(md5).exists():
                used |= set(cache.files(md5).values())
    return used


# -- what can go -------------------------------------------------------------------------------------------------------


def cache_items(used: set[str], folder: Path) -> list[Removable]:
    """The unused objects of DVC's cache, as one item."""
    objects = sorted(folder.glob("??/*"))
    unused = [removable("", path) for path in objects if path.parent.name + path.name not in used]
    return [together(f"{len(unused)} objects of DVC's cache", unused)] if unused else []


def experiment_item(name: str) -> Removable:
    """A DVC experiment (its bytes are counted with the cache)."""
    return Removable(f"DVC experiment {name}", 0, lambda: dvc.run("exp", "remove", "-q", name))


def model_items(mlflow: Any, kept_runs: set[str]) -> list[Removable]:
    """Models in MLflow of runs that are not kept: registered version, record, copy on disk."""
    versions = {version.source.removeprefix("models:/"): version for version in mlflow.search_model_versions("")}
    experiment = mlflow.get_experiment_by_name(paths.EXPERIMENT)
    models = mlflow.search_logged_models([experiment.experiment_id]) if experiment else []
    return [
        model_item(mlflow, model, versions.get(model.model_id))
        for model in models
        if not set(_parent(mlflow, model.source_run_id)) & kept_runs
    ]


def model_item(mlflow: Any, model: Any, version: Any) -> Removable:
    """A model in MLflow, with the version it is registered as if it is."""
    folder = local_folder(model.artifact_location)
    here = folder.exists() and is_own(folder)
    elsewhere = f" (its copy, {folder}, is outside of this checkout and stays)" if folder.exists() and not here else ""

    def remove() -> None:
        if version:
            mlflow.delete_model_version(version.name, version.version)
        mlflow.delete_logged_model(model.model_id)
        if here:
            remove_path(folder)

    name = f"{version.name} version {version.version}" if version else f"model {model.name}"
    name += f", its {' and '.join(version.aliases)}" if version and version.aliases else ""
    return Removable(f"MLflow: {name}{elsewhere}", size_of(folder) if here else 0, remove)


def local_folder(uri: str) -> Path:
    """The folder of a `file:` address, or of a path."""
    return Path(url2pathname(urlparse(uri).path))
