"""A plain training loop: bytes of a text, two layers, a computed order of data, a checkpoint every ten steps."""

import json
import os
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from greenhouse_record import recorded
from greenhouse_record.order import Sampler

CONFIG = json.loads(Path(sys.argv[1]).read_text())
OUT = Path("model")
SAVED = OUT / "model.safetensors"


def rows() -> list[torch.Tensor]:
    """Windows of the text: int64 (context + 1,)."""
    text = b"".join(path.read_bytes() for path in sorted(Path("data").iterdir()))
    ids, context = torch.tensor(list(text)), CONFIG["context"]
    return [ids[start : start + context + 1] for start in range(0, len(ids) - context - 1, context)]


class Model(nn.Module):
    """A recurrent model of bytes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(256, width), nn.GRU(width, width, 2, batch_first=True)
        self.head = nn.Linear(width, 256)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.mix(self.embed(ids))[0])


def main() -> None:
    torch.manual_seed(CONFIG["seed"])
    model, step = Model(CONFIG["width"]), 0
    optimizer = torch.optim.SGD(model.parameters(), CONFIG["rate"])  # which has no state of its own
    if SAVED.exists():
        model.load_state_dict(load_file(SAVED))
        with safe_open(SAVED, "pt") as file:
            step = int(file.metadata()["step"])
    windows, batch = rows(), CONFIG["batch"]
    sampler = Sampler(len(windows), CONFIG["seed"], first=step * batch, epochs=1000)
    with recorded(data="data", out=OUT) as run:
        run.note(order=sampler.facts())
        for ids in DataLoader(windows, batch, sampler=sampler):  # type: ignore[arg-type]
            loss = functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            run.log(step, loss=loss.item())
            if step % 10 == 0:
                OUT.mkdir(exist_ok=True)
                save_file(model.state_dict(), OUT / "new", {"step": str(step)})
                os.replace(OUT / "new", SAVED)
            if step == CONFIG["steps"]:
                break


main()
