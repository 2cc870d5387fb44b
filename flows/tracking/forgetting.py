"""What forgetting documents takes, and `forgotten.json`, in git beside opt_out.txt: what was forgotten.

Documents are followed by their name: the id, with the text's hash where other texts have that id. A
removal is known by its query's salted hash and keeps ids, hashes of DVC and salted hashes of runs
of words, no text: so whoever searches later, in this clone or another, looks for the same, also
when nothing here holds the text any more.
"""

import re
import secrets
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

import pyarrow.parquet as pq

from components.core.errors import UserError
from components.core.files import fingerprint, write_json
from components.core.plain_text import counted
from components.lineage.documents import CORPORA, Query, Traced, View, shards, text_at
from components.lineage.needles import MOST_OTHERS, Needles
from components.lineage.readings import parts_of
from components.stages.ingest.heldout_split import whole_location
from flows.system import dvc, paths
from flows.system.disk import Removable, is_own, removable, together
from flows.tracking import garbage, snapshots
from flows.tracking.mlflow_run import client
from flows.tracking.model_exposure import Seen, workspace_view
from flows.tracking.search import CACHE, FILE, INGESTED, Search, files_of, is_of_another, removals, still_held, texts_of
from flows.tracking.snapshots import ObjectCache
from flows.tracking.trace_report import TraceMatch

NOTHING = "nothing was taken out by this query; `greenhouse forget QUERY --apply` takes out what the workspace has"
STILL_THERE = "the workspace still has it; take it out first: `greenhouse forget QUERY --apply`"

# -- what is to be forgotten -------------------------------------------------------------------------------------------


def with_duplicates(matches: list[TraceMatch], view: View = workspace_view) -> set[str]:
    """Names of the documents, and ids of those that dedup dropped because one of them stays."""
    return {match.document.name for match in matches} | {row["id"].split("-")[0] for row in dropped_for(matches, view)}


def dropped_for(matches: list[TraceMatch], view: View = workspace_view) -> list[dict[str, str]]:
    """Id, location and reason of each document that dedup dropped because one of these stays: it would come back."""
    documents = [match.document for match in matches]
    held = (("dedup", "train"), ("ingest", "heldout"))  # dedup drops training copies of held-out documents too
    kept = {one.facts["id"] for one in documents if any((at.stage, at.part) in held for at in one.locations)}
    tables = (shard.path for shard in shards(view, ("dedup", "dropped")))
    rows = (row for path in tables for row in pq.read_table(path, columns=["id", "location", "reason"]).to_pylist())
    return [row for row in rows if kept & set(re.findall(r"\b[0-9a-f]{16}\b", row["reason"]))]


def needles_of(matches: list[TraceMatch], ids: Collection[str], salt: int, most_others: int = MOST_OTHERS) -> Needles:
    """The runs of the documents, in whatever form a corpus of the workspace or the state that has them holds them."""
    texts = [text for some in texts_of(CORPORA, ids, True) for text in some]
    texts += [text_at(match.document.locations[0], match.view) for match in matches if match.document.locations]
    return Needles.of(dict.fromkeys(texts), texts_of(INGESTED, ids, False), salt, most_others)


def quoting(needles: Needles, ids: Collection[str]) -> list[str]:
    """Ids of the documents of the workspace that have words of these too."""
    search = Search(needles, ids)
    rows = shards(workspace_view, *INGESTED)
    hits = [hit for shard in rows for hit in search.scan("workspace", shard.path.name, parts_of(shard.path))]
    return list(dict.fromkeys(hit.id for hit in hits if is_of_another(hit, ids)))


def cut_locations(matches: list[TraceMatch], view: View = workspace_view) -> set[str]:
    """Locations of both halves of those documents that ingest cut at the edge of the held-out set."""
    tables = (shard.path for shard in shards(view, ("ingest", "heldout")))
    locations = {one for path in tables for one in pq.read_table(path, columns=["location"])["location"].to_pylist()}
    halves = {location: whole_location(location) for location in locations if whole_location(location) != location}
    wanted = {match.document.facts["location"] for match in matches}
    return {half for pair in halves.items() if wanted & {*pair} for half in pair}


def entries(query: Query, matches: list[TraceMatch], ids: set[str], cut: Collection[str] = ()) -> list[str]:
    """Lines of the opt-out list. Of a passage or an address the list keeps nothing but hashes of the texts.

    Args:
        cut: locations of halves. Ingest compares the list with the whole, whose id its first half
            keeps and whose hash neither has.
    """
    by_hash = query.kind in ("email", "passage", "sha256")
    halves = {match.document.name for match in matches if by_hash and match.document.facts["location"] in cut}
    known = {match.document.name for match in matches} - halves
    extra = [f"id: {id}" for id in sorted(ids - known)]
    if query.kind in ("email", "passage"):
        return [
            f"sha256: {match.document.facts['sha256']}" for match in matches if match.document.name in known
        ] + extra
    if query.kind == "prefix" and not query.value.endswith("/"):
        return [f"id: {one}" for one in dict.fromkeys(match.document.facts["id"] for match in matches)] + extra
    kind = "location" if query.kind == "prefix" else query.kind
    return [f"{kind}: {query.value}", *extra]


def models_that_saw(matches: list[TraceMatch]) -> Iterator[str]:
    """A line for each model: documents it was trained on, and how often each of their tokens on average."""
    by_model = dict[str, list[Seen]]()
    for row in (row for match in matches for row in match.seen if isinstance(row, Seen) and row.most):
        by_model.setdefault(f"{row.branch} ({row.model})", []).append(row)
    for name, seen in by_model.items():
        mean = sum(row.mean * row.tokens for row in seen) / sum(row.tokens for row in seen)
        yield f"    {name}: {counted(len(seen), 'document')}, each token {mean:.2f} times on average"


def stages_to_redo(documents: list[Traced], lock: dict[str, dict[str, Any]]) -> list[str]:
    """Stages that run again: ingest, and those with an input that holds or comes of a document."""
    held = {f"data/{location.stage}/{location.part}/" for document in documents for location in document.locations}
    changed, again = set[str](), list[str]()
    for stage in dvc.graph():
        deps, outs = ([f"{row['path']}/" for row in lock.get(stage, {}).get(kind, [])] for kind in ("deps", "outs"))
        # A folder may be that of several outputs.
        if stage == "ingest" or any(out.startswith(dep) for out in changed for dep in deps):
            again.append(stage)
            holding = held if stage in ("ingest", *(name for name, _ in CORPORA)) else outs
            folders = (*holding, *(out for out in outs if out.endswith("metrics.json/")))
            changed |= {out for out in outs if any(folder.startswith(out) for folder in folders)}
    return again


# -- what was forgotten ------------------------------------------------------------------------------------------------


def _all() -> dict[str, Any]:
    return removals() or {"salt": f"{secrets.randbits(64):016x}", "removals": {}}


def _key(text: str, salt: str) -> str:
    return fingerprint([salt, text.strip()])


def recorded(text: str) -> Search:
    """The recorded search of a removal by this query, perhaps an interrupted one; no ids if there was none."""
    known = _all()
    row, salt = known["removals"].get(_key(text, known["salt"])), int(known["salt"], 16)
    if row is None:
        return Search(Needles(salt), set())
    needles, models = Needles.from_json(row["runs"], salt), set(row["models"])
    return Search(needles, set(row["ids"]), copies=row["objects"], models=models)


def record(text: str, search: Search) -> Search:
    """Keep what a removal concerns, beside what an earlier one by this query recorded; both together."""
    known, both = _all(), recorded(text)
    known["salt"] = f"{search.needles.salt:016x}"
    both.needles, both.ids = both.needles.joined(search.needles), {*both.ids, *search.ids}
    both.copies, both.models = search.copies | both.copies, both.models | search.models
    row = {"ids": sorted(both.ids), "objects": both.copies, "models": sorted(both.models)}
    known["removals"][_key(text, known["salt"])] = row | {"runs": both.needles.as_json()}
    write_json(paths.ROOT / FILE, known)
    return both


# -- copies ------------------------------------------------------------------------------------------------------------


def in_remote(hashes: Collection[str]) -> tuple[dict[str, Removable], str]:
    """Objects of these hashes in the default remote, and the reason if it does not answer."""
    with dvc.open_repo() as repo:
        why = dvc.unreachable(repo)
        if why or "remote" not in repo.config["core"]:
            return {}, why
        store = repo.cloud.get_remote_odb()
        return {md5: Removable("", 0, partial(store.delete, md5)) for md5 in sorted(hashes) if store.exists(md5)}, ""


def copies(objects: dict[str, str], models: set[str]) -> tuple[list[Removable], list[str]]:
    """What can be deleted of these objects of DVC (hash -> output) and models, and what nobody can reach.

    They are files in DVC's cache and remote, experiments that hold one, and versions in MLflow.
    """
    store, (remote_copies, why) = ObjectCache(), in_remote(objects)
    cached = {md5: store.path(md5) for md5 in objects if store.path(md5).exists()}
    unreached = [why] if why else []
    if cached and not is_own(store.folder):
        unreached.append(f"{len(cached)} objects that hold it stay in {store.folder}, outside of this checkout")
        cached = {}
    cached_copies = {md5: removable("", path) for md5, path in cached.items()}
    items = list[Removable]()
    for output in dict.fromkeys(objects.values()):
        for store_name, deletable in ((CACHE, cached_copies), ("DVC's remote", remote_copies)):
            if some := [item for md5, item in deletable.items() if objects[md5] == output]:
                items.append(together(f"{store_name}: {output} (files: {len(some)})", some))
    items += map(garbage.experiment_item, experiments_with(objects))
    for row in versions_of(models):
        model = client().get_logged_model(row.source.rpartition("/")[2])
        items.append(garbage.model_item(client(), model, row))
    return items, unreached


def versions_of(models: Collection[str]) -> list[Any]:
    """Registered versions of models with these hashes, which MLflow keeps a copy of."""
    rows = [row for row in client().search_model_versions("") if row.tags.get("dvc.md5") in models]
    return [client().get_model_version(row.name, row.version) for row in rows]  # a search leaves their aliases out


def aliases_of(versions: list[Any]) -> list[str]:
    """The aliases that point at registered versions."""
    return [f"{row.name}@{alias}" for row in versions for alias in row.aliases]


def experiments_with(objects: Collection[str]) -> list[str]:
    """DVC experiments that hold one of these objects of DVC, which names the first state that has it alone."""
    store, every = ObjectCache(), snapshots.experiments()
    return [name for name in every if not set(objects).isdisjoint(dict(files_of(store, snapshots.find(name))).values())]


def to_purge(text: str) -> tuple[list[Removable], str]:
    """What old states still hold of documents that were taken out, and what was searched and cannot be reached.

    Raises:
        UserError: they were not taken out yet.
    """
    known = recorded(text)
    if not known.ids:
        raise UserError(NOTHING)
    if still_held(known.ids):
        raise UserError(STILL_THERE)
    search, workspace = Search(known.needles, known.ids).everywhere(), snapshots.find("workspace")
    here = {md5 for _, md5 in files_of(ObjectCache(), workspace)}
    objects = {md5: output for md5, output in (search.copies | known.copies).items() if md5 not in here}
    items, unreached = copies(objects, (known.models | search.models) - set(workspace.outputs().values()))
    quoted = [match.path for match in search.matches if match.owner == "MLflow" and match.is_copy]
    items += [removable(f"MLflow: {name}", paths.STATE / "mlartifacts" / name) for name in quoted]
    search.matches = [match for match in search.matches if match.path not in quoted and match.md5 not in objects]
    search.unsearched += unreached
    return items, search.sentence("words that stay")
