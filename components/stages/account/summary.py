"""Summary of the reports of all stages: documents, tokens, models, scores, skipped tasks and the reasons.

Everything here is read from files that stages left: corpus manifests (`data/`), metrics.json and
facts.json (`reports/`), greenhouse.json (`models/`). A stage that has not run is left out. What it
cost is the ledger's (components/carbon/footprint/costs.py).
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.core.files import read_json
from components.core.report import flat
from components.model.shape import Shape
from components.params import FURTHER
from components.reporting.tables import as_written
from components.scores import as_scores
from components.stages.account.types import DocumentCounts, ModelFacts, SkippedTask, StageRecords

CORPUS_STAGES = ("ingest", "dedup", "filter", "bias", "mix")
FURTHER_MODELS = tuple(f"finetune/{name}" for name in FURTHER)
MODELS = {
    "pretrain/causal": "text-generation",
    "pretrain/masked": "fill-mask",
    "finetune/instruct": "text-generation",
    **dict.fromkeys(FURTHER_MODELS, "text-generation"),
    "finetune/classify": "text-classification",
}
"""Model folder -> task as the Hugging Face hub names it."""
STAGES = (*CORPUS_STAGES, "tokenize", *(name.replace("/", "@") for name in MODELS), "evaluate")
"""Stages in the order of the table."""
TABLES = (
    "ingest/licences", "ingest/opted_out", "filter/personal", "bias/mentions", "bias/disparate_impact",
    "tokenize/languages",
)  # fmt: skip


Files = Callable[[str], Path | None]
"""Where a file of the project lies, by its path in the checkout; None if there is none."""


def checkout_files(root: Path) -> Files:
    """Files of a checkout."""
    return lambda path: root / path if (root / path).exists() else None


def stage_reports(reports: Path) -> dict[str, Path]:
    """Stage (as DVC names it, `pretrain@causal`) -> its folder, for all that left metrics.json; in order."""
    folders = {stage: reports.joinpath(*stage.split("@")) for stage in STAGES}
    return {stage: folder for stage, folder in folders.items() if (folder / "metrics.json").exists()}


def gather(file: Files) -> StageRecords:
    """Records of the stages, from the files of a checkout or of another state."""
    trees = {stage: _read(file(f"reports/{stage.replace('@', '/')}/metrics.json")) for stage in STAGES}
    metrics = {stage: flat(tree) for stage, tree in trees.items() if tree}
    facts = {stage: _read(file(f"reports/{stage.replace('@', '/')}/details/facts.json")) for stage in metrics}
    return StageRecords(
        documents=documents(file),
        tokens=tokens(file),
        models=models(file),
        scores=[score for stage in facts.values() for score in as_scores(stage)],
        skipped=skipped(facts),
        metrics=metrics,
        tables={name: read_rows(file(f"reports/{name.replace('/', '/details/')}.csv")) for name in TABLES},
        sources=facts.get("ingest", {}).get("sources", {}),
        mixing=facts.get("mix", {}),
        findings=facts.get("bias", {}).get("warnings", []),
        losses=[line.partition("\n")[0] for line in facts.get("filter", {}).get("warnings", [])],
        overlap=facts.get("tokenize", {}).get("overlap", {}),
    )


def _read(path: Path | None) -> dict[str, Any]:
    return read_json(path) if path else {}


def read_rows(path: Path | None) -> list[dict[str, str]]:
    """Rows of a table that a stage left (CSV); none if there is no such file."""
    if path is None or not path.exists():
        return []
    csv.field_size_limit(2**31 - 1)  # a prompt may be longer than the 128 kB that are read by default
    with open(path, encoding="utf-8", newline="") as file:
        return [{name: as_written(text) for name, text in row.items()} for row in csv.DictReader(file)]


# -- documents and tokens ----------------------------------------------------------------------------------------------


def documents(file: Files) -> dict[str, DocumentCounts]:
    """Stage -> documents in, kept (to train on), dropped, quarantined, held out, and the rules that dropped them.

    Mix takes nothing away: it repeats, samples and adds, so what it has beyond real text is
    `generated`.
    """
    counts_of = {}
    for stage in CORPUS_STAGES:
        parts = {
            name: _read(file(f"data/{stage}/{name}/manifest.json"))
            for name in ("train", "heldout", "dropped", "quarantine")
        }
        if not parts["train"]:
            continue
        counts = {name: part.get("num_documents", 0) for name, part in parts.items()}
        counts_of[stage] = DocumentCounts(
            num_in=sum(counts.values()),
            kept=counts["train"],
            dropped=counts["dropped"],
            quarantined=counts["quarantine"],
            heldout=counts["heldout"],
            kept_bytes=parts["train"]["num_bytes"],
            rules=parts["dropped"].get("facts", {}).get("rules", {}),
            reasons=parts["quarantine"].get("facts", {}).get("rules", {}),
            sources=parts["train"].get("sources", {}),
            licences=parts["train"].get("licences", {}),
        )
    if "mix" in counts_of and "bias" in counts_of:
        mix, real = counts_of["mix"], counts_of["bias"]
        mix.num_in = real.kept
        mix.generated = {name: n["num_documents"] for name, n in mix.sources.items() if name not in real.sources}
    return counts_of


def tokens(file: Files) -> dict[str, Any]:
    """Tokens and bytes of both splits."""
    facts = {}
    for split in ("train", "heldout"):
        if manifest := _read(file(f"data/tokenize/{split}/manifest.json")):
            facts[split] = {name: manifest[name] for name in ("num_tokens", "num_bytes", "num_documents")}
            facts["vocab_size"] = manifest["vocab_size"]
    return facts


# -- models ------------------------------------------------------------------------------------------------------------


def models(file: Files) -> dict[str, ModelFacts]:
    """Model folder -> what it is, and how it was trained."""
    by_name = {}
    for name, task in MODELS.items():
        if facts := _read(file(f"models/{name}/greenhouse.json")):
            by_name[name] = ModelFacts(
                pipeline_tag=task,
                objective=facts.get("objective", ""),
                parameters=facts.get("num_parameters", 0),
                shape=facts.get("shape", {}),
                training=facts.get("training", {}),
                finetuning=facts.get("finetuning", {}),
                task=facts.get("task", {}),
                flop=training_flop(facts),
            )
    return by_name


def training_flop(facts: dict[str, Any]) -> float:
    """Floating-point operations of pretraining; 0.0 if the facts do not tell."""
    shape, training = facts.get("shape", {}), facts.get("training", {})
    num_tokens = training.get("tokens", 0)
    if "flops" in training:
        return float(training["flops"])
    return float(Shape(**shape).flops_per_token) * num_tokens if shape and num_tokens else 0.0


# -- skipped -----------------------------------------------------------------------------------------------------------


def skipped(facts: dict[str, dict[str, Any]]) -> list[SkippedTask]:
    """Tasks the corpus could not feed and questions not asked, with the reason: what stages name in `skipped`."""
    rows = []
    for stage, stage_facts in facts.items():
        entries = stage_facts.get("skipped", {})
        pairs = entries.items() if isinstance(entries, dict) else [(row["task"], row["reason"]) for row in entries]
        rows += [SkippedTask(stage=stage, what=task.replace("_", " "), why=why) for task, why in pairs]
    return rows
