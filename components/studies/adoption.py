"""A model of another trainer as the answers know one: its facts, its one recorded step, scores and limits.

`greenhouse adopt` keeps these in `greenhouse.json` beside the model's files, as stages do for their
own models.
"""

import json
from math import isfinite
from typing import Any

from components.scores import Score
from components.stages.account.answers import ModelAnswers, NotKnown
from components.stages.account.types import ModelFacts, StageRecords
from components.studies.leftovers import DATA, Found, dangers
from greenhouse_record.record import Attempt, Record, figures

FACTS, RECORD = OURS = ("greenhouse.json", "record.jsonl")
"""What lies beside the files of its trainer."""
TRUST = "What a record says rests on whoever recorded: against a recorder who lies no record helps."
UNRECORDED = "nobody recorded the run"
UNSCORED = "its trainer left no score, and evaluate scores the models of this pipeline alone"
NOBODY: dict[str, Any] = {"data": {}, "files": {}, "git": {}, "command": [UNRECORDED]}
"""Stands for the `start` line of a run without a record."""


def facts_of(leftovers: Found, record: Record | None) -> dict[str, Any]:
    """The contents of greenhouse.json: what is known of the model, and the entry of its one step as in a dvc.lock."""
    start, logged = record.attempts[-1].start if record else NOBODY, dict[str, float]()
    for line in record.attempts[-1].of["log"] if record else ():
        logged |= figures(line)
    last = {name: value for name, value in leftovers.figures.items() if value is not None} or logged
    git, read = start["git"], {**start["data"], **start["files"]}
    code = {path: row["sha256"] for path, row in {**start["files"], **git.get("untracked", {})}.items()}
    tree = vars(leftovers) | {
        "recorded": record is not None,
        "dangers": dangers(leftovers.files),
        "files": sorted(leftovers.files),
        "figures": {name: value for name, value in last.items() if isinstance(value, float) and isfinite(value)},
        "data": start["data"],
        "commit": (git.get("commit") or "") + ("+changes" if uncommitted(start) else ""),
        "code": {"commit": git.get("commit") or "", "changes": git.get("diff") or "none"} | code,
        "cmd": " ".join(start["command"]),
        "deps": [{"path": path, "md5": read[path]["sha256"]} for path in sorted(read)],
        "params": {"params.yaml": {"trainer": leftovers.config}},
    }
    if record:
        cpu = record.attempts[-1].host["cpu"]
        tree |= {"lacking": "; ".join(lacking(tries_of(record))), "environment": environment(start["environment"], cpu)}
    return json.loads(json.dumps(tree, default=str))  # dates of YAML as text


def environment(recorded: dict[str, Any], cpu: str) -> dict[str, str]:
    """Processor, Python and packages of a try, as those of own runs are kept."""
    packages = {name.lower(): version for name, version in recorded["packages"].items()}
    return packages | {"processor": cpu, "python": recorded["python"] or "not known"}


def tries_of(record: Record) -> list[Attempt]:
    """The try that began the model, and those that resumed it."""
    begun = max(number for number, one in enumerate(record.attempts) if not (number and one.start["resumes"]))
    return record.attempts[begun:]


def uncommitted(start: dict[str, Any]) -> bool:
    """Whether a try ran code that its commit does not hold: changed, or in no commit."""
    commit, changes, new = _code(start)
    return bool(changes or (commit and new))


def _code(start: dict[str, Any]) -> tuple[str | None, str | None, dict[str, Any]]:
    """Commit, changes beside it, and code in no commit: other untracked files may be logs, which a try writes."""
    git = start["git"]
    new = {path: row for path, row in git.get("untracked", {}).items()
           if path in start["files"] or path.endswith(".py")}  # fmt: skip
    return git.get("commit"), git.get("diff"), new


def unlike(tries: list[Attempt]) -> list[str]:
    """Differences between all tries of a model, a clause each; none if they are alike."""
    differences, first = list[str](), tries[0].start
    commands = dict.fromkeys((" ".join(one.start["command"]), one.start["cwd"]) for one in tries)
    if len(commands) > 1:
        differences.append(f"its tries had different commands ({'; then '.join(command for command, _ in commands)})")
    if any((_code(one.start), one.start["data"]) != (_code(first), first["data"]) for one in tries):
        differences.append("code or data changed between its tries")
    return differences


def lacking(tries: list[Attempt]) -> list[str]:
    """Why the recorded commit alone does not make the model again, a clause each."""
    if any(uncommitted(one.start) for one in tries):
        return [*unlike(tries), "code was not committed when it ran (greenhouse verify takes that from its folder)"]
    return unlike(tries)


def strangers(files: dict[str, str], record: Record) -> list[str]:
    """Names of those files (name -> sha256) that the run did not leave behind when it ended, by its record."""
    left = {row["sha256"] for row in record.attempts[-1].outputs.values()}
    return [name for name, sha256 in files.items() if sha256 not in left and name not in OURS]


def records_of(model: str, facts: dict[str, Any]) -> StageRecords:
    """Records that stages would have made: the model's facts, and last figures of its trainer's log."""
    one = {"model": model, "measured_by": facts["trainer"] or "its trainer", "unit": "number", "headline": True}
    one["variance"] = "one figure of the trainer's log"
    better = {name: "lower" if name.endswith(("loss", "bpb", "ppl")) else "higher" for name in facts["figures"]}
    scores = [
        Score(name=f"training/{name}", title=name, value=value, better=better[name], **one)
        for name, value in facts["figures"].items()
    ]
    kept = {name: facts[name] for name in ("pipeline_tag", "parameters", "shape")}
    training = {name: facts[name] for name in ("steps", "tokens") if facts[name]}
    entry = ModelFacts(**kept, objective=facts["pipeline_tag"], training=training, finetuning={}, task={}, flop=0.0)
    return StageRecords(documents={}, tokens={}, models={model: entry}, scores=scores, skipped=[], metrics={})


def answered(answers: ModelAnswers, facts: dict[str, Any]) -> ModelAnswers:
    """The answers with what holds of a model of another trainer alone."""
    data, unknown, trainer = facts["data"], dict(facts["not_known"]), facts["trainer"] or "an unknown trainer"
    why, size = unknown[DATA], sum(row["bytes"] for row in data.values())
    if data:
        why = f"no stage read its text; its record has its sha256 (files: {len(data)}, {size / 1e6:.2g} MB)"
        del unknown[DATA]
    changes = {
        "title": f"{answers.model.removeprefix('adopted/')}, by {trainer}",
        "description": "A model of another trainer that Greenhouse answers for.",
        "base": facts["base"],
        "rebuild": answers.rebuild.model_copy(update={"lacking": facts.get("lacking", "")}),
        "licence": facts["licence"] or NotKnown(not_known="no card that its trainer left states one"),
        "cost": answers.cost if facts["recorded"] else NotKnown(not_known=UNRECORDED),
        "data": NotKnown(not_known=why),
        "quality": NotKnown(not_known=UNSCORED) if isinstance(answers.quality, NotKnown) else answers.quality,
        "limits": [
            *facts.get("dangers", ()),
            *(f"Not known: {subject}: {reason}." for subject, reason in unknown.items()),
            TRUST if facts["recorded"] else f"Command, cost and failed tries are not known: {UNRECORDED}.",
        ],
    }
    return answers.model_copy(update=changes)
