"""Section of the bias report on language: sentiment and associations that chance does not explain."""

from components.params import Bias
from components.reporting.tables import markdown_table
from components.stages.bias.word_associations import MIN_EXPECTED, MIN_WORKS, SIGNIFICANT

SHOWN = 12
"""Rows of the tables of sentiment and associations in the summary; the CSV have all."""


def significant(rows: list[dict]) -> list[dict]:
    """Rows whose Benjamini-Hochberg p-value is below `SIGNIFICANT`."""
    return [row for row in rows if row.get("p_bh", 1.0) < SIGNIFICANT]


def language_section(sentiments: list[dict], associated: list[dict], params: Bias) -> str:
    """Markdown of the significant sentiment differences and associations."""
    differing, linked = significant(sentiments), significant(associated)
    tested = sum("p_bh" in row for row in sentiments)
    strongest = sorted(differing, key=lambda row: (row["p"], row["source"], row["group"]))[:SHOWN]
    by_sentiment = [
        (row["source"], row["group"], row["sentences"],
         f"{row['sentiment']:.2f} [{row['low']:.2f}, {row['high']:.2f}]", f"{row['difference']:+.2f}")
        for row in strongest
    ]  # fmt: skip
    by_word = [
        (row["source"], row["group"], row["word"], row["sentences_with_both"],
         row["works"], f"{row['times_expected']:.2f} [{row['low']:.2f}, {row['high']:.2f}]")
        for row in linked[:SHOWN]
    ]  # fmt: skip
    lines = [
        "",
        "## What is said of whom",
        "",
        f"Sentiment (VADER, -1 to 1) of a sample of sentences, group against no group within the source: {tested} "
        f"comparisons of {params.min_mentions} sentences or more, {len(differing)} differ (t-test over works, "
        "Benjamini-Hochberg).",
        "",
        markdown_table(("source", "group", "sentences", "sentiment", "difference"), by_sentiment, "llrlr"),
        "",
        f"Occupations and qualities in the same sentence: {len(associated)} pairs tested, those with at least "
        f"{MIN_EXPECTED:.0f} expected sentences and {MIN_WORKS} works; {len(linked)} differ (Fisher's test within "
        "works and a t-test over works, Benjamini-Hochberg). Above 1: together more often than chance within a work.",
        "",
        markdown_table(("source", "group", "word", "sentences", "works", "times expected"), by_word, "lllrrl"),
    ]
    return "\n".join(lines) + "\n"
