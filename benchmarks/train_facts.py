"""Figures of our training alone: peak of the machine, cost of a checkpoint, time to resume, exactness of the export."""

import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from benchmarks import train_corpus
from benchmarks.train_contestants import shape
from benchmarks.train_runs import CORPUS, THREADS
from components.core.progress import Progress
from components.model import export
from components.model.transformer import Transformer
from components.params import Numerics, Optimizer
from components.tokens.shards import TokenShards
from components.training import loop
from components.training.data_order import pretrain_batches
from components.training.objectives import language_model_loss
from components.training.train_config import TrainConfig

PEAK_SIZE = 2048
REPEATS = 10


def facts() -> dict[str, float]:
    """peak_flops, flops_per_token (6 (N + V d) + 6 L T d), checkpoint_s, resume_s, logits_max_diff."""
    torch.set_num_threads(THREADS)
    own = shape()
    products = own.num_block_parameters + own.vocab_size * own.width
    per_token = 6 * products + 6 * own.depth * own.context * own.width
    found = {"peak_flops": peak_flops(), "flops_per_token": float(per_token)}
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as temporary:
        return found | _checkpoints(Path(temporary) / "work") | {"logits_max_diff": _difference(Path(temporary))}


def peak_flops() -> float:
    """Operations per second of the best of ten bfloat16 products of 2048-cubed."""
    a, best = torch.randn(PEAK_SIZE, PEAK_SIZE, dtype=torch.bfloat16), float("inf")
    for _ in range(REPEATS):
        started = perf_counter()
        a @ a
        best = min(best, perf_counter() - started)
    return 2 * PEAK_SIZE**3 / best


def _trained(work: Path) -> loop.Trainer:
    """Our loop at the benchmark's size, with state in its optimizers."""
    shards, batch = TokenShards.open(CORPUS / "train"), train_corpus.BATCH
    batches = pretrain_batches(shards, context=train_corpus.CONTEXT, batch=batch, seed=1, mask_rate=None,
                               document_mask=False)  # fmt: skip
    settings = TrainConfig(2, Optimizer(), checkpoint_every=100)
    numerics = Numerics(threads=THREADS)
    run = loop.Trainer(
        Transformer(shape()).initialise(1),
        batches,
        language_model_loss,
        settings,
        work,
        Progress(),
        numerics,
        loop.SINGLE,
    )
    run.evaluate, run.write_model = None, run.default_writer((CORPUS / "tokenizer.json").read_text())
    return run


def _checkpoints(work: Path) -> dict[str, float]:
    """Seconds that training stands still for a checkpoint, and from opening one to being ready for the next step."""
    first, saves, resumes = _trained(work), [], []
    first.run(first.config.steps)
    for _ in range(REPEATS):
        started = perf_counter()
        first.save()
        saves.append(perf_counter() - started)
    for _ in range(REPEATS):
        started = perf_counter()
        assert _trained(work).resume()
        resumes.append(perf_counter() - started)
    return {"checkpoint_s": median(saves), "resume_s": median(resumes)}


def _difference(folder: Path) -> float:
    """Largest difference of logits between ours and transformers' after export, float32."""
    from transformers import AutoModelForCausalLM

    model = Transformer(shape()).initialise(1)
    with torch.no_grad():  # output matrices start at zero: give every part something to say
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    export.save(model, (CORPUS / "tokenizer.json").read_text(), folder / "model", {})
    ids = torch.stack([torch.from_numpy(train_corpus.windows(CORPUS, 1).window(i)) for i in range(4)])[:, :-1]
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(folder / "model").eval()(ids).logits
        return float((model.eval()(ids) - theirs).abs().max())
