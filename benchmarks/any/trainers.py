"""The trainers, and for each a git repository of its own with data, a configuration and a script."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ROOT

SCRIPTS = Path(__file__).with_name("scripts")
GIT = ("git", "-c", "user.name=bench", "-c", "user.email=bench@localhost")
SETTINGS = {"seed": 7, "steps": 120, "batch": 8, "context": 64, "width": 64, "rate": 1e-3}
ENVIRONMENT = {"TORCHDYNAMO_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "", "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
"""Nothing is compiled, nothing leaves the machine."""


@dataclass(frozen=True)
class Trainer:
    """A trainer.

    Attributes:
        name: in results.
        prepare: makes its repository in a folder.
        command: of its first try.
        resume: of the second, from the number of the last step that was saved.
        out: folder that it writes.
        data: folder that it reads.
        saved: pattern, below `out`, of what shows that a checkpoint is whole.
        weights: pattern of the files of weights below `out`.
        config: file that its command names.
    """

    name: str
    prepare: Callable[[Path], None]
    command: tuple[str, ...]
    resume: Callable[[Path], tuple[str, ...]]
    out: str
    data: str
    saved: str
    weights: str
    config: str


def of_script(name: str, script: str, saved: str, weights: str) -> Trainer:
    """A trainer whose script is in scripts/."""

    def prepare(folder: Path) -> None:
        shutil.copy(SCRIPTS / script, folder / "train.py")
        (folder / "config.json").write_text(json.dumps(SETTINGS, indent=1))
        texts(folder / "data")
        commit(folder)

    command = (sys.executable, "train.py", "config.json")
    return Trainer(name, prepare, command, lambda _: command, "model", "data", saved, weights, "config.json")


def texts(folder: Path) -> None:
    """The project's own pages as training text."""
    folder.mkdir()
    for page in sorted((ROOT / "docs").glob("*.md")):
        shutil.copy(page, folder / f"{page.stem}.txt")


def commit(folder: Path) -> None:
    """Make the folder a repository whose code is committed; data and models are ignored."""
    (folder / ".gitignore").write_text("data/\nmodel/\nbase/\n.greenhouse/\n")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "The training")):
        subprocess.run([*GIT, *words], cwd=folder, check=True)


def nanochat(checkout: Path) -> Trainer:
    """nanochat's base_train, from a clone of `checkout`, with its own tokenizer trained on the text."""
    flags = ("--depth=2", "--max-seq-len=128", "--device-batch-size=4", "--total-batch-size=512", "--eval-every=-1",
             "--core-metric-every=-1", "--sample-every=-1", "--save-every=10", "--num-iterations=60",
             "--model-tag=tiny", "--device-type=cpu", "--window-pattern=L")  # fmt: skip
    command = (sys.executable, "-m", "scripts.base_train", *flags)

    def prepare(folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder.rmdir()
        subprocess.run(["git", "clone", "-q", str(checkout), str(folder)], check=True)
        data = folder / "base" / "base_data_climbmix"
        data.mkdir(parents=True)
        pages = [page.read_text() for page in sorted((ROOT / "docs").glob("*.md"))] * 4
        for number, rows in enumerate((pages, pages[:8])):  # the last shard is for validation
            pq.write_table(pa.table({"text": rows}), data / f"shard_{number:05d}.parquet")
        environment = {**os.environ, **ENVIRONMENT, "NANOCHAT_BASE_DIR": str(folder / "base")}
        words = [sys.executable, "-m", "scripts.tok_train", "--vocab-size=512"]
        subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
        with open(folder / ".git/info/exclude", "a") as file:
            file.write("base/*\n!base/tokenizer\n.greenhouse/\n")  # the tokenizer is an input that no --data names

    def resume(folder: Path) -> tuple[str, ...]:
        last = max(folder.glob("base/base_checkpoints/tiny/meta_*.json"))
        return (*command, f"--resume-from-step={int(last.stem.partition('_')[2])}")

    return Trainer("nanochat", prepare, command, resume, "base/base_checkpoints/tiny", "base/base_data_climbmix",
                   "meta_*.json", "model_*.pt", "scripts/base_train.py")  # fmt: skip


def trainers(nanochat_checkout: Path | None) -> list[Trainer]:
    """All of them; nanochat if there is a checkout."""
    known = [
        of_script("plain loop", "plain.py", "model.safetensors", "model.safetensors"),
        of_script("TRL SFTTrainer", "sft.py", "checkpoint-*/trainer_state.json", "model.safetensors"),
        # LitGPT 0.5 resumes with lightning < 2.6 alone: its checkpoints hold a DataLoader, which is not loaded since.
        of_script("LitGPT pretrain", "lit.py", "step-*/hyperparameters.yaml", "**/lit_model.pth"),
    ]
    return [*known, nanochat(nanochat_checkout)] if nanochat_checkout else known
