"""The tables in docs that are made of benchmarks/results/data.json: `python -m benchmarks.data_table`."""

from benchmarks.results import ROOT
from components.files import read_json, write_text

DOCS = ROOT / "docs"
MEANINGS = {
    "near_dedup_vs_datatrove": "near-duplicates, times as fast as datatrove (signatures to clusters)",
    "near_dedup_recall_j70_80": "pairs of Jaccard 0.7 to 0.8 of which at most one remains",
    "near_dedup_recall_j80_100": "pairs of Jaccard 0.8 and more of which at most one remains",
    "near_dedup_wrong_removals": "documents removed without a similar one that stays",
    "growth_10x": "time for ten times as much text, in times",
    "quality_filters_vs_datatrove": "quality filters, times as fast as datatrove",
    "filter_agreement_min": "decisions that agree with datatrove's, smallest of four rule sets",
    "encode_vs_tokenizers": "encoding, times as fast as tokenizers, same ids",
    "bad_records_lost": "sound records lost, broken ones not booked",
    "pii_recall": "personal data found",
    "pii_precision": "finds that are personal data",
    "bias_template_fpr_gap": "gap of false-positive rates between groups, template probe",
    "bias_keep_rate_ratio_min": "smallest ratio of keep rates, a group against the rest",
    "larger_than_memory_ok": "5 GB through ingest, dedup and filter in 1.5 GB of memory",
}


def goals(found: dict) -> str:
    """The goals, and where they were measured."""
    rows = []
    order = list(MEANINGS)
    for each in sorted(found["goals"], key=lambda row: order.index(row["name"])):
        sign = "at least" if each["better"] == "higher" else "at most"
        met = "yes" if each["met"] else "no"
        rows.append(f"| {MEANINGS[each['name']]} | {each['value']:.4g} | {sign} {each['goal']:g} | {met} |")
    head = "| | measured | goal | met |\n|---|--:|--:|---|"
    return "\n".join([head, *rows, "", f"Measured on {found['machine']}, {found['date']}."])


def agreement(found: dict) -> str:
    """Agreement with datatrove per rule set."""
    rows = ["| rules | documents | dropped by datatrove | agreement | Cohen's kappa |", "|---|--:|--:|--:|--:|"]
    for name, row in found["results"].get("agreement_50_mb", {}).items():
        dropped, same = row["dropped_by_datatrove"], row["agreement"]
        rows.append(f"| {name} | {row['documents']:,} | {dropped:.1%} | {same:.4f} | {row['kappa']:.4f} |")
    return "\n".join(rows)


def replace(page: str, mark: str, text: str) -> None:
    """Put `text` between the marks of a page."""
    path = DOCS / page
    before, rest = path.read_text("utf-8").split(f"<!-- {mark} -->")
    _, after = rest.split(f"<!-- end of {mark} -->")
    write_text(path, f"{before}<!-- {mark} -->\n\n{text}\n\n<!-- end of {mark} -->{after}")


def update() -> None:
    """Fill the pages."""
    found = read_json(ROOT / "benchmarks" / "results" / "data.json")
    replace("benchmarks-data.md", "data table", goals(found))
    replace("filter.md", "agreement", agreement(found))


if __name__ == "__main__":
    update()
