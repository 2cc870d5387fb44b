"""What can be established of the GPU path without a GPU: `make bench NAME=gpu`, after `make demo`.

Every stage that trains runs on a pretended device (pretend.py): no operation meets tensors of two devices, and none
lacks a deterministic kernel. Pretraining that was stopped and resumed ends with the bytes of a whole run, and its step
waits for the device once. What needs a compiler, a finished demo or ptxas is printed as not tried where it is missing.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import ROOT, goal, write, write_rows

PRETRAIN, TUNE = ("causal", "masked"), ("instruct", "lora", "classify", "prefer")


def built(folder: Path) -> Path:
    """The guard, compiled for the PyTorch at hand."""
    place, out = Path(torch.__file__).parent, folder / "guard.so"
    libraries = [f"-L{place}/lib", f"-Wl,--no-as-needed,-rpath,{place}/lib", "-lc10", "-ltorch_cpu"]
    source = str(Path(__file__).with_name("guard.cpp"))
    subprocess.run(
        ["g++", "-O1", "-shared", "-fPIC", "-std=c++20", f"-I{place}/include", source, "-o", str(out), *libraries],
        check=True,
    )
    return out


def measured(case: str, guard: Path, folder: Path) -> dict[str, Any]:
    """What a case counted, in a process of its own."""
    environment = os.environ | {"LD_PRELOAD": str(guard)}
    command = [sys.executable, "-m", "benchmarks.gpu.stages", case, str(folder / case)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{case}: {done.stderr[-2000:]}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(row)
    return row


def main() -> None:
    """Run all cases, write benchmarks/results/gpu.json and gpu.csv."""
    if torch.version.cuda or not shutil.which("g++"):
        print("not tried: the pretended device needs a PyTorch without CUDA and g++")
        return
    demo = (ROOT / "models/finetune/instruct/config.json").exists() and (ROOT / "data/mix").exists()
    if not demo:
        print(f"not tried: {', '.join(TUNE)} (no finished demo here; run `make demo` first)")
    print("not tried: evaluation tasks on the pretended device; kernels for sm_90 (no ptxas here)")
    with tempfile.TemporaryDirectory(prefix="greenhouse-gpu-") as temporary:
        guard = built(Path(temporary))
        rows = [measured(case, guard, Path(temporary)) for case in PRETRAIN + (TUNE if demo else ())]
    whole = [row for row in rows if row["case"] in PRETRAIN]
    goals = [
        goal("gpu_resumed_bytes_equal", sum(row.get("resumed_bytes_equal", 0) for row in whole), len(whole), "higher"),
        goal("gpu_waits_per_step", max(row.get("waits_a_step", float("inf")) for row in whole), 1.0, "lower"),
        goal("gpu_mixed_devices", sum(row["mixed_devices"] for row in rows), 0, "lower"),
        goal("gpu_unrepeatable_operations", sum(row["unrepeatable"] for row in rows), 0, "lower"),
    ]
    write_rows("gpu", rows)
    write("gpu", {"gpu_cases": {"n": len(rows), "rows": "gpu.csv"}}, goals)


if __name__ == "__main__":
    main()
