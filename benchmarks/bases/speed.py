"""Fine-tuning of a llama of 20 M parameters, beside trl: tokens per second, one after the other in every round.

    python -m benchmarks.bases.speed JOB      one run: components/training/loop.py, or trl's SFTTrainer

JOB is JSON: contestant, place, work, result. Both get the same batches in the same order (pairs of similar length,
padded to the longest), no packing, loss on answers, AdamW, bfloat16 products, clipping at 1. The clock starts at the
first batch. Tokens are real ones: padding counts for nothing.
"""

import json
import os
import sys
from functools import cache
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks import train_corpus
from benchmarks.bases.tiny import save_tiny
from benchmarks.processes import TWO_THREADS, result_of
from benchmarks.results import figure, goal
from benchmarks.texts import plays
from benchmarks.train_contestants import Clock, _Ticking
from benchmarks.train_corpus import BATCH, CONTEXT, VOCABULARY
from benchmarks.train_runs import CORPUS, THREADS
from components.core.files import read_json, write_json
from components.finetuning_data.chat import encode
from components.instruction_pairs import continuation
from components.instruction_pairs.examples import Message
from components.model import export
from components.params import Numerics, Optimizer
from components.stages.finetune import instruct
from components.stages.finetune.training import Batches
from components.tokens.tokenizer import Encoder
from components.training.loop import train
from components.training.objectives import IGNORE, language_model_loss
from components.training.train_config import TrainConfig

ROUNDS, STEPS = 3, 12
RATE, DECAY, WARMUP, SEED = 1e-3, 0.01, 0.1, 1
LLAMA = {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 10, "num_attention_heads": 6,
         "num_key_value_heads": 6, "max_position_embeddings": CONTEXT}  # fmt: skip


def prepare(place: Path) -> None:
    """Write what both start from: `base/`, the llama of random weights, and `pairs.json`, ids of real pairs."""
    train_corpus.write(CORPUS)
    tokenizer_json = (CORPUS / "tokenizer.json").read_text()
    save_tiny("llama", tokenizer_json, VOCABULARY, place / "base", **LLAMA)
    encoder, pairs = Encoder(tokenizer_json), []
    for name, text in plays().items():
        if name.startswith(train_corpus.HELD_OUT):
            continue
        document: Any = SimpleNamespace(text=text, id=name, group=name, source="")
        for pair in continuation.pairs(document):
            ids, learned = encode((Message("user", pair.prompt), Message("assistant", pair.answer)), encoder)
            if len(ids) <= CONTEXT:
                pairs.append((ids[: learned.index(True)], ids[learned.index(True) :]))
    write_json(place / "pairs.json", pairs)


@cache
def batches(place: Path) -> Batches:
    """Batches of both sides."""
    return instruct.pair_batches([tuple(pair) for pair in read_json(place / "pairs.json")], BATCH, CONTEXT, SEED)


def rows(place: Path, number: int) -> list[dict[str, list[int]]]:
    """The n-th batch as rows for trl: ids, and labels with the prompt left out."""
    made, batch = [], batches(place)(number)
    for ids, targets in zip(batch.ids_BT.tolist(), batch.targets.tolist(), strict=True):
        learned = [index for index, target in enumerate(targets) if target != IGNORE]
        whole = [*ids[: learned[-1] + 1], targets[learned[-1]]]
        made.append({"input_ids": whole, "labels": [IGNORE] * (learned[0] + 1) + whole[learned[0] + 1 :]})
    return made


def ours(job: Any, clock: Clock) -> float:
    """Our loop; the mean loss."""
    model, _, _ = export.load(job.place / "base")
    rates = Optimizer(name="adamw", matrix_lr=RATE, embedding_lr=RATE, weight_decay=DECAY, grad_clip=1.0,
                      schedule="linear", warmup=WARMUP)  # fmt: skip
    settings = TrainConfig(STEPS, rates, checkpoint_every=10 * STEPS)
    clock.tick()
    result = train(model, batches(job.place), language_model_loss, settings, job.work, _Ticking(clock),
                   numerics=Numerics(threads=THREADS))  # fmt: skip
    return sum(result.losses) / len(result.losses)


def trl(job: Any, clock: Clock) -> float:
    """trl's SFTTrainer; the mean loss."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Ticking(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock.tick()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    arguments = SFTConfig(
        output_dir=str(job.work), use_cpu=True, bf16=True, max_steps=STEPS, per_device_train_batch_size=BATCH,
        learning_rate=RATE, weight_decay=DECAY, adam_beta2=0.95, lr_scheduler_type="linear",
        warmup_steps=round(WARMUP * STEPS), report_to=[], save_strategy="no", logging_strategy="no", seed=SEED,
        disable_tqdm=True, gradient_checkpointing=False, packing=False, max_length=None,
        train_sampling_strategy="sequential", dataset_kwargs={"skip_prepare_dataset": True},
    )  # fmt: skip
    data = Dataset.from_list([row for number in range(STEPS) for row in rows(job.place, number)])
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(job.place / "base"), args=arguments, train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(job.place / "base"), callbacks=[Ticking()],
    )  # fmt: skip
    return float(trainer.train().training_loss)


CONTESTANTS = {"ours": ours, "trl": trl}


def measure(place: Path) -> tuple[dict, list[dict], list[dict]]:
    """Results, goals and raw rows."""
    at, found = place / "speed", list[dict[str, Any]]()
    prepare(at)
    for number in range(ROUNDS):
        row: dict[str, Any] = {"round": number + 1}
        for name in CONTESTANTS:
            job = {"contestant": name, "place": str(at)}
            one = result_of("benchmarks.bases.speed", job, os.environ | TWO_THREADS)
            row |= {f"{name}_{key}": one[key] for key in ("tokens_per_s", "loss")}
        found.append(row)
        print(row, flush=True)
    ratio = figure([row["ours_tokens_per_s"] / row["trl_tokens_per_s"] for row in found])
    says = "real tokens per second of a llama of 20 M parameters, times trl's; same rows in the same batches"
    return {"speed": ratio}, [goal("sft_tokens_per_s_vs_trl", ratio["median"], 1.0, "higher", says)], found


def main(raw: str) -> None:
    """Run a job and write its result."""
    fields = json.loads(raw)
    job = SimpleNamespace(**fields | {name: Path(fields[name]) for name in ("place", "work", "result")})
    torch.set_num_threads(THREADS)
    clock = Clock()
    loss = CONTESTANTS[job.contestant](job, clock)
    chosen = [rows(job.place, number) for number in range(STEPS)]
    tokens = median(sum(len(row["input_ids"]) - 1 for row in batch) for batch in chosen)
    write_json(job.result, {"loss": loss, "tokens_per_s": tokens / clock.figures()["step_s"]})


if __name__ == "__main__":
    main(sys.argv[1])
