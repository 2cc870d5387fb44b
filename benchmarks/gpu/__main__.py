"""What can be established of the GPU path without a GPU: `make bench NAME=gpu`, after `make demo`.

Every stage that trains, and every evaluation task, runs on a pretended device (pretend.py): no operation meets tensors
of two devices, and none lacks a deterministic kernel. A training that was stopped and resumed ends with the bytes of a
whole one, and its step waits for the device once. A block's kernels are compiled for an H100 (kernels.py), and the
memory of a compiled training is compared with its forecast on this CPU (compiled_memory.py). What needs a compiler, a
finished demo, Triton or lm-eval is printed as not tried where it is missing.
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
from benchmarks.stamp import commit

PRETRAIN, TUNE = ("causal", "masked", "ranks"), ("instruct", "lora", "classify", "prefer")
FINISHED = (*TUNE, "evaluate")
MEMORY = ("memory-8-512-512-8", "memory-12-512-512-16")
KERNELS = ("causal-kernels", "documents-kernels")
LOG = ROOT / ".greenhouse" / "bench" / "gpu-cases.jsonl"
"""Every case, so that a benchmark that was ended goes on."""
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


def once(case: str, guard: Path, folder: Path) -> dict[str, Any]:
    """What a case counted, from the log if it was counted at this commit."""
    rows = map(json.loads, LOG.read_text().splitlines() if LOG.exists() else [])
    found: dict[str, Any] | None = next((row[case] for row in rows if case in row and row["at"] == commit()), None)
    if found is None:
        found = measured(case, guard, folder)
        with LOG.open("a") as file:
            file.write(json.dumps({"at": commit(), case: found}) + "\n")
    return found


def measured(case: str, guard: Path, folder: Path) -> dict[str, Any]:
    """What a case counted, in a process of its own."""
    environment = os.environ | {"LD_PRELOAD": str(guard), "PYTHONPATH": os.pathsep.join([str(ROOT), str(TRITON)])}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "kernels")
    module = "kernels" if case in KERNELS else "compiled_memory" if case in MEMORY else "stages"
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.gpu.{module}", case, str(folder / case)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{case}: {done.stderr[-2000:]}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(row, flush=True)
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
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="greenhouse-gpu-") as temporary:
        guard = built(Path(temporary))
        cases = PRETRAIN + (FINISHED if demo else ()) + MEMORY + (KERNELS if triton else ())
        rows = [once(case, guard, Path(temporary)) for case in cases]
    for row in rows:
        if row.get("not_tried"):
            print(f"not tried: {row['case']}: {row['not_tried']}")
    write_rows("gpu", rows)
    write("gpu", {"gpu_cases": {"n": len(rows), "rows": "gpu.csv"}}, goals_of_stages(rows) + goals_of_compiling(rows))


def goals_of_stages(rows: list[dict[str, Any]]) -> list[dict]:
    """What the pretended device counted."""
    pretended, trained = (
        [row for row in rows if row["case"] in some] for some in (PRETRAIN + FINISHED, PRETRAIN + TUNE)
    )
    alone = [row for row in trained if row["case"] != "ranks"]
    names, steps = ", ".join(row["case"] for row in alone), sum(row.get("steps", 0) for row in trained)
    return [
        goal("gpu_resumed_bytes_equal", sum(row.get("resumed_bytes_equal", 0) for row in alone), len(alone), "higher",
             f"trainings stopped and resumed with the bytes of whole ones: {names}"),
        goal("gpu_waits_per_step", max(row.get("waits_a_step", float("inf")) for row in trained), 1.0, "lower",
             f"for the device, the most of {names}, and causal as the first of 8 processes; {steps} steps"),
        goal("gpu_blocking_copies_per_step", max(row.get("blocking_copies_a_step", float("inf")) for row in trained), 0,
             "lower", "copies of a batch to the device that are waited for, or to pinned memory by the main thread"),
        goal("gpu_refused_without_memory", sum(row.get("refused_without_memory", 0) for row in alone), 2, "higher",
             "uncompiled pretrainings that the device has no room for, refused before their first step"),
        goal("gpu_mixed_devices", sum(row["mixed_devices"] for row in pretended), 0, "lower"),
        goal("gpu_unrepeatable_operations", sum(row["unrepeatable"] for row in pretended), 0, "lower"),
    ]  # fmt: skip


def goals_of_compiling(rows: list[dict[str, Any]]) -> list[dict]:
    """Memory of compiled trainings, and kernels for an H100 where Triton is there."""
    errors = [abs(row["forecast_over_peak"] - 1) for row in rows if row["case"] in MEMORY]
    says = f"of the forecast of a compiled training, by the process's peak on a CPU; the worse of {len(errors)} sizes"
    goals = [goal("compiled_memory_error", max(errors), 0.15, "lower", says)]
    if kernels := [row for row in rows if row["case"] in KERNELS]:
        says = "bytes that a block keeps for the backward pass by the forecast's cut, over Inductor's for sm_90"
        goals.append(goal("gpu_compiled_kept", min(row["kept_over_inductor"] for row in kernels), 1.0, "higher", says))
        count, refused = (sum(row[name] for row in kernels) for name in ("kernels_sm_90", "kernels_refused"))
        says = f"of {count + refused} for sm_90, by ptxas; a block alone and with documents"
        goals.append(goal("gpu_kernels_refused", refused, 0, "lower", says))
    return goals


if __name__ == "__main__":
    main()
