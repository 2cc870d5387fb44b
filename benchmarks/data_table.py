"""The table of docs/filter.md on decisions that agree with datatrove's."""


def agreement(found: dict) -> str:
    """Agreement with datatrove per rule set."""
    rows = ["| rules | documents | dropped by datatrove | agreement | Cohen's kappa |", "|---|--:|--:|--:|--:|"]
    for name, row in found["results"].get("agreement_50_mb", {}).items():
        dropped, same = row["dropped_by_datatrove"], row["agreement"]
        rows.append(f"| {name} | {row['documents']:,} | {dropped:.1%} | {same:.4f} | {row['kappa']:.4f} |")
    return "\n".join(rows)
