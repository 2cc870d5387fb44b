"""Stages that would run, and why: for each the key or file that made it stale; and outputs kept all the same."""

import getpass
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from components import params as schema
from components.core.errors import UserError
from components.params import layout
from flows.system import dvc, paths

ACCEPTED = paths.ROOT / "accepted.jsonl"


def explain() -> list[str]:
    """One paragraph per stage that is stale, then those that may follow."""
    stages = dvc.graph()
    reasons = dvc.stale()
    outputs = dvc.outputs() if reasons else set()
    lines = []
    for stage in stages:
        if stage_reasons := reasons.get(stage):
            lines.append(f"{stage}:")
            lines += [f"    {reason}" for reason in stage_reasons if not _from_upstream(reason, outputs)] or [
                "    what is before it changed"
            ]
    after = [stage for stage in dvc.downstream(stages, set(reasons)) if stage not in reasons]
    if after:
        ordered = [stage for stage in stages if stage in after]
        lines.append(f"after them, if their outputs change: {', '.join(ordered)}")
    lines += filter(None, [tuning_line([*reasons, *after], schema.read(paths.PARAMS))])
    return lines or ["nothing is stale: everything is up to date"]


def tuning_line(stages: Iterable[str], files: schema.ParamFiles) -> str:
    """Steps of each fine-tuning among these stages, with the key that sets them; or ""."""
    rows = list[str]()
    for branch in (stage.partition("@")[2] for stage in stages if stage.startswith("finetune@")):
        key = layout.written_key(f"finetune.{branch}.steps", files.own)
        by = key if layout.contains(files.own, key) else f"default of {key}"
        rows.append(f"{branch} {getattr(files.params().finetune, branch).steps:,} ({by})")
    return f"steps of tuning: {', '.join(rows)}" if rows else ""


def _from_upstream(reason: str, outputs: set[str]) -> bool:
    """Whether the reason is the output of a stage before, missing: that stage is stale itself, and says why."""
    path = reason.removeprefix("file ").removesuffix(": deleted")
    return reason == f"file {path}: deleted" and any(f"{path}/".startswith(f"{output}/") for output in outputs)


def accepted(stage: str, reason: str) -> str:
    """Have DVC take the present inputs as those the stage's output was made from, and record that it was told to.

    Raises `UserError`: no such stage, nothing to accept, no reason, an output that is not there.
    """
    dvc.require_stage(stage, stage)
    reasons = dvc.stale()
    if not reason.strip():
        raise UserError("--reason is empty; say why the change does not matter to the output")
    if stage not in reasons:
        raise UserError(f"{stage} is not stale; there is nothing to accept")
    if bad := [line for line in reasons[stage] if line.startswith("output ") or line == "never ran"]:
        raise UserError(f"{stage}: {bad[0]}; only an output that is there as DVC knows it can be kept")
    dvc.run("commit", "--force", stage)
    record = {
        "stage": stage,
        "reason": reason.strip(),
        "changes": reasons[stage],
        "by": getpass.getuser(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "outputs": {out["path"]: out["md5"] for out in dvc.lock()[stage].get("outs", [])},
    }
    with open(ACCEPTED, "a") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return f"{stage}: output kept, recorded in {ACCEPTED.name}"
