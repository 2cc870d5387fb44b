"""The contestants' table of docs/results.md."""

TITLES = {
    "ours": "Greenhouse",
    "litgpt": "LitGPT (bf16, compiled)",
    "nanochat": "nanochat (compiled)",
    "trainer": "transformers Trainer (bf16)",
}


def table(found: dict) -> str:
    """A row per contestant; columns are its speed and what it reached in each kind of run."""
    contestants = found["results"]["contestants"]
    labels = sorted({label for label in contestants["litgpt"] if label.endswith(" s")}, key=lambda one: float(one[:-2]))
    head = ["trained by", "rate", "tokens/s", "peak MB", "first steps", *(f"after {label}" for label in labels)]
    rows = [[*head, "equal tokens"], ["---", *["--:"] * len(head)]]
    shown = {*labels, "equal tokens"}
    for name in (name for name in TITLES if name in contestants):
        runs, longest = contestants[name], contestants[name][labels[-1]]
        value = {key: row["median"] for key, row in longest.items()}
        losses = [f"{runs[label]['bits_per_byte']['median']:.3f}" for label in [*labels, "equal tokens"]]
        speed = f"{value['tokens_per_s']:,.0f}", f"{value['peak_mb']:.0f}"
        settings = found["results"]["settings"]
        rate, title = f"{settings['rates'][name]:g}", TITLES[name]
        if name == "nanochat":
            speeds = ", ".join(f"{dtype} {speed:,.0f}" for dtype, speed in settings["nanochat_tokens_per_s"].items())
            title += f" at {settings['nanochat_commit'][:9]}; tokens/s at equal tokens in {speeds}"
        rows.append([title, rate, *speed, f"{value['compile_s']:.1f} s", *losses])
    n = {row["bits_per_byte"]["n"] for runs in contestants.values() for label, row in runs.items() if label in shown}
    each = "one run" if n == {1} else f"{min(n)} to {max(n)} runs, medians"
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + f"\n\nEach figure: {each}."
