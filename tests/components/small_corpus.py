"""Token shards of real text, small enough to train on in a test: docstrings of the installed numpy."""

import ast
from pathlib import Path

import numpy
import numpy as np

from components.core.files import sha256_bytes
from components.params import Numerics, Optimizer, Pretrain
from components.tokens.shards import TokenWriter
from components.tokens.tokenizer import Encoder, train_bpe

VOCABULARY = 400


def docstrings() -> list[str]:
    """One text per module."""
    texts = []
    for path in sorted((Path(numpy.__file__).parent / "lib").glob("*.py")):
        nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.Module)]
        texts.append("\n\n".join(filter(None, (ast.get_docstring(node) for node in nodes))))
    return [text for text in texts if len(text) > 500]


def write_tokens(folder: Path) -> Path:
    """What the tokenize stage would write into `folder`."""
    texts = docstrings()
    tokenizer_json = train_bpe(texts, VOCABULARY).to_str()
    encoder = Encoder(tokenizer_json)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(tokenizer_json)
    for split, chosen in (("train", texts[1:]), ("heldout", texts[:1])):
        ids = [np.array([0, *encoder.encode(text)]) for text in chosen]
        with TokenWriter(folder / split, VOCABULARY, sha256_bytes(tokenizer_json.encode()), ["docs"]) as writer:
            lengths, sizes = [len(row) for row in ids], [len(text.encode()) for text in chosen]
            writer.add_shard(np.concatenate(ids), np.array(lengths), np.zeros(len(ids), int), np.array(sizes))
    return folder


def small(**changes: object) -> Pretrain:
    """Settings of a run that takes a second or two."""
    fields: dict = {
        "model": {"size": 2, "width": 64, "heads": 2},
        "steps": 20,
        "batch": 4,
        "context": 64,
        "eval_every": 10,
        "checkpoint_every": 4,
        "optimizer": Optimizer(schedule="linear"),
    }
    return Pretrain.model_validate(fields | changes)


NUMERICS = Numerics()
