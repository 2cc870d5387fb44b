"""A state of the pipeline that has a name, and what DVC recorded of it.

`workspace`; a git revision; a DVC experiment; a pipeline run in MLflow by its name; a registered
model's alias such as `greenhouse-causal-2@champion`. Each has a dvc.lock, and in it the hash of
every input and output of every stage: enough to compare two states, to find the energy spent on
one, and to know which bytes of the cache it needs.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.files import fingerprint, folder_md5, md5_of, nested, read_json
from components.params import layout, yaml_text
from flows.system import code_files, dvc, git, paths
from flows.tracking.mlflow_run import NAME_TAG, UNMADE_TAG, client

ADOPTED = "models/adopted"
"""Folder of models of other trainers, each with the .dvc file that names its hash."""


@dataclass(frozen=True)
class Snapshot:
    """One state.

    Attributes:
        name: as asked for.
        kind: workspace, revision, experiment, run, adopted.
        lock: the stages of its dvc.lock.
        commit: the git commit it was made from, as far as known.
        early: of a run that ended before all of its stages were made, a sentence that says so;
            `lock` lacks those.
        adopted: of a model of another trainer, its greenhouse.json; `lock` has its one step, and is
            in no dvc.lock.
    """

    name: str
    kind: str
    lock: dict[str, dict]
    commit: str = ""
    early: str = ""
    adopted: dict[str, Any] = field(default_factory=dict)

    def params(self) -> dict[str, Any]:
        """The effective value of every parameter the stages depend on, as one tree.

        Where stages ran with different values, as one that is stale has, that of the stage the
        section is named after.
        """
        tree: dict[str, Any] = {}
        of_stage = {stage: nested(layout.effective(entry.get("params", {}))) for stage, entry in self.lock.items()}
        for values in of_stage.values():
            tree = layout.overlaid(tree, values)
        for stage, values in of_stage.items():
            section = stage.partition("@")[0]
            tree = layout.overlaid(tree, {section: values[section]} if section in values else {})
        return tree

    def title(self) -> str:
        """Its name; of a commit with its day, author and first line too, which say whose work it is."""
        about = git.answer("log", "-1", "--format=%as, %an: %s", self.commit) if self.kind == "revision" else ""
        return f"commit {self.name} ({about})" if about else self.name

    def outputs(self) -> dict[str, str]:
        """Path -> hash of every output."""
        return {out["path"]: out["md5"] for entry in self.lock.values() for out in entry.get("outs", [])}

    def code(self) -> dict[str, str]:
        """Path -> hash of every source file the stages depend on; of a folder where its files are unknown.

        Of a model of another trainer: commit, changes beside it, and the files of code that its
        record names.
        """
        if self.adopted:
            return self.adopted.get("code", {"commit": self.commit})
        deps = [dep for entry in self.lock.values() for dep in entry.get("deps", [])]
        return code_files.expanded({dep["path"]: dep["md5"] for dep in deps if dep["path"].startswith(code_files.CODE)})

    def fingerprints(self) -> dict[str, str]:
        """Stage -> the name of its inputs, as in work folders, the ledger and the tags of models (`dvc.Inputs`)."""
        return {
            stage: fingerprint(
                [layout.effective(entry.get("params", {})), {dep["path"]: dep["md5"] for dep in entry.get("deps", [])}]
            )
            for stage, entry in self.lock.items()
        }


def find(name: str, whole: bool = True) -> Snapshot:
    """The snapshot of that name, an experiment or a run also in another case, if only one fits.

    `whole`: unless it is a pipeline run that ended early.

    Raises:
        UserError: nothing has that name, or what has it recorded no dvc.lock, or not all of it.
    """
    if not name.strip():
        raise UserError("no snapshot is named; give `workspace`, a git revision, a DVC experiment, a run or an alias")
    if name == "workspace":
        if not (lock := dvc.lock()):
            raise UserError("the workspace has no dvc.lock: nothing ran yet; run `make demo` first")
        return Snapshot(name, "workspace", lock, git.answer("rev-parse", "HEAD"))
    if name.startswith("adopted/"):
        return _of_adopted(name)
    if commit := experiments().get(name):
        return _of_commit(name, "experiment", commit)
    if "@" in name and "@{" not in name:
        return _of_alias(name)
    if commit := git.answer("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
        return _of_commit(name, "revision", commit)
    if len(matching := [experiment for experiment in experiments() if experiment.lower() == name.lower()]) == 1:
        return find(matching[0])
    run = _of_run(name)
    if whole and run.early:
        raise UserError(run.early)
    return run


def experiments() -> dict[str, str]:
    """Name -> commit of every DVC experiment in this repository."""
    return {ref.rsplit("/", 1)[1]: commit for ref, commit in git.experiment_refs().items() if ref.count("/") == 4}


def committed() -> Iterator[Snapshot]:
    """States that commits of any branch or tag recorded: those that changed dvc.lock."""
    refs = ("HEAD", "--branches", "--tags", "--remotes")
    for commit in git.answer("log", "--format=%H", "--full-history", *refs, "--", "dvc.lock").split():
        with suppress(UserError):  # it was removed there
            yield _of_commit(commit[:9], "revision", commit)


def adopted() -> Iterator[Snapshot]:
    """The models of other trainers that `greenhouse adopt` took in here."""
    for path in sorted((paths.ROOT / ADOPTED).glob("*.dvc")):
        yield _of_adopted(f"adopted/{path.stem}")


def _of_adopted(name: str) -> Snapshot:
    """From the .dvc file that git holds, and greenhouse.json in the folder whose hash it names."""
    file = paths.ROOT / f"models/{name}.dvc"
    if not file.exists():
        raise UserError(f"{name}: no such model was adopted here; `greenhouse adopt FOLDER --name NAME` does that")
    md5 = yaml_text.load(file.read_text())["outs"][0]["md5"]
    facts = files_of(of_facts(name, {}, md5))(f"models/{name}/greenhouse.json")
    assert facts is not None, name
    return of_facts(name, read_json(facts), md5)


def of_facts(name: str, facts: dict[str, Any], md5: str) -> Snapshot:
    """State of an adopted model with these facts (greenhouse.json) and hash of its folder."""
    step: dict[str, Any] = {key: facts[key] for key in ("cmd", "deps", "params") if key in facts}
    step["outs"] = [{"path": f"models/{name}", "md5": md5}]
    return Snapshot(name, "adopted", {name.replace("/", "@"): step}, facts.get("commit", ""), adopted=facts)


def _of_commit(name: str, kind: str, commit: str) -> Snapshot:
    text = git.answer("show", f"{commit}:dvc.lock")
    if not text:
        raise UserError(f"{name}: commit {commit[:9]} holds no dvc.lock; commit dvc.lock with the work it records")
    return Snapshot(name, kind, (yaml_text.load(text) or {}).get("stages", {}), commit)


def _of_alias(name: str) -> Snapshot:
    """The run that made a registered model."""
    from mlflow.exceptions import MlflowException

    mlflow = client()
    model, alias = name.rsplit("@", 1)
    try:
        version = mlflow.get_model_version_by_alias(model, alias)
        run = mlflow.get_run(version.run_id)
        parent = mlflow.get_run(run.data.tags.get("mlflow.parentRunId", run.info.run_id))
    except MlflowException:
        raise UserError(
            f"{name}: no registered model of that name has the alias {alias} in {_address()}; if `greenhouse forget "
            "--purge` deleted it, `greenhouse promote` makes the workspace's model champion"
        ) from None
    return _of_record(name, mlflow, parent)


def _of_run(name: str) -> Snapshot:
    mlflow = client()
    experiment = mlflow.get_experiment_by_name(paths.EXPERIMENT)
    query = f"tags.{NAME_TAG} ILIKE '{name}'"  # where _ stands for any character
    runs = mlflow.search_runs([experiment.experiment_id], query) if experiment and "'" not in name else []
    alike = [run for run in runs if run.data.tags[NAME_TAG].lower() == name.lower()]
    runs = [run for run in alike if run.data.tags[NAME_TAG] == name] or alike
    if len({run.data.tags[NAME_TAG] for run in runs}) != 1:
        raise UserError(
            f"{name}: neither `workspace`, a git revision, a DVC experiment (`dvc exp show`), a registered model's "
            f"alias, nor a pipeline run in {_address()}"
        )
    return _of_record(runs[0].data.tags[NAME_TAG], mlflow, runs[0])


def _of_record(name: str, mlflow: Any, run: Any) -> Snapshot:
    """From the dvc.lock that a pipeline run leaves with its MLflow run."""
    import tempfile

    from mlflow.exceptions import MlflowException

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one small file
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = mlflow.download_artifacts(run.info.run_id, "dvc.lock", folder)
        except (MlflowException, OSError):
            if run.info.status == "RUNNING":
                running = "compare it once it has ended (`greenhouse cost` shows what runs)"
                raise UserError(f"{name} still runs; {running}") from None
            raise UserError(
                f"{name}: its MLflow run holds no dvc.lock, so it was no pipeline run that finished"
            ) from None
        lock = yaml_text.load(Path(path).read_text())["stages"]
    unmade = run.data.tags.get(UNMADE_TAG, "")
    early = (
        f"{name} ended early ({run.info.status}): not made were {unmade}; start it again with the same values, it "
        "resumes, and name that run"
    )
    return Snapshot(name, "run", lock, run.data.tags.get("git.commit", ""), early if unmade else "")


def _address() -> str:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    return uri if uri.startswith("http") else "MLflow"


# -- bytes in DVC's cache ----------------------------------------------------------------------------------------------


@dataclass
class ObjectCache:
    """DVC's cache of this repository, read by hash. `unanswered`: why the default remote could not be asked, if so."""

    root: Path = paths.ROOT
    folder: Path = field(init=False)
    unanswered: str = ""

    def __post_init__(self) -> None:
        with dvc.open_repo(self.root) as repo:
            self.folder = Path(repo.cache.local.path)

    @classmethod
    def at(cls, root: Path, folder: Path) -> "ObjectCache":
        """The cache in a folder of another checkout, which is not opened: DVC would write there."""
        store = cls.__new__(cls)
        store.root, store.folder = root, folder
        return store

    def path(self, md5: str) -> Path:
        """Where an object lies (`.dir` objects list the files of a folder)."""
        return self.folder / md5[:2] / md5[2:]

    def files(self, md5: str) -> dict[str, str]:
        """Relative path -> hash of a folder's files; `{"": md5}` for a file.

        A listing comes from whoever writes the remote, and its rows become paths here: it must have
        the hash that it is named by, and each row must stay in the folder.

        Raises `UserError`: the object is in neither the cache nor the default remote, or is not
        such a listing.
        """
        if not md5.endswith(".dir"):
            return {"": md5}
        path = self.fetched(md5)
        try:
            files = {str(row["relpath"]): str(row["md5"]) for row in json.loads(path.read_bytes())}
        except (ValueError, LookupError, TypeError):
            files = {}
        inside = all(_stays_inside(name) and re.fullmatch(r"\w+", value) for name, value in files.items())
        if not inside or folder_md5(files) != md5:
            raise UserError(
                f"{path}: not the listing that its name says, or a path in it leads out of the folder; whoever writes "
                "the DVC remote may have changed it: ask them, delete this file, and pull again"
            )
        return files

    def fetched(self, md5: str) -> Path:
        """The object's path, after a pull from the default remote if it is not here."""
        self.pull({md5})
        if not self.path(md5).exists():
            raise UserError(f"{self.absent(md5)}; `dvc pull` it, or make it again")
        return self.path(md5)

    def absent(self, md5: str) -> str:
        """Where an object is not, as far as is known: a remote may not have answered."""
        return f"{md5}: not in DVC's cache ({self.folder}), {self.unanswered or 'nor in a remote'}"

    def pull(self, hashes: Iterable[str]) -> None:
        """Fill the cache from the default remote, as far as there is one and it has the objects."""
        from dvc.exceptions import DvcException
        from dvc_data.hashfile.hash_info import HashInfo

        if missing := sorted(md5 for md5 in hashes if not self.path(md5).exists()):
            for name in ("dvc_data", "dvc_objects", "dvc.data_cloud"):  # a line for each object the remote lacks
                logging.getLogger(name).setLevel(logging.CRITICAL)
            with dvc.open_repo(self.root) as repo, suppress(DvcException):
                repo.cloud.pull([HashInfo("md5", md5) for md5 in missing])
                if not all(self.path(md5).exists() for md5 in missing) and (why := dvc.unreachable(repo)):
                    self.unanswered = f"and {why}"


def _stays_inside(name: str) -> bool:
    """Whether a row's path is below the folder that the listing is of."""
    return not name.startswith("/") and not {"", ".", ".."} & set(name.split("/")) and "\\" not in name


def raise_if_listings_lead_out() -> None:
    """Hold each listing that dvc.lock and .dvc files name against its hash, before DVC writes what it lists.

    Raises:
        UserError: one is another, leads out of its folder, or is not in the default remote: DVC would take it from
            another, unseen.
    """
    store, states = ObjectCache(), [Snapshot("workspace", "workspace", dvc.lock()), *dvc_files()]
    named = {md5 for state in states for md5 in state.outputs().values() if md5.endswith(".dir")}
    store.pull(named)
    for md5 in sorted(named):
        store.files(md5)


def dvc_files() -> Iterator[Snapshot]:
    """What .dvc files of the checkout name, such as adopted models, also those that git does not track yet."""
    for name in git.answer("ls-files", "--cached", "--others", "*.dvc").split("\n"):
        if name and (paths.ROOT / name).exists():
            folder = Path(name).parent
            outs = (yaml_text.load((paths.ROOT / name).read_text()) or {}).get("outs", [])
            outs = [{"path": str(folder / out["path"]), "md5": out["md5"]} for out in outs if "md5" in out]
            yield Snapshot(name, "adopted", {name: {"outs": outs}})


def files_of(state: Snapshot, pull: bool = True) -> Callable[[str], Path | None]:
    """Files of a state, by the hashes in its dvc.lock: path in the checkout -> where DVC's cache has it, None if it
    has none.

    Args:
        pull: fetch what is not in the cache from the default remote; without, what DVC no longer
            holds is none.

    The returned function raises `UserError` for a file whose object is in neither.
    """
    store, outputs = ObjectCache(), state.outputs()
    listed = cache(store.files)

    def file(path: str) -> Path | None:
        out = next((out for out in outputs if path == out or path.startswith(f"{out}/")), "")
        try:
            md5 = listed(outputs[out]).get(path[len(out) + 1 :]) if out else None
            if md5 is None:
                return None
            return store.fetched(md5) if pull or store.path(md5).exists() else None
        except UserError as error:
            if pull:
                raise UserError(f"{path} of {state.name}: {error}") from None
            return None

    return file


def has_other_bytes(state: Snapshot, model: str) -> bool:
    """Whether a model's folder in this checkout is not the one that a state recorded; false where none lies here."""
    md5, here = state.outputs().get(f"models/{model}"), paths.ROOT / "models" / model
    return bool(md5) and here.exists() and md5_of(here) != md5
