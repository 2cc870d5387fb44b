"""What forgetting costs against its price, what it leaves, and whether the bytes are those of a run that never had it.

Three files of text are forgotten, one after the other, in a fresh clone that has nothing but the commits, the sources
and a DVC remote. Each is priced by the dry run, taken out, and purged from clone and remote.
"""

import json
import re
import shutil
import time
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen

from benchmarks.proof.clone import Clone, cloned, kept_environment, made, once
from benchmarks.proof.leftovers import OWN_RUN, kinds_of, left, own_runs, runs_of, sought
from components.carbon.planning.forecast import ORCHESTRATION_NAME
from components.carbon.spans import Spans

NUM_REMOVALS, LEAST_OWN_RUNS = 3, 100
SOURCES = ("texts/",)
PRICE = """
import json
from flows.forget import elapsed_s, find_documents, rows_to_redo
from flows.plan import sum_of
query, matches = find_documents({name!r})
planned = rows_to_redo([match.document for match in matches])
rows = [row.expected for row in planned]
stages = {{row.stage: [row.kwh.mid, row.basis] for row in rows}}
print(json.dumps([elapsed_s(planned), sum_of(rows)[1].as_list(), stages]))
"""
SPENT = """
import json
from benchmarks.proof.forget import spent
from components.carbon.ledger import reader
from flows.system import paths
print(json.dumps(spent(reader.history(paths.LEDGER))))
"""
TIMES_TRAINED_ON = """
from components.lineage.documents import Query
from flows.tracking.model_exposure import Seen
from flows.tracking.trace_report import answers
queries = [Query("location", {name!r}), *(Query("passage", one) for one in {passages!r})]
found = [match for query in queries for match in answers(query, whole=True)]
print(max([one.most for match in found for one in match.seen if isinstance(one, Seen)], default=0))
"""
HELD_OUT = """
import json
from pathlib import Path
from components.corpus.corpus import read_corpus
rows = read_corpus(Path("data/ingest/heldout"))
print(json.dumps([f"{{one.location}} {{one.sha256}}" for one in rows if one.location.split("#")[0] != {name!r}]))
"""
"""The held-out set without a file."""
OUTPUTS = "import json; from flows.tracking.snapshots import find; print(json.dumps(find('workspace').outputs()))"
RECORDS = ("reports/", "data/ingest/dropped", "data/ingest/quarantine")
"""Outputs that may say that something was removed."""


def spent(spans: Spans) -> dict[str, float]:
    """kWh of each stage and of what ran around them, by a ledger: the names that a price has."""
    return {name: own.energy.mid_kwh for name, own in spans.by("stage", ORCHESTRATION_NAME).items()}


def measure(clone: Clone, files: dict[str, bytes], preset: str, keep_every: int) -> dict:
    """Forget three files that were trained on, and run the pipeline where they never were.

    Args:
        clone: a clone that has run.

    Returns:
        a row per removal (price and actual energy in kWh, most times a model was trained on it before and after, what
        was found before and is left), `bytes_equal` (share of the outputs), and those that differ.
    """
    parent = clone.root.parent
    fresh, remote, never = Clone(parent / "fresh"), parent / "remote", Clone(parent / "never")
    names = once(parent / "shared.json", lambda: shared(clone, fresh, remote, files))
    removals = [once(parent / f"{name}.json", partial(removal, fresh, remote, name)) for name in names]

    def run_without() -> str:
        kept = {one: text for one, text in files.items() if one not in names}
        made(never.root, kept, preset, keep_every)
        return never.run("greenhouse", "run")

    once(parent / "never.json", run_without)
    ours, theirs = (json.loads(one.ask(OUTPUTS)) for one in (fresh, never))
    compared = [path for path in ours if not path.startswith(RECORDS)]
    other = [path for path in compared if ours[path] != theirs.get(path)]
    return {"removals": removals, "bytes_equal": 1 - len(other) / len(compared), "differ": other}


def shared(clone: Clone, fresh: Clone, remote: Path, files: dict[str, bytes]) -> list[str]:
    """What a clone made, pushed to a DVC remote, and a fresh clone that knows it and has the sources.

    Returns:
        names of the files to be forgotten.
    """
    clone.run("dvc", "remote", "add", "--force", "--default", "team", str(remote))
    clone.run("dvc", "push")
    clone.run("greenhouse", "sync", "push")
    clone.git("add", "--force", "dvc.lock")
    clone.git("commit", "--quiet", "--all", "--allow-empty", "--message", "made")
    cloned(fresh.root, clone.root)
    shutil.copytree(clone.root / "texts", fresh.root / "texts")
    return forgettable(clone, files)


def removal(fresh: Clone, remote: Path, name: str) -> dict:
    """Price, take out and purge one file, and look for what is left in the clone and in the remote."""
    seconds, price, stages = json.loads(fresh.ask(PRICE.format(name=name)))  # fetches what the clone does not have yet
    fresh.run("dvc", "checkout", "--allow-missing")
    wanted = sought(fresh.root, name)
    lines = (fresh.root / "texts" / name).read_text(errors="replace").splitlines()
    passages = [line for line in lines if (runs := runs_of(line, OWN_RUN)) and runs <= wanted.runs]
    times = TIMES_TRAINED_ON.format(name=name, passages=passages[:3])
    before = left(fresh.root, wanted, SOURCES) + left(remote, wanted)
    assert kinds_of(before) == {"text", "tokens", "weights"}, f"before the removal only {kinds_of(before)} are found"
    trained_on, earlier = int(fresh.ask(times)), json.loads(fresh.ask(SPENT))
    first_s, heldout = first_answer_s(fresh, name), set(json.loads(fresh.ask(HELD_OUT.format(name=name))))
    said = fresh.run("greenhouse", "forget", name, "--apply")
    took_s = float(re.findall(r"pipeline: Completed after ([\d.]+) s", said)[-1])
    moved = heldout ^ set(json.loads(fresh.ask(HELD_OUT.format(name=name))))
    used = {stage: kwh - earlier.get(stage, 0.0) for stage, kwh in json.loads(fresh.ask(SPENT)).items()}
    actual = sum(used.values())
    fresh.run("greenhouse", "forget", name, "--purge")
    return {
        "query": name, "price_kwh": price, "actual_kwh": actual, "price_error": abs(price[1] - actual) / actual,
        "price_s": seconds, "took_s": took_s, "first_answer_s": first_s, "held_out_moved": len(moved),
        "stages": {one: {"price": stages.get(one), "actual": used.get(one)} for one in {**stages, **used}},
        "times_trained_on": {"before": trained_on, "after": int(fresh.ask(times))},
        "found_before": len(before), "left": left(fresh.root, wanted, SOURCES) + left(remote, wanted),
    }  # fmt: skip


def first_answer_s(fresh: Clone, name: str) -> float:
    """Seconds until the dry run has printed the documents, the models that saw them and the price."""
    begin, command = time.monotonic(), fresh.words("greenhouse", "forget", name)
    with Popen(command, cwd=fresh.root, env=kept_environment(fresh), stdout=PIPE, text=True) as process:
        assert process.stdout
        found = next(time.monotonic() - begin for line in process.stdout if line.startswith("all of these"))
        process.stdout.read()
    return found


def forgettable(clone: Clone, files: dict[str, bytes]) -> list[str]:
    """The smallest, the middle and the largest file whose text is in the mixture, not held out, and can be sought."""
    from components.corpus.corpus import read_corpus

    def of(folder: str) -> set[str]:
        return {one.location.split("#")[0] for one in read_corpus(clone.root / folder)}

    trained = (of("data/mix/train") - of("data/ingest/heldout")) & set(files)
    sizable = [name for name in trained if len(own_runs(clone.root, name)) >= LEAST_OWN_RUNS]
    found = sorted(sizable, key=lambda name: len(files[name]))
    assert len(found) >= NUM_REMOVALS, f"only {found} are trained on and not held out"
    return [found[number * (len(found) - 1) // (NUM_REMOVALS - 1)] for number in range(NUM_REMOVALS)]
