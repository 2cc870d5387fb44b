"""Fine-tuning of a llama of 20 M parameters, beside trl: tokens per second, one after the other in every round."""

import subprocess
import sys
from pathlib import Path

from benchmarks import finetune
from benchmarks.bases.tiny import save_tiny
from benchmarks.results import ROOT, figure, goal
from benchmarks.train_corpus import CONTEXT, VOCABULARY
from benchmarks.train_runs import CORPUS

ROUNDS, STEPS = 3, 12
LLAMA = {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 10, "num_attention_heads": 6,
         "num_key_value_heads": 6, "max_position_embeddings": CONTEXT}  # fmt: skip
PREPARE = (
    "from benchmarks import finetune_contestants, train_corpus; from pathlib import Path; import sys; "
    "corpus, place = map(Path, sys.argv[1:]); train_corpus.write(corpus); finetune_contestants.prepare(corpus, place)"
)


def measure(place: Path) -> tuple[dict, list[dict], list[dict]]:
    """Results, goals and raw rows; both sides get the same rows in the same batches."""
    at = place / "speed"
    subprocess.run([sys.executable, "-c", PREPARE, str(CORPUS), str(at)], cwd=ROOT, check=True)
    tokenizer_json = (at / "base/tokenizer.json").read_text()
    for path in (at / "base").iterdir():
        path.unlink()
    save_tiny("llama", tokenizer_json, VOCABULARY, at / "base", **LLAMA)
    rows = []
    for number in range(ROUNDS):
        ours, trl = (finetune.run(name, STEPS, at) for name in ("ours", "trl"))
        row = {"round": number + 1}
        for name, one in (("ours", ours), ("trl", trl)):
            row |= {f"{name}_{key}": one[key] for key in ("tokens_per_s", "loss")}
        rows.append(row)
        print(rows[-1], flush=True)
    ratio = figure([row["ours_tokens_per_s"] / row["trl_tokens_per_s"] for row in rows])
    says = "real tokens per second of a llama of 20 M parameters, times trl's; same rows in the same batches"
    return {"speed": ratio}, [goal("sft_tokens_per_s_vs_trl", ratio["median"], 1.0, "higher", says)], rows
