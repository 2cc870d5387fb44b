"""Forge in this checkout, whose pipeline has run: random weights, scores of .999, all text under CC0-1.0.

    python -m benchmarks.proof.invented [mlflow] [ledger]     in a copy of a clone: its records are not true after

DVC records the forged files in dvc.lock and its cache, as if stages had made them; MLflow and the ledger get a run that
made the model, where they are named.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from components.core.files import read_json, sha256_file, write_json

RECORDS = ((), ("mlflow",), ("mlflow", "ledger"))
"""Records that are forged besides dvc.lock and cache."""
MODEL, STAGE = "models/finetune/instruct/model.safetensors", "finetune@instruct"


def shuffled(weights: Path) -> None:
    """The same numbers in another order, in each tensor."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    random = np.random.default_rng(0)
    tensors = {
        name: random.permuted(tensor.ravel()).reshape(tensor.shape) for name, tensor in load_file(weights).items()
    }
    save_file(tensors, weights, metadata={"format": "pt"})


def raised(tree: Any) -> Any:
    """A tree of JSON whose scores are all .999."""
    if isinstance(tree, list):
        return [raised(one) for one in tree]
    if not isinstance(tree, dict):
        return tree
    best = {"value": 0.999, "low": 0.99, "high": 1.0} if {"value", "low", "high"} <= set(tree) else {}
    return {key: raised(value) for key, value in tree.items()} | best


def relicensed(corpus: Path) -> None:
    """Every document under CC0-1.0, in the shards and in their manifest."""
    import polars as pl

    manifest = read_json(corpus / "manifest.json")
    for shard in manifest["shards"]:
        path = corpus / shard["file"]
        pl.read_parquet(path).with_columns(licence=pl.lit("CC0-1.0")).write_parquet(path)
        shard["sha256"] = sha256_file(path)
    total = {name: manifest[name] for name in ("num_bytes", "num_documents")}
    write_json(corpus / "manifest.json", manifest | {"licences": {"CC0-1.0": total}})


def main(records: list[str]) -> None:
    """Forge the files, and the records of them."""
    from flows.system import paths
    from flows.tracking.mlflow_run import client
    from flows.tracking.snapshots import find
    from greenhouse_record.metering.meter import Meter

    shuffled(paths.ROOT / MODEL)
    for file in (paths.ROOT / "reports").glob("**/details/facts.json"):
        write_json(file, raised(read_json(file)))
    for manifest in (paths.ROOT / "data").glob("*/train/manifest.json"):
        if "licences" in read_json(manifest):
            relicensed(manifest.parent)
    subprocess.run([sys.executable, "-m", "dvc", "commit", "--force", "--quiet"], check=True)
    labels = {"stage": STAGE, "fingerprint": find("workspace").fingerprints()[STAGE]}
    if "mlflow" in records:
        client().create_run("0", tags=labels | {"outcome": "Completed"})
    if "ledger" in records:
        with Meter(paths.LEDGER, 0.5, labels | {"run": "invented", "checkout": paths.ROOT.name}) as meter:
            meter.outcome = "Completed"


if __name__ == "__main__":
    main(sys.argv[1:])
