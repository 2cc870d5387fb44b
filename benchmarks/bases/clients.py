"""What clients of others do with our models, in a clean environment: after `make demo`.

Each client is a program that knows transformers, peft, trl, llama.cpp, MLflow or DVC. It runs in an environment that
has what the registered model's own requirements.txt asks for, the clients, and nothing of this project but its PyTorch,
with a folder to write in, and has to end without an error. What cannot be installed here is not tried, with the reason.
DVC's own are those of this checkout's environment.
"""

import json
import re
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

from benchmarks.bases import BEFORE
from benchmarks.bases.surfaces import registered
from benchmarks.results import ROOT, goal
from components.gguf import write_gguf

ASKED = ("transformers", "peft", "trl", "xllamacpp", "httpx")
"""Beside what requirements.txt names: the newest that go with it."""
TORCH = ("torch", "torchgen", "functorch", "torch-*.dist-info")
MODEL, CAUSAL = ROOT / "models/finetune/instruct", ROOT / "models/pretrain/causal"
CHAT = [{"role": "user", "content": "Return the public file."}, {"role": "assistant", "content": "The file."}]
TRAINED = "assert all(math.isfinite(row['loss']) for row in trainer.state.log_history if 'loss' in row)"
PROGRAMS = {
    "transformers": f"""
from transformers import pipeline
said = pipeline("text-generation", {str(MODEL)!r})({CHAT[:1]}, max_new_tokens=16, do_sample=False)
assert said[0]["generated_text"][-1]["role"] == "assistant"
whole = pipeline("text-generation", {str(CAUSAL)!r})("Enter ROMEO and", return_tensors=True)[0]["generated_token_ids"]
assert len(whole) <= 256, len(whole)
""",
    "peft": f"""
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM
base = AutoModelForCausalLM.from_pretrained({str(MODEL)!r})
tuned = get_peft_model(base, LoraConfig(target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM", r=4))
with torch.no_grad():
    [p.normal_(0, 0.02) for name, p in tuned.named_parameters() if "lora_B" in name]
ids = torch.randint(6, 300, (1, 20))
before = tuned(ids).logits
tuned.save_pretrained("adapter")
again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({str(MODEL)!r}), "adapter")
assert (again(ids).logits - before).abs().max() < 1e-5
assert (again.merge_and_unload()(ids).logits - before).abs().max() < 1e-3
""",
    "trl SFT": f"""
import math
from datasets import Dataset
from trl import SFTConfig, SFTTrainer
rows = Dataset.from_list([{{"messages": {CHAT}}}] * 8)
options = SFTConfig("sft", max_steps=2, per_device_train_batch_size=2, assistant_only_loss=True, report_to="none",
                    use_cpu=True, logging_steps=1, bf16=False, save_strategy="no")
trainer = SFTTrainer({str(MODEL)!r}, args=options, train_dataset=rows)
trainer.train()
{TRAINED}
""",
    "trl DPO": f"""
import math
from datasets import Dataset
from trl import DPOConfig, DPOTrainer
pair = {{"prompt": {CHAT[:1]}, "chosen": {CHAT[1:]}, "rejected": [{{"role": "assistant", "content": "No."}}]}}
options = DPOConfig("dpo", max_steps=2, per_device_train_batch_size=2, report_to="none", use_cpu=True, logging_steps=1,
                    bf16=False, save_strategy="no")
trainer = DPOTrainer({str(MODEL)!r}, args=options, train_dataset=Dataset.from_list([pair] * 8))
trainer.train()
{TRAINED}
""",
    "llama.cpp chat": f"""
import httpx, xllamacpp
from transformers import pipeline
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.warmup = "model.gguf", 256, 1, False
server = xllamacpp.Server(params)
body = {{"messages": {CHAT[:1]}, "max_tokens": 16, "temperature": 0}}
said = httpx.post(f"{{server.listening_address}}/v1/chat/completions", json=body, timeout=600).raise_for_status().json()
here = pipeline("text-generation", {str(MODEL)!r})({CHAT[:1]}, max_new_tokens=16, do_sample=False)
assert said["choices"][0]["message"]["content"].strip() == here[0]["generated_text"][-1]["content"].strip()
""",
    "mlflow predict": """
import mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
model = mlflow.pyfunc.load_model("models:/causal@champion")
short, long = (model.predict("Enter ROMEO and", params={"max_new_tokens": n, "do_sample": False}) for n in (1, 30))
assert len(str(long)) > len(str(short)) + 20, (short, long)
""",
    "mlflow serve": """
import httpx, os, subprocess, sys, time
where = {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/causal@champion", "--env-manager", "local"]
server = subprocess.Popen([*command, "--port", "8377"], env=os.environ | where)
try:
    for _ in range(240):
        time.sleep(0.5)
        try:
            httpx.get("http://127.0.0.1:8377/ping").raise_for_status()
            break
        except httpx.HTTPError:
            continue
    body = {"inputs": ["Enter ROMEO and"], "params": {"max_new_tokens": 5, "do_sample": False}}
    answer = httpx.post("http://127.0.0.1:8377/invocations", json=body, timeout=300)
    assert answer.status_code == 200 and answer.json()["predictions"], answer.text
finally:
    server.terminate()
    server.wait()
""",
}
"""Client -> its program."""
ALONE = "\nimport sys\nassert not {'components', 'flows'} & {*sys.modules}"
EXP = "exp", "run", "-S"
DVC = {
    "dvc exp run --temp": [*EXP, "+finetune.instruct.steps=3", "-n", "client-temp", "--temp"],
    "dvc queue": [*EXP, "+finetune.instruct.steps=4", "-n", "client-queue", "--queue"],
    "dvc queue start": ["queue", "start"],
    "dvc exp diff": ["exp", "diff", "--json"],
}
"""Client -> arguments of DVC, in a clone of this checkout; in this order; the last of README's first experiment."""
README = re.findall(r"^    greenhouse run (\S+=\S+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
PATIENCE_S = 900


def measure(place: Path) -> tuple[dict, list[dict], list[dict]]:
    """How many clients ended without an error; a row for each."""
    registered(CAUSAL, place)
    write_gguf(MODEL, place / "model.gguf", {})
    python, lacking = clean(place)
    rows: list[dict[str, Any]] = []
    for name, program in PROGRAMS.items():
        if lack := [why for package, why in lacking.items() if re.search(rf"(from|import|,) {package}\b", program)]:
            rows.append({"client": name, "ok": None, "seconds": 0.0, "said": f"not tried: {lack[0]}"})
        else:
            rows.append(row(name, [str(python), "-c", program + ALONE], place)[0])
        print(rows[-1], flush=True)
    rows += experiments(place)
    ok, failed, untried = ([each["client"] for each in rows if each["ok"] is state] for state in (True, False, None))
    found = {"clients_ok": {"clients": ok, "failed": failed, "not_tried": untried}}
    says = f"programs that end without an error: {', '.join(ok)}" + "".join(f"; {one} not tried" for one in untried)
    return found, [goal("clients_ok", len(ok), len(ok) + len(failed), "higher", says)], rows


def clean(place: Path) -> tuple[Path, dict[str, str]]:
    """The Python of an environment of its own, and of each package that cannot be installed there, why."""
    needed = next((place / "mlartifacts").rglob("requirements.txt"))
    site = place / f"clean/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    venv.create(place / "clean", with_pip=True)
    for pattern in TORCH:
        for path in Path(sys.modules["torch"].__path__[0]).parent.glob(pattern):
            (site / path.name).symlink_to(path)
    python, lacking = place / "clean/bin/python", dict[str, str]()
    pip: list[str | Path] = [python, "-m", "pip", "install", "-q", "-r", needed, "mlflow"]
    subprocess.run(pip, check=True)
    for package in ASKED:
        done = subprocess.run([*pip, package], capture_output=True, text=True)
        if done.returncode:
            lacking[package] = done.stderr.strip().splitlines()[-1][:200]
    return python, lacking


def row(client: str, command: list[str], place: Path) -> tuple[dict, str]:
    """Run a client; whether it ended well, and its last line if it did not. And all that it printed."""
    began = time.perf_counter()
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": ""}
    scripts = f"{ROOT / '.venv/bin'}:{Path(sys.executable).parent}"
    quiet["PATH"] = (
        f"{scripts}:{BEFORE['PATH']}"  # a stage begins with `python`; DVC's queue starts a worker named `dvc`
    )
    done = subprocess.run(command, cwd=place, env=BEFORE | quiet, capture_output=True, text=True)
    ok, took = done.returncode == 0, round(time.perf_counter() - began, 1)
    said = "" if ok else (done.stderr.strip() or done.stdout.strip() or "-").splitlines()[-1][:200]
    return {"client": client, "ok": ok, "seconds": took, "said": said}, done.stdout


def experiments(place: Path) -> list[dict]:
    """DVC's own experiments in a clone with the outputs of this checkout: recorded, and their scores differ."""
    clone, rows = place / "clone", []
    subprocess.run(["cp", "-a", str(ROOT), str(clone)], check=True)
    for name, arguments in DVC.items():
        before = _spans(clone)
        if name == "dvc exp diff":
            first = row("greenhouse run", [sys.executable, "-m", "flows.cli", "run", README[0]], clone)
            rows.append(first[0] | {"client": f"greenhouse run {README[0]}"})
            listed = row("", [sys.executable, "-m", "dvc", "exp", "list", "--name-only"], clone)[1].split()
            arguments = [*arguments, next(one for one in listed if not one.startswith("client-"))]
        found, printed = row(name, [sys.executable, "-m", "dvc", *arguments], clone)
        if name == "dvc queue start":
            found["ok"] &= "Success" in ended_queue(clone)
        if name in ("dvc exp run --temp", "dvc queue start"):
            found["ok"] &= _spans(clone) > before
        if name == "dvc exp diff":
            scores = json.loads(printed or "{}").get("metrics", {})
            found["ok"] &= any("finetune/instruct" in path and change for path, change in scores.items())
        rows.append(found)
        print(found, flush=True)
    return rows


def ended_queue(clone: Path) -> str:
    """DVC's status of its queue, once nothing in it runs or waits."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        status = row("", [sys.executable, "-m", "dvc", "queue", "status"], clone)[1]
        if not ("Running" in status or "Queued" in status):
            return status
        time.sleep(2)
    return ""


def _spans(clone: Path) -> int:
    """How often the ledger names the stage that the experiments run."""
    return sum(path.read_text().count("finetune@instruct") for path in (clone / ".greenhouse/ledger").glob("*.jsonl"))
