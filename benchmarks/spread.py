"""How often a figure was measured and how far apart: a column of each table of docs/results.md."""

import math
from collections.abc import Iterator
from typing import Any

KEYS = (("min", "max"), ("low", "high"))
COUNTS = ("n", "worlds")
RATIOS: dict[str, dict[str, tuple[str, ...]]] = {
    "near_dedup_vs_datatrove": {
        "ours, s": ("near_dedup", "ours, 32 x 4 and exact verification", "seconds"),
        "datatrove": ("near_dedup", "datatrove 0.10.1, 14 x 8 (stages 1 to 3)", "seconds"),
    },
    "quality_filters_vs_datatrove": {
        "ours, s": ("filters_10_mb", "ours", "seconds"),
        "datatrove": ("filters_10_mb", "datatrove, a pipeline per rule set", "seconds"),
    },
    "encode_vs_tokenizers": {
        "ours, s": ("encode", "ours", "seconds"),
        "tokenizers, s": ("encode", "tokenizers", "seconds"),
    },
    "loglikelihood_vs_lm_eval": {
        "ours, s": ("loglikelihood", "seconds", "ours"),
        "lm-eval, s": ("loglikelihood", "seconds", "lm-eval, HF backend"),
    },
    "time_to_nanochat_loss": {"nanochat, s": ("contestants", "nanochat", "344 steps", "seconds")},
    "time_to_previous_loss": {
        "before, s": ("previous", "before", "seconds"),
        "since, s": ("previous", "now, 105 s", "seconds"),
    },
}
RATIOS |= {
    name: {f"{who}, CPU s": (name, "cpu_s", who) for who in ("ours", "datatrove")}
    for name in ("dedup_vs_datatrove", "filter_stage_vs_datatrove")
}
"""Goal made of two figures -> the name and place of each."""
NAMED = (
    {f"good_documents_lost_{kind}": (f"lost_{kind}",) for kind in ("medical", "legal", "identity")}
    | {f"pii_recall_{kind}": (f"pii_recall_{kind}_untouched", "both") for kind in ("secret", "email", "ip", "phone")}
    | {f"pii_precision_{tool}": (f"pii_precision_{tool}_untouched",) for tool in ("ours", "both")}
    | {
        "junk_removed": ("junk_removed_held_out_True",),
        "prediction_interval_coverage": ("prediction_interval_by_training",),
        "recover_s_p95": ("recover_s",),
    }
)
"""Goal -> place of its figure, where its name or value is also another's."""
STATED = dict.fromkeys(("scaling_error_3x", "scaling_error_10x", "scaling_error_vs_power_law"), "n = 3 seeds") | {
    "label_efficiency": "n = 5 seeds: lower bound", "forecast_interval_coverage": "n = 10",
}  # fmt: skip
"""What no row of the results has."""


def bounds(found: Any) -> tuple[int, float, float] | None:
    """n and bounds of a repeated figure, a rate or a share; None for any other result."""
    if isinstance(found, dict):
        for low, high in KEYS:
            if {low, high} <= set(found) and (count := next((found[key] for key in COUNTS if key in found), 0)):
                return count, found[low], found[high]
    return None


def every(found: Any) -> Iterator[dict]:
    """Each result below a tree of results that has bounds."""
    if bounds(found):
        yield found
    for below in found.values() if isinstance(found, dict) else found if isinstance(found, list) else ():
        yield from every(below)


def at(results: Any, place: tuple[str, ...]) -> Any:
    """The result at a place; {} if it is not there."""
    for key in place:
        results = results.get(key, {})
    return results


def words(found: Any) -> str:
    """`n = 3: 6.43 to 6.53`, or `one run`."""
    known = bounds(found)
    return f"n = {known[0]}: {known[1]:.4g} to {known[2]:.4g}" if known and known[0] > 1 else "one run"


def spread(row: dict, results: dict) -> str:
    """What a table says of a goal: n and bounds of the result that its value is of, else `one run`."""
    name, value = row["name"], row["value"]
    if name in STATED:
        return STATED[name]
    if name in RATIOS:
        return "; ".join(f"{part} {words(at(results, place))}" for part, place in RATIOS[name].items())
    own = at(results, NAMED.get(name, (name,)))
    if bounds(own):
        return words(own)
    for one in every(results) if value not in (0, 1) else ():
        if any(isinstance(figure, float) and math.isclose(figure, value, rel_tol=1e-5) for figure in one.values()):
            return words(one)
    return "one run"
