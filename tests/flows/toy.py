"""A pipeline in miniature: real DVC and git, stages that take a moment. For tests of what reads DVC's records."""

import os
import sys
from pathlib import Path

from tests.flows.pipeline_clone import PipelineClone

DVC_YAML = """
stages:
  ingest:
    cmd: exec python components/toy.py ingest
    params: [ingest, {defaults.yaml: [ingest]}]
    deps: [components/toy.py]
    outs: [data/ingest/train, data/ingest/heldout]
  pretrain:
    foreach: [causal, masked]
    do:
      cmd: exec python components/toy.py pretrain ${item}
      params: [pretrain.common, 'pretrain.${item}']
      deps: [components/toy.py, data/ingest/train]
      outs: ['models/pretrain/${item}']
  evaluate:
    cmd: exec python components/toy.py evaluate
    params: [evaluate]
    deps: [components/toy.py, models/pretrain/causal, data/ingest/heldout]
    outs: [reports/evaluate/details]
"""

PROGRAM = '''
"""Stages in miniature. TOY_NOISE makes training depend on chance, as a careless stage would."""
import os, random, sys
from pathlib import Path

import yaml

params, defaults = (yaml.safe_load(Path(name).read_text()) for name in ("params.yaml", "defaults.yaml"))
verb, branch = sys.argv[1], sys.argv[-1]


def write(path, data):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(data)


if verb == "ingest":
    salt = (defaults["ingest"] | params["ingest"])["heldout_salt"].encode()
    write("data/ingest/train/part-00000.txt", b"text " * 50_000)
    write("data/ingest/heldout/part-00000.txt", b"exam " + salt)
elif verb == "pretrain":
    seed = (params["pretrain"]["common"] | params["pretrain"][branch])["seed"]
    noise = os.urandom(8) if os.environ.get("TOY_NOISE") else b""
    write(f"models/pretrain/{branch}/config.json", b"{}")
    write(f"models/pretrain/{branch}/model.safetensors", f"{branch} {seed} ".encode() * 20_000 + noise)
else:
    import pyarrow as pa
    import pyarrow.parquet as pq

    skill = len(Path("models/pretrain/causal/model.safetensors").read_bytes())
    seed = (params["pretrain"]["common"] | params["pretrain"]["causal"])["seed"]
    chance = random.Random(0)
    rows = [
        {"question": "bits_per_byte", "metric": "bits_per_byte", "condition": "", "direction": "lower", "weight": 1.0,
         "model": "pretrain/causal", "item": str(item), "cluster": str(item),
         "score": 2.0 + chance.random() / 10 - seed / 10}
        for item in range(60)
    ]
    Path("reports/evaluate/details").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), "reports/evaluate/details/items.parquet")
    Path("reports/evaluate/details/facts.json").write_text("{}")
'''

BIN = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def change_seed(clone: PipelineClone, seed: int, old: int = 1) -> None:
    """Another seed for both branches, reproduced."""
    text = (clone.root / "params.yaml").read_text()
    (clone.root / "params.yaml").write_text(text.replace(f"    seed: {old} ", f"    seed: {seed} "))
    clone.run("dvc", "repro", **BIN)
