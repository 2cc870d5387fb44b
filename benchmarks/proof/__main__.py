"""Measure what proof and forgetting promise: `make bench NAME=proof`, or `python -m benchmarks.proof --only tamper`.

In a clone of the committed code at the demo's size, on text files of its own, whose first attempt at a stage failed;
planted documents and kills in clones at the size of tests/small.yaml. All groups write the results file `proof`; one
that is measured again alone leaves the others' figures as they are.
"""

import argparse
import json
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from benchmarks.proof import fields, forget, kills, planted, segments
from benchmarks.proof.clone import Clone, made, texts
from benchmarks.proof.tamper import BEYOND
from benchmarks.results import figure, goal, write, write_rows
from components import params as schema
from components.core.files import read_json

SMALL = "tests/small.yaml"
NUM_SIGNED = 3
Measured = tuple[dict, list[dict], dict[str, list[dict]]]
"""Results, goals, and tables of raw rows by name."""
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


def key_pair(folder: Path) -> tuple[Path, Path]:
    """A pair as the help of `greenhouse export` says to make one."""
    key, public = folder / "KEY", folder / "KEY.pub"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
    subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    return key, public


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
    """Sign a model, tamper with it, make others up, and see which claims the fields of its documents follow from."""
    clone = clone_in(folder / "base", preset)
    clone.ask(OLD_RECORD)
    signed, (key, public) = Path(tempfile.mkdtemp(dir=folder)) / "signed", key_pair(folder)
    cpu_s = []
    for number in range(NUM_SIGNED):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        clone.run(
            "greenhouse", "export", "instruct", "--to", "signed", "--key", str(key), "--out", f"{signed}-{number}"
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    said = json.loads(clone.run("benchmarks.proof.tamper", f"{signed}-0", str(key), str(public)).splitlines()[-1])
    rows = [
        {"group": group, "kind": kind, "status": status, "said": line}
        for group, kinds in said.items()
        for kind, (status, line) in kinds.items()
    ]
    status = {group: [row["status"] for row in rows if row["group"] == group] for group in said}
    assert status.pop("untouched") == [0], f"a folder that nobody touched was found to differ: {rows[0]}"
    made_up = status.pop("fabricated")
    caught = [one in (1, 2) for group in status.values() for one in group]
    number, without = fields.without_source(read_json(Path(f"{signed}-0") / "card.json"))
    again = len(status["resigned"]) + len(status["hidden"])
    found = {
        "attest_cpu_s": figure(cpu_s),
        "cannot_be_caught": list(BEYOND),
        "fields": number,
        "without_source": without,
    }
    return {"tamper": found}, [
        goal("tamperings_caught_fraction", sum(caught) / len(caught), 1.0, "higher",
             f"of {len(caught)} ways, {again} signed again"),
        goal("fabricated_models_accepted", made_up.count(0), 0, "lower", f"of {len(made_up)} that nobody trained"),
        goal("fields_without_source_test", len(without), 0, "lower", f"of {number} fields that no recorded fact moves"),
        goal("attest_cpu_s", figure(cpu_s)["median"], 10, "lower", "processor seconds to sign the tuned model"),
    ], {"tamper": rows}  # fmt: skip


def intervals(folder: Path, preset: str) -> Measured:
    """Sample forged runs, and train the sampled intervals of an honest one again."""
    clone = clone_in(folder / "base", preset)
    found = segments.measure(clone, schema.load(clone.root / "params.yaml"))
    worst, says = min(found["simulated"], found["real"]), "27 of 100 intervals, a tenth forged; and real reruns"
    last = sum(found["last"]) / len(found["last"])
    against = f"energy of the intervals against that of making all behind the model: {found['said'][0]}"
    return {"segments": found}, [
        goal("segment_detection", worst, 0.95, "higher", says),
        goal("segment_last_interval_found", last, 1.0, "higher", f"of {len(found['last'])} runs with it alone forged"),
        goal("segment_energy_fraction", found["energy_fraction"], 0.4, "lower", against),
    ], {}  # fmt: skip


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
    seen = "most times that a model is trained on a document which was forgotten"
    return {"forget": found}, [
        goal("forget_price_error", max(row["price_error"] for row in rows), 0.10, "lower", priced),
        goal("forget_bytes_equal", found["bytes_equal"], 1.0, "higher", says),
        goal("forget_exposure", max(row["times_trained_on"]["after"] for row in rows), 0, "lower", seen),
        goal("forget_copies_left", len(left), 0, "lower", "files with its text, tokens or weights after the purge"),
    ], {}  # fmt: skip


def planting(folder: Path, preset: str) -> Measured:
    """Forget planted documents, and compare what is left of their words with what was named."""
    found, places = planted.measure(folder, *sources(SMALL))
    missed = [row["place"] for row in places if not row["named"]]
    says = f"places with a run of 6 words that nobody named, of {len(places)} that were left of {found['documents']}"
    return {"planted": found}, [
        goal("forget_places_missed", len(missed), 0, "lower", f"{says} planted documents"),
    ], {"places": places}  # fmt: skip


def killing(folder: Path, preset: str) -> Measured:
    """Kill each command at random moments, and run it again."""
    clone, asked = clone_in(folder / "killed", SMALL), folder / "killed" / "query.txt"
    if not asked.exists():
        asked.write_text(forget.forgettable(clone, sources(SMALL)[0])[1])
    query = asked.read_text()
    rows = kills.measure(clone, folder / "killed" / "signed", key_pair(folder / "killed"), query)
    good = sum(row["same_end"] and not row["left"] for row in rows) / len(rows)
    says = f"of {len(rows)} kills of {len(rows) // kills.NUM_KILLS} commands: the same end when run again, nothing left"
    return {"kills": {"n": len(rows)}}, [goal("kills_survived_fraction", good, 1.0, "higher", says)], {"kills": rows}


GROUPS: dict[str, Callable[[Path, str], Measured]] = {
    "tamper": tamper, "segments": intervals, "forget": forgetting, "planted": planting, "kills": killing,
}  # fmt: skip


def main() -> None:
    """Measure the groups that are named, or all."""
    parser = argparse.ArgumentParser("python -m benchmarks.proof", description=__doc__)
    parser.add_argument("--only", default=",".join(GROUPS), help="groups, separated by commas (default: %(default)s)")
    parser.add_argument("--preset", default="", help=f"an overlay of params.yaml for a smaller model, such as {SMALL}")
    parser.add_argument("--folder", type=Path, help="where clones are made, and found again (default: a temporary one)")
    arguments = parser.parse_args()
    os.environ["YES"] = "1"
    aside = (
        nullcontext(arguments.folder) if arguments.folder else tempfile.TemporaryDirectory(prefix="greenhouse-proof-")
    )
    with aside as folder:
        for name in arguments.only.split(","):
            results, goals, tables = GROUPS[name](Path(folder).resolve(), arguments.preset)
            size = f", at the size of {arguments.preset}" if arguments.preset else ""
            for table, rows in tables.items():
                write_rows(f"proof-{table}", rows)
            write("proof", results, [row | {"says": row["says"] + size} for row in goals])


if __name__ == "__main__":
    main()
