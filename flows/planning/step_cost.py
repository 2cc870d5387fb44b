"""The calibration of pretraining: run once per shape, numerics and machine, then read from the state folder.

Both branches are tried at the same time if a run would train them so: they slow each other down.
Steps that had to share the processor with other work are used, less the waiting, but not kept: the
next plan tries again.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.carbon.planning.step_cost_table import DISTURBED, Rates, key
from components.core.errors import Stopped, UserError
from components.core.files import read_json, write_json
from components.params import Params, Pretrain
from flows.system import paths, processes

BRANCHES = ("causal", "masked")


def known(params: Params) -> dict[str, Rates]:
    """Branch -> rates, for those that have been measured for these parameters on this machine."""
    records = {branch: file_of(branch, params) for branch in BRANCHES}
    return {branch: _rates(read_json(path)) for branch, path in records.items() if path.exists()}


def measured(params: Params, log: Callable[[str], None] = print) -> dict[str, Rates]:
    """Branch -> rates; what is not known yet is measured now, which takes some seconds and says so.

    Of several training processes (`numerics.processes`) nothing is known: then it is empty.

    Raises:
        UserError: a calibration fails, or the project's budget does not hold it; its last line is
            shown.
    """
    rates = known(params)
    missing = [branch for branch in BRANCHES if branch not in rates]
    if params.numerics.processes > 1 or not missing:  # one process cannot tell what several take
        return rates
    log(f"calibration: some real training steps of {' and '.join(missing)} on this machine ...")
    began_s = time.perf_counter()
    for group in [missing] if params.runtime.parallel_stages > 1 else [[one] for one in missing]:
        started = {branch: _start(branch, params) for branch in group}
        rates |= {branch: _rates(_answer(branch, process)) for branch, process in started.items()}
    disturbed = [branch for branch in missing if rates[branch].waited >= DISTURBED]
    for branch in set(missing) - set(disturbed):
        write_json(file_of(branch, params), asdict(rates[branch]))
    took_s = time.perf_counter() - began_s
    log(f"calibration: {took_s:.0f} s; " + "; ".join(_rates_text(branch, rates[branch]) for branch in missing))
    if disturbed:
        share = max(rates[branch].waited for branch in disturbed)
        log(
            f"calibration of {' and '.join(disturbed)} is not kept, since other work had {share:.0%} of the time; the "
            "next plan measures it again, and keeps it if the machine is quiet"
        )
    return rates


def required(params: Params, log: Callable[[str], None] = print) -> dict[str, Rates]:
    """`measured`, for what cannot do without: the rates of every branch.

    Raises `UserError`: a calibration fails, or cannot tell because several processes train.
    """
    rates = measured(params, log)
    if missing := [branch for branch in BRANCHES if branch not in rates]:
        raise UserError(
            f"numerics.processes = {params.numerics.processes}: a calibration trains in one process and cannot tell "
            f"what several take, so nothing is known of pretrain.{missing[0]}; set numerics.processes to 1 to plan, "
            "or choose pretrain.*.steps by hand and let the budget's guard stop the run"
        )
    return rates


def file_of(branch: str, params: Params) -> Path:
    """Where the rates of a branch are kept."""
    parallel = params.runtime.parallel_stages > 1
    name = key(branch, getattr(params.pretrain, branch), params.numerics, params.tokenize.vocab_size, parallel)
    return paths.FINDINGS / "calibration" / f"{name}.json"


def _start(branch: str, params: Params) -> subprocess.Popen:
    arguments = {
        "objective": branch,
        "params": getattr(params.pretrain, branch).model_dump(mode="json"),
        "numerics": params.numerics.model_dump(mode="json"),
        "vocab_size": params.tokenize.vocab_size,
        "ledger": str(paths.LEDGER),
        "runtime": params.runtime.model_dump(mode="json"),
        "run": f"calibrate-{os.getpid()}",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "components.studies.step_cost", json.dumps(arguments)], cwd=paths.ROOT, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=processes.dies_with_parent(),
    )  # fmt: skip


def _answer(branch: str, process: subprocess.Popen) -> dict[str, Any]:
    output, errors = process.communicate()
    if process.returncode:
        last = (errors.strip().splitlines() or ["no output"])[-1]
        for kind in (UserError, Stopped):
            last = last.removeprefix(f"{kind.__module__}.{kind.__qualname__}: ")
        raise UserError(f"calibration of pretrain.{branch}: {last}")
    return json.loads(output.strip().splitlines()[-1])


def _rates(raw: dict[str, Any]) -> Rates:
    low, mid, high = raw["joules_per_step"]
    return Rates(**raw | {"joules_per_step": (low, mid, high)})


def _rates_text(branch: str, rates: Rates) -> str:
    joules = rates.joules_per_flop[1] * 1e12
    return f"{branch} {rates.tokens_per_s / 1000:.1f}k tokens/s, {rates.watts:.1f} W, {joules:.2g} J per 10^12 FLOP"


def in_proportion(shipped: Pretrain, steps: int) -> dict[str, int]:
    """Another number of steps, and evaluations and checkpoints as often in the run as before; keys of the section."""
    share = steps / shipped.steps
    return {
        "steps": steps,
        "eval_every": max(1, round(shipped.eval_every * share)),
        "checkpoint_every": max(1, round(shipped.checkpoint_every * share)),
    }
