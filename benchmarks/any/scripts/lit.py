"""LitGPT's pretrain, called as its command calls it, on bytes of a text in a computed order; it resumes by itself."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from litgpt import Config
from litgpt.args import EvalArgs, TrainArgs
from litgpt.data import DataModule
from litgpt.pretrain import setup
from torch.utils.data import DataLoader

from greenhouse_record import recorded
from greenhouse_record.order import Sampler

CONFIG = json.loads(Path(sys.argv[1]).read_text())


class Bytes(DataModule):
    """Windows of the text: int64 (context + 1,)."""

    def connect(self, *_: Any, **__: Any) -> None:
        pass

    def train_dataloader(self) -> DataLoader:
        text = b"".join(path.read_bytes() for path in sorted(Path("data").iterdir()))
        ids, context = torch.tensor(list(text)), CONFIG["context"]
        rows = [ids[start : start + context + 1] for start in range(0, len(ids) - context - 1, context)]
        sampler = Sampler(len(rows), CONFIG["seed"])
        with recorded(data="data", out="model") as run:  # which adds to the record that is open
            run.note(order=sampler.facts())
        return DataLoader(rows, CONFIG["batch"], sampler=sampler)  # type: ignore[arg-type]

    val_dataloader = train_dataloader


def main() -> None:
    steps, batch, context = CONFIG["steps"], CONFIG["batch"], CONFIG["context"]
    sys.argv = ["litgpt", "pretrain", "pythia-14m"]  # which is read again when a checkpoint is written
    setup(
        "pythia-14m",
        Config(name="tiny", block_size=context, padded_vocab_size=256, vocab_size=256, n_layer=2, n_head=4,
               n_embd=CONFIG["width"]),
        out_dir=Path("model"), precision="32-true", resume="auto", data=Bytes(), devices=1, seed=CONFIG["seed"],
        logger_name="csv", 
        eval=EvalArgs(interval=10 * steps, max_iters=1, initial_validation=False, final_validation=False),
        train=TrainArgs(
            global_batch_size=batch, micro_batch_size=batch, max_tokens=steps * batch * context, max_norm=1.0,
            lr_warmup_steps=5, min_lr=1e-5, tie_embeddings=False, save_interval=10, log_interval=5,
        ),
        optimizer={"class_path": "torch.optim.AdamW", "init_args": {"lr": CONFIG["rate"]}},
    )  # fmt: skip


main()
