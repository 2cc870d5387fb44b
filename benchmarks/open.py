"""What other tools make of our models: `make bench NAME=open`, after `make demo`.

GGUF: both causal models of the workspace, as `greenhouse export` writes them, read by llama.cpp (xllamacpp) on one
thread with a cache in float32. Ids: the first 3,000 characters of 200 held-out documents. Text: 100 prompts, the
beginnings of held-out documents, continued greedily by 24 tokens; a difference where our two best logits lie within
0.01 is a near-tie and no difference. The other: open_head.py. `python -m benchmarks.open head` measures one part.
"""

import sys
import tempfile
from pathlib import Path

import torch

from benchmarks import open_head
from benchmarks.llama_cpp import first_difference, ids, server
from benchmarks.results import ROOT, goal, write
from components.corpus.corpus import Document, read_corpus
from components.gguf import write_gguf
from components.model.export import load
from components.tokens.tokenizer import END_OF_TEXT, Encoder

MODELS = ("pretrain/causal", "finetune/instruct")
DOCUMENTS, CHARACTERS = 200, 3_000
PROMPTS, PROMPT_TOKENS, NEW_TOKENS, NEAR_TIE = 100, 32, 24, 0.01


def texts(heldout: Path, count: int) -> list[str]:
    """Held-out documents, evenly spaced."""
    documents: list[Document] = list(read_corpus(heldout))
    return [document.text for document in documents[:: max(1, len(documents) // count)]][:count]


def gguf(root: Path, documents: int = DOCUMENTS, prompts: int = PROMPTS) -> tuple[dict, list[dict]]:
    """Ids and greedy text of llama.cpp beside ours."""
    torch.set_num_threads(1)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            path = Path(folder) / f"{name.replace('/', '-')}.gguf"
            write_gguf(root / "models" / name, path, {})
            results[name] = compared(
                root / "models" / name, path, texts(root / "data/ingest/heldout", documents), prompts
            )
    same_ids = all(each["different_ids"] == 0 for each in results.values())
    same_text = all(margin < NEAR_TIE for each in results.values() for margin in each["margins_at_differences"])
    return {"gguf": results}, [
        goal("gguf_ids_equal", float(same_ids), 1, "higher", says="llama.cpp gives our ids"),
        goal("gguf_greedy_equal", float(same_text), 1, "higher", says="llama.cpp writes our text, near-ties apart"),
    ]


def compared(model: Path, path: Path, heldout: list[str], prompts: int) -> dict:
    """Counts of one model."""
    ours, tokenizer, _ = load(model)
    encoder = Encoder(tokenizer.to_str())
    heads = [text[:CHARACTERS] for text in heldout]
    with server(path, ours.shape.context) as client:
        different = sum(found != encoder.encode(head) for found, head in zip(ids(client, heads), heads, strict=True))
        begun = [[END_OF_TEXT, *encoder.encode(text)[:PROMPT_TOKENS]] for text in heldout[:prompts]]
        margins = [first_difference(client, ours, prompt, NEW_TOKENS) for prompt in begun]
    apart = [margin for margin in margins if margin is not None]
    return {"documents": len(heads), "different_ids": different, "prompts": len(begun), "margins_at_differences": apart}


PARTS = {"gguf": lambda: gguf(ROOT), "head": open_head.measure}
"""Each part's figures and goals."""

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        write("open", *PARTS[part]())
