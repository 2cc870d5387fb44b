"""Model cards: what a model is, what it was trained on, what it cost, in the form the Hugging Face hub reads.

The YAML front matter carries `co2_eq_emissions` (in grams, as the hub defines it) with how the figure was obtained.
Cards hold measurements, so they are written beside the reports and not into model folders, whose bytes DVC hashes.
"""

from pathlib import Path
from typing import Any

from components.core.files import write_text
from components.stages.account.types import ModelFacts, Summary

TEMPLATES = Path(__file__).with_name("templates")
BASES = {"finetune/instruct": "pretrain/causal", "finetune/classify": "pretrain/masked"}


def environment() -> Any:
    """Jinja's environment for our templates; values in HTML are escaped."""
    from jinja2 import Environment, FileSystemLoader, select_autoescape

    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(["html.j2"]), keep_trailing_newline=True
    )


def write_cards(summary: Summary, folder: Path) -> list[Path]:
    """Write one card per model to `folder`."""
    paths = []
    for name in summary.models:
        path = folder / f"{name.replace('/', '-')}.md"
        write_text(path, card(summary, name))
        paths.append(path)
    return paths


def card(summary: Summary, name: str) -> str:
    """The card of one model as Markdown with YAML front matter."""
    cost, model = summary.cost, summary.models[name]
    mixed = summary.mixture
    stage = name.replace("/", "@")
    return environment().get_template("card.md.j2").render(
        model=model,
        base=BASES.get(name, ""),
        title=f"{summary.model_name}: {name}",
        description=summary.description,
        sources=list(mixed.sources) if mixed else [],
        source_rows=mixed.sources if mixed else {},
        licences=_licences(mixed.licences if mixed else {}),
        documents=summary.documents,
        cost=cost.stages.get(stage, cost.nothing),
        total=cost.total,
        source_text=f"Greenhouse ledger; {cost.how}; {cost.intensity}",
        location=cost.location,
        hardware=cost.hardware,
        how=cost.how,
        pue=cost.pue,
        intensity=cost.intensity,
        embodied_source=cost.embodied_source,
        water_source=cost.water_source,
        measured=cost.measured,
        process=_process(model),
        kwh=lambda row: _range(row, "%.3g"),
        grams=lambda row: _range(row, "%.3g"),
    )  # fmt: skip


def _range(row: list[float], form: str) -> str:
    low, mid, high = (form % value for value in row)
    return f"{mid} ({low} to {high})"


def _licences(licences: dict[str, dict[str, int]], most: int = 12) -> str:
    ordered = sorted(licences.items(), key=lambda entry: (-entry[1]["num_documents"], entry[0]))
    shown = [f"{name} ({row['num_documents']:,})" for name, row in ordered[:most]]
    return (
        ", ".join(shown) + (f" and {len(ordered) - most} more" if len(ordered) > most else "")
        if shown
        else "none stated"
    )


def _process(model: ModelFacts) -> str:
    training = model.training
    parts = [
        f"{training['steps']:,} steps" if "steps" in training else "",
        f"{training['tokens']:,} tokens" if "tokens" in training else "",
    ]
    text = f"{model.objective} pretraining: " + (", ".join(part for part in parts if part) or "see params.yaml")
    tuning = model.finetuning
    return text + (f"; then fine-tuning, {tuning['steps']:,} steps" if "steps" in tuning else "")
