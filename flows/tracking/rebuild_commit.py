"""The commit that rebuilds what stages made: one that has the parameters and files which dvc.lock recorded of them.

dvc.lock is what the runs left, so the answer is theirs, whatever lies in the workspace by now.
"""

import hashlib
import io
import tarfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import yaml

from components.core.errors import UserError
from components.core.files import folder_md5
from components.params import DEFAULTS, layout, yaml_text
from components.stages.account.answers import NotKnown
from flows.system import dvc, git, paths, processes
from flows.system.code_files import CODE

EARLIER, SHOWN = 10, 3
"""Commits before HEAD that are looked at, of those that changed an input; differences named."""


def rebuild_commit(lock: Mapping[str, dict[str, Any]], stages: Collection[str]) -> str | NotKnown:
    """HEAD, or the newest commit before it, that has what dvc.lock recorded of all the stages' parameters and files.

    Files that git does not keep, as rows of one's own or a foreign base may be, are known to it by
    their path alone.
    """
    if absent := [stage for stage in stages if stage not in lock]:
        return NotKnown(not_known=f"dvc.lock has no {', '.join(absent)}")
    if not (head := git.answer("rev-parse", "HEAD")):
        return NotKnown(not_known="no commit is recorded")
    entries = [lock[stage] for stage in stages]
    outs = {out["path"]: out["md5"] for entry in entries for out in entry.get("outs", [])}
    read = [dep for entry in entries for dep in entry.get("deps", [])]
    if anew := [dep["path"] for dep in read if outs.get(dep["path"], dep["md5"]) != dep["md5"]]:
        return NotKnown(not_known=f"{anew[0]} was made anew since, and dvc.lock has nothing of what was read then")
    inputs = {dep["path"] for entry in lock.values() for dep in entry.get("deps", [])}
    local_paths = tuple(sorted(path for path in inputs if not path.startswith(("/", "../"))))
    earlier = git.answer("log", f"-{EARLIER}", "--format=%H", "--", "params.yaml", DEFAULTS, *local_paths).split()
    for commit in (head, *earlier):
        if not differences(commit, entries, local_paths):
            return commit
    at_head = differences(head, entries, local_paths)
    more = f" and {len(at_head) - SHOWN} more" if len(at_head) > SHOWN else ""
    return NotKnown(
        not_known=f"its run had {', '.join(at_head[:SHOWN])}{more} otherwise than {head[:10]} or a commit before it; "
        "commit them with dvc.lock"
    )


def differences(commit: str, entries: Collection[dict[str, Any]], local_paths: tuple[str, ...]) -> list[str]:
    """Keys of parameters, then paths of files, at which a commit differs from entries of dvc.lock.

    Args:
        local_paths: paths below the checkout that stages depend on.
    """
    files, changed = files_at(commit, local_paths), list[str]()
    for entry in entries:
        then = entry.get("params", {})
        now = {file: {key: layout.value_at(_tree(commit, file), key) for key in then[file]} for file in then}
        changed += [key for key, *_ in dvc.leaves("", layout.effective(then), layout.effective(now))]
    for entry in entries:
        for dep in entry.get("deps", []):
            present = hash_in(dep["path"], files)
            if present != dep["md5"] and (present or dep["path"].startswith(CODE)):
                changed.append(dep["path"])
    return list(dict.fromkeys(changed))


@lru_cache(64)
def _tree(commit: str, file: str) -> dict[str, Any]:
    tree: Any = {}
    with suppress(yaml.YAMLError):
        tree = yaml_text.load(git.answer("show", f"{commit}:{file}"))
    return tree if isinstance(tree, dict) else {}


@lru_cache(16)
def files_at(commit: str, below: tuple[str, ...]) -> dict[str, str]:
    """Path -> MD5 of the files that a commit has at and below these paths."""
    try:
        there = git.git("ls-tree", "-z", "--name-only", commit, "--", *below).split("\0")[:-1]
        if not there:  # git would take that for all
            return {}
        packed = processes.output(["git", "archive", "--format=tar", commit, "--", *there], paths.ROOT)
    except UserError:
        return {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = [(member.name, archive.extractfile(member)) for member in archive]
        return {name: hashlib.md5(file.read(), usedforsecurity=False).hexdigest() for name, file in members if file}


def hash_in(path: str, files: Mapping[str, str]) -> str:
    """DVC's hash of a file or folder by the hashes of all files of a commit or an output; "" if it is not there."""
    below = {name[len(path) + 1 :]: md5 for name, md5 in files.items() if name.startswith(f"{path}/")}
    return files.get(path) or (folder_md5(below) if below else "")
