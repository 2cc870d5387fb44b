"""MiniLM, a base made elsewhere, tuned on few labels, beside TF-IDF: which is better, and which was recommended.

Sets, rows set aside and settings are as in recommendation.py. There TF-IDF is the better everywhere; here are sets
where a network that has read English is, snippets on movies among them. What is lost there has the same goal.
"""

from pathlib import Path

from benchmarks.bases.packages import minilm
from benchmarks.bases.recommendation import MOVIES, SETS, row_of, summary
from benchmarks.results import goal

LABELS = 256
SETTINGS = {"steps": 96, "learning_rate": 1e-4}


def measure(place: Path) -> tuple[dict, list[dict], list[dict]]:
    """Results, what is lost where the network is the better, and raw rows."""
    rows = [row_of(one, minilm(place), place, LABELS, SETTINGS) for one in (MOVIES, SETS[1], SETS[4])]
    other = summary([row for row in rows if row["network"] > row["tfidf"]] or rows)
    says = (f"in {other['network_better']} of {len(rows)} sets the network is the better, recommended in "
            f"{other['network_recommended']} of these; upper bound {other['regret_high_max']:.3f}")  # fmt: skip
    return found(rows), [goal("recommendation_regret_network", other["regret_max"], 0.01, "lower", says)], rows


def found(rows: list[dict]) -> dict:
    """Results of rows."""
    accuracy = {row["set"]: {name: row[name] for name in ("network", "tfidf", "recommended")} for row in rows}
    return {f"minilm_{LABELS}_labels": summary(rows) | accuracy}
