"""DVC's records: the graph of stages, stale ones and the reasons, and the inputs of a stage.

`dvc.yaml` is the one DAG; everything here reads it through DVC itself. DVC decides what is stale,
nobody else.
"""

import json
import logging
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from components.core.errors import UserError, clause
from components.core.files import fingerprint, md5_file, unreadable
from components.params import DEFAULTS, layout, read_tree, yaml_text
from flows.system import code_files
from flows.system.paths import DVC_CACHE, ROOT
from flows.system.processes import busy, output

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
MOST_NAMED = 8
"""Files that a message names."""
DAMAGED = "{} is damaged: take it from git (`git checkout dvc.lock`) or remove it, and run again"


@contextmanager
def open_repo(root: Path = ROOT) -> Iterator[Any]:
    """DVC's view of a checkout, under DVC's own lock: a stage that ends beside us rewrites dvc.lock in place.

    Waits for that lock, as `dvc --wait-for-lock` does; DVC lets go of it while a stage runs. Not to
    be nested.

    Raises:
        UserError: DVC cannot read the checkout or the text of a source, or use its own database.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    # Its bars, of a tenth of a second each, would flicker through the stages' own lines in a
    # terminal.
    logging.getLogger("dvc.progress").setLevel(logging.CRITICAL)
    logging.getLogger("dvc.output").setLevel(logging.ERROR)  # it warns of each output that is not made yet
    _repair_rwlock(root / ".dvc/tmp")
    try:
        with Repo(str(root), _wait_for_lock=True) as repo, lock_repo(repo):
            yield repo
    except DvcException as error:
        raise UserError(busy(str(error)) or f"DVC: {clause(error, 1000)}{_advice(root, str(error))}") from None
    except UnicodeEncodeError as error:
        raise UserError(f"DVC cannot read a file name that is not UTF-8 ({error.object!a:.200}); rename it") from None
    except FileNotFoundError as error:
        if not error.filename or not os.path.islink(error.filename):
            raise
        raise UserError(cannot_read(Path(error.filename))) from None
    except sqlite3.Error as error:
        raise UserError(
            f"DVC's database in {DVC_CACHE}: {clause(error)}; make room on the disk, or raise the limit on the size of "
            "files; if that is not it, remove the folder: DVC makes it anew"
        ) from None


def unreachable(repo: Any) -> str:
    """Why the default remote cannot be read, as a sentence; empty if it can, or there is none."""
    if not (name := repo.config["core"].get("remote")):
        return ""
    try:
        store = repo.cloud.get_remote_odb()
        if not store.fs.exists(store.path):
            raise FileNotFoundError(f"nothing is at {store.path}")
    except Exception as error:  # each kind of storage has exceptions of its own
        return f"DVC remote {name}: {' '.join(str(error).split()) or type(error).__name__}"
    return ""


def cannot_read(*files: Path) -> str:
    """Those of the paths that DVC cannot read in a folder that it versions, and why; "" if it can read all."""
    shown = [f"{ascii(str(file))[1:-1]:.300} ({why})" for file in files if (why := unreadable(file))]
    if not shown:
        return ""
    more = [f"{len(shown) - MOST_NAMED} more"] if len(shown) > MOST_NAMED else []
    return f"DVC, which versions the folder, cannot read {', '.join(shown[:MOST_NAMED] + more)}; remove or rename them"


def _repair_rwlock(folder: Path) -> None:
    """Remove DVC's list of readers and writers if it is half-written: DVC, killed as it wrote, would read no more.

    Under the lock that DVC holds while it writes: what is half-written then has lost its writer.
    """
    from dvc.lock import LockError, make_lock

    if _is_json(file := folder / "rwlock"):
        return
    with suppress(LockError), make_lock(str(folder / "rwlock.lock"), tmp_dir=str(folder), wait=True):
        if not _is_json(file):
            file.unlink()


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_bytes())
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    return True


def _advice(root: Path, error: str) -> str:
    """Advice on DVC's error if it is a dvc.lock that a power cut, a merge or a hand has damaged."""
    try:
        _locked(root)
    except UserError as damage:
        return f"; {damage}"
    return f"; {DAMAGED.format(root / 'dvc.lock')}" if "dvc.lock' validation failed" in error else ""


def graph(root: Path = ROOT) -> dict[str, list[str]]:
    """Stage -> the stages it depends on, in topological order. `.dvc` files are nodes without a command: left out."""
    files = [root / name for name in ("dvc.yaml", "params.yaml", DEFAULTS)]
    return dict(_graph(root, *(file.read_bytes() if file.exists() else b"" for file in files)))


@lru_cache(4)
def _graph(root: Path, *_files: bytes) -> dict[str, list[str]]:
    """The graph of these contents of the files that define it: DVC takes a second to read one."""
    import networkx

    with open_repo(root) as repo:
        edges = repo.index.graph
        stages = [stage for stage in networkx.dfs_postorder_nodes(edges) if stage.cmd]
        return {stage.name: [up.name for up in edges.successors(stage) if up.cmd] for stage in stages}


def require_stage(name: str, shown: str) -> None:
    """Raise `UserError`, which begins with `shown`, if the graph has no such stage."""
    if name not in (stages := graph()):
        raise UserError(f"{shown}: no such stage; there are {', '.join(stages)}")


def reduced(stages: dict[str, list[str]]) -> dict[str, list[str]]:
    """The graph without the edges that a longer path implies (its transitive reduction), in the same order."""
    import networkx

    edges = networkx.transitive_reduction(networkx.DiGraph(stages))
    return {name: [need for need in needs if edges.has_edge(name, need)] for name, needs in stages.items()}


def upstream(stages: dict[str, list[str]], target: str) -> list[str]:
    """`target` and all it depends on, in topological order."""
    wanted = {target}
    for name in reversed(list(stages)):
        if name in wanted:
            wanted |= set(stages[name])
    return [name for name in stages if name in wanted]


def downstream(stages: dict[str, list[str]], changed: set[str]) -> set[str]:
    """`changed` and all that depends on it."""
    result = set(changed)
    for name, needs in stages.items():
        if result & set(needs):
            result.add(name)
    return result


@dataclass
class Inputs:
    """Inputs of a stage: hashes of its dependencies, and the effective values of the parameters it depends on.

    `fingerprint` names the work folder in which a killed stage resumes: equal inputs, equal folder.
    """

    hashes: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        return fingerprint([self.params, self.hashes])


def inputs(stage: str, root: Path = ROOT, intact: bool = False) -> Inputs:
    """The inputs of a stage as they are on disk now (a dependency that is missing hashes to "").

    Raises:
        UserError: they shall be `intact`, and one is not what its stage wrote, by dvc.lock.
    """
    with open_repo(root) as repo:
        current = _inputs(repo.stage.load_one(str(root / "dvc.yaml"), stage))
        if intact:
            names = [Path(name) for name in current.hashes]
            for out in repo.index.outs:
                path = Path(out.def_path)
                if any(path.is_relative_to(name) or name.is_relative_to(path) for name in names):
                    _raise_if_damaged(out, root)
        return current


def raise_if_not_ready(stage: str, root: Path = ROOT) -> None:
    """Refuse to run a stage by itself where an input that a stage makes is not there."""
    with open_repo(root) as repo:
        one = repo.stage.load_one(str(root / "dvc.yaml"), stage)
        makers = {Path(out.def_path): one.name for one in repo.index.stages for out in one.outs}
        for path in [Path(dep.def_path) for dep in one.deps if not dep.exists]:
            producers = [maker for out, maker in makers.items() if out.is_relative_to(path) or path.is_relative_to(out)]
            todo = f"`greenhouse run --until {producers[0]}` makes it" if producers else "correct it in params.yaml"
            raise UserError(f"{stage}: {path}, which it reads, is not there; {todo}")


def hash_of(stage: str, path: str, root: Path = ROOT) -> str:
    """The hash DVC gives the output `path` of a stage as it is on disk now: what dvc.lock will say."""
    with open_repo(root) as repo:
        outs = {out.def_path: out for out in repo.stage.load_one(str(root / "dvc.yaml"), stage).outs}
        return outs[path].get_hash().value


def fingerprints(root: Path = ROOT) -> dict[str, str]:
    """Stage -> fingerprint of its present inputs, for every stage of the graph."""
    with open_repo(root) as repo:
        return {stage.name: _inputs(stage).fingerprint for stage in repo.index.stages if stage.cmd}


def _inputs(stage: Any) -> Inputs:
    from dvc.dependency.param import ParamsDependency

    result, files = Inputs(), {}
    for dep in stage.deps:
        if isinstance(dep, ParamsDependency):
            files[dep.def_path] = dep.read_params()
        else:
            result.hashes[dep.def_path] = dep.get_hash().value if dep.exists else ""
    result.params = layout.effective(files)
    return result


def raise_if_damaged(stages: list[str], root: Path = ROOT) -> None:
    """Refuse outputs of stages whose bytes are not those that they wrote, by dvc.lock."""
    with open_repo(root) as repo:
        for stage in stages:
            for out in repo.stage.load_one(str(root / "dvc.yaml"), stage).outs:
                _raise_if_damaged(out, root)


def _raise_if_damaged(out: Any, root: Path) -> None:
    """Hash an output afresh: DVC itself believes what it noted of a file of this size and time."""
    if out.hash_info and out.exists:
        for file, digest in _files_of(out):
            _raise_if_changed(root / file, digest, out.repo)


def _files_of(out: Any) -> list[tuple[Path, str]]:
    """Path and MD5 of every file of an output; none of a folder whose list the cache no longer has."""
    path = Path(out.def_path)
    if not out.hash_info.isdir:
        return [(path, out.hash_info.value)]
    tree = out.get_obj()
    return [(path.joinpath(*key), meta.value) for key, (_, meta) in tree.as_dict().items()] if tree else []


def _raise_if_changed(path: Path, digest: str, repo: Any) -> None:
    with suppress(FileNotFoundError):  # DVC sees that by itself
        if (present := md5_file(path)) != digest:
            cached = Path(repo.cache.local.oid_to_path(digest))
            todo = f"remove it and its copy in DVC's cache, {cached}, and run again"
            if cached.exists() and md5_file(cached) == digest:  # while the file is there, DVC sees nothing to check out
                todo = f"remove it, and `dvc checkout {path}` brings it back from DVC's cache, where it is whole"
            raise UserError(f"{path}: its bytes are not those that its stage wrote (md5 {present[:8]}, dvc.lock has "
                            f"{digest[:8]}): a fault of the disk, or an edit; {todo}")  # fmt: skip


def outputs(root: Path = ROOT) -> set[str]:
    """Paths of all outputs of all stages, as dvc.yaml names them."""
    with open_repo(root) as repo:
        return {out.def_path for stage in repo.index.stages if stage.cmd for out in stage.outs}


def lock(root: Path = ROOT) -> dict[str, dict]:
    """The stages of dvc.lock; empty where there is none."""
    if not (root / "dvc.lock").exists():
        return {}
    with open_repo(root):
        return _locked(root)


def _locked(root: Path) -> dict[str, dict]:
    path = root / "dvc.lock"
    if not path.exists():
        return {}
    with suppress(UserError):
        tree = read_tree(path)
        stages = tree.get("stages", {})
        if tree and isinstance(stages, dict) and all(map(_is_entry, stages.values())):
            return stages
    raise UserError(DAMAGED.format(path))


def _is_entry(entry: Any) -> bool:
    """Whether a stage of dvc.lock names a hash of each of its dependencies and outputs."""
    if not isinstance(entry, dict):
        return False
    files = [*(entry.get("deps") or []), *(entry.get("outs") or [])]
    return all(
        isinstance(file, dict)
        and "path" in file
        and file.get("hash", "md5") == "md5"
        and MD5.fullmatch(str(file.get("md5")))
        for file in files
    )


def stale(root: Path = ROOT) -> dict[str, list[str]]:
    """Stage -> reasons, for each stage whose own state differs from dvc.lock (not yet what follows downstream)."""
    with open_repo(root) as repo:
        locked = _locked(root)  # first: of hashes that are none DVC makes names of files
        status = repo.status()
    lines = {}
    for address, changes in status.items():  # `dvc.yaml:dedup` where the current folder is not the root
        stage = address.rpartition(":")[2]
        if changes and stage in locked:
            lines[stage] = [line for change in changes for line in _reasons(stage, change, locked, root)]
        elif changes:
            lines[stage] = ["never ran"]
    return lines


def _reasons(stage: str, change: str | dict, locked: dict, root: Path) -> list[str]:
    """One line per changed key or file of a `dvc status` entry."""
    if isinstance(change, str):
        return [change]
    lines = []
    for kind, entries in change.items():
        if isinstance(entries, str):
            lines.append(f"{kind}: {entries}")
            continue
        for path, state in entries.items():
            if isinstance(state, dict):  # a parameter file: {section: state}
                lines += _changed_keys(locked.get(stage, {}), path, list(state), root)
            elif kind == "changed outs":
                lines.append(f"output {path}: {state}")
            else:
                lines += _changed_files(locked.get(stage, {}), path, state, root)
    return lines


def _changed_files(entry: dict, path: str, state: str, root: Path) -> list[str]:
    """`file components/core/files.py: modified` (or `added`, `deleted`) for each file of a dependency or its folder."""
    locked = next((dep["md5"] for dep in entry.get("deps", []) if dep["path"] == path), "")
    if state != "modified":
        return [f"file {path}: {state}"]
    if recorded := code_files.of_folder(locked):
        now = code_files.present(path, root)
        if files := code_files.changed(recorded, now):
            return [f"file {file}: {_change(recorded.get(file), now.get(file))}" for file in files]
    return [f"file {path}: {_change(locked, state)}"]


def _change(old: str | None, new: str | None) -> str:
    """Change of a file, by its hashes; DVC itself calls a dependency that is new to a stage modified."""
    if not old:
        return "added"
    return "modified" if new else "deleted"


def _changed_keys(entry: dict, path: str, sections: list[str], root: Path) -> list[str]:
    """`dedup.threshold: 0.7 -> 0.8` for every leaf that differs between dvc.lock and the parameter file.

    A key of defaults.yaml is named as `dvc exp run -S` wants it: `defaults.yaml:dedup.bands`.
    """
    old_values = entry.get("params", {}).get(path, {})
    now_tree = yaml_text.load((root / path).read_text())
    lines = []
    for section in sections:
        now = layout.value_at(now_tree, section)
        file = f"{path}:" if path == DEFAULTS else ""
        lines += [f"key {file}{key}: {old} -> {new}" for key, old, new in leaves(section, old_values.get(section), now)]
    return lines


def leaves(key: str, old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    """Every leaf at which two parameter trees differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new))
        return [leaf for name in keys for leaf in leaves(f"{key}.{name}".lstrip("."), old.get(name), new.get(name))]
    return [] if old == new else [(key, old, new)]


def command(*arguments: str) -> list[str]:
    """DVC's command line, of this environment."""
    return [sys.executable, "-m", "dvc", *arguments]


def run(*arguments: str, root: Path = ROOT) -> str:
    """Output of a DVC command in a checkout.

    Of commands on experiments one runs at a time: two in one repository take the same git
    references, and break off.

    Raises:
        UserError: it fails; the line that says why is shown.
    """
    alone = FileLock(ROOT / ".dvc/tmp/experiments.lock") if arguments[0] == "exp" else nullcontext()
    with alone:
        return os.fsdecode(output(command(*arguments), root))
