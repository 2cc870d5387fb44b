"""What strangers give, a family at a time, and secrets of the environment: `make bench NAME=hostile`.

Each family of files is ingested beside a good file; each other input (tests/hostile_inputs.py) goes to what reads it.
Every trial is a process of its own, forked from one that has imported everything: its time and memory are its own. A
family is handled if it ends in documents, in records with a reason, or in one sentence; if the good file keeps all its
documents; and within LONGEST_S and MOST_MB. Then a small pipeline runs with canaries as credentials (hostile_leaks.py).
"""

import argparse
import csv
import json
import os
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.hostile_leaks import leaks
from benchmarks.results import goal, write
from benchmarks.tables import ROOT
from components.core.plain_text import plain_name
from components.corpus.corpus import read_corpus
from tests.components.stages.ingest.hostile_files import (
    BOMBS,
    HOSTILE,
    MOST_CHARS,
    PROSE,
    TREE,
    family,
    record,
)
from tests.components.stages.ingest.ingest_run import run_on_files
from tests.hostile_inputs import INPUTS, Call, outcome
from tests.readable_files import readable

LONGEST_S, MOST_MB = 60.0, 600
"""Of a trial; of memory more than the process begins with."""
GOOD = 100
"""Documents of the good file."""


@dataclass
class Ended:
    """How a trial ended; `wrong` is empty if it was handled."""

    shown: str = ""
    wrong: str = ""
    seconds: float = 0.0
    mb: int = 0


@dataclass
class Family:
    """The trials of a family, summed: how many, what the first ended in, the most seconds and megabytes."""

    variants: int = 0
    ended: str = ""
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    mb: int = 0

    def add(self, variant: str, one: Ended) -> None:
        """Count a trial."""
        self.variants += 1
        self.ended = self.ended or one.shown
        self.wrong += [f"{variant}: {one.wrong}"] * bool(one.wrong)
        self.seconds, self.mb = max(self.seconds, one.seconds), max(self.mb, one.mb)


def forked(trial: Callable[[], Ended]) -> Ended:
    """Run a trial in a process of its own, and kill it if it takes too long."""
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    result = Path(tempfile.mkstemp()[1])
    if not (pid := os.fork()):
        os.setsid()
        try:
            ended = trial()
        except BaseException as error:
            ended = Ended(wrong=f"{type(error).__name__}: {error}"[:400])
        result.write_text(json.dumps(asdict(ended)))
        os._exit(0)
    used = None
    while used is None and time.monotonic() - begin < LONGEST_S:
        done, _, usage = os.wait4(pid, os.WNOHANG)
        used = usage if done else None
        time.sleep(0.01)
    if used is None:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return Ended(wrong=f"took more than {LONGEST_S:g} s", seconds=LONGEST_S)
    text = result.read_text()
    result.unlink()
    ended = Ended(**json.loads(text)) if text else Ended(wrong="the process died")
    ended.seconds, ended.mb = time.monotonic() - begin, max(0, used.ru_maxrss - before) // 1024
    if ended.mb > MOST_MB and not ended.wrong:
        ended.wrong = f"{ended.mb} MB of memory"
    return ended


def table(out: Path, name: str) -> list[dict[str, str]]:
    """A table of the ingest report."""
    with (out / "reports/details" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def ingested(make: Callable[[Path], object], name: str, kept: int | None, reasons: set[str]) -> Ended:
    """Ingest a hostile file beside a good one. `kept` None: any number, or a reason."""
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "texts"
        texts.mkdir()
        (texts / "good.jsonl").write_bytes(b"".join(record(text=f"{PROSE} good {n}") for n in range(GOOD)))
        make(texts / name)
        _, out = run_on_files(texts, Path(folder), max_chars=MOST_CHARS)
        kept_ones = [one for part in ("train", "heldout") for one in read_corpus(out / "data" / part)]
        names = [one.location.split("#")[0] for one in kept_ones]
        shown = plain_name(name.replace("\udce9", "?"))
        listed = {row["rule"] for row in table(out, "quarantine") if row["file"] == shown}
        listed |= {row["reason"] for row in table(out, "skipped") if row["file"] == shown}
    found, wrong = names.count(shown), ""
    if names.count("good.jsonl") != GOOD:
        wrong = f"the good file kept {names.count('good.jsonl')} of {GOOD}"
    elif kept is None and not (found or listed):
        wrong = "neither kept nor listed"
    elif kept is not None and (found != kept or any(all(why not in one for one in listed) for why in reasons)):
        wrong = f"{found} kept instead of {kept}, listed: {sorted(listed)}"[:300]
    return Ended(f"{found} kept" + "".join(f"; {one[:80]}" for one in sorted(listed)), wrong)


def _write(content: Callable[[], bytes], path: Path) -> None:
    path.write_bytes(content())


def _outcome(call: Call, root: Path) -> Ended:
    return Ended(outcome(call, root)[:160])


def trials(root: Path) -> list[tuple[str, str, Callable[[], Ended]]]:
    """Family, variant and trial of everything."""
    found: list[tuple[str, str, Callable[[], Ended]]] = []
    for name, content, kept, why in [*HOSTILE, *BOMBS]:
        wanted = None if "kept" in why else kept
        trial = partial(ingested, partial(_write, content), name, wanted, why)
        found.append((f"file, {family(name)}", ascii(name), trial))
    for name, (make, reason) in TREE.items():
        found.append(("no file of the folder", name, partial(ingested, make, name, 0, {reason})))
    for kind, variants in INPUTS.items():
        found += [(kind, variant, partial(_outcome, call, root)) for variant, call in variants.items()]
    return found


def tried(only: str) -> dict[str, Family]:
    """Try the families whose names hold `only`; what is wrong is printed."""
    root, families = Path(tempfile.mkdtemp()), dict[str, Family]()
    try:
        assert not (ended := forked(lambda: Ended(str(readable(root))))).wrong, ended  # threads do not survive a fork
        os.chdir(root)
        for kind, variant, trial in trials(root):
            if only in kind:
                ended = forked(trial)
                families.setdefault(kind, Family()).add(variant, ended)
                if ended.wrong or only:
                    how = f"WRONG {ended.wrong}" if ended.wrong else ended.shown
                    print(f"{kind}: {variant}: {how}", flush=True)
    finally:
        os.chdir(ROOT)
        shutil.rmtree(root, ignore_errors=True)
    return families


def report_families(families: dict[str, Family]) -> None:
    """Write which families were handled, and how each ended, into chaos.json."""
    handled = sum(not one.wrong for one in families.values())
    says = f"{len(families)} families, {sum(one.variants for one in families.values())} inputs"
    write("chaos", {"hostile": {name: asdict(one) for name, one in families.items()}}, [
        goal("hostile_inputs_handled_fraction", handled / len(families), 1, "higher", says),
    ])  # fmt: skip


def report_leaks(found: dict[str, Any]) -> None:
    """Write which files held a canary into chaos.json."""
    says = f"files with one of {found['canaries']} canaries, of {found['searched']}"
    write("chaos", {"leaks": found}, [goal("leaks_found", len(found["files"]), 0, "lower", says)])


def main() -> None:
    """Try all families, then the leaks, and report."""
    parser = argparse.ArgumentParser("python -m benchmarks.hostile", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="families whose names hold this; nothing is written")
    parser.add_argument("--part", choices=("families", "leaks"), help="default: both")
    arguments = parser.parse_args()
    if arguments.part != "leaks":
        families = tried(arguments.only)
        if arguments.only:
            return
        report_families(families)
    if arguments.part != "families":
        report_leaks(leaks())


if __name__ == "__main__":
    main()
