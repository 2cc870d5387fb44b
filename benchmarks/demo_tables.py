"""What README shows of the last `make demo` in this checkout: lines of its table, and the five answers."""

import json
import math
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from components.core.files import read_json
from components.verdicts import one_more

ROOT = Path(__file__).resolve().parents[1]
NUM_LINES = 14


def excerpt() -> str:
    """The scores of the table at the end of `make demo`: what its signs say, a header, ten rows, its last two lines."""
    lines = [line for line in (ROOT / "reports/summary.md").read_text().splitlines() if line.strip("` ")]
    head = next(row for row, line in enumerate(lines) if line.startswith("+ better"))
    return "\n".join(["```", *lines[head : head + NUM_LINES], "```", "", another_training()])


def another_training() -> str:
    """Sentence with the 95% prediction interval of one more training, for each main score whose spread is known."""
    scores = json.loads((ROOT / "reports/summary.json").read_text())["scores"]
    ranges, of = list[str](), {(0, 0)}
    known = read_json(ROOT / "components/seed_spread.json")
    for score in scores:
        if "column" in score and (row := known.get(f"{score['model']} {score['name']}")):
            low, high = one_more(row["mean"], row["sd"], row["trainings"])
            most = math.inf if score.get("unit") == "bits" else 1.0
            ranges.append(f"{score['column']} {low:.3f}..{min(high, most):.3f}")
            of.add((row["trainings"], row["limited"]))
    told = f"Another seed (95%, from {max(of)[0]} trainings, {max(of)[1]} with AVX2 alone): {', '.join(ranges)}."
    return textwrap.fill(told, 120)


def answers() -> str:
    """Question, the instruction model's answer, command, as a Markdown table."""
    command = [sys.executable, "-m", "flows.cli", "card", "instruct", "--json"]
    card = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    rows = [
        ("What was it trained on, under which licences, and what was removed, from whom?", _data(card["data"]),
         '`greenhouse trace "glory grows guilty of detested crimes"`'),
        ("What did it cost, failed and resumed runs included?", _cost(card["cost"]),
         "whole project: `greenhouse cost --since 2026-01-31`"),
        ("How good is it, against what baseline, with which error?", _quality(card["quality"]["scores"]),
         "`greenhouse card instruct`"),
        ("Can it be rebuilt bit for bit?", _rebuild(card["rebuild"]), "`greenhouse verify instruct`"),
        ("Can anyone load it?", "; ".join(f"`{line}`" for line in card["load"]["lines"]), "`greenhouse chat`"),
    ]  # fmt: skip
    return "\n".join(["| question | answer | more |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def _data(data: dict[str, Any]) -> str:
    licences = sorted(data["licences"], key=lambda name: -data["licences"][name])
    removed = {row["rule"]: row["documents"] for row in data["removed"]}
    most = max(removed, key=lambda rule: removed[rule])
    groups = data["groups"] if isinstance(data["groups"], list) else []
    few = {True: ", too few to compare", False: ""}
    lost = [
        f"{row['documents']} of {row['of']} that mention {row['rule']}{few[row['too_few']]}"
        for row in groups
        if row["documents"]
    ]
    who = f", {removed['toxic']} as toxic ({', '.join(lost)})" if lost else ""
    return (
        f"{data['documents']:,} documents under {len(licences)} licences, most under {licences[0]} and {licences[1]}; "
        f"{sum(removed.values()):,} removed, {removed[most]} by `{most}`{who}; bias audit: {data['audit']}"
    )


def _cost(cost: dict[str, Any]) -> str:
    low, mid, high = (1000 * kwh for kwh in cost["kwh"])
    grams = cost["grams"]
    how = "measured" if cost["measured"] else "estimated"
    return (
        f"{mid:.2g} Wh ({low:.2g} to {high:.2g}, {how}), {grams[1]:.2g} g CO2e ({grams[0]:.2g} to {grams[2]:.2g}); "
        f"{cost['attempts']} runs ended early"
    )


def _quality(scores: list[dict[str, Any]]) -> str:
    """The first score of the model itself that has a baseline and an interval."""
    score = next(row for row in scores if row["baseline"] is not None and row["low"] is not None)
    bounds, baseline = f"[{score['low']:.3f}, {score['high']:.3f}]", score["baseline_name"] or "baseline"
    own = f"{score['title']} {score['value']:.3f} {bounds}"
    return f"{own}, {baseline} {score['baseline']:.3g}; {len(scores)} scores in `reports/cards/`, its base's too"


def _rebuild(rebuild: dict[str, Any]) -> str:
    verified = rebuild["verified"]
    return verified.get("result") or f"not known yet: {verified['not_known']}"
