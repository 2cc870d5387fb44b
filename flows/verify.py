"""`greenhouse verify`: can a model be rebuilt bit for bit? Do it, from the commit, and compare every hash."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from components import params as schema
from components.core.errors import UserError
from components.core.files import md5_file
from flows.execution.experiment import refuse_untracked_sources
from flows.system import dvc, environment, git, params_file, paths, processes
from flows.system.command import whole
from flows.tracking import environment_record, recorded_run, recovery
from flows.tracking.mlflow_run import client
from flows.tracking.model_origin import choose, gathered, record_verification
from flows.tracking.signed_folder import report
from flows.tracking.snapshots import ObjectCache, Snapshot
from greenhouse_record.metering.meter import Meter

HASHED = ("data/", "models/")
"""Outputs that are compared; reports follow from them."""

# -- rebuilding --------------------------------------------------------------------------------------------------------


@contextmanager
def rebuild_worktree(recorded: Snapshot) -> Iterator[Path]:
    """A worktree of the recorded commit (the workspace: with its uncommitted changes), an empty cache, no dvc.lock."""
    if recorded.kind == "workspace":
        refuse_untracked_sources()
    with git.worktree(f"verify-{os.getpid()}", (recorded.commit or "HEAD").removesuffix("+changes")) as root:
        bring(recorded, root)
        (root / "dvc.lock").unlink(missing_ok=True)
        dvc.run("cache", "dir", "--local", str(root / ".dvc" / "rebuilt"), root=root)
        (root / ".greenhouse").mkdir()
        paths.LEDGER.mkdir(parents=True, exist_ok=True)
        (root / ".greenhouse" / "ledger").symlink_to(paths.LEDGER)
        yield root


def bring(recorded: Snapshot, root: Path) -> None:
    """What the recorded state has beyond its commit: uncommitted changes of the workspace, a run's parameters."""
    if recorded.kind == "workspace":
        git.copy_changes(root)
    else:
        if not (root / schema.DEFAULTS).exists():
            raise UserError(
                f"{recorded.name}: its commit is older than {schema.DEFAULTS}, so its parameters cannot be set; "
                "check that commit out and verify there"
            )
        current = schema.load(root / "params.yaml").model_dump(mode="json")
        wanted = schema.parse(schema.layout.overlaid(current, recorded.params()))
        params_file.write(root / "params.yaml", wanted)


def rebuild(root: Path, stages: list[str]) -> None:
    """Run the stages one after the other in the clean place, with a state folder of its own.

    Raises:
        UserError: one of them failed.
    """
    variables = environment.environment() | {
        "GREENHOUSE_STATE": str(root / ".greenhouse"),  # neither work folders to resume from, nor a record in MLflow
        "MLFLOW_TRACKING_URI": f"sqlite:///{root / '.greenhouse' / 'mlflow.db'}",
        "PREFECT_HOME": str(root / ".greenhouse" / "prefect"),
    }
    for name in ("PREFECT_API_URL", "GREENHOUSE_RUN"):
        variables.pop(name, None)
    began = time.monotonic()
    for number, stage in enumerate(stages, 1):
        print(f"rebuilding {stage}, {number} of {len(stages)}; {time.monotonic() - began:.0f} s so far", flush=True)
        command = dvc.command("repro", "--single-item", "--no-run-cache", "--force", stage)
        ends = processes.dies_with_parent()
        done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, preexec_fn=ends)
        if done.returncode:
            log = paths.LOGS / f"verify-{stage}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(done.stdout + done.stderr)
            last = (done.stdout + done.stderr).strip().splitlines()[-1:]
            raise UserError(f"{stage} could not be rebuilt: {''.join(last)}; the whole log is {log}")


# -- comparing ---------------------------------------------------------------------------------------------------------


def first_difference(recorded: Snapshot, rebuilt: dict[str, dict], stages: list[str], root: Path) -> str:
    """The first stage and file whose bytes differ, with both hashes; empty if all are the same."""
    for stage in stages:
        old, new = (_outs(lock[stage]) for lock in (recorded.lock, rebuilt))
        for path in old:
            if old[path] != new.get(path):
                return f"{stage}: {_first_file(path, old[path], new.get(path, 'missing'), root)}"
    return ""


def _outs(entry: dict) -> dict[str, str]:
    return {out["path"]: out["md5"] for out in entry.get("outs", []) if out["path"].startswith(HASHED)}


def _first_file(path: str, old: str, new: str, root: Path) -> str:
    """The first file that differs inside an output, where the recorded listing is still in the cache."""
    try:
        before, after = ObjectCache().files(old), ObjectCache(root).files(new)
    except UserError:
        before, after = {"": old}, {"": new}
    name = min(name for name in before | after if before.get(name) != after.get(name))
    file = f"{path}/{name}".rstrip("/")
    return f"{file}: recorded {before.get(name, 'none')}, rebuilt {after.get(name, 'none')}"


def then_and_here(recorded: Snapshot, stage: str) -> list[str]:
    """What may explain a difference in `stage`: what is not as it was when the recorded bytes were made."""
    then = environment_record.recorded(client(), stage, recorded.fingerprints()[stage])
    here = environment_record.present()
    if then:
        return environment_record.differences(then, here) or ["the same processor and the same packages then and here"]
    compute = ("processor", "python", "torch", "numpy", "tokenizers", "scikit-learn", "pyarrow", "polars")
    return ["no record of where it was made (MLflow); here:", *(f"{name} {here.get(name, 'none')}" for name in compute)]


def rebuilt_alike(model: str, state_name: str) -> bool:
    """Rebuild and compare; prints what it finds. Returns whether all is identical."""
    recorded, goal = choose(model, state_name)
    if goal not in recorded.lock:
        raise UserError(f"{recorded.name}: dvc.lock has no stage {goal}; run the pipeline first, with it on")
    with rebuild_worktree(recorded) as root:
        stages = dvc.upstream(dvc.graph(root), goal)
        if missing := [stage for stage in stages if stage not in recorded.lock]:
            raise UserError(f"{recorded.name}: {', '.join(missing)} never ran there; run the pipeline first")
        print(f"{goal} as recorded by {recorded.name}, {len(stages)} stages", flush=True)
        rebuild(root, stages)
        difference = first_difference(recorded, dvc.lock(root), stages, root)
    record_verification(recorded, goal, difference, environment_record.present())
    compared = sum(len(_outs(recorded.lock[stage])) for stage in stages)
    print(f"differs: {difference}" if difference else f"identical: {compared} outputs of {len(stages)} stages")
    if difference:
        for line in then_and_here(recorded, difference.split(":")[0]):
            print(f"    {line}")
        print("On another kind of processor, or with other versions, bits of trained models may differ; losses agree.")
    return not difference


# -- intervals ---------------------------------------------------------------------------------------------------------


def verify_segments(model: str, state_name: str, number: int) -> bool:
    """Train the last and random other intervals of a pretraining run again and compare; whether all are the same.

    Raises:
        UserError: not a pretrained model, no checkpoints were kept, or their bytes are gone.
    """
    recorded, goal = choose(model, state_name)
    kept = goal.replace("pretrain@", "models/checkpoints/")
    if kept not in recorded.outputs():
        raise UserError(
            f"{goal}: {recorded.name} has no checkpoints of it; intervals are of pretraining: causal, masked"
        )
    with rebuild_worktree(recorded) as root:
        settings, branch = schema.load(root / "params.yaml"), goal.split("@")[1]
        if (number_of := settings.numerics.processes) > 1:
            raise UserError(f"{goal}: was trained by {number_of} processes; verify it without --segments")
        names = ObjectCache().files(recorded.outputs()[kept])
        steps = sorted({int(name[5:11]) for name in names if name.startswith("step-")})
        intervals = list(pairwise(steps))
        if not intervals:
            raise UserError(f"{goal}: kept no checkpoints; set pretrain.common.keep_every and run it again")
        others = secrets.SystemRandom().sample(intervals[:-1], min(number, len(intervals)) - 1)
        chosen = [*sorted(others), intervals[-1]]
        wanted = {f"step-{step:06d}" for pair in [*chosen, (steps[0], steps[0])] for step in pair}
        model, reports, copies = (f"{kind}/{goal.replace('@', '/')}" for kind in ("models", "reports", "aside"))
        bring_files(recorded, kept, root / copies / kept, lambda name: name.split("/")[0] in wanted)
        for path in ("data/tokenize", model, f"{reports}/details", f"{reports}/metrics.json"):
            bring_files(recorded, path, root / copies / path, lambda name: True)
        given = {"params": getattr(settings.pretrain, branch), "numerics": settings.numerics}
        arguments = {name: tree.model_dump(mode="json") for name, tree in given.items()}
        arguments |= {"objective": branch, "chosen": chosen, "root": str(root / copies)}
        text = f"{len(chosen)} of {len(intervals)} intervals, the last among them"
        print(f"{goal} as recorded by {recorded.name}: {text}", flush=True)
        command = [sys.executable, "-m", "components.studies.segments", json.dumps(arguments)]
        labels = {"stage": "verify", "run": root.name, "checkout": root.name}
        with Meter(paths.LEDGER, settings.runtime.meter_interval_s, labels) as meter:
            ends = processes.dies_with_parent()
            done = subprocess.run(command, cwd=root, capture_output=True, text=True, preexec_fn=ends)
            used = meter.totals_now().mid_kwh
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1]
        raise UserError(f"{goal}: the intervals could not be trained again ({why}); verify it without --segments")
    differences = json.loads(done.stdout.splitlines()[-1])
    return report_segments(recorded, goal, differences, len(intervals), used)


def bring_files(recorded: Snapshot, path: str, folder: Path, wanted: Callable[[str], bool]) -> None:
    """Copy the wanted files of an output from DVC's cache or remote, by their recorded hashes, which are checked.

    Args:
        folder: where they go; the path of the copy where the output is a file.

    Raises:
        UserError: an object is nowhere, or has other bytes than its name says.
    """
    store = ObjectCache()
    for name, md5 in store.files(recorded.outputs()[path]).items():
        if wanted(name):
            target = folder / name if name else folder
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(store.fetched(md5), target)
            if md5_file(target) != md5:
                raise UserError(f"{path}/{name}: the object {md5} in DVC's cache has other bytes")


def report_segments(recorded: Snapshot, goal: str, results: dict[str, str], intervals: int, used_kwh: float) -> bool:
    """Print what the intervals came to; whether all are the same."""
    from components.studies.segments import chances

    for interval, difference in results.items():
        if difference:
            print(f"differs: {'' if interval in ('end', 'figures') else 'steps '}{interval}: {difference}")
    one, tenth = chances(intervals, len(results) - 3)
    print("a forgery of the last interval would have been caught for certain, of one other interval with "
          f"{one:.0%}, of a tenth of the {intervals} intervals with {tenth:.1%}")  # fmt: skip
    kwh = sum(row.kwh[1] - row.attempts_kwh[1] for row in gathered(recorded, goal).cost.stages.values())
    share = f", {used_kwh / kwh:.0%} of the {1000 * kwh:.3g} Wh of making all behind it" if kwh else ""
    print(f"energy: {1000 * used_kwh:.3g} Wh{share}")
    print("the same to the bit" if not any(results.values()) else "not the same")
    return not any(results.values())


def verify(
    model: str,
    /,
    *,
    at: str = "workspace",
    segments: Annotated[int | None, Parameter(converter=whole)] = None,
    key: Path | None = None,
    scope: Literal["all", "bytes"] = "all",
) -> int:
    """Rebuild a model bit for bit, from the commit, and compare every hash; or check a signed folder.

    greenhouse verify causal                          a model of the workspace
    greenhouse verify pretrain@causal --at v1.0       as a git revision, DVC experiment or pipeline run recorded it
    greenhouse verify greenhouse-causal-2@champion    a registered model
    greenhouse verify causal --segments 27            the last and 26 random intervals of a run that kept checkpoints
    greenhouse verify FOLDER --key KEY.pub            what `greenhouse export --to signed` made, here or elsewhere
    greenhouse verify FOLDER --key KEY.pub --scope bytes      the same where nothing is recorded of it

    The stages behind the model run again in a clean worktree of the commit, with an empty cache and no dvc.lock, so
    that nothing can be taken from anywhere. Prints `identical` (exit status 0), or the first stage and file that
    differ, with both hashes, and what of processor and packages is not as it was then (exit status 1). The energy goes
    to the ledger, under `verify-...`.

    --segments costs less: intervals between kept checkpoints (`pretrain.common.keep_every`) are trained again in one
    process and compared to the bit, with the recorded losses and figures; the last one always, since its end is the
    model. It says how likely a forgery of one interval and of a tenth of them would have been caught, and the energy
    against that of making the model. It takes the data as recorded; the whole rebuild makes that again too.

    The check of a folder does not believe the signer. It lists what it established by recomputation, what the signer
    states, and what is not established. The exit status is 0 only with all of these: a signature by this key, these
    bytes, the whole chain of stages in a dvc.lock here that records the model, files of it hashed again, data,
    licences, parameters and scores collected again and equal, and a list of withdrawn models without it. It is 1 for
    any difference, and 2 where one of these could not be established. With `--scope bytes` signature and bytes are
    enough, for whoever has nothing but folder and key.

    Args:
        model: causal, masked, instruct, prefer, classify, pretrain@causal, a registered name@alias, or a folder.
        at: workspace (default), a git revision, an experiment, a run.
        segments: train this many intervals again instead, the last and random others.
        key: the signer's public key, for a folder.
        scope: all (default), or bytes: of a folder establish signature and bytes alone.
    """
    if (folder := Path(model)).is_dir():
        if at != "workspace" or segments is not None:
            raise UserError(f"{model}: a folder, which is checked as it lies there; leave --at and --segments out")
        return report(folder, key, scope)
    if key is not None or scope != "all":
        raise UserError(f"--key and --scope go with a signed folder, and {model} is none; leave them out")
    if segments is not None and segments < 1:
        raise UserError("--segments takes 1 or more; without it everything is rebuilt")
    state, stage = choose(model, at)
    if state.adopted:
        return recorded_run.verify(state, stage)
    recovery.recover_records()
    same = rebuilt_alike(model, at) if segments is None else verify_segments(model, at, segments)
    return 0 if same else 1
