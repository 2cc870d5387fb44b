"""What forgetting documents takes: what is on the opt-out list for it, what is made again, which models are marked.

Documents are followed by their name: the id, with the text's hash where other texts have that id.
"""

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pyarrow.parquet as pq

from components.core.plain_text import counted
from components.lineage.documents import CORPORA, Query, Traced, View, shards, text_at
from components.lineage.needles import MOST_OTHERS, Needles
from components.lineage.readings import parts_of
from flows.system import dvc
from flows.system.disk import Removable
from flows.tracking import garbage, snapshots
from flows.tracking.mlflow_run import client
from flows.tracking.model_exposure import Seen, workspace_view
from flows.tracking.search import INGESTED, Search, files_of, is_of_another, texts_of
from flows.tracking.snapshots import ObjectCache
from flows.tracking.trace_report import TraceMatch

# -- what is to be forgotten -------------------------------------------------------------------------------------------


def with_duplicates(found: list[TraceMatch], view: View = workspace_view) -> set[str]:
    """Names of the documents, and ids of those that dedup dropped because one of them stays."""
    return {match.document.name for match in found} | {row["id"].split("-")[0] for row in dropped_for(found, view)}


def dropped_for(found: list[TraceMatch], view: View = workspace_view) -> list[dict[str, str]]:
    """Id, location and reason of each document that dedup dropped because one of these stays: it would come back."""
    kept = {one.document.facts["id"] for one in found if any(at.stage == "dedup" for at in one.document.locations)}
    tables = (one.path for one in shards(view, ("dedup", "dropped")))
    rows = (row for path in tables for row in pq.read_table(path, columns=["id", "location", "reason"]).to_pylist())
    return [row for row in rows if kept & set(re.findall(r"\b[0-9a-f]{16}\b", row["reason"]))]


def needles_of(found: list[TraceMatch], ids: Collection[str], salt: int, most_others: int = MOST_OTHERS) -> Needles:
    """The runs of the documents, in whatever form a corpus of the workspace or the state that has them holds them."""
    texts = [text for some in texts_of(CORPORA, ids, True) for text in some]
    texts += [text_at(one.document.locations[0], one.view) for one in found if one.document.locations]
    return Needles.of(dict.fromkeys(texts), texts_of(INGESTED, ids, False), salt, most_others)


def quoting(needles: Needles, ids: Collection[str]) -> list[str]:
    """Ids of the documents of the workspace that have words of these too."""
    search = Search(needles, ids)
    rows = shards(workspace_view, *INGESTED)
    hits = [hit for one in rows for hit in search.look("workspace", one.path.name, parts_of(one.path))]
    return list(dict.fromkeys(hit.id for hit in hits if is_of_another(hit, ids)))


def entries(query: Query, found: list[TraceMatch], ids: set[str]) -> list[str]:
    """Lines of the opt-out list. Of a passage or an address the list keeps nothing but hashes of the texts."""
    extra = [f"id: {one}" for one in sorted(ids - {match.document.name for match in found})]
    if query.kind in ("email", "passage"):
        return [f"sha256: {one.document.facts['sha256']}" for one in found] + extra
    if query.kind == "prefix" and not query.value.endswith("/"):
        return [f"id: {one}" for one in dict.fromkeys(match.document.facts["id"] for match in found)] + extra
    kind = "location" if query.kind == "prefix" else query.kind
    return [f"{kind}: {query.value}", *extra]


def models_that_saw(found: list[TraceMatch]) -> Iterator[str]:
    """A line for each model: documents it was trained on, and how often each of their tokens on average."""
    by_model = dict[str, list[Seen]]()
    for one in (one for match in found for one in match.seen if isinstance(one, Seen) and one.most):
        by_model.setdefault(f"{one.branch} ({one.model})", []).append(one)
    for name, own in by_model.items():
        mean = sum(one.mean * one.tokens for one in own) / sum(one.tokens for one in own)
        yield f"    {name}: {counted(len(own), 'document')}, each token {mean:.2f} times on average"


def stages_to_redo(documents: list[Traced], lock: dict[str, dict[str, Any]]) -> list[str]:
    """Stages that run again: ingest, and those with an input that holds or comes of a document."""
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


def versions_of(models: Collection[str]) -> list[Any]:
    """Registered versions of models with these hashes, which MLflow keeps a copy of."""
    return [row for row in client().search_model_versions("") if row.tags.get("dvc.md5") in models]


def mark(versions: list[Any], text: str) -> list[str]:
    """Tag the versions, and name the aliases that point at them."""
    mlflow, aliases = client(), list[str]()
    for row in versions:
        mlflow.set_model_version_tag(row.name, row.version, "forget.saw", text)
        known = mlflow.get_model_version(row.name, row.version).aliases
        aliases += [f"{row.name}@{alias}" for alias in known]
    return aliases


def model_item(row: Any) -> Removable:
    """A registered version with its copy in MLflow."""
    mlflow = client()
    return garbage.model_item(mlflow, mlflow.get_logged_model(row.source.rpartition("/")[2]), row)


def experiments_with(objects: Collection[str]) -> list[str]:
    """DVC experiments that hold one of these objects of DVC, which names the first state that has it alone."""
    store, every = ObjectCache(), snapshots.experiments()
    return [name for name in every if not set(objects).isdisjoint(dict(files_of(store, snapshots.find(name))).values())]


def sources_of(documents: list[Traced]) -> list[str]:
    """Where the texts were read: copies that are the owner's to remove."""
    return list(dict.fromkeys(f"{one.facts['source']}: {one.facts['location'].split('#')[0]}" for one in documents))
