"""Tables made of benchmarks/results/data.json: docs/filter.md on agreement, docs/cluster.md on a terabyte."""

TERABYTE_MB = 1_000_000
CORES = 2
"""Of the machine that the rates were measured on; the data stages used both."""


def agreement(found: dict) -> str:
    """Agreement with datatrove per rule set, as it is and with our split into words put into it."""
    rows = [
        "| rules | documents | dropped by datatrove | agreement | Cohen's kappa | with our split | its kappa |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in found["results"].get("agreement_50_mb", {}).items():
        shares = [row[key] for key in ("agreement", "kappa", "agreement_same_split", "kappa_same_split")]
        cells = [
            name,
            f"{row['documents']:,}",
            f"{row['dropped_by_datatrove']:.1%}",
            *(f"{each:.4f}" for each in shares),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def terabyte(found: dict) -> str:
    """What 1 TB would take at the measured rates, as if time grew with the text."""
    results = found["results"]
    measured = [
        ("dedup, sketches to clusters", results["near_dedup"], "ours, 32 x 4 and exact verification"),
        ("filter, all scores and four rule sets", results["filters_10_mb"] | {"megabytes": 10}, "ours"),
        ("encoding", results["encode"], "ours"),
    ]
    rows = ["| step | measured on 2 cores | core-hours for 1 TB | hours on 2 cores |", "|---|--:|--:|--:|"]
    for step, part, ours in measured:
        seconds, megabytes = part[ours]["seconds"]["median"], part["megabytes"]
        hours = seconds / megabytes * TERABYTE_MB / 3600
        rows.append(f"| {step} | {megabytes:.0f} MB in {seconds:.2f} s | {hours * CORES:.1f} | {hours:.1f} |")
    return "\n".join(rows) + f"\n\nRates: {found['machine']}, {found['date']}, commit {found['commit'][:9]}."
