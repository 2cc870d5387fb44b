"""A team's ledger records, kept beside the objects of DVC's default remote.

`<remote>/greenhouse-ledger/<checkout>/<host>.jsonl.gz` is one clone's ledger file of one host. They
are no DVC objects: measurements are part of no hashed output, each clone writes its own files
alone, and `dvc gc` never sees them. Pulled files lie in `ledger/team/`, where the reader of the
ledger finds them; it counts a line once, however often copied.
"""

import gzip
import re
import sys
from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Any

from components.carbon.ledger import reader
from components.core.errors import UserError
from components.core.files import fingerprint, write_text
from flows.system import dvc, paths

FOLDER = "greenhouse-ledger"
PULLED = paths.LEDGER / "team"


@contextmanager
def _remote() -> Iterator[tuple[Any, str]]:
    """The default remote's file system, and the folder of its ledger files.

    Raises `UserError`: there is no default remote, or it does not answer.
    """
    with dvc.open_repo() as repo:
        name = repo.config["core"].get("remote")
        if not name:
            raise UserError("no default DVC remote; set one: `dvc remote add --default team URL` (docs/team.md)")
        try:
            remote = repo.cloud.get_remote()
            yield remote.fs, remote.fs.join(remote.path, FOLDER)
        except Exception as error:  # each kind of storage has exceptions of its own
            why = " ".join(str(error).split()) or type(error).__name__
            url = repo.config["remote"][name]["url"]
            raise UserError(f"DVC remote {name} ({url}): {why}; check its address, access and driver") from error


def checkout() -> str:
    """Name of this clone among the team's: a host's name is in the name of each ledger file, its folder is not."""
    return fingerprint(str(paths.STATE))


def push() -> int:
    """Copy this clone's ledger files to the remote; how many there are."""
    files = sorted({*paths.LEDGER.glob("*.jsonl"), *paths.LEDGER.glob("adopted/*/*.jsonl")})
    with _remote() as (fs, folder):
        for file in files:
            name = "-".join(file.relative_to(paths.LEDGER).parts)
            target = fs.join(folder, checkout(), f"{name}.gz")
            fs.makedirs(fs.parent(target), exist_ok=True)
            fs.pipe_file(target, gzip.compress(file.read_bytes(), mtime=0))
    return len(files)


def pull() -> int:
    """Copy the other clones' ledger files from the remote; how many there are."""
    with _remote() as (fs, folder):
        if not fs.exists(fs.parent(folder)):
            raise FileNotFoundError("nothing is there")
        names = [tuple(fs.parts(path)[-2:]) for path in fs.find(folder)] if fs.exists(folder) else []
        others = [(clone, name) for clone, name in names if clone != checkout() and _is_ledger(clone, name)]
        for clone, name in others:
            text = gzip.decompress(fs.cat_file(fs.join(folder, clone, name))).decode("utf-8", "replace")
            write_text(PULLED / clone / name.removesuffix(".gz"), text)
    return len(others)


def _is_ledger(clone: str, name: str) -> bool:
    """Whether a file of the remote has a name that `push` gives: it becomes a path here."""
    return bool(re.fullmatch(r"[0-9a-f]{16}", clone) and re.fullmatch(r"\w[\w.-]*\.jsonl\.gz", name))


def ledger_of(stages: Set[tuple[str, str]]) -> reader.Ledger:
    """The ledger; with the team's records if there is a remote and one of `stages` (name, fingerprint) is not here."""
    ledger = reader.read(paths.LEDGER)
    known = {(span.stage, span.labels.get("fingerprint", "")) for span in ledger}
    with dvc.open_repo() as repo:
        shared = "remote" in repo.config["core"]
    if not shared or stages <= known:
        return ledger
    try:
        pull()
    except UserError as error:  # what is here is shown all the same
        print(f"energy of stages made elsewhere is not known: {error}", file=sys.stderr)
    return reader.read(paths.LEDGER)
