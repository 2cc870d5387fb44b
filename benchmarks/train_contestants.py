"""One training run of one contestant, in a process of its own: `python -m benchmarks.train_contestants JOB`.

    ours      components/training/loop.py: Muon and AdamW, linear schedule, bf16
    litgpt    LitGPT's pretrain with the same shape: AdamW, cosine, bf16-mixed, torch.compile
    nanochat  nanochat's network and optimizer, of the same depth, width and heads: Muon and AdamW, torch.compile

JOB is JSON: the fields of `Job`; corpus and work are folders, result is a file. The clock starts at the first batch,
imports and construction excluded; a compile falls into the first step and counts.
"""

import json
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from benchmarks import train_corpus
from benchmarks.train_corpus import BATCH, CONTEXT, VOCABULARY
from components.core.files import write_json
from components.core.progress import Progress
from components.model.shape import Shape, derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape, Numerics, Params
from components.tokens.shards import TokenShards

SIZE = 4
"""Of derive_shape: 4 blocks, 256 wide, 3.2 M parameters in the blocks."""
WARMUP = 0.05


@dataclass(frozen=True)
class Job:
    """A training run; see the module docstring."""

    contestant: str
    steps: int
    rate: float
    seed: int
    threads: int
    tuning: bool
    corpus: Path
    work: Path
    result: Path
    device: str = "cpu"
    size: int = SIZE
    vocabulary: int = VOCABULARY
    context: int = CONTEXT


@dataclass
class Clock:
    """Times in seconds at which each batch was requested, and of the end."""

    ticks: list[float] = field(default_factory=list)

    def tick(self) -> None:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        self.ticks.append(perf_counter())

    def figures(self) -> dict[str, float]:
        """seconds, of all; step_s, the median step; compile_s, what the first two steps took longer than two others."""
        steps = [after - before for before, after in pairwise(self.ticks)]
        usual = median(steps[2:])
        first = max(0.0, sum(steps[:2]) - 2 * usual)
        return {"seconds": self.ticks[-1] - self.ticks[0], "step_s": usual, "compile_s": first}


def shape(job: Job) -> Shape:
    """The network of ours and the peers."""
    return derive_shape(ModelShape(size=job.size), job.vocabulary, job.context, causal=True)


def windows_in_order(job: Job) -> Callable[[int], Tensor]:
    """The n-th training window: int64 (context + 1,)."""
    order = train_corpus.windows(job.corpus, job.seed, job.context)
    return lambda number: torch.from_numpy(order.window(number))


# -- our loop ----------------------------------------------------------------------------------------------------------


class _Ticking(Progress):
    """Ticks after every step."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def raise_if_stopped(self) -> None:
        self.clock.tick()


def ours(job: Job, clock: Clock) -> Callable[[Tensor], Tensor]:
    """Ours as it ships, but for the shape, which all share: `rate` is that of the matrices, and of the embedding."""
    from components.training.data_order import SHORTEST_WARM_UP, pretrain_batches
    from components.training.loop import train
    from components.training.objectives import language_model_loss
    from components.training.train_config import TrainConfig

    shipped = Params().pretrain.causal
    model = Transformer(shape(job)).initialise(job.seed, shipped.initial_scale)
    rates = {"matrix_lr": job.rate, "embedding_lr": job.rate, "warmup": WARMUP}
    batches = pretrain_batches(
        TokenShards.open(job.corpus / "train"), context=CONTEXT, batch=BATCH, seed=job.seed, mask_rate=None,
        document_mask=False, steps=job.steps, length_warmup=shipped.length_warmup,
        length_warmup_from=SHORTEST_WARM_UP,
    )  # fmt: skip
    settings = TrainConfig(job.steps, shipped.optimizer.model_copy(update=rates), checkpoint_every=job.steps)
    clock.tick()
    train(model, batches, language_model_loss, settings, job.work, _Ticking(clock),
          numerics=Numerics(threads=job.threads))  # fmt: skip
    return model.eval()


# -- peers -------------------------------------------------------------------------------------------------------------


def nanochat(job: Job, clock: Clock) -> Callable[[Tensor], Tensor]:
    """nanochat's network, optimizer and schedules, driven as its base_train does, compiled.

    `rate` is that of the matrices (.02 there); the others keep their ratio to it. Its weight decay, whose rule is for
    runs of a billion tokens, is none.
    """
    from nanochat.gpt import GPT, GPTConfig

    own, window, times = shape(job), windows_in_order(job), job.rate / 0.02
    torch.manual_seed(job.seed)
    sizes = job.context, job.vocabulary, own.depth, own.heads, own.kv_heads, own.width
    model = GPT(GPTConfig(*sizes, window_pattern="L")).to(job.device)
    model.init_weights()
    optimizer = model.setup_optimizer(0.008 * times, 0.3 * times, job.rate, scalar_lr=0.5 * times)
    compiled, warm, down = torch.compile(model, dynamic=False), 40, round(0.65 * job.steps)
    clock.tick()
    for step in range(job.steps):
        ids = torch.stack([window(step * BATCH + row) for row in range(BATCH)]).to(job.device)
        compiled(ids[:, :-1], ids[:, 1:].contiguous()).backward()
        left = min(1.0, (job.steps - step) / down)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * min((step + 1) / warm, left + (1 - left) * 0.05)
            if group["kind"] == "muon":
                group["momentum"] = min(0.85 + 0.12 * step / 400, 0.97 * left + 0.9 * (1 - left))
        optimizer.step()
        model.zero_grad(set_to_none=True)
        clock.tick()
    return model.eval()


def litgpt(job: Job, clock: Clock) -> Callable[[Tensor], Tensor]:
    """LitGPT's pretrain command, called as a function; its final checkpoint is kept in memory instead of written."""
    import litgpt.pretrain as program
    from litgpt import Config
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.data import DataModule

    window = windows_in_order(job)

    class Rows(torch.utils.data.IterableDataset):
        def __init__(self, timed: bool) -> None:
            self.timed = timed

        def __iter__(self) -> Iterator[Tensor]:
            for number in range((job.steps + 1) * BATCH if self.timed else 2 * BATCH):
                if self.timed and number % BATCH == 0:
                    clock.tick()
                yield window(number)

    class Data(DataModule):
        def connect(self, *_: Any, **__: Any) -> None:
            pass

        def train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(Rows(timed=True), BATCH)

        def val_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(Rows(timed=False), BATCH)

    kept: dict[str, Any] = {}
    program.save_checkpoint = lambda fabric, state, *_: kept.update(state)
    sys.argv = ["litgpt", "pretrain"]
    ours = shape(job)
    network = Config(
        name="bench", block_size=job.context, vocab_size=job.vocabulary, padded_vocab_size=job.vocabulary,
        n_layer=ours.depth, n_head=ours.heads, n_embd=ours.width, head_size=ours.head_dim,
        intermediate_size=ours.feed_forward, bias=False,
        rotary_percentage=1.0, parallel_residual=False, norm_class_name="RMSNorm", mlp_class_name="LLaMAMLP",
        norm_qk=True,
    )  # fmt: skip
    program.setup(
        "bench", network, out_dir=job.work, precision="bf16-mixed", data=Data(), devices=1, seed=job.seed,
        logger_name="csv", eval=EvalArgs(interval=job.steps + 1, max_iters=1, final_validation=False),
        train=TrainArgs(
            global_batch_size=BATCH, micro_batch_size=BATCH, max_tokens=job.steps * BATCH * job.context, max_norm=1.0,
            lr_warmup_steps=max(1, round(WARMUP * job.steps)), min_lr=job.rate / 10, tie_embeddings=True,
            save_interval=None, max_seq_length=job.context,
        ),
        optimizer={
            "class_path": "torch.optim.AdamW",
            "init_args": {"lr": job.rate, "weight_decay": 0.1, "betas": [0.9, 0.95]},
        },
    )  # fmt: skip
    compiled = kept["model"].module
    return getattr(compiled, "_orig_mod", compiled).eval()


CONTESTANTS = {"ours": ours, "litgpt": litgpt, "nanochat": nanochat}


def main(raw: str) -> None:
    """Run a job and write its result."""
    fields = json.loads(raw)
    job = Job(**fields | {name: Path(fields[name]) for name in ("corpus", "work", "result")})
    torch.set_num_threads(job.threads)
    clock = Clock()
    logits = CONTESTANTS[job.contestant](job, clock)
    found: dict[str, Any] = clock.figures()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found |= {"steps": job.steps, "tokens": job.steps * BATCH * job.context, "rate": job.rate, "seed": job.seed}
    found |= {"tokens_per_s": BATCH * job.context / found["step_s"], "peak_mb": peak_mb}
    if (job.corpus / "heldout").exists():
        found["bits_per_byte"] = train_corpus.bits_per_byte(logits, job.corpus, job.tuning)
    write_json(job.result, found)


if __name__ == "__main__":
    main(sys.argv[1])
