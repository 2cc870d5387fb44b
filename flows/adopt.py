"""`greenhouse adopt`: take the model of another trainer into this clone, with its record or what is left of its run."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.files import md5_of, raise_if_linked_out, sha256_file, write_json, write_text
from components.core.plain_text import counted
from components.stages.account.terminal_table import model_page
from components.studies import adoption, leftovers
from flows.system import dvc, paths
from flows.tracking import recorded_run, snapshots
from flows.tracking.model_origin import collect
from greenhouse_record.record import Record, read


def record_of(folder: Path) -> Path | None:
    """The record of the run that wrote a folder, in `.greenhouse/records/` of a folder above it."""
    for above in (folder, *folder.parents):
        for path in sorted(above.glob(".greenhouse/records/*.jsonl")):
            if folder.is_relative_to(above / read(path).out):
                return path
    return None


def checked(path: Path, left: leftovers.Found) -> Record:
    """The record, if it is whole and the model's files are those that it names.

    Raises `UserError`: it was edited, no try completed, or a file is another one.
    """
    record = read(path)
    if not record.attempts or record.attempts[-1].outcome != "Completed":
        raise UserError(f"{path}: no try of this run completed last, so there is no model of it; run it again")
    if wrong := adoption.strangers({name: sha256_file(file) for name, file in left.files.items()}, record):
        raise UserError(
            f"{left.files[wrong[0]]}: not as {path.name} recorded it when the run ended ({len(wrong)} such files): it "
            "was changed since, or is of another run; adopt what the run wrote, or record it anew"
        )
    return record


def take(folder: Path, record_file: Path | None, name: str) -> snapshots.Snapshot:
    """Copy a model into this clone, hashed by DVC, with the facts and the record of its run; the state of that name.

    Raises:
        UserError: no model there, a name that is taken or none, a record that was edited or is of other bytes.
    """
    if not re.fullmatch(r"\w[\w.-]{0,63}", name):
        raise UserError(f"--name {name}: letters, digits, - and . only, 64 at most")
    target = paths.ROOT / snapshots.ADOPTED / name
    if target.with_name(f"{name}.dvc").exists():  # written last: a folder without one is what a kill left
        raise UserError(f"{target}: a model of that name was adopted already; give another --name")
    left = leftovers.read(folder)
    path = record_file or record_of(folder)
    record = checked(path, left) if path else None
    facts = adoption.facts_of(left, record)
    shutil.rmtree(target, ignore_errors=True)
    for file, source in left.files.items():
        copy = target / ("README-of-trainer.md" if file == "README.md" else file)  # the name is the card's
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    write_json(target / adoption.FACTS, facts)
    if record:
        shutil.copyfile(record.path, target / adoption.RECORD)
        root = next((above for above in folder.parents if folder.is_relative_to(above / record.out)), None)
        md5 = md5_of(target)
        write_json(recorded_run.RUN_FOLDERS / f"{md5}.json", {"root": str(root)})
        enter(record, snapshots.of_facts(f"adopted/{name}", facts, md5))
    dvc.run("add", "--quiet", str(target.relative_to(paths.ROOT)))
    return snapshots.find(f"adopted/{name}")


def enter(record: Record, one: snapshots.Snapshot) -> None:
    """Put energy and time of a recorded run, its failed tries too, into the ledger of this clone as one stage's."""
    (stage, fingerprint) = next(iter(one.fingerprints().items()))
    lines: list[dict[str, Any]] = []
    for attempt in record.attempts:
        run = f"{stage} try {attempt.start['attempt']}"  # each is a run of the bill, with how it ended
        run_labels = {"stage": stage, "fingerprint": fingerprint, "checkout": paths.ROOT.name, "run": run}
        labels = attempt.start["labels"] | run_labels
        lines += [attempt.host, attempt.start | {"name": run, "labels": labels}, *attempt.of["reading"]]
        lines += attempt.of["end"]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_text(paths.LEDGER / one.name / f"{record.attempts[-1].host['host']}.jsonl", text)


def adopt(folder: Path, /, *, record: Path | None = None, name: str = "") -> None:
    """Take the model of another trainer into this clone, to be answered for like one's own.

    greenhouse adopt ~/run/model                              the record of greenhouse-record is looked for above it
    greenhouse adopt ~/run/model --record R.jsonl --name mine
    greenhouse card adopted/mine                              then compare, verify, export and cost know it

    The model is copied and hashed by DVC; commit models/adopted to share it. Without a record the
    files of transformers, and of trainers that write the same, are read for what they tell; what
    they do not is said, with why.

    Args:
        folder: of the model, as its trainer wrote it.
        record: what greenhouse-record wrote; default: the one in `.greenhouse/records` above the folder that names it.
        name: of the model here; default: the folder's.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one that the trainer wrote the model to")
    folder = folder.resolve()
    raise_if_linked_out(folder)
    one = take(folder, record.resolve() if record else None, name or folder.name)
    answers = collect(one, one.name.replace("/", "@"))
    print(model_page(answers), *answers.limits, sep="\n")
    if (kept := recorded_run.record_of(one)) and (changed := recorded_run.changed_since(one, kept)):
        print(f"{changed[0]}: gone or not as it was recorded ({counted(len(changed), 'such file')})")
    print("`git add models/adopted` and commit, so that other clones know it")
