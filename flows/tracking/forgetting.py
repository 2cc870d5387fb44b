"""What forgetting documents takes: who saw them, every copy that is left, and what has to be made again.

Documents are followed by their id through every corpus of every state that is known here: the workspace, HEAD, DVC's
experiments, and the pipeline runs in MLflow. A state that holds one in its mixture has it in its token shards and in
the weights of its models too.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.core.errors import UserError
from components.core.files import fingerprint, read_json, write_json
from components.lineage.documents import CORPORA, Query, Traced, shards, text_at
from flows.system import dvc, git, paths
from flows.system.disk import Removable, remove_path, size_of
from flows.tracking import snapshots
from flows.tracking.model_exposure import Seen, cached_view, states, workspace_view
from flows.tracking.snapshots import ObjectCache, Snapshot
from flows.tracking.trace_report import TraceMatch

MADE_OF_TOKENS = ("models/pretrain/", "models/checkpoints/", "models/finetune/")
MOST_BYTES = 20_000_000
"""Reports larger than this are not searched."""


# -- what is to be forgotten -------------------------------------------------------------------------------------------


def with_duplicates(found: list[TraceMatch]) -> set[str]:
    """Ids of the documents, and of those that dedup dropped because one of them stays: they would come back."""
    ids = {match.document.facts["id"] for match in found}
    for _, _, path in shards(workspace_view, "dedup", "dropped"):
        table = pq.read_table(path, columns=["id", "reason"]).to_pylist()
        ids |= {row["id"].split("-")[0] for row in table if ids & set(re.findall(r"\b[0-9a-f]{16}\b", row["reason"]))}
    return ids


def entries(query: Query, found: list[TraceMatch], ids: set[str]) -> list[str]:
    """Lines of the opt-out list. Of a passage or an address the list keeps nothing but hashes of the texts."""
    known = {match.document.facts["id"]: match.document.facts for match in found}
    extra = [f"id: {one}" for one in sorted(ids - set(known))]
    if query.kind in ("email", "passage"):
        return [f"sha256: {facts['sha256']}" for facts in known.values()] + extra
    if query.kind == "prefix" and not query.value.endswith("/"):
        return [f"id: {one}" for one in known] + extra
    kind = "location" if query.kind == "prefix" else query.kind
    return [f"{kind}: {query.value}", *extra]


def models_that_saw(found: list[TraceMatch]) -> dict[str, tuple[int, float]]:
    """Model -> documents it was trained on, and how often each of their tokens on average."""
    seen = [one for match in found for one in match.seen if isinstance(one, Seen) and one.most]
    names = dict.fromkeys(f"{one.branch} ({one.model})" for one in seen)
    rows = {name: [one for one in seen if f"{one.branch} ({one.model})" == name] for name in names}
    return {
        name: (len(own), sum(one.mean * one.tokens for one in own) / sum(one.tokens for one in own))
        for name, own in rows.items()
    }


def stages_to_redo(documents: list[Traced], lock: dict[str, dict[str, Any]]) -> list[str]:
    """Stages that run again: ingest, and those with an input that holds a document or was made from one."""
    held = {f"data/{place.stage}/{place.part}" for one in documents for place in one.locations}
    changed: set[str] = set()
    again = []
    for stage in dvc.graph():
        entry = lock.get(stage, {})
        if stage == "ingest" or changed & {dep["path"] for dep in entry.get("deps", [])}:
            again.append(stage)
            outs = {out["path"] for out in entry.get("outs", [])}
            corpus = stage in ("ingest", *(name for name, _ in CORPORA))
            changed |= {out for out in outs if not corpus or any(f"{place}/".startswith(f"{out}/") for place in held)}
            changed |= {out for out in outs if out.endswith("metrics.json")}
    return again


# -- copies ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Copy:
    """An object of DVC that holds a document's text, tokens, or weights trained on it."""

    md5: str
    path: str
    state: str


def copies(documents: list[Traced], ids: set[str]) -> Iterator[Copy]:
    """Every object of every known state that holds one of the documents, each once."""
    store, known = ObjectCache(), set[str]()
    heads = {text_at(one.locations[0], workspace_view)[:60].encode() for one in documents if one.locations}
    needles = {head for head in heads if len(head) > 30} | {one.encode() for one in ids}

    @cache
    def holds(md5: str, is_shard: bool) -> bool:
        path = store.path(md5)
        if not path.exists():
            return False
        if is_shard:
            rows = pq.read_table(path, columns=["id"])["id"].to_pylist()
            return any(row.split("-")[0] in ids for row in rows)
        return path.stat().st_size <= MOST_BYTES and any(needle in path.read_bytes() for needle in needles)

    for state in _all_states():
        files = dict(_files(store, state))
        bad = {
            path
            for path, md5 in files.items()
            if path.startswith("data/") and path.endswith(".parquet") and holds(md5, True)
        }
        bad |= {path for path, md5 in files.items() if path.startswith("reports/") and holds(md5, False)}
        if any(path.startswith("data/mix/train/") for path in bad):
            bad |= _token_shards(state, bad) | {path for path in files if path.startswith(MADE_OF_TOKENS)}
        for path in sorted(bad):
            if files[path] not in known and (path.rsplit(".", 1)[-1] != "json" or path.startswith("reports/")):
                known.add(files[path])
                yield Copy(files[path], path, state.name)


def _all_states() -> Iterator[Snapshot]:
    yield from states()
    with suppress(UserError):
        yield snapshots.find("HEAD")


def _files(store: ObjectCache, state: Snapshot) -> Iterator[tuple[str, str]]:
    for out, md5 in state.outputs().items():
        with suppress(UserError):
            yield from ((f"{out}/{name}".rstrip("/"), one) for name, one in store.files(md5).items())


def _token_shards(state: Snapshot, bad: set[str]) -> set[str]:
    """The token shards of the mixture's shards that hold a document: shard k is made of shard k."""
    view, numbers = cached_view(state), {path.rpartition("/")[2] for path in bad if path.startswith("data/mix/train/")}
    mixture, tokens = view("data/mix/train/manifest.json"), view("data/tokenize/train/manifest.json")
    if not (mixture and tokens):
        return set()
    pairs = zip(read_json(mixture)["shards"], read_json(tokens)["shards"], strict=True)
    return {f"data/tokenize/train/{made['tokens']}" for shard, made in pairs if shard["file"] in numbers}


def in_remote(hashes: set[str]) -> tuple[set[str], Callable[[str], None] | None, str]:
    """Those objects that the default remote has, how to remove one there, and why that is not known.

    Returns:
        the hashes; a function; a sentence, empty if the remote answered.
    """
    with dvc.open_repo() as repo:
        if "remote" not in repo.config["core"]:
            return set(), None, ""
        try:
            store = repo.cloud.get_remote_odb()
            there = {md5 for md5 in hashes if store.exists(md5)}
        except Exception as error:  # each kind of storage has exceptions of its own
            name = repo.config["core"]["remote"]
            return set(), None, f"DVC remote {name}: {' '.join(str(error).split()) or type(error).__name__}"
        return there, lambda md5: store.delete(md5), ""


# -- MLflow ------------------------------------------------------------------------------------------------------------


def versions_that_saw(found: list[TraceMatch]) -> list[Any]:
    """Registered versions whose training saw a document, those tuned from one that did among them."""
    from flows.tracking.attestation import versions_of

    mixtures = {
        match.document.facts["id"] for match in found if any(isinstance(one, Seen) and one.most for one in match.seen)
    }
    if not mixtures:
        return []
    branches = {one.branch for match in found for one in match.seen if isinstance(one, Seen) and one.most}
    names = {
        name
        for match in found
        for one in match.seen
        if isinstance(one, Seen) and one.most
        for name in one.model.split(", ")
    }
    versions: dict[tuple[str, str], Any] = {}
    for state in states():
        if state.name in names:
            for stage, fingerprint in state.fingerprints().items():
                base = {dep["path"] for dep in state.lock[stage].get("deps", [])}
                if any(stage == f"pretrain@{one}" or f"models/pretrain/{one}" in base for one in branches):
                    versions |= {(row.name, row.version): row for row in versions_of(fingerprint)}
    return list(versions.values())


def mark(versions: list[Any], text: str) -> list[str]:
    """Tag the versions, and name the aliases that point at them."""
    from flows.tracking.mlflow_run import client

    mlflow, aliases = client(), []
    for row in versions:
        mlflow.set_model_version_tag(row.name, row.version, "forget.saw", text)
        known = mlflow.get_model_version(row.name, row.version).aliases
        for alias in known:
            mlflow.set_registered_model_tag(row.name, f"forget.{alias}", f"version {row.version} saw {text}")
        aliases += [f"{row.name}@{alias}" for alias in known]
    return aliases


def model_item(row: Any) -> Removable:
    """A registered version with its copy in MLflow."""
    from flows.tracking.garbage import local_folder
    from flows.tracking.mlflow_run import client

    model_id = row.source.rpartition("/")[2]
    folder = local_folder(client().get_logged_model(model_id).artifact_location)

    def remove() -> None:
        client().delete_model_version(row.name, row.version)
        client().delete_logged_model(model_id)
        if folder.exists():
            remove_path(folder)

    return Removable(f"MLflow: {row.name} version {row.version}", size_of(folder) if folder.exists() else 0, remove)


def artifact_items(ids: set[str], before: float) -> list[Removable]:
    """Files of runs in MLflow, on this machine and from before a moment, that name or quote a document."""
    folder, needles = paths.STATE / "mlartifacts", [one.encode() for one in ids]
    old = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_mtime < before]
    found = [path for path in old if path.stat().st_size <= MOST_BYTES and _quotes(path, needles)]
    names = {path: f"MLflow: {path.relative_to(folder)}" for path in found}
    return [Removable(names[path], size_of(path), partial(remove_path, path)) for path in found]


def _quotes(path: Path, needles: list[bytes]) -> bool:
    data = path.read_bytes()
    return any(needle in data for needle in needles)


def experiments_with(found: list[Copy]) -> list[str]:
    """DVC experiments that hold one of the copies."""
    names = {copy.state for copy in found}
    return [name for name in snapshots.experiments() if name in names]


def sources_of(documents: list[Traced]) -> list[str]:
    """Where the texts were read: copies that are the owner's to remove, those in git by name."""
    places = dict.fromkeys(f"{one.facts['source']}: {one.facts['location'].split('#')[0]}" for one in documents)
    tracked = {line.rpartition("/")[2] for line in git.answer("ls-files").splitlines()}
    return [
        f"{place}{' (in git, with its history)' if place.rpartition('/')[2] in tracked else ''}" for place in places
    ]


# -- afterwards --------------------------------------------------------------------------------------------------------


def _record(text: str) -> Path:
    return paths.STATE / "forgotten" / f"{fingerprint(text.strip())}.json"


def record(text: str, documents: list[Traced], ids: set[str], saw: list[Any]) -> int:
    """Keep what a removal concerns, by the query's hash and without the text: later nothing here holds it any more."""
    if _record(text).exists():  # an apply that was interrupted
        return len(read_json(_record(text))["copies"])
    found = [asdict(copy) for copy in copies(documents, ids)]
    versions = [[row.name, str(row.version)] for row in saw]
    write_json(_record(text), {"ids": sorted(ids), "copies": found, "versions": versions, "at": time.time()})
    return len(found)


def trained_on(ids: set[str]) -> list[str]:
    """Those of the documents that the workspace's mixture holds."""
    found = []
    for _, _, path in shards(workspace_view, "mix", "train"):
        rows = pq.read_table(path, columns=["id"])["id"].to_pylist()
        found += [row for row in rows if row.split("-")[0] in ids]
    return found


def to_purge(text: str) -> tuple[list[Removable], list[str]]:
    """What old states still hold of documents that were taken out, and what cannot be reached, in words.

    Raises:
        UserError: they were not taken out yet.
    """
    from flows.tracking.garbage import experiment_item
    from flows.tracking.mlflow_run import client

    if not _record(text).exists() or trained_on(ids := set(read_json(_record(text))["ids"])):
        raise UserError("the workspace still has it; take it out first: `python -m flows.forget QUERY --apply`")
    known, store = read_json(_record(text)), ObjectCache()
    here = {md5 for _, md5 in _files(store, snapshots.find("workspace"))}
    found = [Copy(**row) for row in known["copies"] if row["md5"] not in here]
    objects = [path for copy in found if (path := store.path(copy.md5)).exists()]
    there, remove, why = in_remote({copy.md5 for copy in found})
    items = [
        Removable(f"DVC's cache: {path.parent.name}{path.name}", size_of(path), partial(remove_path, path))
        for path in objects
    ]
    items += [Removable(f"DVC's remote: {md5}", 0, partial(remove, md5)) for md5 in sorted(there) if remove]
    items += [experiment_item(name) for name in experiments_with(found)]
    wanted = {tuple(row) for row in known["versions"]}
    items += [model_item(row) for row in client().search_model_versions("") if (row.name, str(row.version)) in wanted]
    notes = ["Old states whose objects go can no longer be checked out, compared or verified.", "Not reached:", *BEYOND]
    return items + artifact_items(ids, known["at"]), notes + [f"    {why}"] * bool(why)


BEYOND = (
    "    the sources, and the history of those that lie in git",
    "    clones, caches and backups of others; other remotes; copies made by flows.export or flows.attest",
    "    statistics learnt from it: tokenizers and scores of old states, logs, the energy ledger",
)
