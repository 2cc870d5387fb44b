"""Other trainers under the recorder, and their models adopted: 15 minutes; --nanochat CHECKOUT, --only PART.

`--only adopted --folder FOLDER` takes the runs that `--only trainers --folder FOLDER` left.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.any.adopted import STEPS, Adopter
from benchmarks.any.costs import import_cpu_s, order_lookups, overhead, wheel_kb
from benchmarks.any.edits import look_for
from benchmarks.any.runs import Run, record_killed_and_resumed
from benchmarks.any.trainers import trainers
from benchmarks.results import figure, goal, write, write_rows
from greenhouse_record.record import read

NOT_TRIED = "not tried: no checkout was named (--nanochat)"


def main() -> int:
    """Run the parts that are asked for. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nanochat", type=Path, help="a checkout of nanochat, which is cloned")
    parser.add_argument("--only", choices=("trainers", "adopted", "costs"))
    parser.add_argument("--trainer", default="", help="run these alone (`TRL`) into --folder, for a later call to take")
    parser.add_argument(
        "--folder", type=Path, help="where the repositories of the trainers are made; else a temporary one"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        if chosen.only in (None, "trainers"):
            of_trainers(folder, chosen.nanochat, chosen.trainer)
        if chosen.only in (None, "adopted"):
            of_adopted(folder, Path(temporary), chosen.nanochat)
        if chosen.only in (None, "costs"):
            of_costs(Path(temporary))
    return 0


def of_trainers(folder: Path, checkout: Path | None, alone: str) -> None:
    """Record, kill, resume and edit each trainer's run; with `alone` only record those that are named so."""
    runs, words = [], {} if checkout else {"nanochat": NOT_TRIED}
    for trainer in [trainer for trainer in trainers(checkout) if trainer.name.startswith(alone)]:
        try:
            runs.append(record_killed_and_resumed(trainer, folder / trainer.name.split()[0]))
            words[trainer.name] = f"{len(runs[-1].record.attempts)} tries"
        except (AssertionError, subprocess.CalledProcessError) as error:
            words[trainer.name] = f"not recorded: {error}"[:300]
    if alone:
        print(words)
        return
    rows = [row for run in runs for row in look_for(run, folder / "scratch")]
    write_rows("any_edits", rows)
    write_rows("any_runs", [row for run in runs for row in run_rows(run)])
    edits = [row for row in rows if row["kind"] != "none"]
    counted = [run for run in runs if run.cgroup_s is not None]
    off = [abs(cpu_s(run) / (run.cgroup_s or 1) - 1) for run in counted]
    shares = [abs(energy_share(run) - 1) for run in runs]
    told = f"of {len(edits)}, with the head beside the record left: {', '.join(run.trainer.name for run in runs)}"
    write(
        "any",
        {
            "trainers": words,
            "edits": {"n": len(edits), "found": sum(bool(row["said"]) for row in edits)},
            **({"cpu_off_cgroup": figure(off)} if off else {}),
            "energy_off_share": figure(shares),
        },
        [
            goal("edits_found", sum(bool(row["said"]) for row in edits) / len(edits), 1.0, "higher", told),
            goal("untouched_called_edited", sum(bool(row["said"]) for row in rows) - len(edits), 0, "lower"),
            *([goal("cpu_off_cgroup", max(off), 0.01, "lower")] if off else []),
            goal("energy_off_share", max(shares), 0.01, "lower", "within the record itself: no second meter"),
        ],
    )


def of_adopted(folder: Path, place: Path, checkout: Path | None) -> None:
    """Adopt, sign and check each recorded run in a clone, and repeat it without the kill."""
    adopter, known = Adopter(place), trainers(checkout)
    runs = [Run(one, at, read(next(at.glob(".greenhouse/records/*.jsonl"))), None)
            for one in known if (at := folder / one.name.split()[0]).exists()]  # fmt: skip
    rows = [row for run in runs for row in adopter.rows(run)]
    write_rows("any_adopted", rows)
    bad = {row["trainer"] for row in rows if row["status"] and row["step"] in STEPS}
    whole = [run.trainer.name for run in runs if run.trainer.name not in bad and len(run.record.attempts) == 2]
    same = [str(row["trainer"]) for row in rows if row["step"] == "run again" and not row["status"]]
    write("any", {"adopted": whole, "run_again_the_same": same}, [
        goal("trainers_recorded", len(whole), 4 if checkout else 3, "higher",
             f"killed, resumed, adopted, signed and checked: {', '.join(whole)}"),
        goal("runs_repeated", len(same), len(runs), "higher",
             "whose weights are the same to the bit when the command runs once more, without the kill"),
    ])  # fmt: skip


def cpu_s(run: Run) -> float:
    """CPU seconds of all tries, by the record."""
    return sum(attempt.cpu_s for attempt in run.record.attempts)


def energy_share(run: Run) -> float:
    """The processor's energy of the run over what its share of the host's CPU seconds is of the host's energy.

    Both by the record's readings: CPU time of the run and of the host, energy of the run and of the host.
    """
    ours = expected = 0.0
    for attempt in run.record.attempts:
        for line in attempt.readings:
            part = line["spans"].get(attempt.start["span"], {"cpu_us": 0, "uj": {}})
            ours += part["uj"].get("cpu", [0, 0, 0])[1]
            expected += line["host_uj"]["cpu"][1] * part["cpu_us"] / max(1, line["busy_us"])
    return ours / expected


def run_rows(run: Run) -> list[dict[str, object]]:
    """A row for each try."""
    return [
        {
            "trainer": run.trainer.name, "try": attempt.number, "outcome": attempt.outcome, "cpu_s": attempt.cpu_s,
            "wall_s": (attempt.end or {}).get("wall_s"), "kwh": attempt.energy_uj[1] / 3.6e12,
            "readings": len(attempt.readings), "logged": len(attempt.logs), "cgroup_s_of_all": run.cgroup_s,
        }
        for attempt in run.record.attempts
    ]  # fmt: skip


def of_costs(folder: Path) -> None:
    """Measure the recorder alone; CPU seconds, which hold beside other work too."""
    lookups = order_lookups(folder, 5)
    seconds, gigabytes = zip(*lookups, strict=True)
    cores = [overhead(folder) for _ in range(3)]
    imports = [import_cpu_s() for _ in range(7)]
    write(
        "any",
        {"overhead": figure(cores), "import_cpu_s": figure(imports), "order_lookup_s": figure(seconds),
         "order_lookup_gb": figure(gigabytes)},
        [
            goal("overhead", max(cores), 0.01, "lower", "cores at one reading a second"),
            goal("order_lookup_s", max(seconds), 1.0, "lower", "CPU s: documents of a step, 100 billion tokens"),
            goal("order_lookup_gb", max(gigabytes), 1.0, "lower"),
            goal("wheel_kb", wheel_kb(), 200, "lower"),
            goal("import_cpu_s", max(imports), 0.15, "lower"),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
