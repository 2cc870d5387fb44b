"""A small world to evaluate: real text, a tokenizer, and tiny models that a few steps have taught a little."""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from components.core.files import sha256_bytes, write_json
from components.corpus.corpus import Document
from components.model.export import save
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import Evaluate, ModelShape, Numerics
from components.stages.evaluate.tasks.task import EvalContext, Folders
from components.synthetic.canaries import as_json, make
from components.synthetic.curriculum import TASKS, items
from components.tokens.shards import TokenWriter
from components.tokens.tokenizer import Encoder, train_bpe, with_beginning
from tests.components.real_text import corpus, document, modules
from tests.shared_folder import shared

CONTEXT = 128
STEPS = 200
PEOPLE = "The {0} said that he was late. The {0} came home when he was asked. If the {0} is here, then he will come. "


@dataclass(frozen=True)
class World:
    """Folders of models and data, and the settings of the test preset's size."""

    folders: Folders
    params: Evaluate
    numerics: Numerics

    def context(self, **changes: object) -> EvalContext:
        """A fresh context, with some params changed."""
        return EvalContext(self.folders, Evaluate(**self.params.model_dump() | changes), self.numerics)

    def stage(self, reports: Path, work: Path) -> dict:
        """Arguments of the stage function."""
        return vars(self.folders) | {
            "params": self.params,
            "numerics": self.numerics,
            "reports": reports,
            "work": work,
        }


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Docstrings of scipy, a tokenizer of 600 tokens, a causal and a masked model of two blocks."""
    torch.set_num_threads(1)
    with shared(tmp_path_factory, "world") as folder:
        if not folder.exists():
            made = tmp_path_factory.mktemp("world") / "made"
            make_world(made)
            made.rename(folder)
    names = ("causal", "masked", "causal", "masked", "mix", "heldout", "tokens")
    folders = Folders(*(folder / name for name in names))
    params = Evaluate(heldout_kilobytes=20, items=20, shots=[0, 1, 2])
    return World(folders, params, Numerics(dtype="float32"))


def make_world(folder: Path) -> None:
    """Train the models, and write the data they are evaluated on."""
    documents = modules("scipy", 60)
    people = [document(f"people/{n}", PEOPLE.format(f"worker {n}") * 8, "people") for n in range(8)]
    train, heldout = [*documents[:40], *people], documents[40:]
    taught = [
        document(f"{task}/0", "\n".join(item.text for item in items(task, 1, 200)), "curriculum") for task in TASKS
    ]
    canaries = make(1, 12, [1, 120])
    write_json(folder / "mix" / "canaries.json", as_json(canaries, 1))
    secrets = [document(f"{one.id}/{n}", one.text, "canary") for one in canaries for n in range(one.count)]
    taught += random.Random(1).sample(secrets, len(secrets))
    corpus(folder / "mix" / "train", [*train, *taught])
    corpus(folder / "heldout", heldout)
    tokenizer = train_bpe((one.text for one in (*train, *taught)), 600).to_str()
    ids = np.concatenate([[0, *Encoder(tokenizer).encode(one.text)] for one in (*train, *taught)])
    write_tokens(folder / "tokens" / "train", tokenizer, [*train, *taught])
    training = {"steps": STEPS, "context": CONTEXT, "tokens": STEPS * 8 * CONTEXT, "seed": 1, "skipped_batches": []}
    facts = {"task": {"name": "continue"}, "training": training}
    for name in ("causal", "masked"):
        own = with_beginning(tokenizer) if name == "causal" else tokenizer
        save(trained(ids, name == "causal"), own, folder / name, facts)


def write_tokens(folder: Path, tokenizer: str, documents: list[Document]) -> None:
    """Token shards of the documents."""
    rows = [[0, *Encoder(tokenizer).encode(text.text)] for text in documents]
    sources = sorted({text.source for text in documents})
    with TokenWriter(folder, 600, sha256_bytes(tokenizer.encode()), sources) as writer:
        writer.add_shard(
            np.concatenate(rows),
            np.array([len(row) for row in rows]),
            np.array([sources.index(text.source) for text in documents]),
            np.array([len(text.text.encode()) for text in documents]),
        )


def trained(ids: np.ndarray, causal: bool, steps: int = STEPS, width: int = 64) -> Transformer:
    """A model after a few steps on windows of `ids`."""
    model = Transformer(derive_shape(ModelShape(size=2, width=width, heads=2), 600, CONTEXT, causal)).initialise(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    draw = np.random.default_rng(1)
    for _ in range(steps):
        starts = draw.integers(0, len(ids) - CONTEXT - 1, size=8)
        x_BT = torch.from_numpy(np.stack([ids[start : start + CONTEXT + 1] for start in starts]))
        if causal:
            loss = F.cross_entropy(model(x_BT[:, :-1]).flatten(0, 1), x_BT[:, 1:].flatten())
        else:
            hidden_BT = torch.from_numpy(draw.random(x_BT.shape) < 0.3)
            loss = F.cross_entropy(model(x_BT.masked_fill(hidden_BT, 2))[hidden_BT], x_BT[hidden_BT])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()
