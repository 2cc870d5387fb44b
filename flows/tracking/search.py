"""Where words of a text stand: outputs of every state, rows and items, MLflow's artifacts, DVC's cache, git.

Weights are not read: whether they were trained on a text is known from the corpora and rows behind
them, by one rule for DVC's objects and MLflow's versions alike. Rows and items are the owner's
files: they are named, never changed.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components import params as schema
from components.core.errors import UserError, clause
from components.core.files import md5_of, read_json
from components.finetuning_data.formats import is_corpus, texts
from components.lineage.documents import CORPORA, shards
from components.lineage.needles import Needles
from components.lineage.readings import FAULTS, NeedleHit, Part, hits_in, parts_of, parts_of_bytes, parts_of_tokens
from components.stages.ingest.opt_out import RULE as OPTED_OUT
from flows.system import environment, git, paths
from flows.tracking import snapshots
from flows.tracking.model_exposure import states, workspace_view
from flows.tracking.model_origin import tunings_of
from flows.tracking.progress import bar
from flows.tracking.snapshots import ObjectCache, Snapshot

SHOWN = 5
"""Places inside a file that are named; files are named all."""
MIXTURE, MIXED = "data/mix/train/", "data/tokenize/train/"
"""The mixture, and its tokens, whose models may have been trained on any document of it."""
CHECKED = ("data/ingest/heldout/", "data/tokenize/heldout/")
"""What training compares with, and does not train on."""
TRAINING = ("pretrain@", "finetune@")
TELL_S = 4.0
"""Seconds between two lines that tell how far a search is."""
WEIGHTS = (".safetensors",)
CACHE, DVC_OBJECTS = "DVC's cache", ".dvc/cache/files/md5"
GONE = "files or folders are in neither DVC's cache nor a remote, where one could look into them, such as"
ELSEWHERE = "if somebody has them, `dvc push` from there and ask again; else there is nothing to do"
SHARD = re.compile(r"data/(?:mix(?=/train)|ingest(?=/heldout))/(\w+)/part-(\d+)\.parquet")
"""Corpus shard whose tokens are the shard of the same number."""
TOKENS = re.compile(r"(data/tokenize)/(train|heldout)/tokens-(\d+)\.bin")
BEYOND = (
    "clones, caches and backups of others; other remotes, and what a remote has of states that are not known here",
    "exports and signed folders; statistics learnt from the text: tokenizers, scores, logs, the energy ledger",
    "pictures and sound; words one by one in rows of a text file; archives inside files of another kind",
)
FILE = "forgotten.json"
"""What removals concerned, in the checkout: flows/tracking/forgetting.py."""
INGESTED = (("ingest", "train"), ("ingest", "heldout"))
"""Corpora of all documents that ingest kept."""


@dataclass(frozen=True)
class FileMatch:
    """A file that holds words of a text.

    Attributes:
        owner: the state or the store that it is of. md5: DVC's hash of it, if it has one.
    """

    owner: str
    path: str
    hits: tuple[NeedleHit, ...]
    md5: str = ""

    @property
    def is_copy(self) -> bool:
        """Whether no document that stays has these words."""
        return any(hit.own for hit in self.hits)

    def description(self) -> str:
        """Its words and where in it they stand, for a person."""
        most = sorted(self.hits, key=lambda hit: -hit.words)
        counts = [f"{hit.words} words" if hit.words else "what was asked for" for hit in most[:SHOWN]]
        located = [f"{num} in {hit.where}" if hit.where else num for num, hit in zip(counts, most, strict=False)]
        more = f"; {len(most) - SHOWN} other places in it have no more words each" if len(most) > SHOWN else ""
        return f"{', '.join(located)}{more}"

    def line(self) -> str:
        """For a person."""
        return f"{self.owner}: {self.path}: {self.description()}"


@dataclass
class Search:
    """A search for the documents with some ids and for runs of their words.

    Attributes:
        named: whether a text holds the passage or address that was asked for, if that is how they
            were named.
        num_places: files looked into. num_known: those that it is known will be, at least. matches: those
            with words that stay. unsearched: what was not looked into, why.
        copies: DVC's hash of each object with a document's text, tokens, or weights trained on it
            -> one of the outputs that it is of, and the state. models: DVC's hash of every model
            that was trained on what holds one.
        is_removed: whether the workspace has none of the documents: what it has of them stays.
        purged: DVC's hashes of objects that removals concerned: where they are gone, they were purged.
    """

    needles: Needles
    ids: Collection[str] = ()
    named: Callable[[str], bool] = lambda text: False
    num_places: int = 0
    num_known: int = 0
    matches: list[FileMatch] = field(default_factory=list)
    unsearched: list[str] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)
    is_removed: bool = False
    purged: Collection[str] = ()
    _told: float = field(default_factory=time.monotonic)

    def everywhere(self) -> "Search":
        """Search all of it, from the beginning."""
        self.num_places, self.matches, self.unsearched, self.copies, self.models = 0, [], [], {}, set()
        self.is_removed = bool(self.ids) and not still_held(self.ids, CORPORA)
        if self.is_removed:
            self.needles = self.needles.after_removal(texts_of(INGESTED, self.ids, False))
        self.purged = {md5 for one in removals().get("removals", {}).values() for md5 in one["objects"]}
        known = [*states(), *snapshots.committed()]
        self.scan_local_files(known)
        self.scan_states(known)
        self.scan_artifacts()
        self.scan_worktrees()
        self.scan_history()
        return self

    def scan(self, owner: str, path: str, parts: Iterable[Part], with_named: bool = False) -> list[NeedleHit]:
        """Hits in a file. One that cannot be read has none and is added to `unsearched`.

        Args:
            with_named: what is `named` counts too, as in files of the user.
        """
        self._count(owner)
        unread = list[str]()
        hits = hits_in(_until_fault(parts), self.needles, self.named if with_named else None, unread)
        self.unsearched += [f"{owner}: {path}: {why}" for why in unread]
        return hits

    def _count(self, owner: str) -> None:
        """Count a file, and show how far the search is."""
        self.num_places += 1
        if time.monotonic() - self._told > TELL_S:
            self._told = time.monotonic()
            line = f"searched {bar(self.num_places, max(self.num_known, self.num_places))} places, now {owner}"
            print(line, file=sys.stderr, flush=True)  # --json has stdout

    def note(self, owner: str, path: str, parts: Iterable[Part], md5: str = "", with_named: bool = False) -> None:
        """Search a file, and add it to `matches` if it has words of the text."""
        if hits := self.scan(owner, path, parts, with_named):
            self.matches.append(FileMatch(owner, path, tuple(hits), md5))

    # -- DVC -----------------------------------------------------------------------------------------------------------

    def scan_states(self, known: list[Snapshot]) -> None:
        """Every file below every output of these states, fetched where the remote alone has it; and DVC's cache."""
        store, rows = ObjectCache(), {match.md5 for match in self.matches if match.md5 and match.is_copy}
        store.pull({md5 for state in known for md5 in state.outputs().values() if md5.endswith(".dir")})
        files = [dict(files_of(store, state)) for state in known]
        store.pull({md5 for hashes in files for path, md5 in hashes.items() if not path.endswith(WEIGHTS)})
        removed, every = dict[tuple[str, str], bool](), [*zip(known, files, strict=True), *unnamed(store, files)]
        once = {row for _, hashes in every for row in hashes.items() if not row[0].endswith(WEIGHTS)}
        self.num_known = self.num_places + len(once) + len(self._artifacts()) + git.num_objects()
        for state, hashes in every:
            self._scan_state(state, hashes, store, removed)
            bad = {path for path, md5 in hashes.items() if removed.get((path, md5))}
            bad |= hashes.keys() & {SHARD.sub(r"data/tokenize/\1/tokens-\2.bin", path) for path in bad}
            models = models_of(state.lock, bad, rows)
            self.models |= {md5 for out, md5 in state.outputs().items() if out in models}
            folders = tuple(f"{model}/" for model in models)
            bad |= {path for path in hashes if path.endswith(WEIGHTS) and path.startswith(folders)}
            for path in sorted(bad):
                self.copies.setdefault(hashes[path], f"{'/'.join(path.split('/')[:3])} of {state.name}")

    def _scan_state(
        self, state: Snapshot, hashes: dict[str, str], store: ObjectCache, removed: dict[tuple[str, str], bool]
    ) -> None:
        """Look into each file of a state that none before had; words of other documents in it are noted.

        Args:
            removed: (path, hash) of each file -> whether it is removed with the documents; filled.
        """
        roots = [paths.ROOT] if state.kind == "workspace" else []

        def locate(path: str) -> Path | None:
            candidates = (store.path(hashes.get(path, "")), *(root / path for root in roots))
            return next((file for file in candidates if file.is_file()), None)

        stays = state.kind == CACHE or (state.kind == "workspace" and self.is_removed)
        missing = [out for out, md5 in state.outputs().items() if is_unlisted(store, md5)]
        for path, md5 in hashes.items():
            if path.endswith(WEIGHTS) or (path, md5) in removed:
                continue
            if (file := locate(path)) is None:
                missing.append(path)
                continue
            hits = self.scan(state.name, path, parts_at(path, file, locate))
            bad = not stays and (any(hit.own for hit in hits) or bool(rows_of(file, path, self.ids)))
            stay = tuple(hit for hit in hits if not bad or (is_of_another(hit, self.ids) and not hit.own))
            removed[path, md5] = bad
            if stay:
                self.matches.append(FileMatch(state.name, path, stay, md5))
        missing = [path for path in missing if hashes.get(path) not in self.purged]
        if missing:
            self.unsearched.append(f"{state.title()}: {len(missing)} {GONE} {missing[0]}; {ELSEWHERE}")

    # -- the owner's files ---------------------------------------------------------------------------------------------

    def scan_local_files(self, known: Iterable[Snapshot] = ()) -> None:
        """Rows that params.yaml names and those that models of states were tuned on; evaluation items."""
        params, tuned = schema.load(paths.PARAMS), dict[tuple[Path, str], list[str]]()
        hashed = cache(md5_of)
        for branch, settings in params.finetune.stages().items():
            if (file := absolute(settings.data)).exists() and not is_corpus(file):
                tuned.setdefault((file, hashed(file)), []).append(f"finetune.{branch}.data")
        for state in known:
            for stage, path, md5 in rows_of_state(state):
                tuned.setdefault((absolute(path), md5), []).append(f"rows of {stage} of {state.name}")
        for (file, md5), names in tuned.items():
            owner = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
            if file.exists() and hashed(file) == md5:
                self.note(owner, shown(file), (Part(where, text) for where, text in texts(file)), md5, with_named=True)
            else:
                why = "it is gone, or not what it was when they were tuned on it"
                self.unsearched.append(f"{owner}: {shown(file)}: {why}")
        items = paths.ROOT / params.filter.decontaminate.items
        for item in sorted(one for one in items.rglob("*") if one.is_file()):
            self.note("filter.decontaminate.items", shown(item), parts_of(item), with_named=True)

    # -- MLflow and git ------------------------------------------------------------------------------------------------

    def scan_artifacts(self) -> None:
        """Files of runs in MLflow, and the databases of MLflow and Prefect, on this machine."""
        address = os.environ["MLFLOW_TRACKING_URI"]
        local = f"sqlite:///{paths.STATE / 'mlflow.db'}", environment.running_servers().get("MLFLOW_TRACKING_URI")
        if address not in local:
            self.unsearched.append(f"MLflow at {address}: its runs and their files")
        for path in self._artifacts():
            self.note("MLflow", str(path.relative_to(paths.STATE / "mlartifacts")), parts_of(path))
        for path in (paths.STATE / "prefect" / "prefect.db", paths.STATE / "mlflow.db"):
            if path.exists():
                self.note("database", shown(path), parts_of(path))

    def _artifacts(self) -> list[Path]:
        return files_below(paths.STATE / "mlartifacts")

    def scan_worktrees(self) -> None:
        """The files of git's other worktrees of this repository, with the DVC cache of each. They are never changed."""
        for root in git.other_worktrees():
            owner, objects = f"worktree {root}", root / DVC_OBJECTS
            if not root.is_dir():
                self.unsearched.append(f"{owner}: it is not there")

            def locate(path: str, root: Path = root) -> Path | None:
                return file if (file := root / path).is_file() else None

            for file in files_below(root):
                if not file.is_relative_to(objects):
                    name = str(file.relative_to(root))
                    self.note(owner, name, parts_at(name, file, locate))
            with suppress(UserError):  # a listing that is damaged: its files are read one by one then
                for state, hashes in unnamed(ObjectCache.at(root, objects), []):
                    self._scan_state(replace(state, name=owner), hashes, ObjectCache.at(root, objects), {})

    def scan_history(self) -> None:
        """Every version of every file that git keeps, with the messages of commits."""
        unread, found = list[str](), dict[str, list[NeedleHit]]()

        def parts() -> Iterator[Part]:  # of many files at once: most are small
            for name, data in git.history():
                self._count("git")
                for part in _until_fault(parts_of_bytes(data, name)):
                    yield part._replace(where=f"{name}: {part.where}".removesuffix(": "))

        for hit in hits_in(parts(), self.needles, unread=unread):
            name, _, where = hit.where.partition(": ")
            found.setdefault(name, []).append(hit._replace(where=where))
        self.matches += [FileMatch("git", name, tuple(hits)) for name, hits in found.items()]
        self.unsearched += [f"git: {why}" for why in unread]

    # -- the answer ----------------------------------------------------------------------------------------------------

    def sentence(self, found: str = "found in") -> str:
        """Files searched, what was `found`, and what was not searched.

        Files with the same words stand together, those with the most words first.
        """
        alike = dict[str, dict[str, dict[str, None]]]()
        for match in sorted(self.matches, key=lambda match: -max((hit.words for hit in match.hits), default=0)):
            alike.setdefault(match.description(), {}).setdefault(match.owner, {})[match.path] = None
        lines = list[str]()
        for description, owners in alike.items():
            rows = (f"\n        {owner}: {', '.join(files)}" for owner, files in owners.items())
            lines.append(f"\n    {description}:{''.join(rows)}")
        common, left = self.needles.num_common, self.needles.num_left
        skipped = f"; {common:,} runs that more documents have are common, and were not looked for" if common else ""
        skipped += f"; of its many runs {left:,} were not looked for" if left else ""
        missing = [f"\n    {line}" for line in (*dict.fromkeys(self.unsearched), *BEYOND)]
        matches = "".join(lines) or " none"
        return f"searched {self.num_places:,} places{skipped}; {found}:{matches}\nnot searched:{''.join(missing)}"


def _until_fault(parts: Iterable[Part]) -> Iterator[Part]:
    """The parts up to one that cannot be read, and the reason."""
    try:
        yield from parts
    except (UserError, *FAULTS) as error:
        yield Part("", "", unread=clause(error))


def removals() -> dict[str, Any]:
    """Content of `FILE`; empty if nothing was forgotten yet."""
    path = paths.ROOT / FILE
    return (read_json(path) if path.exists() else {}) or {}


# -- what holds what ---------------------------------------------------------------------------------------------------


def parts_at(path: str, file: Path, locate: Callable[[str], Path | None]) -> Iterator[Part]:
    """The text of an output's file; of a token shard by document, with the tokenizer of its state.

    Raises:
        UserError: that is gone, or the file is too large.
    """
    if not (shard := TOKENS.fullmatch(path)):
        yield from parts_of(file, path)
        return
    folder, part, number = shard.groups()
    companions = f"{folder}/{part}/manifest.json", f"{folder}/tokenizer.json", f"{folder}/{part}/documents-{number}.npy"
    manifest, tokenizer, starts = map(locate, companions)
    if not (manifest and tokenizer and starts):
        raise UserError("the tokenizer or the index of these tokens is gone")
    corpus = locate(f"data/{'mix' if part == 'train' else 'ingest'}/{part}/part-{number}.parquet")
    yield from parts_of_tokens(file, read_json(manifest)["dtype"], tokenizer, starts, corpus)


def is_of_another(hit: NeedleHit, ids: Collection[str]) -> bool:
    """Whether words are in the row of a document that stays."""
    return bool(hit.id) and hit.id.split("-")[0] not in {name.split(" ")[0] for name in ids}


def rows_of(shard: Path, path: str, ids: Collection[str]) -> list[str]:
    """Ids of a corpus shard's rows that are one of the documents or a copy of one, the records of removals aside."""
    if not (ids and path.startswith("data/") and path.endswith(".parquet")):
        return []
    columns = [name for name in ("id", "sha256", "rule") if name in pq.read_schema(shard).names]
    rows = pq.read_table(shard, columns=columns).to_pylist() if "sha256" in columns else []
    # Of what was opted out ingest keeps no text.
    return [row["id"] for row in rows if row.get("rule") != OPTED_OUT and is_one_of(ids, row)]


def is_one_of(ids: Collection[str], row: dict[str, str]) -> bool:
    """Whether a row of a corpus is one of the documents, or a copy of one."""
    base = row["id"].split("-")[0]
    return base in ids or f"{base} {row['sha256']}" in ids


def texts_of(corpora: Iterable[tuple[str, str]], ids: Collection[str], of_ids: bool) -> Iterator[list[str]]:
    """Texts of corpora of the workspace, a shard at a time: of the documents, or of the others."""
    for shard in shards(workspace_view, *corpora):
        rows = pq.read_table(shard.path, columns=["id", "sha256", "text"]).to_pylist()
        yield [row["text"] for row in rows if is_one_of(ids, row) == of_ids]


KEPT = tuple(one for one in CORPORA if one[1] in ("train", "heldout"))
"""Corpora of text that is trained on or held out."""


def still_held(ids: Collection[str], corpora: Iterable[tuple[str, str]] = KEPT) -> list[str]:
    """Those of the documents that corpora of the workspace hold; by id, copies of one too."""
    corpus_shards = shards(workspace_view, *corpora)
    rows = (rows_of(shard.path, f"data/{shard.stage}/{shard.part}/{shard.file}", ids) for shard in corpus_shards)
    return list(dict.fromkeys(row for some in rows for row in some))


def models_of(lock: dict[str, dict[str, Any]], bad: Iterable[str], rows: Collection[str]) -> set[str]:
    """Models of a state that were, or may have been, trained on a document: outputs of stages by path.

    A tuned one counts by what its own stage read, of whatever hash: a corpus that holds the
    document, or a model that counts. One of another trainer, tuned on other rows, does not.

    Args:
        bad: its files that hold one. rows: hashes of rows of one's own that do.
    """
    held, models, hashes = [path for path in bad if path.startswith("data/")], set[str](), set(rows)
    read = {path for path in held if not path.startswith(CHECKED)}
    read |= {MIXED for path in held if path.startswith(MIXTURE)}

    def counts(dep: dict[str, Any]) -> bool:
        path = f"{shown(absolute(dep['path']))}/"
        within = path.startswith(tuple(f"{one}/" for one in models)) or any(one.startswith(path) for one in read)
        return within or dep.get("md5") in hashes

    for _ in lock:  # a model tuned from a tuned one may stand before it
        for stage, entry in lock.items():
            if stage.startswith(TRAINING) and any(map(counts, entry.get("deps", []))):
                outs = [out for out in entry["outs"] if out["path"].startswith("models/")]
                models |= {out["path"] for out in outs}
                hashes |= {out["md5"] for out in outs}
    return models


def files_of(store: ObjectCache, state: Snapshot) -> Iterator[tuple[str, str]]:
    """Path and hash of every file below the outputs of a state, as far as the lists of folders are here."""
    for out, md5 in state.outputs().items():
        if not is_unlisted(store, md5):
            yield from ((f"{out}/{name}".rstrip("/"), one) for name, one in store.files(md5).items())


def is_unlisted(store: ObjectCache, md5: str) -> bool:
    """Whether an object lists a folder's files and is not here, so that nobody knows them."""
    return md5.endswith(".dir") and not store.path(md5).exists()


def unnamed(store: ObjectCache, files: list[dict[str, str]]) -> Iterator[tuple[Snapshot, dict[str, str]]]:
    """Folders in DVC's cache that are of no known state, and files in it that are of no folder.

    They may be the owner's, whose data DVC keeps too: they are named, and `greenhouse clean
    --unused` removes the rest.
    """
    named = {md5 for hashes in files for md5 in hashes.values()}
    there = {file.parent.name + file.name for file in store.folder.glob("??/*")} - named
    for md5 in sorted(md5 for md5 in there if md5.endswith(".dir")):
        hashes = {name: file_md5 for name, file_md5 in store.files(md5).items() if file_md5 in there}
        folder = "data/tokenize" if "tokenizer.json" in hashes and "train/manifest.json" in hashes else md5
        yield Snapshot(CACHE, CACHE, {}), {f"{folder}/{name}": file_md5 for name, file_md5 in hashes.items()}
        there -= {md5, *hashes.values()}
    yield Snapshot(CACHE, CACHE, {}), {md5: md5 for md5 in there if not md5.endswith(".dir")}


def rows_of_state(state: Snapshot) -> Iterator[tuple[str, str, str]]:
    """Stage, path and hash of the rows that each fine-tuning of a state read; none for those that read a corpus."""
    for branch, tuning in tunings_of(state).items():
        for dep in state.lock.get(stage := f"finetune@{branch}", {}).get("deps", []):
            path = dep["path"]
            if "data" in tuning and absolute(path) == absolute(tuning["data"]) and not path.startswith("data/"):
                yield stage, path, dep["md5"]


def files_below(folder: Path) -> list[Path]:
    """Files below a folder that may hold text: no weights, no links, nothing of git or of installed packages."""
    found = list[Path]()
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in (".git", ".venv", "venv", "node_modules"))
        files = (Path(top, name) for name in sorted(names) if not name.endswith(WEIGHTS) and name != ".git")
        found += [file for file in files if file.is_file() and not file.is_symlink()]
    return found


def absolute(path: str) -> Path:
    """Absolute path of a file, whichever way its path is written."""
    return Path(os.path.normpath(paths.ROOT / path))


def shown(path: Path) -> str:
    """A path as it is written in params.yaml: below the checkout if it lies there."""
    return str(path.relative_to(paths.ROOT) if path.is_relative_to(paths.ROOT) else path)
