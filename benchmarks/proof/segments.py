"""How often forged intervals are met by those trained again, simulated and with real reruns, and what these cost."""

import math
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import torch

from benchmarks.proof.clone import Clone
from components import params as schema
from components.core.files import read_json, sha256_file, write_json
from components.core.progress import Progress
from components.model.export import save_tensors
from components.params import Params
from components.studies.segments import FORGED, Segments
from components.training import checkpoint

INTERVALS, SAMPLED, WORLDS, REAL, LAST = 100, 27, 20_000, 3, 10


def simulated() -> float:
    """Share of worlds in which a sample meets a forged interval; none is the last, which is always trained again."""
    draw, others = random.Random(1), range(INTERVALS - 1)

    def met() -> bool:
        return bool({*draw.sample(others, math.ceil(FORGED * INTERVALS))} & {*draw.sample(others, SAMPLED - 1)})

    return sum(met() for _ in range(WORLDS)) / WORLDS


def forge(kept: Path, step: int, number: int = 0) -> None:
    """Nudge one tensor of a kept checkpoint, and make its hashes fit."""
    folder = checkpoint.folder_of(kept, step)
    weights, _, _ = checkpoint.read(folder)
    name = sorted(weights)[number % len(weights)]
    save_tensors(weights | {name: weights[name] + torch.tensor(1e-4)}, folder / "model.safetensors")
    write_json(folder / "files.json", {file: sha256_file(folder / file) for file in read_json(folder / "files.json")})


def really_caught(clone: Clone, params: Params, world: int) -> bool:
    """Forge a tenth of a run's intervals, none of them the last, sample others, and train again until one differs."""
    draw = random.Random(world)
    with copied(clone) as kept:
        *pairs, _ = pairwise(sorted(checkpoint.steps(kept)))
        for _, last in draw.sample(pairs, math.ceil(FORGED * (len(pairs) + 1))):
            forge(kept, last)
        chosen = draw.sample(pairs, min(SAMPLED - 1, len(pairs)))
        return any(rerun(params, kept, pair) for pair in chosen)


def last_found(clone: Clone, params: Params, world: int) -> bool:
    """Forge the last interval of a run alone, the published weights with it, and train it again."""
    with copied(clone) as kept:
        first, last = sorted(checkpoint.steps(kept))[-2:]
        forge(kept, last, world)
        return bool(rerun(params, kept, (first, last)))


@contextmanager
def copied(clone: Clone) -> Iterator[Path]:
    """A copy of the kept checkpoints, to be forged, beside what they are compared with."""
    with tempfile.TemporaryDirectory(dir=clone.root.parent) as aside:
        root, kept = Path(aside), Path(aside) / "models/checkpoints/causal"
        shutil.copytree(clone.root / "models/checkpoints/causal", kept)
        for path in ("data/tokenize", "models/pretrain", "reports/pretrain"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).symlink_to(clone.root / path)
        yield kept


def rerun(params: Params, kept: Path, pair: tuple[int, int]) -> str:
    """What differs after an interval was trained again."""
    made = Segments("causal", params.pretrain.causal, params.numerics, kept.parents[2], [pair])
    return made.rerun(*pair, Progress())


def measure(clone: Clone) -> dict:
    """`simulated`, `real` (share of `REAL` worlds), `last` (of `LAST`), `energy_fraction`, and what was printed."""
    params = schema.load(clone.root / "params.yaml")
    said = clone.run("greenhouse", "verify", "causal", "--segments", str(SAMPLED))
    share = re.search(r"energy: .* (\d+)% of the", said)
    assert share, said
    real = [really_caught(clone, params, world) for world in range(REAL)]
    return {
        "simulated": simulated(),
        "real": sum(real) / len(real),
        "last": [last_found(clone, params, world) for world in range(LAST)],
        "energy_fraction": int(share[1]) / 100,
        "said": said.splitlines()[-4:],
    }
