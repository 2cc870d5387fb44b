"""How often forged intervals are met by a sample of them, simulated and with real reruns, and what the reruns cost."""

import random
import re
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path

import torch

from benchmarks.proof.clone import Clone
from components.core.files import read_json, sha256_file, write_json
from components.core.progress import Progress
from components.model.export import save_tensors
from components.params import Params
from components.studies.segments import FORGED, Segments
from components.training import checkpoint

INTERVALS, SAMPLED, WORLDS, REAL = 100, 27, 20_000, 3


def simulated(worlds: int = WORLDS, seed: int = 1) -> float:
    """Share of worlds in which a sample meets one of the forged intervals."""
    draw, met = random.Random(seed), 0
    for _ in range(worlds):
        forged = set(draw.sample(range(INTERVALS), round(FORGED * INTERVALS)))
        met += bool(forged & set(draw.sample(range(INTERVALS), SAMPLED)))
    return met / worlds


def forge(kept: Path, step: int) -> None:
    """Nudge one weight of a kept checkpoint, and make its hashes fit."""
    folder = checkpoint.folder_of(kept, step)
    weights, _, _ = checkpoint.read(folder)
    name = next(iter(weights))
    save_tensors(weights | {name: weights[name] + torch.tensor(1e-4)}, folder / "model.safetensors")
    write_json(folder / "files.json", {file: sha256_file(folder / file) for file in read_json(folder / "files.json")})


def really_caught(clone: Clone, params: Params, world: int) -> bool:
    """Forge a tenth of a run's intervals, sample, and train again until one differs."""
    draw, root = random.Random(world), clone.root
    with tempfile.TemporaryDirectory(dir=root.parent) as aside:
        kept = Path(shutil.copytree(root / "models/checkpoints/causal", Path(aside) / "kept"))
        steps = sorted(checkpoint.steps(kept))
        pairs = list(pairwise(steps))
        for _, last in draw.sample(pairs, max(1, round(FORGED * len(pairs)))):
            forge(kept, last)
        model = root / "models/pretrain/causal/model.safetensors"
        for pair in draw.sample(pairs, min(SAMPLED, len(pairs))):
            given = (params.pretrain.causal, params.numerics, root / "data/tokenize", kept, model)
            one = Segments("causal", *given, [pair], Path(aside) / "work")
            if one.rerun(*pair, Progress()):
                return True
    return False


def measure(clone: Clone, params: Params) -> dict:
    """`simulated`, `real` (share of `REAL` worlds), `energy_fraction` and what `verify --segments` printed."""
    said = clone.run("greenhouse", "verify", "causal", "--segments", str(SAMPLED))
    share = re.search(r"energy: .* (\d+)% of the", said)
    assert share, said
    real = [really_caught(clone, params, world) for world in range(REAL)]
    return {
        "simulated": simulated(),
        "real": sum(real) / len(real),
        "energy_fraction": int(share[1]) / 100,
        "said": said.splitlines()[-4:],
    }
