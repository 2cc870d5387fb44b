"""Measure what proof and forgetting promise: `make bench NAME=proof`, or `python -m benchmarks.proof --only tamper`.

In a clone of the committed code at the demo's size, on text files of its own, whose first attempt at a stage failed.
All groups write the results file `proof`; one that is measured again alone leaves the others' figures as they are.
"""

import argparse
import os
import resource
import subprocess
import tempfile
from pathlib import Path

from benchmarks.proof import fields, forget, planted, segments
from benchmarks.proof.clone import Clone, made, texts
from benchmarks.proof.tamper import BEYOND
from benchmarks.results import figure, goal, write
from components import params as schema
from components.core.files import read_json

GROUPS = ("tamper", "segments", "forget")
FAILED_ATTEMPT = """
import time
from greenhouse_record.metering.meter import Meter
from flows.system import dvc, paths
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


def tamper(clone: Clone, runs: int) -> tuple[dict, list[dict]]:
    """Sign a model, tamper with it, make others up, and see which claims the fields of its documents follow from."""
    import json

    clone.ask(OLD_RECORD)
    folder, (key, public) = clone.root.parent / "attested", key_pair(clone.root.parent)
    cpu_s = []
    for number in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        clone.run(
            "greenhouse", "export", "instruct", "--to", "signed", "--key", str(key), "--out", f"{folder}-{number}"
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    said = json.loads(clone.run("benchmarks.proof.tamper", f"{folder}-0", str(key), str(public)).splitlines()[-1])
    status, line = said.pop("untouched")[""]
    assert status == 0, f"a folder that nobody touched was found to differ: {line}"
    fabricated = said.pop("fabricated")
    caught = {f"{group}: {name}": row[0] in (1, 2) for group, rows in said.items() for name, row in rows.items()}
    number, without = fields.without_source(read_json(Path(f"{folder}-0") / "card.json"))
    found = {"said": said, "fabricated": fabricated, "cannot_be_caught": list(BEYOND), "fields": number}
    again = len(said["resigned"]) + len(said["hidden"])
    share, says = sum(caught.values()) / len(caught), f"of {len(caught)} ways, {again} signed again"
    accepted = sum(status == 0 for status, _ in fabricated.values())
    made_up = f"of {len(fabricated)} models that nobody trained"
    return {"tamper": found | {"attest_cpu_s": figure(cpu_s), "without_source": without}}, [
        goal("tamperings_caught_fraction", share, 1.0, "higher", says),
        goal("fabricated_models_accepted", accepted, 0, "lower", made_up),
        goal("fields_without_source_test", len(without), 0, "lower", f"of {number} fields that no recorded fact moves"),
        goal("attest_cpu_s", figure(cpu_s)["median"], 10, "lower", "processor seconds to attest the tuned model"),
    ]


def intervals(clone: Clone) -> tuple[dict, list[dict]]:
    """Sample forged runs, and train the sampled intervals of an honest one again."""
    found = segments.measure(clone, schema.load(clone.root / "params.yaml"))
    worst, says = min(found["simulated"], found["real"]), "27 of 100 intervals, a tenth forged; and real reruns"
    last = sum(found["last"]) / len(found["last"])
    against = "energy of 27 of 150 intervals against that of making all behind the model"
    return {"segments": found}, [
        goal("segment_detection", worst, 0.95, "higher", says),
        goal("segment_last_interval_found", last, 1.0, "higher", f"of {len(found['last'])} runs with it alone forged"),
        goal("segment_energy_fraction", found["energy_fraction"], 0.4, "lower", against),
    ]


def forgetting(clone: Clone, files: dict[str, bytes], preset: str, every: int) -> tuple[dict, list[dict]]:
    """Forget files of text in a fresh clone."""
    found = forget.measure(clone, files, preset, every)
    rows = found["removals"]
    left = [f"{row['query']}: {line}" for row in rows for line in row["left"]]
    says = "outputs equal to those of a run that never had the documents"
    priced = f"forecast energy of a removal against actual, the worst of {len(rows)}"
    seen = "most times that a model is trained on a document which was forgotten"
    quoted = planted.measure(clone.root.parent, files, preset, every)
    names = f"places with a run of 6 words that nobody named, of {len(quoted['places'])} that were left"
    return {"forget": found | {"planted": quoted}}, [
        goal("forget_places_missed", len(quoted["missed"]), 0, "lower", names),
        goal("forget_price_error", max(row["price_error"] for row in rows), 0.10, "lower", priced),
        goal("forget_bytes_equal", found["bytes_equal"], 1.0, "higher", says),
        goal("forget_exposure", max(row["times_trained_on"]["after"] for row in rows), 0, "lower", seen),
        goal("forget_copies_left", len(left), 0, "lower", "files with its text, tokens or weights after the purge"),
    ]


def shown(name: str, results: dict, goals: list[dict]) -> None:
    """Print what a trial at another size measured; results are of the demo's."""
    print(name, results, *goals, sep="\n", flush=True)


def main() -> None:
    """Measure the groups that are named, or all."""
    parser = argparse.ArgumentParser("python -m benchmarks.proof", description=__doc__)
    parser.add_argument("--only", default=",".join(GROUPS), help="groups, separated by commas (default: %(default)s)")
    parser.add_argument(
        "--preset", default="", help="an overlay of params.yaml, such as tests/small.yaml, to try the benchmark"
    )
    arguments = parser.parse_args()
    chosen, small = arguments.only.split(","), bool(arguments.preset)
    every, files = (2 if small else 6), dict(list(texts().items())[: 16 if small else None])
    os.environ["YES"] = "1"
    with tempfile.TemporaryDirectory(prefix="greenhouse-proof-") as folder:
        clone = made(Path(folder) / "clone", files, arguments.preset, every)
        clone.ask(FAILED_ATTEMPT)
        clone.run("greenhouse", "run")
        keep = shown if small else write
        if "tamper" in chosen:
            keep("proof", *tamper(clone, 1 if small else 3))
        if "segments" in chosen:
            keep("proof", *intervals(clone))
        if "forget" in chosen:
            # After a failed attempt the run that completed was half a run: no forecast is made from it.
            clone.run("dvc", "repro", "--force", "--single-item", "ingest")
            keep("proof", *forgetting(clone, files, arguments.preset, every))


if __name__ == "__main__":
    main()
