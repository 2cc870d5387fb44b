"""What can be established of the GPU path without a GPU: `make bench NAME=gpu`, after `make demo`.

Every stage that trains, and every evaluation task, runs on a pretended device (pretend.py): no operation meets tensors
of two devices, and none lacks a deterministic kernel. Pretraining that was stopped and resumed ends with the bytes of a
whole run, and its step waits for the device once. A block's kernels are compiled for an H100 (kernels.py). What needs a
compiler, a finished demo or Triton is printed as not tried where it is missing.
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

PRETRAIN, FINISHED = ("causal", "masked"), ("instruct", "lora", "classify", "prefer", "evaluate")
KERNELS = ("causal-kernels", "documents-kernels")
TRITON = ROOT / ".greenhouse" / "bench" / "triton"
"""It has ptxas with it; not among our packages, which PyTorch for a CPU does not ask for."""


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


def has_triton() -> bool:
    """Whether Triton is in its folder, or could be put there."""
    if not TRITON.exists():
        with tempfile.TemporaryDirectory() as aside:
            install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", aside, "triton==3.7.1"]
            if subprocess.run(install).returncode == 0:
                shutil.copytree(aside, TRITON)
    return TRITON.exists()


def measured(case: str, guard: Path, folder: Path) -> dict[str, Any]:
    """What a case counted, in a process of its own."""
    environment = os.environ | {"LD_PRELOAD": str(guard), "PYTHONPATH": os.pathsep.join([str(ROOT), str(TRITON)])}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "kernels")
    module = "kernels" if case in KERNELS else "stages"
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.gpu.{module}", case, str(folder / case)]
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
        print(f"not tried: {', '.join(FINISHED)} (no finished demo here; run `make demo` first)")
    if not (triton := has_triton()):
        print(f"not tried: {', '.join(KERNELS)} (Triton, which has ptxas, could not be installed)")
    with tempfile.TemporaryDirectory(prefix="greenhouse-gpu-") as temporary:
        guard = built(Path(temporary))
        cases = PRETRAIN + (FINISHED if demo else ()) + (KERNELS if triton else ())
        rows = [measured(case, guard, Path(temporary)) for case in cases]
    whole, pretended = ([row for row in rows if row["case"] in some] for some in (PRETRAIN, PRETRAIN + FINISHED))
    kernels = [row for row in rows if row["case"] in KERNELS]
    goals = [
        goal("gpu_resumed_bytes_equal", sum(row.get("resumed_bytes_equal", 0) for row in whole), len(whole), "higher"),
        goal("gpu_waits_per_step", max(row.get("waits_a_step", float("inf")) for row in whole), 1.0, "lower"),
        goal("gpu_blocking_copies_per_step", max(row.get("blocking_copies_a_step", float("inf")) for row in whole), 0.0,
             "lower", "copies of a batch to the device that are waited for"),
        goal("gpu_refused_without_memory", sum(row.get("refused_without_memory", 0) for row in whole), len(whole),
             "higher", "uncompiled runs that the device has no room for, refused before their first step"),
        goal("gpu_mixed_devices", sum(row["mixed_devices"] for row in pretended), 0, "lower"),
        goal("gpu_unrepeatable_operations", sum(row["unrepeatable"] for row in pretended), 0, "lower"),
    ]  # fmt: skip
    if kernels:
        count, refused = (sum(row[name] for row in kernels) for name in ("kernels_sm_90", "kernels_refused"))
        goals.append(goal("gpu_kernels_refused", refused, 0, "lower",
                          f"of {count + refused} for sm_90, by ptxas; a block alone and with documents"))  # fmt: skip
    write_rows("gpu", rows)
    write("gpu", {"gpu_cases": {"n": len(rows), "rows": "gpu.csv"}}, goals)


if __name__ == "__main__":
    main()
