"""What forgetting documents takes: who saw them, every copy that is left, and what has to be made again.

Documents are followed by their name (the id; with the text's hash where other texts have that id) through every corpus
of every state that is known here: the workspace, HEAD, DVC's experiments, and the pipeline runs in MLflow. A state that
holds one in its mixture has it in its token shards and in the weights of its models too.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components import params as schema
from components.core.files import read_json
from components.lineage.documents import CORPORA, Query, Traced, View, shards, text_at
from components.lineage.quotes import Quotes
from flows.system import dvc, git, paths
from flows.system.disk import Removable, removable
from flows.tracking import snapshots
from flows.tracking.model_exposure import Seen, cached_view, states, workspace_view
from flows.tracking.snapshots import ObjectCache, Snapshot
from flows.tracking.trace_report import TraceMatch

OPTED_OUT = "opted_out"
"""Ingest's rule for what is on the list."""
SAMPLED = "data/bias/train"
"""The corpus that fine-tuning draws examples from."""
TRAINED_ON: dict[str, tuple[str, ...]] = {
    "data/mix/train/": ("models/pretrain/", "models/checkpoints/", "models/finetune/"),
    f"{SAMPLED}/": ("models/finetune/",),
}
"""Corpus -> models that may have been trained on any document of it."""


# -- what is to be forgotten -------------------------------------------------------------------------------------------


def with_duplicates(found: list[TraceMatch], view: View = workspace_view) -> set[str]:
    """Names of the documents, and ids of those that dedup dropped because one of them stays: they would come back."""
    ids = names_of(found)
    kept = {one.document.facts["id"] for one in found if any(at.stage == "dedup" for at in one.document.locations)}
    for _, _, path in shards(view, "dedup", "dropped"):
        table = pq.read_table(path, columns=["id", "reason"]).to_pylist()
        ids |= {row["id"].split("-")[0] for row in table if kept & set(re.findall(r"\b[0-9a-f]{16}\b", row["reason"]))}
    return ids


def names_of(found: Iterable[TraceMatch]) -> set[str]:
    """Names of the documents."""
    return {match.document.name for match in found}


def entries(query: Query, found: list[TraceMatch], ids: set[str]) -> list[str]:
    """Lines of the opt-out list. Of a passage or an address the list keeps nothing but hashes of the texts."""
    extra = [f"id: {one}" for one in sorted(ids - names_of(found))]
    if query.kind in ("email", "passage"):
        return [f"sha256: {one.document.facts['sha256']}" for one in found] + extra
    if query.kind == "prefix" and not query.value.endswith("/"):
        return [f"id: {one}" for one in dict.fromkeys(match.document.facts["id"] for match in found)] + extra
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
        deps = [f"{dep['path']}/" for dep in entry.get("deps", [])]  # a folder may be that of several outputs
        if stage == "ingest" or any(f"{out}/".startswith(dep) for out in changed for dep in deps):
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


def copies(documents: list[Traced], ids: set[str], view: View = workspace_view) -> tuple[list[Copy], list[Copy]]:
    """Every object of every known state that holds one of the documents, once under each path.

    Corpora and reports of old states that only the remote has are fetched to be looked into.

    Returns:
        the copies; and what is in neither cache, remote nor workspace, so that nobody could look into it.
    """
    store, known, quotes = ObjectCache(), set[tuple[str, str]](), quotes_of(documents, ids, view)
    found, unread = list[Copy](), list[Copy]()

    @cache
    def holds(path: Path, is_shard: bool) -> bool:
        return bool(rows_of(path, ids)) if is_shard else quotes.inside(path)

    known_states = [*states(), *snapshots.committed()]
    store.pull({md5 for state in known_states for md5 in state.outputs().values() if md5.endswith(".dir")})
    files = [dict(files_of(store, state)) for state in known_states]
    store.pull({md5 for one in files for path, md5 in one.items() if _is_searched(path)})
    for state, own in zip(known_states, files, strict=True):
        bad, here = set[str](), workspace_view if state.kind == "workspace" else cached_view(state)
        searched = {path: md5 for path, md5 in own.items() if _is_searched(path)}
        unlisted = {
            out: md5 for out, md5 in state.outputs().items() if md5.endswith(".dir") and not store.path(md5).exists()
        }
        for path, md5 in (searched | unlisted).items():
            place = next((one for one in (store.path(md5), here(path)) if one and one.is_file()), None)
            if place is None:
                unread.append(Copy(md5, path, state.name))
            elif holds(place, _is_shard(path)):
                bad.add(path)
        for path in sorted(bad | _made_of(bad, own, here)):
            if (own[path], path) not in known:
                known.add((own[path], path))
                found.append(Copy(own[path], path, state.name))
    return found, unread


def quotes_of(documents: list[Traced], ids: set[str], view: View = workspace_view) -> Quotes:
    """What a report says of the documents, or quotes; `view` has the files in which they were found."""
    texts = (text_at(one.locations[0], view) for one in documents if one.locations)
    return Quotes(ids, texts, _texts_of_others(ids))


def _texts_of_others(ids: set[str]) -> Iterator[list[str]]:
    """Texts of the documents that stay, a shard at a time."""
    for part in ("train", "heldout"):
        for _, _, path in shards(workspace_view, "ingest", part):
            table = pq.read_table(path, columns=["id", "sha256", "text"]).to_pydict()
            rows = zip(table["id"], table["sha256"], table["text"], strict=True)
            yield [text for id, sha256, text in rows if not {id, f"{id} {sha256}"} & ids]


def _is_searched(path: str) -> bool:
    return _is_shard(path) or path.startswith("reports/")


def _is_shard(path: str) -> bool:
    return path.startswith("data/") and path.endswith(".parquet")


def rows_of(shard: Path, ids: set[str]) -> list[str]:
    """Ids of the shard's rows that are one of the documents or a copy of one."""
    columns = [name for name in ("id", "sha256") if name in pq.read_schema(shard).names]
    rows = pq.read_table(shard, columns=columns).to_pylist()
    if "sha256" not in columns:  # a table about documents, which names them by id and place: all that share it
        ids = {name.split(" ")[0] for name in ids}
    bases = [row["id"].split("-")[0] for row in rows]
    return [row["id"] for row, base in zip(rows, bases, strict=True) if {base, f"{base} {row.get('sha256')}"} & ids]


def files_of(store: ObjectCache, state: Snapshot) -> Iterator[tuple[str, str]]:
    for out, md5 in state.outputs().items():
        if store.path(md5).exists() or not md5.endswith(".dir"):
            yield from ((f"{out}/{name}".rstrip("/"), one) for name, one in store.files(md5).items())


def _made_of(bad: set[str], files: dict[str, str], view: View) -> set[str]:
    """Token shards (number k is of shard k) and weights that were made of corpus shards with a document."""
    made = set[str]()
    for part, corpus in (("train", "data/mix/train"), ("heldout", "data/ingest/heldout")):
        texts, tokens = (view(f"{folder}/manifest.json") for folder in (corpus, f"data/tokenize/{part}"))
        if texts and tokens:
            pairs = zip(read_json(texts)["shards"], read_json(tokens)["shards"], strict=True)
            made |= {
                f"data/tokenize/{part}/{row['tokens']}" for text, row in pairs if f"{corpus}/{text['file']}" in bad
            }
    for corpus, models in TRAINED_ON.items():
        if any(path.startswith(corpus) for path in bad):
            made |= {path for path in files if path.startswith(models) and not path.endswith(".json")}
    return made


def in_remote(hashes: set[str]) -> tuple[set[str], Callable[[str], None] | None, str]:
    """Those objects that the default remote has, how to remove one there, and why that is not known.

    Returns:
        the hashes; a function; a sentence, empty if the remote answered.
    """
    with dvc.open_repo() as repo:
        if "remote" not in repo.config["core"]:
            return set(), None, ""
        if why := dvc.unreachable(repo):
            return set(), None, why
        store = repo.cloud.get_remote_odb()
        return {md5 for md5 in hashes if store.exists(md5)}, lambda md5: store.delete(md5), ""


# -- MLflow ------------------------------------------------------------------------------------------------------------


def versions_that_saw(found: list[TraceMatch], own: Iterable[str] = ()) -> list[Any]:
    """Registered versions whose training saw a document, those tuned from one that did or on a sample with one too.

    Args:
        own: hashes of rows of one's own that hold the text, as dvc.lock has them.
    """
    from flows.tracking.attestation import versions_of

    ids = names_of(found)
    seen = [one for match in found for one in match.seen if isinstance(one, Seen) and one.most]
    versions: dict[tuple[str, str], Any] = {}
    for state in states():
        models = {f"models/pretrain/{one.branch}" for one in seen if state.name in one.model.split(", ")}
        drawn = any(rows_of(path, ids) for _, _, path in shards(cached_view(state), "bias", "train"))
        models |= tuned_from(state.lock, models | ({SAMPLED} if drawn else set()), set(own))
        for stage, made in state.fingerprints().items():
            if models & {out["path"] for out in state.lock[stage].get("outs", [])}:
                versions |= {(row.name, row.version): row for row in versions_of(made)}
    return list(versions.values())


def tuned_from(lock: dict[str, dict[str, Any]], inputs: set[str], hashes: Collection[str] = ()) -> set[str]:
    """Tuned models that have one of these models or corpora as an input, or a model tuned from one.

    Args:
        inputs: paths. A model counts as an input where it was the one that `lock` holds now, by its hash.
        hashes: of inputs that are known by their bytes, such as rows.
    """
    outs = {out["path"]: out.get("md5") for entry in lock.values() for out in entry.get("outs", [])}

    def is_among(dep: dict[str, Any], known: set[str]) -> bool:
        path, md5 = dep["path"], dep.get("md5")
        another = path.startswith("models/") and md5 != outs.get(path, md5)  # made anew since
        return md5 in hashes or (path in known and not another)

    tuned = set[str]()
    for _ in lock:  # a model tuned from a tuned one may stand before it
        tuned |= {
            f"models/{stage.replace('@', '/')}"
            for stage, entry in lock.items()
            if stage.startswith("finetune@") and any(is_among(dep, inputs | tuned) for dep in entry.get("deps", []))
        }
    return tuned


def registered(versions: list[list[str]]) -> list[Any]:
    """Those of the versions (name, number) that MLflow has."""
    from flows.tracking.mlflow_run import client

    return [row for row in client().search_model_versions("") if [row.name, str(row.version)] in versions]


def mark(versions: list[Any], text: str) -> list[str]:
    """Tag the versions, and name the aliases that point at them."""
    from flows.tracking.mlflow_run import client

    mlflow, aliases = client(), []
    for row in versions:
        mlflow.set_model_version_tag(row.name, row.version, "forget.saw", text)
        known = mlflow.get_model_version(row.name, row.version).aliases
        for alias in known:
            mlflow.set_registered_model_tag(
                row.name, f"forget.{alias}", f"version {row.version} saw or may have seen {text}"
            )
        aliases += [f"{row.name}@{alias}" for alias in known]
    return aliases


def model_item(row: Any) -> Removable:
    """A registered version with its copy in MLflow."""
    from flows.tracking import garbage
    from flows.tracking.mlflow_run import client

    mlflow = client()
    return garbage.model_item(mlflow, mlflow.get_logged_model(row.source.rpartition("/")[2]), row)


def artifacts_with(quotes: Quotes) -> list[str]:
    """Files of runs in MLflow, on this machine, that name or quote a document; below its folder of artifacts."""
    folder = paths.STATE / "mlartifacts"
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [str(path.relative_to(folder)) for path in files if quotes.inside(path)]


def artifact_items(names: list[str]) -> list[Removable]:
    """Those of the files that are still there."""
    files = {name: paths.STATE / "mlartifacts" / name for name in names}
    return [removable(f"MLflow: {name}", path) for name, path in files.items() if path.exists()]


def experiments_with(found: list[Copy]) -> list[str]:
    """DVC experiments that hold one of the copies, which name the first state that has it alone."""
    store, wanted = ObjectCache(), {copy.md5 for copy in found}

    def held(name: str) -> set[str]:
        return {md5 for _, md5 in files_of(store, snapshots.find(name))}

    return [name for name in snapshots.experiments() if wanted & held(name)]


def sources_of(documents: list[Traced]) -> list[str]:
    """Where the texts were read: copies that are the owner's to remove; those that git tracks here are called so."""
    settings = schema.load(paths.ROOT / "params.yaml").ingest.sources
    folders = {one.name: paths.ROOT / one.path for one in settings if one.kind == "files"}
    tracked = {paths.ROOT / line for line in git.answer("ls-files").splitlines()}
    found = dict.fromkeys((one.facts["source"], one.facts["location"].split("#")[0]) for one in documents)
    return [
        f"{source}: {place}"
        + " (in git, with its history)"
        * (source in folders and bool({folders[source], folders[source] / place} & tracked))
        for source, place in found
    ]
