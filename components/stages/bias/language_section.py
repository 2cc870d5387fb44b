"""Section of the bias report on language: sentiment and associations that chance does not explain."""

from components.params import Bias
from components.reporting.tables import markdown_table
from components.stages.bias.word_associations import SIGNIFICANT

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
         f"{row['log_odds']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]")
        for row in linked[:SHOWN]
    ]  # fmt: skip
    lines = [
        "",
        "## What is said of whom",
        "",
        f"Sentiment (VADER, -1 to 1) of a sample of sentences, group against no group within the source: {tested} "
        f"comparisons of {params.min_mentions} sentences or more, {len(differing)} differ (Benjamini-Hochberg).",
        "",
        markdown_table(("source", "group", "sentences", "sentiment", "difference"), by_sentiment, "llrlr"),
        "",
        f"Occupations and qualities in the same sentence: {len(associated)} pairs compared, {len(linked)} differ. Log "
        "odds ratio above 0: together more often than apart.",
        "",
        markdown_table(("source", "group", "word", "sentences", "log odds"), by_word, "lllrl"),
    ]
    return "\n".join(lines) + "\n"
