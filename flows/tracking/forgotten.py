"""Forgotten documents: the record of a removal, and what old states still hold of them afterwards.

The record names a removal by its query's hash and keeps ids and hashes of DVC, no text: later nothing here holds it any
more. A clone in which another one's removal arrives has none; it is made from the old states that are known there.
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.core.errors import UserError
from components.core.files import fingerprint, read_json, write_json
from components.lineage.documents import CORPORA, Traced, View, shards, trace, wide_query_of
from flows.system import paths
from flows.system.disk import Removable, is_own, removable
from flows.tracking import snapshots
from flows.tracking.forgetting import (
    OPTED_OUT,
    Copy,
    artifact_items,
    artifacts_with,
    copies,
    experiments_with,
    files_of,
    in_remote,
    model_item,
    quotes_of,
    registered,
    rows_of,
    versions_that_saw,
    with_duplicates,
)
from flows.tracking.model_exposure import cached_view, models, seen_by, states, workspace_view
from flows.tracking.snapshots import ObjectCache
from flows.tracking.trace_report import TraceMatch


def _record(text: str) -> Path:
    return paths.FINDINGS / "forgotten" / f"{fingerprint(text.strip())}.json"


def recorded(text: str) -> dict[str, Any]:
    """What a removal by this query concerns; without ids if there was none."""
    path = _record(text)
    nothing: dict[str, Any] = {"ids": [], "copies": [], "versions": [], "artifacts": []}
    return nothing | (read_json(path) if path.exists() else {})


def record(
    text: str, documents: list[Traced], ids: set[str], saw: list[Any], view: View = workspace_view
) -> dict[str, Any]:
    """Keep what a removal concerns, by the query's hash and without the text: later nothing here holds it any more.

    Added to what an earlier removal by this query recorded, which may have been interrupted.
    """
    known = recorded(text)
    there = {row["md5"] for row in known["copies"]}  # an object may be of another state by now
    found = [asdict(copy) for copy in copies(documents, ids, view)[0] if copy.md5 not in there]
    versions = [[row.name, str(row.version)] for row in saw]
    known = {
        "ids": sorted({*known["ids"], *ids}),
        "copies": known["copies"] + found,
        "versions": known["versions"] + [row for row in versions if row not in known["versions"]],
        "artifacts": sorted({*known["artifacts"], *artifacts_with(quotes_of(documents, ids, view))}),
    }
    write_json(_record(text), known)
    return known


def still_held(ids: set[str]) -> list[str]:
    """Those of the documents that a corpus of the workspace holds, training or held-out; by id, copies of one too."""
    corpora = [(stage, part) for stage, part in CORPORA if part in ("train", "heldout")]
    held = (row for one in corpora for _, _, path in shards(workspace_view, *one) for row in rows_of(path, ids))
    return list(dict.fromkeys(held))


def record_elsewhere(text: str) -> None:
    """Record what old states here hold of documents that another clone took out, or this one by other words.

    Raises:
        UserError: one of them is not on the opt-out list, by what ingest dropped.
    """
    columns = ["id", "sha256", "rule"]
    dropped = (pq.read_table(path, columns=columns) for _, _, path in shards(workspace_view, "ingest", "dropped"))
    rows = [row for table in dropped for row in table.to_pylist() if row["rule"] == OPTED_OUT]
    bases = [(row["id"].split("-")[0], row["sha256"]) for row in rows]
    out = {name for base, sha256 in bases for name in (base, f"{base} {sha256}")}
    known, seen = models(), set[str]()
    for state in (*states(), *snapshots.committed()):
        view = cached_view(state)
        if state.kind == "workspace":  # it has the record of the removal alone, without the text
            continue
        try:
            found = [one for one in trace(wide_query_of(text, view), view) if one.name not in seen]
        except UserError:  # it names nothing there
            continue
        ids = {one.name for one in found}
        if ids - out:
            raise UserError(f"not taken out of the workspace: {min(ids - out)}; `greenhouse forget QUERY --apply` does")
        own = [model for model in known if model.mix == state.outputs().get("data/mix")]
        matches = [TraceMatch(one, [seen_by(model, one) for model in own], state, view) for one in found]
        if found:
            record(text, found, with_duplicates(matches, view), versions_that_saw(matches), view)
            seen |= ids


def to_purge(text: str) -> tuple[list[Removable], list[str]]:
    """What old states still hold of documents that were taken out, and what cannot be reached, in words.

    Raises:
        UserError: they were not taken out yet.
    """
    from flows.tracking.garbage import experiment_item

    if not recorded(text)["ids"]:
        record_elsewhere(text)
    known, store = recorded(text), ObjectCache()
    if not (ids := set(known["ids"])):
        raise UserError("nothing was taken out by this query, and no old state here holds what it names; "
                        "`greenhouse forget QUERY --apply` takes out what the workspace has")  # fmt: skip
    if still_held(ids):
        raise UserError(STILL_THERE)
    here = {md5 for _, md5 in files_of(store, snapshots.find("workspace"))}
    found = [Copy(**row) for row in known["copies"] if row["md5"] not in here]
    objects = {copy.md5: copy for copy in found}
    there, remove, why = in_remote({copy.md5 for copy in found})
    cached = {md5: copy for md5, copy in objects.items() if store.path(md5).exists()}
    items = [
        removable(f"DVC's cache: {copy.path} of {copy.state}", store.path(md5))
        for md5, copy in cached.items()
        if is_own(store.folder)
    ]
    items += [
        Removable(f"DVC's remote: {objects[md5].path} of {objects[md5].state}", 0, partial(remove, md5))
        for md5 in sorted(there)
        if remove
    ]
    items += [experiment_item(name) for name in experiments_with(found)]
    items += map(model_item, registered(known["versions"]))
    notes = ["Old states whose objects go can no longer be checked out, compared or verified.", "Not reached:", *BEYOND]
    if cached and not is_own(store.folder):
        notes.append(f"    {len(cached)} objects in DVC's cache, {store.folder}, which lies outside of this checkout")
    return items + artifact_items(known["artifacts"]), notes + [f"    {why}"] * bool(why)


STILL_THERE = "the workspace still has it; take it out first: `greenhouse forget QUERY --apply`"
BEYOND = (
    "    the sources, and the history of those that lie in git; rows of your own and evaluation items",
    "    clones, caches and backups of others; other remotes; copies made by `greenhouse export`",
    "    statistics learnt from it: tokenizers and scores of old states, logs, the energy ledger",
)
