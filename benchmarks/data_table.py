"""Table made of benchmarks/results/data.json: docs/results.md on a terabyte."""

from benchmarks.stamp import in_words

TERABYTE_MB = 1_000_000
CORES = 2
"""Of the machine that the rates were measured on; the data stages used both."""


def terabyte(found: dict) -> str:
    """What 1 TB would take at the measured rates, as if time grew with the text."""
    results = found["results"]
    megabytes = {"filters_10_mb": 10}
    measured = [
        ("dedup, sketches to clusters", "near_dedup", "ours, 32 x 4 and exact verification"),
        ("filter, all scores and four rule sets", "filters_10_mb", "ours"),
        ("encoding", "encode", "ours"),
    ]
    rows = ["| step | measured on 2 cores | core-hours for 1 TB | hours on 2 cores |", "|---|--:|--:|--:|"]
    for step, part, ours in measured:
        seconds, size = results[part][ours]["seconds"]["median"], megabytes.get(part) or results[part]["megabytes"]
        hours = seconds / size * TERABYTE_MB / 3600
        rows.append(f"| {step} | {size:.0f} MB in {seconds:.2f} s | {hours * CORES:.1f} | {hours:.1f} |")
    return "\n".join(rows) + "\n\n" + in_words({step: found["measured"][part] for step, part, _ in measured})
