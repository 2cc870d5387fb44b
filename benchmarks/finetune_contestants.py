"""One fine-tuning run of one contestant, in a process of its own: `python -m benchmarks.finetune_contestants JOB`.

    ours    components/training/loop.py with the rates of the finetune stage
    trl     trl's SFTTrainer on Qwen3 of the same shape and weights

JOB is JSON: contestant, steps, threads, place (a folder: see `prepare`), work, result. Both sides get the same batches
in the same order (pairs of similar length, padded to the longest), no packing, loss on answers, AdamW, bfloat16
products, clipping at 1. The clock starts at the first batch. Tokens are real ones: padding counts for nothing.
"""

import json
import sys
from functools import cache
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks import train_corpus
from benchmarks.texts import plays
from benchmarks.train_contestants import SIZE, Clock, _Ticking
from benchmarks.train_corpus import BATCH, CONTEXT, VOCABULARY
from components.core.files import read_json, write_json
from components.finetuning_data.chat import encode
from components.finetuning_data.rows import Message
from components.instruction_pairs import continuation
from components.model import export
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape, Numerics, Optimizer
from components.stages.finetune import instruct
from components.tokens.tokenizer import Encoder
from components.training.loop import train
from components.training.objectives import IGNORE, language_model_loss
from components.training.train_config import TrainConfig

RATE, DECAY, WARMUP, SEED = 1e-3, 0.01, 0.1, 1


def prepare(corpus: Path, place: Path) -> None:
    """Write what all start from: `base/`, a model of random weights, and `pairs.json`, ids of real pairs."""
    if (place / "pairs.json").exists():
        return
    tokenizer_json = (corpus / "tokenizer.json").read_text()
    shape = derive_shape(ModelShape(size=SIZE), VOCABULARY, CONTEXT, causal=True)
    model, generator = Transformer(shape).initialise(SEED), torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in model.parameters():  # some matrices start at zero: a model that is nothing proves nothing
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    export.save(model, tokenizer_json, place / "base", {})
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
def batches(place: Path) -> instruct.PairBatches:
    """Batches of both sides."""
    return instruct.PairBatches(instruct.by_length([tuple(pair) for pair in read_json(place / "pairs.json")]), BATCH,
                                CONTEXT, SEED)  # fmt: skip


def rows(place: Path, number: int) -> list[dict[str, list[int]]]:
    """The n-th batch as rows for trl: ids, and labels with the prompt left out."""
    made, batch = [], batches(place)(number)
    for ids, targets in zip(batch.ids_BT.tolist(), batch.targets.tolist(), strict=True):
        learned = [index for index, target in enumerate(targets) if target != IGNORE]
        whole = [*ids[: learned[-1] + 1], targets[learned[-1]]]
        made.append({"input_ids": whole, "labels": [IGNORE] * (learned[0] + 1) + whole[learned[0] + 1 :]})
    return made


# -- speed -------------------------------------------------------------------------------------------------------------


def ours(job: Any, clock: Clock) -> float:
    """Our loop; the mean loss."""
    model, _, _ = export.load(job.place / "base")
    rates = Optimizer(name="adamw", matrix_lr=RATE, embedding_lr=RATE, weight_decay=DECAY, grad_clip=1.0,
                      schedule="linear", warmup=WARMUP)  # fmt: skip
    settings = TrainConfig(job.steps, rates, checkpoint_every=10 * job.steps)
    clock.tick()
    result = train(model, batches(job.place), language_model_loss, settings, job.work, _Ticking(clock),
                   numerics=Numerics(threads=job.threads))  # fmt: skip
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
        output_dir=str(job.work), use_cpu=True, bf16=True, max_steps=job.steps, per_device_train_batch_size=BATCH,
        learning_rate=RATE, weight_decay=DECAY, adam_beta2=0.95, lr_scheduler_type="linear",
        warmup_steps=round(WARMUP * job.steps), report_to=[], save_strategy="no", logging_strategy="no", seed=SEED,
        disable_tqdm=True, gradient_checkpointing=False, packing=False, max_length=None,
        train_sampling_strategy="sequential", dataset_kwargs={"skip_prepare_dataset": True},
    )  # fmt: skip
    data = Dataset.from_list([row for number in range(job.steps) for row in rows(job.place, number)])
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(job.place / "base"), args=arguments, train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(job.place / "base"), callbacks=[Ticking()],
    )  # fmt: skip
    return float(trainer.train().training_loss)


CONTESTANTS = {"ours": ours, "trl": trl}


def main(raw: str) -> None:
    """Run a job and write its result."""
    fields = json.loads(raw)
    job = SimpleNamespace(**fields | {name: Path(fields[name]) for name in ("place", "work", "result")})
    torch.set_num_threads(job.threads)
    clock = Clock()
    loss = CONTESTANTS[job.contestant](job, clock)
    found: dict[str, Any] = clock.figures()
    chosen = [rows(job.place, number) for number in range(job.steps)]
    tokens = median(sum(len(row["input_ids"]) - 1 for row in batch) for batch in chosen)
    write_json(job.result, found | {"loss": loss, "tokens_per_step": tokens, "tokens_per_s": tokens / found["step_s"]})


if __name__ == "__main__":
    main(sys.argv[1])
