"""The table of docs/filter.md on decisions that agree with datatrove's."""


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
