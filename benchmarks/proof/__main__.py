"""Measure what proof and forgetting promise: `make bench NAME=proof`, or `python -m benchmarks.proof --only tamper`.

In a clone of the committed code at the demo's size, on text files of its own, whose first attempt at a stage failed;
planted documents and kills in clones at the size of tests/small.yaml; attacks from outside in a miniature. All groups
write the results file `proof`; one that is measured again alone leaves the others' figures as they are.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

from benchmarks.proof import forget, kills, outside, planted
from benchmarks.proof.clone import Clone, key_pair, made, texts
from benchmarks.proof.invented import RECORDS
from benchmarks.proof.tamper import BEYOND
from benchmarks.results import goal, write, write_rows

SMALL = "tests/small.yaml"
Measured = tuple[dict, list[dict], list[dict]]
"""Results, goals, and raw rows."""
FAILED_ATTEMPT = """
import time
from flows.system import dvc, paths
from greenhouse_record.metering.meter import Meter
labels = {"stage": "ingest", "run": "early", "checkout": paths.ROOT.name}
with Meter(paths.LEDGER, 0.5, labels | {"fingerprint": dvc.inputs("ingest").fingerprint}) as meter:
    while time.process_time() < 3:
        sum(range(10000))
    meter.outcome = "Failed"
"""
OLD_RECORD = """
from flows.tracking import environment_record
from flows.tracking.model_origin import choose, record_verification
record_verification(*choose("instruct", "workspace"), "made up by the benchmark", environment_record.present())
"""


def clone_in(folder: Path, preset: str) -> Clone:
    """The clone of a folder, whose pipeline has run; made once."""
    clone = Clone(folder / "clone")
    if not (clone.root / "dvc.lock").exists():
        folder.mkdir(parents=True, exist_ok=True)
        made(clone.root, *sources(preset))
        clone.ask(FAILED_ATTEMPT)
        clone.run("greenhouse", "run")
    return clone


def sources(preset: str) -> tuple[dict[str, bytes], str, int]:
    """Files of text, overlay, and steps between kept checkpoints of a clone of this size."""
    few = 16 if preset else None
    return dict(list(texts().items())[:few]), preset, 2 if preset else 6


def tamper(folder: Path, preset: str) -> Measured:
    """Sign a model, tamper with it, and make others up."""
    clone, signed, (key, public) = clone_in(folder / "base", preset), folder / "tampered" / "signed", key_pair(folder)
    if not signed.exists():
        clone.ask(OLD_RECORD)
        clone.run("greenhouse", "export", "instruct", "--to", "signed", "--key", str(key), "--out", str(signed))
    said = json.loads(clone.run("benchmarks.proof.tamper", *map(str, (signed, key, public))).splitlines()[-1])
    rows = [
        {"group": group, "kind": kind, "status": status, "said": line}
        for group, kinds in said.items()
        for kind, (status, line) in kinds.items()
    ]
    assert rows[0]["status"] == 3, f"a folder that nobody touched was found to differ: {rows[0]}"
    rows += list(of_invented(clone, folder / "invented", key, public))
    made_up = [row["status"] for row in rows if row["group"] in ("fabricated", "invented")]
    tampered = set(said) - {"untouched", "stated", "fabricated"}
    caught = [row["status"] in (1, 2) for row in rows if row["group"] in tampered]
    again = len(said["resigned"]) + len(said["hidden"])
    return {"tamper": {"cannot_be_caught": list(BEYOND), "forged_and_shown_as_stated": len(said["stated"])}}, [
        goal("tamperings_caught_fraction", sum(caught) / len(caught), 1.0, "higher",
             f"of {len(caught)} ways, {again} signed again"),
        goal("fabricated_models_accepted", made_up.count(0), 0, "lower", f"of {len(made_up)} that nobody trained"),
    ], rows  # fmt: skip


def of_invented(clone: Clone, folder: Path, key: Path, public: Path) -> Iterator[dict]:
    """Exit status and first line of the check of invented models, by the forged records, and whose key signed."""
    shutil.rmtree(folder, ignore_errors=True)
    for records in RECORDS:
        kind = "+".join(("lock", "cache", *records))
        copy, signed = Clone(folder / kind), str(folder / f"{kind} signed")
        shutil.copytree(clone.root, copy.root, symlinks=True)
        copy.run("benchmarks.proof.invented", *records)
        for whose, forger in (("", key), (", own key", key_pair(copy.root)[0])):
            shutil.rmtree(signed, ignore_errors=True)
            copy.run("greenhouse", "export", "instruct", "--to", "signed", "--key", str(forger), "--out", signed)
            done = copy.tried("greenhouse", "verify", signed, "--key", str(public))
            first = next(iter(done.stdout.splitlines()), done.stderr)
            yield {"group": "invented", "kind": kind + whose, "status": done.returncode, "said": first}


def forgetting(folder: Path, preset: str) -> Measured:
    """Forget files of text in a fresh clone."""
    clone = clone_in(folder / "base", preset)
    # After a failed attempt the run that completed was half a run: no forecast is made from it.
    clone.run("dvc", "repro", "--force", "--single-item", "ingest")
    found = forget.measure(clone, *sources(preset))
    rows = found["removals"]
    left = [f"{row['query']}: {line}" for row in rows for line in row["left"]]
    says = "outputs equal to those of a run that never had the documents"
    priced = f"forecast energy of a removal against actual, the worst of {len(rows)}"
    within = [row["price_kwh"][0] <= row["actual_kwh"] <= row["price_kwh"][2] for row in rows]
    seen = "most times that a model is trained on a document which was forgotten"
    return (
        {"forget": found},
        [
            goal("forget_price_error", max(row["price_error"] for row in rows), 0.10, "lower", priced),
            goal(
                "forget_price_within",
                sum(within) / len(rows),
                0.8,
                "higher",
                f"of {len(rows)} removals whose energy lies in the price's interval of 80%",
            ),
            goal(
                "forget_seconds_error",
                max(abs(row["price_s"] - row["took_s"]) / row["took_s"] for row in rows),
                0.2,
                "lower",
                f"forecast seconds of a removal against its pipeline's, the worst of {len(rows)}",
            ),
            goal(
                "forget_first_answer_s",
                max(row["first_answer_s"] for row in rows),
                10,
                "lower",
                "seconds until documents, models and price are printed",
            ),
            goal(
                "held_out_moved_by_removal",
                sum(row["held_out_moved"] for row in rows),
                0,
                "lower",
                "documents of the held-out set that a removal of others added, changed or took out",
            ),
            goal("forget_bytes_equal", found["bytes_equal"], 1.0, "higher", says),
            goal("forget_exposure", max(row["times_trained_on"]["after"] for row in rows), 0, "lower", seen),
            goal("forget_copies_left", len(left), 0, "lower", "files with its text, tokens or weights after the purge"),
        ],
        [{name: value for name, value in row.items() if not isinstance(value, (dict, list))} for row in rows],
    )


def planting(folder: Path, preset: str) -> Measured:
    """Forget planted documents, and compare what is left of their words with what was named."""
    found, places = planted.measure(folder, *sources(SMALL))
    missed = [row["place"] for row in places if not row["named"]]
    says = f"places with a run of 6 words that nobody named, of {len(places)} that were left of {found['documents']}"
    return {"planted": found}, [
        goal("forget_places_missed", len(missed), 0, "lower", f"{says} planted documents"),
    ], places  # fmt: skip


def killing(folder: Path, preset: str) -> Measured:
    """Kill each command at random moments, and run it again."""
    clone, asked = clone_in(folder / "killed", SMALL), folder / "killed" / "query.txt"
    if not asked.exists():
        asked.write_text(forget.forgettable(clone, sources(SMALL)[0])[1])
    rows = kills.measure(clone, folder / "killed" / "signed", key_pair(folder / "killed"), asked.read_text())
    good = sum(row["same_end"] and not row["left"] for row in rows) / len(rows)
    says = f"of {len(rows)} kills of {len(rows) // kills.NUM_KILLS} commands: the same end when run again, nothing left"
    return {"kills": {"n": len(rows)}}, [goal("kills_survived_fraction", good, 1.0, "higher", says)], rows


def attacking(folder: Path, preset: str) -> Measured:
    """Attack a miniature clone by its remote, by what lies beside it, and by links."""
    rows = outside.measure(folder / "outside")
    attacks = [row for row in rows if row["group"] != "honest"]
    broken = [f"{row['group']}: {row['attack']}" for row in attacks if row["broken"]]
    says = {
        "paths_escaped": "wrote files outside of the folder that they are of",
        "foreign_files_deleted": "deleted or changed files of others",
        "links_followed": "made a command follow a link out of a folder",
    }
    return {"outside": {"attacks": len(attacks), "broken": broken}}, [
        goal(name, sum(bool(row[name]) for row in attacks), 0, "lower", f"attacks of {len(attacks)} that {what}")
        for name, what in says.items()
    ], rows  # fmt: skip


GROUPS: dict[str, tuple[Callable[[Path, str], Measured], str]] = {
    "tamper": (tamper, "tamper"), "forget": (forgetting, "removals"),
    "planted": (planting, "places"), "kills": (killing, "kills"),
    "outside": (attacking, "attacks"),
}  # fmt: skip
"""Name of a group -> how it is measured, and its table of raw rows."""


def main() -> None:
    """Measure the groups that are named, or all."""
    parser = argparse.ArgumentParser("python -m benchmarks.proof", description=__doc__)
    parser.add_argument("--only", default=",".join(GROUPS), help="groups, separated by commas (default: %(default)s)")
    parser.add_argument("--preset", default="", help=f"an overlay of params.yaml for a smaller model, such as {SMALL}")
    parser.add_argument("--folder", type=Path, help="where clones are made, and found again (default: a temporary one)")
    chosen = parser.parse_args()
    size = f", at the size of {chosen.preset}" if chosen.preset else ""
    with nullcontext(chosen.folder) if chosen.folder else tempfile.TemporaryDirectory(prefix="proof-") as folder:
        for name in chosen.only.split(","):
            measure, table = GROUPS[name]
            results, goals, rows = measure(Path(folder).resolve(), chosen.preset)
            if table:
                write_rows(f"proof-{table}", rows)
            write("proof", results, [row | {"says": row["says"] + size} for row in goals])


if __name__ == "__main__":
    main()
