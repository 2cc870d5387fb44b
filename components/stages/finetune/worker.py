"""One more process of a fine-tuning, which the stage starts here or on another node: `python -m ...worker ARGUMENTS`.

It makes the same model and batches as the stage's own process, takes its slice of each batch, and judges nothing.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from components.core.progress import Progress
from components.params import FinetuneBranches, Numerics
from components.stages.finetune.stage import opened


def work(arguments: dict[str, Any]) -> None:
    """Train along; `arguments` are those of the stage."""
    branch = arguments["branch"]
    params = type(getattr(FinetuneBranches(), branch))(**arguments["params"])
    base, train, heldout = (Path(arguments[name]) for name in ("base", "train", "heldout"))
    numerics = Numerics(**arguments["numerics"])
    if numerics.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    job = opened(branch, base, train, heldout, params, numerics, Progress())
    job.train_along(Path(arguments["work"]))


if __name__ == "__main__":
    assert "RANK" in os.environ, "workers are started by data_parallel.process_group"
    work(json.loads(sys.argv[1]))
