"""Logits of tuned models in three versions of `transformers`, beside those of the loop's own interface, in float32.

Beside the bases' they are those of our own network, causal and masked, with random weights. Each version is installed
into a folder of its own, with what it asks for; PyTorch is the one that is here.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from benchmarks.bases import tuned
from benchmarks.processes import output
from benchmarks.results import goal
from components.core.files import read_json
from components.model import export, hub_model

VERSIONS = ("5.3.0", "newest", "4.57.6")
REQUIRED = VERSIONS[:2]
UNKNOWN = "unknown"
PROBE = """
import json, sys, torch, safetensors.torch, transformers
found = {}
for name in sys.argv[2:]:
    folder = sys.argv[1] + "/" + name
    kept = safetensors.torch.load_file(sys.argv[1] + "/logits/" + name.replace("/", "-"))
    try:
        kind = json.load(open(folder + "/config.json"))["architectures"][0]
        if not hasattr(transformers, kind):
            found[name] = "unknown"
            continue
        model = getattr(transformers, kind).from_pretrained(folder).float().eval()
        given = {"attention_mask": kept["mask"]} if "mask" in kept else {}
        with torch.no_grad():
            found[name] = float((model(kept["ids"], **given).logits - kept["logits"]).abs().max())
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}"[:300]
print(json.dumps({"version": transformers.__version__, "found": found}))
"""


@torch.no_grad()
def own_logits(place: Path, name: str) -> None:
    """Write ids, logits of the loop's interface, and for classifiers the mask: one row of two is shorter."""
    folder, ids_BT = place / name, torch.arange(20, 68).view(2, 24)
    if "SequenceClassification" not in str(read_json(folder / "config.json")["architectures"]):
        kept = {"ids": ids_BT, "logits": export.load(folder)[0](ids_BT)}
    else:
        fields = read_json(folder / "config.json")
        shape, _ = hub_model.shape_of(fields | {"architectures": []}, folder)
        labels = [fields["id2label"][str(index)] for index in range(len(fields["id2label"]))]
        model = hub_model.load_classifier(folder, shape, fields["pad_token_id"], 1, labels, fields["problem_type"])
        ids_BT[1, 15:] = model.pad
        kept = {"ids": ids_BT, "mask": (ids_BT != model.pad).long(), "logits": model.eval()(ids_BT)}
    (place / "logits").mkdir(exist_ok=True)
    safetensors.torch.save_file(
        {key: tensor.contiguous() for key, tensor in kept.items()}, place / "logits" / name.replace("/", "-")
    )


def probed(place: Path, version: str, names: list[str]) -> dict[str, Any]:
    """What a version of `transformers` makes of the models."""
    target = place / f"transformers-{version}"
    wanted = "transformers" if version == "newest" else f"transformers=={version}"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", target, wanted], check=True)
    env = os.environ | {"PYTHONPATH": str(target), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "ignore", "-c", PROBE, str(place), *names]
    return dict(json.loads(output(command, place, env).splitlines()[-1]))


def measure(place: Path) -> tuple[dict, list[dict], list[dict]]:
    """Results, goals and raw rows."""
    if not (place / "tuned").exists():
        tuned.measure(place)
    names = ["causal", "masked", *sorted(path.relative_to(place).as_posix() for path in (place / "tuned").iterdir())]
    for name in names:
        own_logits(place, name)
    rows = []
    for version in VERSIONS:
        found = probed(place, version, names)
        rows += [{"model": name, "transformers": found["version"], "asked": version, "difference": value}
                 for name, value in found["found"].items()]  # fmt: skip
    known = [row["difference"] for row in rows if row["difference"] != UNKNOWN or row["asked"] in REQUIRED]
    worst = max(value if isinstance(value, float) else float("inf") for value in known)
    versions = ", ".join(sorted({row["transformers"] for row in rows}))
    says = f"of {len(names)} models in transformers {versions} (4.57 of those it knows)"
    return (
        {"exports": {"models": len(names), "worst": worst}},
        [goal("export_logits_max_diff", worst, 1e-4, "lower", says)],
        rows,
    )
