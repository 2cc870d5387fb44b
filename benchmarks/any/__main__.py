"""Other trainers under the recorder, and their models adopted: 15 minutes; --nanochat CHECKOUT, --only PART.

`--only adopted --folder FOLDER` takes the runs that `--only trainers --folder FOLDER` left.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.any import adopted
from benchmarks.any.costs import import_cpu_s, order_lookups, overhead, wheel_kb
from benchmarks.any.edits import look_for
from benchmarks.any.runs import known, record_killed_and_resumed
from benchmarks.any.trainers import Trainer, trainers
from benchmarks.proof.clone import cloned
from benchmarks.results import figure, goal, write, write_rows

NOT_TRIED = {"nanochat": "not tried: no checkout was named (--nanochat)"}


def main() -> int:
    """Run the parts that are asked for. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nanochat", type=Path, help="a checkout of nanochat, which is cloned")
    parser.add_argument("--only", choices=("trainers", "adopted", "costs"))
    parser.add_argument("--folder", type=Path, help="where the trainers' repositories are made; else a temporary one")
    chosen = parser.parse_args()
    all_of_them = trainers(chosen.nanochat)
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        if chosen.only in (None, "trainers"):
            of_trainers(all_of_them, folder)
        if chosen.only in (None, "adopted"):
            of_adopted(all_of_them, folder, Path(temporary))
        if chosen.only in (None, "costs"):
            of_costs(Path(temporary))
    return 0


def place_of(folder: Path, trainer: Trainer) -> Path:
    """The repository of a trainer."""
    return folder / trainer.name.split()[0]


def of_trainers(all_of_them: list[Trainer], folder: Path) -> None:
    """Record, kill and resume each trainer's run."""
    runs, words = [], NOT_TRIED.copy()
    for trainer in all_of_them:
        try:
            runs.append(record_killed_and_resumed(trainer, place_of(folder, trainer)))
            words[trainer.name] = f"{len(runs[-1].record.attempts)} tries"
        except (AssertionError, subprocess.CalledProcessError) as error:
            words[trainer.name] = f"not recorded: {error}"[:300]
    write_rows("any_runs", [row for run in runs for row in run.rows()])
    results: dict[str, object] = {"trainers": words}
    goals: list[dict] = []
    if counted := [run for run in runs if run.cgroup_s is not None]:
        off = [abs(run.cpu_s / (run.cgroup_s or 1) - 1) for run in counted]
        shares = [abs(run.energy_over_share - 1) for run in counted]
        results |= {"cpu_off_cgroup": figure(off), "energy_off_share": figure(shares)}
        goals += [
            goal("cpu_off_cgroup", max(off), 0.01, "lower"),
            goal("energy_off_share", max(shares), 0.01, "lower",
                 "energy against the share of the host's that the cgroup's CPU seconds have"),
        ]  # fmt: skip
    write("any", results, goals)


def of_adopted(all_of_them: list[Trainer], folder: Path, place: Path) -> None:
    """Adopt, sign and check each recorded run in a clone, repeat it without the kill, and adopt edited copies."""
    runs = [known(one, at) for one in all_of_them if (at := place_of(folder, one)).exists()]
    if not runs:
        sys.exit(f"{folder}: no recorded run is here; --only trainers with the same --folder makes them")
    clone = cloned(place / "clone")
    rows = adopted.rows(clone, runs, place)
    write_rows("any_adopted", rows)
    bad = {row["trainer"] for row in rows if row["status"] != adopted.STEPS.get(str(row["step"]), row["status"])}
    whole = [run.trainer.name for run in runs if run.trainer.name not in bad and len(run.record.attempts) == 2]
    again = {str(row["trainer"]): str(row["said"]) for row in rows if row["step"] == "run again"}
    told = {name: [one for one, said in again.items() if part in said] for name, part in adopted.OF_RUN_AGAIN.items()}
    says = "; ".join(f"{name}: {', '.join(those)}" for name, those in told.items() if those)
    write("any", {"adopted": whole, "run_again": told}, [
        goal("trainers_recorded", len(whole), len(all_of_them), "higher",
             f"killed, resumed, adopted, signed and checked: {', '.join(whole)}"),
        goal("repeats_explained", sum(map(len, told.values())), len(runs), "higher",
             f"run again without the kill, and again where weights differ: {says}"),
    ])  # fmt: skip
    looked = [row for run in runs for row in look_for(clone, run, place / "scratch")]
    write_rows("any_edits", looked)
    edited = [row for row in looked if row["kind"] != "none"]
    found, called = (sum(bool(row["said"]) for row in some) for some in (edited, looked))
    write("any", {"edits": {"n": len(edited), "found": found}}, [
        goal("edits_found", found / len(edited), 1.0, "higher",
             f"by greenhouse adopt, of {len(edited)}, with the head beside the record left: {', '.join(whole)}"),
        goal("untouched_called_edited", called - found, 0, "lower", f"of {len(looked) - len(edited)} copies"),
    ])  # fmt: skip


def of_costs(folder: Path) -> None:
    """Measure the recorder alone; CPU seconds, which hold beside other work too."""
    seconds, gigabytes = zip(*order_lookups(folder, 5), strict=True)
    cores = [overhead(folder) for _ in range(3)]
    imports = [import_cpu_s() for _ in range(7)]
    results = {"overhead": cores, "import_cpu_s": imports, "order_lookup_s": seconds, "order_lookup_gb": gigabytes}
    write("any", {name: figure(values) for name, values in results.items()}, [
        goal("overhead", max(cores), 0.01, "lower", "cores at one reading a second"),
        goal("order_lookup_s", max(seconds), 1.0, "lower", "CPU s: a step of 1e11 tokens, 1e8 documents"),
        goal("order_lookup_gb", max(gigabytes), 1.0, "lower", "8 bytes a document among it"),
        goal("wheel_kb", wheel_kb(), 200, "lower"),
        goal("import_cpu_s", max(imports), 0.15, "lower"),
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
