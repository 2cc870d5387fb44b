"""Ten architectures, MiniLM and our own forms, tuned; each killed once and started again: the same bytes.

`python -m benchmarks.bases.tuned METHOD PLACE TARGET` is the stage's process: it calls the stage function on PLACE's
corpora and bases, with its outputs and its work folder in TARGET. It gets SIGKILL once checkpoints are there, is
started again, and is compared with a run that nobody disturbed.
"""

import json
import os
import sys
import tempfile
from itertools import product
from pathlib import Path
from shutil import copytree
from typing import Any

import torch

from benchmarks import train_corpus
from benchmarks.bases.packages import minilm
from benchmarks.bases.tiny import ARCHITECTURES, CAUSAL, save_tiny
from benchmarks.kill_and_resume import Job, hashes, there
from benchmarks.processes import of_module
from benchmarks.results import goal
from benchmarks.texts import document, plays
from components.core.errors import UserError
from components.corpus.corpus import CorpusWriter
from components.model import export
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import Classify, Instruct, ModelShape, Numerics, Prefer
from components.params.finetune import Branch
from components.stages.finetune.stage import finetune
from components.tokens.tokenizer import train_bpe

FAST: dict[str, Any] = {"steps": 24, "batch": 8, "context": 96, "max_pairs": 200, "checkpoint_every": 4}
KINDS, WAYS = (*ARCHITECTURES, "minilm"), {"full": 0, "lora": 4}
"""Bases of others; way of tuning -> rank."""
OWN: dict[str, tuple[Branch, str, str, Any]] = {
    "full": ("instruct", "causal", "train", Instruct(**FAST)),
    "lora": ("instruct", "causal", "train", Instruct(**FAST, lora_rank=8)),
    "packed": ("instruct", "causal", "chats.jsonl", Instruct(**FAST)),
    "foreign": ("instruct", "foreign", "chats.jsonl", Instruct(**FAST)),
    "head-masked": ("classify", "masked", "train", Classify(**FAST, task="work")),
    "head-causal": ("classify", "causal", "train", Classify(**FAST, task="work", lora_rank=4)),
    "labels": ("classify", "masked", "labels.jsonl", Classify(**FAST)),
    "dpo": ("prefer", "causal", "mix", Prefer(**FAST, base="causal", data="mix")),
}
"""Way of tuning a network of ours -> branch, base, data, parameters."""
KILL_AFTER = 8
"""Steps whose checkpoint is there when the process is killed."""


def methods() -> dict[str, tuple[Branch, str, str, Any]]:
    """The same of every base, by its name and the way."""
    found = {f"own-{way}": method for way, method in OWN.items()}
    for kind, (way, rank) in product(KINDS, WAYS.items()):
        base, given = f"bases/{kind}", FAST | {"base": f"bases/{kind}", "lora_rank": rank}
        if kind in CAUSAL:
            found[f"{kind}-{way}"] = ("instruct", base, "chats.jsonl", Instruct(**given))
        else:
            found[f"{kind}-{way}"] = ("classify", base, "train", Classify(**given, task="work"))
    return found


def prepare(place: Path) -> None:
    """Corpora of Shakespeare's works, curriculum in name, rows, and a network of ours of each kind, untrained."""
    if (place / "masked").exists():
        return
    works = [document(name, text[20_000:80_000], "shakespeare") for name, text in plays().items()]
    parts = {"heldout": [one for one in works if one.location.startswith(train_corpus.HELD_OUT)]}
    parts["train"] = [one for one in works if one not in parts["heldout"]][:6]
    parts["mix"] = [document(task, "", f"curriculum/{task}") for task in ("copy", "recall", "arithmetic")]
    for name, documents in parts.items():
        with CorpusWriter(place / name) as writer:
            for one in documents:
                writer.add(one)
    lines = [line for one in parts["train"] for line in one.text.splitlines() if len(line) > 30][:400]
    write_jsonl(place / "labels.jsonl", [{"text": line, "labels": [word for word in ("the", "and") if word in line]}
                                         for line in lines])  # fmt: skip
    write_jsonl(place / "chats.jsonl", [{"prompt": line[:20], "completion": line[20:]} for line in lines])
    tokenizer_json = train_bpe([one.text for one in parts["train"]], 600).to_str()
    chatml = tokenizer_json.replace("<|user|>", "<|im_start|>").replace("<|end|>", "<|im_end|>")
    for kind in ("causal", "foreign", "masked"):
        shape = derive_shape(ModelShape(size=2, width=64, heads=2), 600, 96, causal=kind != "masked")
        model = Transformer(shape).initialise(1)
        with torch.no_grad():  # fresh ones have zeros, behind which no fault of an export would show
            for parameter in model.parameters():
                parameter.add_(0.06 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
        export.save(model, chatml if kind == "foreign" else tokenizer_json, place / kind, {})


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def tune(method: str, place: Path, target: Path) -> None:
    """The stage function on the work folder of `target`."""
    branch, base, data, params = methods()[method]
    finetune(branch=branch, base=place / base, train=place / data, heldout=place / "heldout", params=params,
             numerics=Numerics(), out=target / "out", reports=target / "reports", work=target / "work")  # fmt: skip


def same_bytes(method: str, place: Path, target: Path) -> dict[str, Any]:
    """Whether a killed run ends as an undisturbed one, and the step it had reached when it was killed."""
    variables = os.environ | {"OMP_NUM_THREADS": "1"}
    whole, killed = (
        Job(of_module("benchmarks.bases.tuned", method, place, target / name), target / name, env=variables)
        for name in ("whole", "killed")
    )
    whole.run()
    kill = killed.kill(there(killed.place, f"work/checkpoints/step-{KILL_AFTER:06d}"))
    assert kill.in_time, f"{method}: it had ended before it was killed"
    assert not kill.left, f"{method}: {kill.left} outlived the kill"
    reached = max(int(path.name.removeprefix("step-")) for path in killed.place.glob("work/checkpoints/step-*"))
    killed.run()
    made = hashes(whole.place, "out", "reports")
    return {"killed_at_step": reached, "files": len(made), "same": made == hashes(killed.place, "out", "reports")}


def tuned(place: Path, kind: str, way: str) -> dict[str, Any]:
    """A row: whether a base was tuned, killed, resumed, and ended with the bytes of an undisturbed run."""
    row: dict[str, Any] = {"base": kind, "way": way, "killed_at_step": "", "files": 0, "same": False, "fault": ""}
    with tempfile.TemporaryDirectory(dir=place) as folder:
        try:
            row |= same_bytes(f"{kind}-{way}", place, Path(folder))
            if kind != "own":
                copytree(Path(folder) / "whole/out", place / "tuned" / f"{kind}-{way}", dirs_exist_ok=True)
        except (AssertionError, UserError) as error:
            row["fault"] = str(error)
    print(row, flush=True)
    return row


def measure(place: Path) -> tuple[dict, list[dict], list[dict]]:
    """Results, goals and raw rows."""
    prepare(place)
    tokenizer_json = (place / "causal/tokenizer.json").read_text()
    for kind in ARCHITECTURES:
        save_tiny(kind, tokenizer_json, 600, place / "bases" / kind)
    minilm(place)
    rows = [tuned(place, kind, way) for kind in KINDS for way in WAYS]
    same = {kind for kind in KINDS if all(row["same"] for row in rows if row["base"] == kind)}
    own = [tuned(place, "own", way) for way in OWN]
    says = f"of {len(ARCHITECTURES)} tiny ones, all weights and LoRA: the same bytes after a kill"
    results = {"tuned": {"bases": list(KINDS), "same": sorted(same), "trainings": len(rows)}}
    return (
        results | {"kill": {row["way"]: row["same"] for row in own}},
        [
            goal("architectures_tuned", len(same & {*ARCHITECTURES}), len(ARCHITECTURES), "higher", says),
            goal("same_bytes_after_kill", float(all(row["same"] for row in own)), 1, "higher", f"of {', '.join(OWN)}"),
        ],
        rows + own,
    )


if __name__ == "__main__":
    tune(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
