"""MiniLM, a base made elsewhere, tuned on few labels, beside TF-IDF: which is better, and which was recommended.

Reported without a goal. Sets, rows set aside and settings are as in recommendation.py; snippets on movies are a set
where a network that has read English is the better of the two.
"""

from pathlib import Path

from benchmarks.bases.packages import minilm
from benchmarks.bases.recommendation import MOVIES, SETS, row_of, summary

LABELS = 256
SETTINGS = {"steps": 96, "learning_rate": 1e-4}


def measure(place: Path) -> tuple[dict, list[dict], list[dict]]:
    """Results, no goals, and raw rows."""
    rows = [row_of(one, minilm(place), place, LABELS, SETTINGS) for one in (MOVIES, SETS[1], SETS[4])]
    return found(rows), [], rows


def found(rows: list[dict]) -> dict:
    """Results of rows."""
    accuracy = {row["set"]: {name: row[name] for name in ("network", "tfidf", "recommended")} for row in rows}
    return {f"minilm_{LABELS}_labels": summary(rows) | accuracy}
