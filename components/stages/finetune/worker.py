"""One more process of a training that several share: `python -m components.stages.finetune.worker ARGUMENTS`."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from components.core.progress import Progress
from components.params import Branch, Finetune, FinetuneBranches, Numerics
from components.stages.finetune.job import opened
from components.training.data_parallel import as_worker


def arguments(
    branch: Branch, base: Path, train: Path, heldout: Path, params: Finetune, numerics: Numerics, work: Path
) -> list[str]:
    """Arguments of `python` that start such a process; those of the function are the stage's."""
    places = {"base": str(base), "train": str(train), "heldout": str(heldout), "work": str(work)}
    settings = {"params": params.model_dump(mode="json"), "numerics": numerics.model_dump(mode="json")}
    return ["-m", "components.stages.finetune.worker", json.dumps({"branch": branch} | places | settings)]


def _work(given: dict[str, Any]) -> None:
    branch = given["branch"]
    params = type(getattr(FinetuneBranches(), branch))(**given["params"])
    base, train, heldout = (Path(given[name]) for name in ("base", "train", "heldout"))
    numerics = Numerics(**given["numerics"])
    opened(branch, base, train, heldout, params, numerics, Progress()).train_along(Path(given["work"]))


if __name__ == "__main__":
    assert "RANK" in os.environ, "workers are started by data_parallel.process_group"
    with as_worker():
        _work(json.loads(sys.argv[1]))
