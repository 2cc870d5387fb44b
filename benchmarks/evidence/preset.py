"""A preset's causal model held against counting at equal CPU seconds: every training against every rule.

A rule of the registry that predicts text counts all text that the preset tokenized, of which the network reads a part,
in at most as many CPU seconds as the ledger has of the model's pretraining. The figure is the worst lower bound, over
works, of what a model needs less than a rule. `--base` is a checkout in which the preset ran, and once more with
another seed; the models' bits are those of its own evaluation.

    greenhouse edit preset cpu-40min && greenhouse run && greenhouse study seeds runs=1
    python -m benchmarks.evidence --only preset --base ../base
"""

import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from benchmarks.evidence.known import context_of
from benchmarks.results import goal
from components.carbon.ledger.reader import read
from components.carbon.spans import Span
from components.counting.registry import DOCUMENT, RULES, posed
from components.counting.training_text import WholeCorpus
from components.params import Evaluate
from components.stages.evaluate.tasks.task import item_id, work_of
from components.statistics import ratio
from components.tokens.shards import TokenShards
from flows.tracking.snapshots import ObjectCache, Snapshot

STAGE, ITEMS = "pretrain@causal", "reports/evaluate/details"
TRAININGS = 2


def trainings(base: Path) -> list[Snapshot]:
    """The workspace of a checkout, and of its experiments of `study seeds` as many as make `TRAININGS`."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(base), *arguments], capture_output=True, text=True, check=True).stdout

    refs = [ref for ref in git("for-each-ref", "--format=%(refname)", "refs/exps").split() if "/seeds-" in ref]
    locks = {"workspace": (base / "dvc.lock").read_text()}
    locks |= {ref.rsplit("/", 1)[1]: git("show", f"{ref}:dvc.lock") for ref in refs[: TRAININGS - 1]}
    return [Snapshot(name, "experiment", yaml.safe_load(text)["stages"]) for name, text in locks.items()]


def of_model(one: Snapshot, cache: ObjectCache, spans: list[Span]) -> tuple[dict[str, float], float]:
    """Bits of each held-out document by the model of a training, and the CPU seconds of its pretraining."""
    asked = [("model", "=", "pretrain/causal"), ("metric", "=", "bits_per_byte")]
    rows = pq.read_table(cache.path(cache.files(one.outputs()[ITEMS])["items.parquet"]), filters=asked).to_pylist()
    made = STAGE, one.fingerprints()[STAGE]
    cpu_us = sum(span.cpu_us for span in spans if (span.stage, span.labels.get("fingerprint")) == made)
    return {row["item"]: row["score"] for row in rows}, cpu_us / 1e6


def of_rules(base: Path, params: Evaluate) -> tuple[list[dict[str, Any]], int]:
    """Each held-out document by each rule that has counted the whole text, its CPU seconds; and the model's context."""
    context = replace(context_of(base), params=params)
    rows = []
    for rule in (rule for rule in RULES if rule.form == "text"):
        started = time.process_time()  # each counts anew: its seconds are those of all it needs
        seen = WholeCorpus(context.folders.causal, TokenShards.open(context.folders.tokens / "train"))
        bits = posed("text", seen, [one.text for one in context.heldout], only=rule.name)[rule.name]
        cost = {"rule": rule.name, "rule_cpu_s": time.process_time() - started}
        print(cost, flush=True)
        for one, counted in zip(context.heldout, bits, strict=True):
            about = {"item": item_id(one.id, one.text), "bytes": len(one.text.encode())} | work_of(one)
            rows.append(cost | about | {"bits_of_rule": counted})
    return rows, context.causal.context


def measure(base: Path) -> tuple[dict, list[dict], dict[str, list[dict]]]:
    """What each model needs less than each rule, in bits per byte of the same documents."""
    trained, cache, spans = trainings(base), ObjectCache(base), read(base / ".greenhouse/ledger").spans
    rules, context = of_rules(base, Evaluate.model_validate(trained[0].params()["evaluate"]))
    raw: list[dict[str, Any]] = []
    for one in trained:
        bits, cpu_s = of_model(one, cache, spans)
        of = {"training": one.name, "cpu_s": cpu_s}
        raw += [of | row | {"bits": bits[row["item"]]} for row in rules if row["rule_cpu_s"] <= cpu_s]
    return *judged(raw, context), {"preset": raw}


def gain_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What a model needs less than a rule, in bits per byte, with its interval over works within sources."""
    sizes, clusters, strata = ([row[key] for row in rows] for key in ("bytes", "cluster", "stratum"))
    gains = [row["bits_of_rule"] - row["bits"] for row in rows]
    return ratio(gains, sizes, clusters, strata=strata, paired=True).as_dict()


def judged(raw: list[dict[str, Any]], context: int) -> tuple[dict, list[dict]]:
    """The gain of each training over each rule, over all sources and in each, from the rows of the table."""
    pairs: list[dict[str, Any]] = []
    for training, rule in dict.fromkeys((row["training"], row["rule"]) for row in raw):
        rows = [row for row in raw if (row["training"], row["rule"]) == (training, rule)]
        parts = {
            name: gain_of([row for row in rows if row["stratum"] == name]) for name in {row["stratum"] for row in rows}
        }
        bpb = sum(row["bits"] for row in rows) / sum(row["bytes"] for row in rows)
        pair = {"training": training, "cpu_s": rows[0]["cpu_s"], "rule": rule, "bpb": bpb}
        pairs.append(pair | gain_of(rows) | {"by_source": dict(sorted(parts.items()))})
    worst = min(pairs, key=lambda pair: pair["low"])
    trained = len({pair["training"] for pair in pairs})
    says = f"lower bound over {worst['clusters']} works, worst of {len(pairs)}, {trained} trainings by rule: "
    says += (
        f"{worst['bpb']:.3f} against {worst['rule']}, all with at most {min(pair['cpu_s'] for pair in pairs):.0f} CPU s"
        f"; a rule counts all the text, the document cache reads {DOCUMENT:,} tokens back, the network {context:,}"
    )
    for name in worst["by_source"]:
        least = min((pair["by_source"][name] for pair in pairs), key=lambda gain: gain["low"])
        shown = "better" if least["low"] > 0.0 else "not shown"
        says += f"; {name} alone: {least['value']:+.3f} [{least['low']:+.3f}, {least['high']:+.3f}], {shown}"
    return {"preset": pairs}, [goal("cpu40_bpb_gain_over_counting", worst["low"], 0, "higher", says)]
