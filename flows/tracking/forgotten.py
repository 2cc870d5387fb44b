"""What was forgotten: `forgotten.json`, in git beside opt_out.txt, and what old states still hold of it.

A removal is known by its query's salted hash and keeps ids, hashes of DVC and salted hashes of runs of words, no text:
so whoever searches later, in this clone or another, looks for the same, also when nothing here holds the text any more.
"""

import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from components.core.errors import UserError
from components.core.files import fingerprint, read_json, write_json
from components.lineage.needles import Needles
from flows.system import paths
from flows.system.disk import Removable, is_own, removable
from flows.tracking import snapshots
from flows.tracking.forgetting import experiments_with, in_remote, model_item, versions_of
from flows.tracking.garbage import experiment_item
from flows.tracking.search import CACHE, Search, files_of, still_held
from flows.tracking.snapshots import ObjectCache

FILE = "forgotten.json"


@dataclass
class Removal:
    """What a removal concerns.

    Attributes:
        ids: names of documents; none if nothing was removed.
        objects: hash of each object of DVC that held them -> its output and state.
        models: hashes of models trained on such.
    """

    needles: Needles
    ids: set[str] = field(default_factory=set)
    objects: dict[str, str] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)


def _all() -> dict[str, Any]:
    path = paths.ROOT / FILE
    return (read_json(path) if path.exists() else {}) or {"salt": f"{secrets.randbits(64):016x}", "removals": {}}


def _key(text: str, salt: str) -> str:
    return fingerprint([salt, text.strip()])


def recorded(text: str) -> Removal:
    """What a removal by this query concerns, which may have been interrupted."""
    known = _all()
    row, salt = known["removals"].get(_key(text, known["salt"])), int(known["salt"], 16)
    if row is None:
        return Removal(Needles(salt))
    return Removal(Needles.from_json(row["runs"], salt), set(row["ids"]), row["objects"], set(row["models"]))


def record(text: str, search: Search) -> Removal:
    """Keep what a removal concerns, beside what an earlier one by this query recorded."""
    known, removal = _all(), recorded(text)
    known["salt"] = f"{search.needles.salt:016x}"
    objects = search.objects() | removal.objects
    ids, models = removal.ids | set(search.ids), removal.models | search.models
    removal = Removal(removal.needles.joined(search.needles), ids, objects, models)
    row = {"ids": sorted(ids), "objects": objects, "models": sorted(models), "runs": removal.needles.as_json()}
    known["removals"][_key(text, known["salt"])] = row
    write_json(paths.ROOT / FILE, known)
    return removal


def together(what: str, parts: list[Removable]) -> Removable:
    """Several things that are removed one after the other, as one line of a list."""

    def remove() -> None:
        for one in parts:
            one.remove()

    return Removable(f"{what} (files: {len(parts)})", sum(one.num_bytes for one in parts), remove)


def copies(objects: dict[str, str], models: set[str]) -> tuple[list[Removable], list[str]]:
    """What can be deleted of these objects of DVC (hash -> output) and models, and what nobody can reach.

    They are files in DVC's cache and remote, experiments that hold one, and versions in MLflow.
    """
    store, (there, remove, why) = ObjectCache(), in_remote(set(objects))
    items, unreached = list[Removable](), [why] * bool(why)
    cached = [md5 for md5 in objects if store.path(md5).exists()]
    for output in dict.fromkeys(objects.values()):
        own = [removable("", store.path(md5)) for md5 in cached if objects[md5] == output and is_own(store.folder)]
        far = [Removable("", 0, partial(remove, md5)) for md5 in sorted(there) if objects[md5] == output and remove]
        items += [together(f"{place}: {output}", some) for place, some in ((CACHE, own), ("DVC's remote", far)) if some]
    if cached and not is_own(store.folder):
        outside = f"{store.folder}, which lies outside of this checkout"
        unreached.append(f"{len(cached)} objects that hold it stay in DVC's cache, {outside}")
    items += map(experiment_item, experiments_with(objects))
    return [*items, *map(model_item, versions_of(models))], unreached


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
    objects = {md5: output for md5, output in (search.objects() | known.objects).items() if md5 not in here}
    items, unreached = copies(objects, (known.models | search.models) - set(workspace.outputs().values()))
    quoted = [one.path for one in search.found if one.owner == "MLflow" and one.is_copy]
    items += [removable(f"MLflow: {name}", paths.STATE / "mlartifacts" / name) for name in quoted]
    search.found = [one for one in search.found if one.path not in quoted and one.md5 not in objects]
    search.unsearched += unreached
    return items, search.sentence()


NOTHING = "nothing was taken out by this query; `greenhouse forget QUERY --apply` takes out what the workspace has"
STILL_THERE = "the workspace still has it; take it out first: `greenhouse forget QUERY --apply`"
