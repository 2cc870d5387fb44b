"""Recorded run behind an adopted model: its record, its data, and the run in a clean clone."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.files import md5_file, read_json, sha256_file, write_text
from components.studies import adoption
from components.studies.attestation.verdict import Finding
from components.studies.leftovers import WEIGHTS
from flows.system import paths
from flows.system.processes import output
from flows.tracking import environment_record
from flows.tracking.model_origin import record_verification
from flows.tracking.snapshots import ObjectCache, Snapshot, files_of
from greenhouse_record import surroundings
from greenhouse_record.metering.counters import cpu_model
from greenhouse_record.metering.meter import Meter
from greenhouse_record.record import Files, Record, changes, hashed, read
from greenhouse_record.recording import VARIABLE

PLACES = paths.FINDINGS / "adopted"
"""Where the runs of adopted models took place on this machine: paths of it, which nobody else may see."""
OURS = ("GREENHOUSE_", "MLFLOW_", "PREFECT_")
"""Beginnings of variables of this process that a run which is repeated must not take for its own."""


def record_of(one: Snapshot) -> Record | None:
    """The record of an adopted model's run; None if nobody recorded it.

    Raises `UserError`: its chain is broken.
    """
    path = files_of(one)(f"models/{one.name}/{adoption.RECORD}")
    return read(path) if path else None


def root_of(one: Snapshot) -> Path | None:
    """The folder on this machine that the paths of the record are relative to; None where it is not known."""
    path = PLACES / f"{one.outputs()[f'models/{one.name}'].removesuffix('.dir')}.json"
    root = Path(read_json(path)["root"]) if path.exists() else None
    return root if root and root.is_dir() else None


def altered(one: Snapshot, record: Record | None) -> list[str]:
    """Names of an adopted model's files that are not here as they were adopted, or not as its record names them."""
    folder, kept = f"models/{one.name}", files_of(one)
    listed, here = ObjectCache().files(one.outputs()[folder]), paths.ROOT / folder
    files = {name: here / name if here.exists() else kept(f"{folder}/{name}") for name in listed}
    sound = {name: path for name, path in files.items() if path and path.exists() and md5_file(path) == listed[name]}
    hashes = {name: sha256_file(path) for name, path in sound.items()}
    return sorted(files.keys() - sound.keys()) + (adoption.strangers(hashes, record) if record else [])


def data_again(one: Snapshot) -> Finding:
    """Whether the data that the record names lie here and are the same."""
    data, root = one.adopted["data"], root_of(one)
    if not data or not root:
        why = "its data are not on this machine" if data else "nothing was recorded of them"
        return Finding("licences", "unknown", why)
    if changed := changes(data, root):
        why = f"{changed[0]} is not as the record names it, nor are {len(changed) - 1} other files of data"
        return Finding("licences", "unknown", why)
    text = f"{len(data)} files of data, hashed again as the record names them; licences are not in it"
    return Finding("licences", "yes", text)


# -- the run again -----------------------------------------------------------------------------------------------------


def lacking(one: Snapshot, record: Record) -> list[str]:
    """What of the recipe is missing, a clause each; none if the run can be repeated here."""
    root, tries = root_of(one), adoption.tries_of(record)
    start, git = tries[0].start, tries[0].start["git"]
    if not root:
        return ["the folder it ran in is not on this machine; adopt it here, from its own folder"]
    commit, files = git["commit"] or "", {**start["data"], **git.get("untracked", {})}
    known = commit and not subprocess.run(["git", "cat-file", "-e", commit], cwd=root, capture_output=True).returncode
    inside = not any(os.path.isabs(path) for path in (record.out, start["cwd"]))
    whole = {
        "its code: it ran outside of a git repository, or before a first commit": commit,
        f"its code: the repository in {root} has no commit {commit[:9]}": known or not commit,
        f"its code: the changes beside commit {commit[:9]}": not git.get("diff") or _diff(root, git).exists(),
        "code and data of one kind: they changed between its tries": adoption.steady(tries),
        f"a place of its own: it wrote to {record.out}, and a second run would too": inside,
        "a secret in its command, which no record keeps": "***" not in start["command"],
    }
    changed = [f"{path} is not as it was then" for path in changes(files, root)]
    return changed + [part for part, is_there in whole.items() if not is_there]


def _diff(root: Path, git: dict[str, Any]) -> Path:
    return root / ".greenhouse" / "records" / f"{git['diff']}.diff"


@contextmanager
def _clone(root: Path, start: dict[str, Any]) -> Iterator[Path]:
    """A clone at the recorded commit with its changes; untracked files and data are links to those there.

    A worktree would leave its name in the repository of somebody else if this process is killed.
    """
    git = start["git"]
    paths.WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.WORK) as folder:
        target = Path(folder) / root.name
        output(["git", "clone", "--quiet", "--shared", "--no-checkout", str(root), str(target)], root)
        output(["git", "checkout", "--quiet", "--detach", git["commit"]], target)
        if git["diff"]:
            output(["git", "apply", "--whitespace=nowarn", str(_diff(root, git))], target)
        for name in (*git["untracked"], *start["files"], *start["data"]):
            if not os.path.lexists(target / name):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                (target / name).symlink_to(root / name)
        yield target


def verify(one: Snapshot, stage: str) -> int:
    """Hash the model's files, run the recorded command again, from its first try on, and compare; prints what it finds.

    Where weights differ it runs twice, which tells a trainer that does not repeat itself from a resume that is not the
    same as no interruption.

    Returns:
        0 if all weights of the model are the same to the bit, 1 if one is not, or a file of the model here is not as
        recorded, 2 if a part of the recipe is missing.

    Raises `UserError`: the record was edited, or the command failed.
    """
    record = record_of(one)
    if wrong := altered(one, record):
        print(f"differs: models/{one.name}/{wrong[0]}: not the recorded bytes ({len(wrong)} such files)")
        return 1
    if not (missing := lacking(one, record) if record else [f"its command and data: {adoption.UNRECORDED}"]):
        assert record
        missing, made = _again(one, record, stage)
    if missing or not record:
        print(*(f"missing: {part}" for part in missing), "not made again: its recipe is not whole", sep="\n")
        return 2
    outputs = record.attempts[-1].outputs or {}
    model = [path for path in outputs if path.endswith(WEIGHTS) and Path(path).name in one.adopted["files"]]
    differing = [path for path, row in outputs.items() if made.get(path) != row] + sorted(made.keys() - outputs.keys())
    wrong, difference = [path for path in model if path in differing], ""
    if wrong:
        difference = f"{wrong[0]}: other bytes than recorded ({len(wrong)} of {len(model)} such files); "
        second = _again(one, record, stage)[1]
        difference += _cause(one, record, sum(made.get(path) != second.get(path) for path in model))
    record_verification(one, stage, difference, environment_record.present())
    print(f"differs: {difference}" if wrong else f"identical: {', '.join(model)}")
    if others := [path for path in differing if path not in wrong]:
        print(f"not the same: {', '.join(others[:3])} ({len(others)} of {len(outputs)} files); logs hold times")
    if wrong and (commands := adoption.commands_differ(record)):
        print(f"missing: one command: its tries had different ones ({commands}), and the first alone does not make it")
        return 2
    return int(bool(wrong))


def _cause(one: Snapshot, record: Record, num_unlike: int) -> str:
    """In words, what two runs here without an interruption say of a model that neither of them makes.

    Args:
        num_unlike: files of weights that they do not agree in.
    """
    tries = adoption.tries_of(record)
    if num_unlike:
        of_resume = ", so of its resume nothing is known" if len(tries) > 1 else ""
        return f"its trainer does not repeat itself: two runs here differ in {num_unlike} of these files{of_resume}"
    command, known = tries[0].start["command"], ["its resume"] if len(tries) > 1 else []
    if surroundings.python_of(command) != sys.executable:  # which stands for one that the command does not name
        here = adoption.environment(surroundings.environment(command), cpu_model())
        known += environment_record.differences(one.adopted["environment"], here)[:3]
    return f"two runs here are the same to the bit; known to differ from then is {', '.join(known) or 'nothing'}"


def _again(one: Snapshot, record: Record, stage: str) -> tuple[list[str], Files]:
    """The command once more: what of the recipe turns out to be missing, and hashes of what it writes."""
    root, first = root_of(one), adoption.tries_of(record)[0]
    assert root
    with _clone(root, first.start) as clone:
        if changed := changes(first.start["files"], clone):
            return [f"{path} is not as it was then" for path in changed], {}
        done = _repeated(first.start, clone)
        if not done.returncode:
            written = clone / record.out
            return [], hashed([written] if written.exists() else [], clone)
    log = paths.LOGS / f"verify-{one.name.replace('/', '-')}.log"
    write_text(log, (done.stdout + done.stderr).decode(errors="replace"))
    ended = f"its command now ended with status {done.returncode}"
    if first.outcome == "Completed":
        raise UserError(f"{one.name}: {ended}; the log is {log}")
    tries = f"{ended}, and the try that began it ended as {first.outcome}; a resume made it"
    record_verification(one, stage, tries, environment_record.present())
    return [f"one run that makes it: {tries}; the log is {log}"], {}


def _repeated(start: dict[str, Any], clone: Path) -> subprocess.CompletedProcess[bytes]:
    """The command of a try in a place, metered."""
    labels = {"stage": "verify", "run": f"verify-{os.getpid()}", "checkout": f"verify-{os.getpid()}"}
    variables = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    variables |= start["environment"]["variables"] | {VARIABLE: f"{clone.parent / 'again.jsonl'}|1"}
    with Meter(paths.LEDGER, 1.0, labels):
        print(f"running again: {' '.join(start['command'])}", flush=True)
        return subprocess.run(start["command"], cwd=clone / start["cwd"], env=variables, capture_output=True)
