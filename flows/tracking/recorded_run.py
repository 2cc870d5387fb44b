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
from components.core.files import read_json, sha256_file, write_text
from components.core.plain_text import counted
from components.studies import adoption
from components.studies.attestation.verdict import Finding
from components.studies.leftovers import WEIGHTS
from flows.system import paths
from flows.system.processes import output
from flows.tracking import environment_record
from flows.tracking.attestation import rehashed
from flows.tracking.model_origin import model_files, record_verification
from flows.tracking.snapshots import Snapshot, files_of
from greenhouse_record import surroundings
from greenhouse_record.metering.counters import cpu_model
from greenhouse_record.metering.meter import Meter
from greenhouse_record.record import Files, Record, changes, hashed, read
from greenhouse_record.recording import VARIABLE

RUN_FOLDERS = paths.FINDINGS / "adopted"
"""Where runs of adopted models took place here: paths of this machine, for nobody else to see."""
PRIVATE_PREFIXES = ("GREENHOUSE_", "MLFLOW_", "PREFECT_")
"""Beginnings of variables of this process that a run which is repeated must not take for its
own."""


def record_of(state: Snapshot) -> Record | None:
    """The record of an adopted model's run; None if nobody recorded it.

    Raises `UserError`: its chain is broken.
    """
    path = files_of(state)(f"models/{state.name}/{adoption.RECORD}")
    return read(path) if path else None


def root_of(state: Snapshot) -> Path | None:
    """The folder here that paths of the record are relative to; None where it is not known."""
    path = RUN_FOLDERS / f"{state.outputs()[f'models/{state.name}']}.json"
    root = Path(read_json(path)["root"]) if path.exists() else None
    return root if root and root.is_dir() else None


def changed_since(state: Snapshot, record: Record) -> list[str]:
    """Files of data, those that the command names, and what it wrote, that are gone or not as then, if it ran here."""
    root, last = root_of(state), record.attempts[-1]
    return changes({**last.start["data"], **last.start["files"], **last.outputs}, root) if root else []


def altered(state: Snapshot, record: Record | None) -> list[str]:
    """Which files of an adopted model are not as adopted, here or in DVC's cache, or as recorded."""
    if wrong := [finding.text for finding in rehashed(state.lock, here=True) if finding.answer == "no"]:
        return wrong
    hashes = {name: sha256_file(path) for name, path in model_files(state, state.name).items()}
    return [f"{name}: no file that the run left" for name in adoption.strangers(hashes, record)] if record else []


def data_again(state: Snapshot) -> Finding:
    """Whether the data that the record names lie here and are the same."""
    data, root = state.adopted["data"], root_of(state)
    if not data:
        why = "nothing was recorded of them"
    elif not root:
        why = "its data are not on this machine"
    elif changed := changes(data, root):
        why = f"{counted(len(changed), 'file')} of data not as the record names them, the first {changed[0]}"
    else:
        text = f"{counted(len(data), 'file')} of data, hashed again as the record names them; licences are not in it"
        return Finding("licences", "yes", text)
    return Finding("licences", "unknown", why)


# -- the run again -----------------------------------------------------------------------------------------------------


class MissingPartError(Exception):
    """The recipe of a run is not whole. Its arguments are the parts that are missing, a clause each."""


@contextmanager
def _clone(root: Path, start: dict[str, Any]) -> Iterator[Path]:
    """A clone at the recorded commit with its changes; untracked files and data are links.

    A worktree would leave its name in the repository of somebody else if this process is killed.

    Raises `MissingPartError`: code is gone, or a file is not as it was.
    """
    git, files = start["git"], {**start["git"]["untracked"], **start["files"], **start["data"]}
    paths.WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.WORK) as folder:
        target = Path(folder) / root.name
        try:
            output(["git", "clone", "--quiet", "--shared", "--no-checkout", str(root), str(target)], root)
            output(["git", "checkout", "--quiet", "--detach", git["commit"]], target)
            if git["diff"]:
                changes_then = root / ".greenhouse" / "records" / f"{git['diff']}.diff"
                if changes_then.exists() and sha256_file(changes_then) != git["diff"]:
                    raise UserError(f"{changes_then} was edited")
                output(["git", "apply", "--whitespace=nowarn", str(changes_then)], target)
        except UserError as error:
            raise MissingPartError(f"its code: {error}") from None
        for name in files:
            if not os.path.lexists(target / name):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                (target / name).symlink_to(root / name)
        if changed := changes(files, target):
            raise MissingPartError(*(f"{path} is not as it was then" for path in changed))
        yield target


def verify(state: Snapshot, stage: str) -> int:
    """Hash the model's files, run the recorded command again, from its first try on, and compare; prints what it finds.

    Where weights differ it runs twice, which tells a trainer that does not repeat itself from a
    resume that is not the same as no interruption.

    Returns:
        0 if all weights of the model are the same to the bit, 1 if one is not, or a file of the model here is not as
        recorded, 2 if a part of the recipe is missing.

    Raises `UserError`: the record was edited.
    """
    record = record_of(state)
    if wrong := altered(state, record):
        print(f"differs: {wrong[0]}")
        return 1
    try:
        if not record:
            raise MissingPartError(f"its command and data: {adoption.UNRECORDED}")
        return _compared(state, stage, record)
    except MissingPartError as error:
        print(*(f"missing: {part}" for part in error.args), "not made again: its recipe is not whole", sep="\n")
        return 2


def _compared(state: Snapshot, stage: str, record: Record) -> int:
    """The exit status of `verify` of a recorded model whose own files are as recorded."""
    hashes, outputs = _again(state, stage, record), record.attempts[-1].outputs
    model = [path for path in outputs if path.endswith(WEIGHTS) and Path(path).name in state.adopted["files"]]
    differing = [path for path in sorted({*hashes, *outputs}) if hashes.get(path) != outputs.get(path)]
    wrong, difference = [path for path in model if path in differing], ""
    if wrong:
        second = _again(state, stage, record)
        cause = _cause(state, record, sum(hashes.get(path) != second.get(path) for path in model))
        difference = f"{wrong[0]}: other bytes than recorded ({len(wrong)} of {len(model)} such files); {cause}"
    record_verification(state, stage, difference, environment_record.present())
    print(f"differs: {difference}" if wrong else f"identical: {', '.join(model)}")
    if others := [path for path in differing if path not in wrong]:
        print(f"not the same: {', '.join(others[:3])} ({len(others)} of {len(outputs)} files); logs hold times")
    return int(bool(wrong))


def _cause(state: Snapshot, record: Record, num_unlike: int) -> str:
    """In words, what two runs here without an interruption say of a model that neither of them makes.

    Args:
        num_unlike: files of weights that they do not agree in.
    """
    tries = adoption.tries_of(record)
    if num_unlike:
        of_resume = ", so of its resume nothing is known" if len(tries) > 1 else ""
        return f"its trainer does not repeat itself: two runs here differ in {num_unlike} of these files{of_resume}"
    command, known = tries[0].start["command"], ["its resume"] if len(tries) > 1 else []
    known += adoption.unlike(tries)
    if surroundings.python_of(command) != sys.executable:  # which stands for one that the command does not name
        here = adoption.environment(surroundings.environment(command), cpu_model())
        known += environment_record.differences(state.adopted["environment"], here)[:3]
    return f"two runs here are the same to the bit; known to differ from then is {', '.join(known) or 'nothing'}"


def _raise_if_bound_there(start: dict[str, Any], out: str) -> None:
    """Refuse a run that a second one cannot repeat elsewhere."""
    whole = {
        "its code: it ran outside of a git repository, or before a first commit": start["git"]["commit"],
        f"a place of its own: it wrote to {out}, and a second run would too": not os.path.isabs(out),
        f"a place of its own: it ran in {start['cwd']}": not os.path.isabs(start["cwd"]),
        "a secret in its command, which no record keeps": "***" not in start["command"],
    }
    if missing := [part for part, is_there in whole.items() if not is_there]:
        raise MissingPartError(*missing)


def _again(state: Snapshot, stage: str, record: Record) -> Files:
    """Hashes of what the command of the first try writes when it runs once more, metered.

    Raises `MissingPartError`: a part of the recipe is gone, or the command does not end well.
    """
    root, first = root_of(state), adoption.tries_of(record)[0]
    if not root:
        raise MissingPartError("the folder it ran in: it is not on this machine; adopt it here, from its own folder")
    _raise_if_bound_there(first.start, record.out)
    start, name = first.start, f"verify-{os.getpid()}"
    with _clone(root, start) as clone, Meter(paths.LEDGER, 1.0, {"stage": "verify", "run": name, "checkout": name}):
        variables = {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE_PREFIXES)}
        variables |= start["environment"]["variables"] | {VARIABLE: f"{clone.parent / 'again.jsonl'}|1"}
        print(f"running again: {' '.join(start['command'])}", flush=True)
        done = subprocess.run(start["command"], cwd=clone / start["cwd"], env=variables, capture_output=True)
        if not done.returncode:
            return hashed([written] if (written := clone / record.out).exists() else [], clone)
    log = paths.LOGS / f"verify-{state.name.replace('/', '-')}.log"
    write_text(log, (done.stdout + done.stderr).decode(errors="replace"))
    why = f"its command now ended with status {done.returncode}, and the try that began it ended as {first.outcome}"
    record_verification(state, stage, why, environment_record.present())
    raise MissingPartError(f"one run that makes it: {why}; the log is {log}")
