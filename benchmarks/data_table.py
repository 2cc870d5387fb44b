"""Table made of benchmarks/results/data.json: docs/results.md on a terabyte."""

from benchmarks.stamp import in_words

TERABYTE_MB = 1_000_000


def terabyte(found: dict) -> str:
    """What 1 TB would take in each stage if CPU and memory went on as between the two sizes measured."""
    sizes = sorted(found["results"]["growth"], key=int)
    few, much = (found["results"]["growth"][size] for size in sizes)
    between = int(sizes[1]) - int(sizes[0])
    rows, memory = ["| stage | CPU s for a MB | core-hours for 1 TB | memory for 1 TB, GB |", "|---|--:|--:|--:|"], {}
    for stage in few:
        cpu_s, gb = ((much[stage][key] - few[stage][key]) / between for key in ("cpu_s", "peak_gb"))
        memory[stage] = much[stage]["peak_gb"] + max(0.0, gb) * TERABYTE_MB
        rows.append(f"| {stage} | {cpu_s:.3f} | {cpu_s * TERABYTE_MB / 3600:.1f} | {memory[stage]:.0f} |")
    first = max(memory, key=lambda stage: memory[stage])
    says = (
        f"Between {sizes[0]} and {sizes[1]} MB, with two workers, one run of each size. {first.capitalize()} breaks "
        "first, for want of memory; then ingest, one process of which decides on all documents in their order, and "
        "DVC, which hashes every output and copies it where the file system has no copies on write."
    )
    rows += ["", says]
    return "\n".join(rows) + "\n\n" + in_words({"growth": found["measured"]["growth"]})
