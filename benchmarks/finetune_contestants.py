"""One fine-tuning run of one contestant, in a process of its own: `python -m benchmarks.finetune_contestants JOB`.

    ours, ours-lora      components/training/loop.py with the rates of the finetune stage
    trl, peft            trl's SFTTrainer on Qwen3 of the same shape and weights; `peft` with a LoraConfig
    dpo                  our loss and trl's DPOTrainer's of one batch, in float32
    adapter              our adapter, and the logits that peft computes with it, in float32

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
from benchmarks.train_contestants import SIZE, Clock, _Ticking
from benchmarks.train_corpus import BATCH, CONTEXT, VOCABULARY
from components.core.files import read_json, write_json
from components.finetuning_data.chat import encode
from components.finetuning_data.rows import Message
from components.instruction_pairs import continuation
from components.model import export, lora
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape, Numerics, Optimizer
from components.stages.finetune import adapter, instruct, preferences
from components.synthetic import curriculum
from components.tokens.tokenizer import Encoder
from components.training.loop import train
from components.training.objectives import IGNORE, language_model_loss
from components.training.train_config import TrainConfig

RATE, DECAY, WARMUP, SEED = 1e-3, 0.01, 0.1, 1
RANK = 8
FLOAT32 = Numerics(dtype="float32")
PREFERRED = ("copy", "recall", "mapping", "arithmetic")
"""Tasks of the curriculum in the batch whose preference loss is compared."""


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
    for name, text in train_corpus.texts().items():
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


def ours(job: Any, clock: Clock, rank: int = 0) -> float:
    """Our loop; the mean loss."""
    model, _, _ = export.load(job.place / "base")
    if rank:
        lora.add_lora(model, rank, SEED)
    rates = Optimizer(name="adamw", matrix_lr=RATE, embedding_lr=RATE, weight_decay=DECAY, grad_clip=1.0,
                      schedule="linear", warmup=WARMUP)  # fmt: skip
    settings = TrainConfig(job.steps, rates, checkpoint_every=10 * job.steps)
    clock.tick()
    result = train(model, batches(job.place), language_model_loss, settings, job.work, _Ticking(clock),
                   numerics=Numerics(threads=job.threads))  # fmt: skip
    if rank:
        adapter.save(model, job.place / "base", str(job.place / "base"), job.work / "adapter")
    return sum(result.losses) / len(result.losses)


def ours_lora(job: Any, clock: Clock) -> float:
    """The same with adapters."""
    return ours(job, clock, RANK)


def trl(job: Any, clock: Clock, config: Any = None) -> float:
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
        processing_class=AutoTokenizer.from_pretrained(job.place / "base"), peft_config=config, callbacks=[Ticking()],
    )  # fmt: skip
    return float(trainer.train().training_loss)


def peft(job: Any, clock: Clock) -> float:
    """The same with adapters of peft."""
    from peft import LoraConfig

    return trl(job, clock, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=list(lora.TARGETS["all"])))


# -- the same numbers --------------------------------------------------------------------------------------------------


def moved(model: Any, far: float = 0.002) -> Any:
    """A model in place of a tuned one: its weights moved a little."""
    generator = torch.Generator().manual_seed(SEED + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += far * torch.randn(parameter.shape, generator=generator)
    return model


def dpo(job: Any) -> dict[str, float]:
    """The largest difference of our loss and trl's on one batch, both in float32, and their values."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    tokenizer_json = (job.place / "base" / "tokenizer.json").read_text()
    problems = [problem for task in PREFERRED for problem in curriculum.items(task, SEED, BATCH // len(PREFERRED))]
    chosen = [preferences.right_and_wrong(problem, SEED) for problem in problems]
    encoder = Encoder(tokenizer_json)
    pairs = [preferences.encoded(row, encoder) for row in chosen]
    base, _, _ = export.load(job.place / "base")
    policy, _, _ = export.load(job.place / "base")
    moved(policy)
    export.save(policy, tokenizer_json, job.work / "policy", {})
    reference_N2 = preferences.all_log_probabilities(base, pairs, FLOAT32)
    beta = 0.1
    loss = preferences.DPOLoss(beta)(policy, preferences.batch_of(pairs, reference_N2)) / len(pairs)
    arguments = DPOConfig(
        output_dir=str(job.work / "trl"), use_cpu=True, bf16=False, beta=beta, report_to=[], max_length=None,
        per_device_train_batch_size=BATCH, gradient_checkpointing=False,
    )  # fmt: skip
    data = [{"prompt_ids": pair.prompt, "chosen_ids": pair.chosen, "rejected_ids": pair.rejected} for pair in pairs]
    texts = [{"prompt": row.prompt[0].content, "chosen": row.chosen, "rejected": row.rejected} for row in chosen]
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(job.work / "policy"),
        ref_model=AutoModelForCausalLM.from_pretrained(job.place / "base"), args=arguments,
        train_dataset=Dataset.from_list(texts), processing_class=AutoTokenizer.from_pretrained(job.place / "base"),
    )  # fmt: skip
    inputs = trainer.data_collator(data)
    theirs = trainer.compute_loss(trainer.model, inputs)
    return {"ours": float(loss), "trl": float(theirs), "difference": abs(float(loss) - float(theirs))}


def adapter_logits(job: Any) -> dict[str, float]:
    """The largest difference between our logits and those of peft with our adapter on the base, in float32."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    ours_lora(job, Clock())
    ids_BT = batches(job.place)(0).ids_BT
    merged, _, _ = adapter.load(job.work / "adapter")
    base = AutoModelForCausalLM.from_pretrained(job.place / "base").eval()
    with torch.no_grad():
        before = base(ids_BT).logits
        theirs = PeftModel.from_pretrained(base, job.work / "adapter").eval()(ids_BT).logits
        return {"difference": float((merged(ids_BT) - theirs).abs().max()),
                "moved_by_tuning": float((theirs - before).abs().max())}  # fmt: skip


CONTESTANTS = {"ours": ours, "ours-lora": ours_lora, "trl": trl, "peft": peft}
CHECKS = {"dpo": dpo, "adapter": adapter_logits}


def main(raw: str) -> None:
    """Run a job and write its result."""
    fields = json.loads(raw)
    job = SimpleNamespace(**fields | {name: Path(fields[name]) for name in ("place", "work", "result")})
    torch.set_num_threads(job.threads)
    if job.contestant in CHECKS:
        write_json(job.result, CHECKS[job.contestant](job))
        return
    clock = Clock()
    loss = CONTESTANTS[job.contestant](job, clock)
    found: dict[str, Any] = clock.figures()
    chosen = [rows(job.place, number) for number in range(job.steps)]
    tokens = median(sum(len(row["input_ids"]) - 1 for row in batch) for batch in chosen)
    write_json(job.result, found | {"loss": loss, "tokens_per_step": tokens, "tokens_per_s": tokens / found["step_s"]})


if __name__ == "__main__":
    main(sys.argv[1])
