"""`greenhouse promote`: whether new models replace the champions, and the alias `champion` for those that do."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components import params as schema
from components.core.errors import UserError
from components.core.files import write_json, write_text
from components.params import GateRule, Params, Promotion
from components.studies import withdrawn as withdrawals
from components.studies.promotion_gate import GateVerdict, judge
from components.studies.withdrawn import withdrawn
from flows.execution import cli
from flows.execution.stage import Study
from flows.system import paths
from flows.tracking import mlflow_run, seed_runs
from flows.tracking.snapshots import Snapshot, find

REPORTS = paths.ROOT / "reports" / "promote"


@dataclass(frozen=True)
class Judgement:
    """A registered model, the versions compared, and what came of it."""

    model: str
    champion: str
    challenger: str
    verdict: GateVerdict
    override: str = ""
    withdrawn: str = ""

    @property
    def promoted(self) -> bool:
        """Whether the challenger became champion."""
        return self.verdict.verdict == "promote" or bool(self.override)

    def lines(self) -> list[str]:
        """The paragraph of reports."""
        name = f"version {self.challenger} of {self.model}"
        end = f"{name} is champion now" if self.promoted else f"version {self.champion} stays champion"
        by = [f"promoted by override, against the gate: {self.override}"] if self.override else []
        withdrawn = [f"version {self.champion}, the champion, is {self.withdrawn}"] if self.withdrawn else []
        return [*withdrawn, f"{name} against version {self.champion}", *self.verdict.lines(), *by, end]

    def tags(self) -> dict[str, str]:
        """Tags of the challenger's version in MLflow."""
        tags = {"gate.verdict": self.verdict.verdict, "gate.champion": self.champion}
        reasons = {"gate.reasons": "\n".join(self.verdict.lines())[:4000]}
        return tags | reasons | ({"gate.override": self.override} if self.override else {})


def run_study(name: str, params: Params, settings: Promotion) -> Path:
    """Ask the gate whether new models replace the champions; each registered model by itself, over works and seeds."""
    challenger, paragraphs = find(settings.challenger), []
    for branch, stage in seed_runs.STAGES.items():
        rule, overridden = params.promote.rules.get(branch), False
        if not rule and branch not in settings.override:
            lines = [f"{branch}: {without_rule(branch)}"] if stage in challenger.lock else []
        elif stage not in challenger.lock:
            lines = [f"{branch}: {challenger.name} has no stage {stage}, so there is nothing to judge"]
        else:
            result = judge_model(challenger, branch, rule, params, settings.override.get(branch, ""))
            lines = [result] if isinstance(result, str) else result.lines()
            overridden = isinstance(result, Judgement) and bool(result.override)
        if branch in settings.override and not overridden:
            lines.append(f"the override of {branch} had no effect")
        if lines:
            paragraphs.append("\n".join(f"- {line}" for line in lines))
    text = f"# Promotion: {challenger.name}\n\n" + "\n\n".join(paragraphs) + "\n"
    write_text(REPORTS / "report.md", text)
    return REPORTS


def without_rule(branch: str) -> str:
    """That models of a kind are not judged, and what to do."""
    return (
        f"no rule judges models of this kind: write into promote.rules what `{branch}` must improve, or promote one "
        f"with `--override {branch}=REASON`"
    )


def judge_model(
    challenger: Snapshot, branch: str, rule: GateRule | None, params: Params, override: str
) -> Judgement | str:
    """The gate's answer on one kind of model, carried out and recorded, or why there is none.

    Args:
        override: the reason to promote it whatever the gate says, or empty.
    """
    if why := withdrawn(paths.ROOT, seed_runs.model_of(challenger, branch)):
        return f"{branch} of {challenger.name} is {why}, so it is not judged"
    mlflow, name = mlflow_run.client(), seed_runs.model_name(challenger, branch)
    fingerprint = challenger.fingerprints().get(seed_runs.STAGES[branch], "none")
    versions = {row.version: row for row in mlflow.search_model_versions(f"name = '{name}'")}
    champion = mlflow.get_registered_model(name).aliases.get("champion") if versions else None
    champions = [version for version in versions if version == champion]
    candidates = [version for version, row in versions.items() if row.tags.get("fingerprint") == fingerprint]
    if not candidates:
        return f"{name}: no registered version was made by {challenger.name}"
    version = max(candidates, key=int)
    if not champions and challenger.kind != "workspace":
        return f"{name}: no champion to be held against; `greenhouse promote` makes the workspace's model the first"
    if not champions:  # a purge has deleted it: this is the first of its name again
        mlflow.set_registered_model_alias(name, "champion", version)
        return f"{name}: there was no champion, so version {version} is champion now, compared with none"
    if champions[0] in candidates:
        return f"{name}: version {champions[0]} is of {challenger.name}, and champion already"
    if rule:
        verdict = _judged(find(f"{name}@champion"), challenger, branch, rule, params)
    else:
        verdict = GateVerdict("inconclusive", [without_rule(branch)])
    why = withdrawn(paths.ROOT, versions[champions[0]].tags.get("dvc.md5"))
    judgement = Judgement(name, champions[0], version, verdict, override if verdict.verdict != "promote" else "", why)
    carry_out(mlflow, judgement)
    return judgement


def _judged(champion: Snapshot, challenger: Snapshot, branch: str, rule: GateRule, params: Params) -> GateVerdict:
    for side, snapshot in (("champion", champion), ("challenger", challenger)):
        if not seed_runs.has_items(snapshot, branch):
            return GateVerdict(
                "inconclusive", [f"the {side} was not scored item by item; run the pipeline there again"]
            )
        if seed_runs.scores_another(snapshot, branch):
            return GateVerdict(
                "inconclusive", [f"the {side}'s scores are of an earlier model; run the pipeline to its end"]
            )
    compared = seed_runs.Compared.of(champion, challenger, branch)
    heldout = seed_runs.heldout_of(champion)
    same = bool(heldout) and heldout == seed_runs.heldout_of(challenger)
    pair = [
        seed_runs.evaluation(snapshot, items, branch)
        for snapshot, items in ((champion, compared.items_a), (challenger, compared.items_b))
    ]
    return judge(rule, pair[0], pair[1], compared.noise, same)


def carry_out(mlflow: Any, judgement: Judgement) -> None:
    """Record a judgement with the model's version and for the report; move the alias by it."""
    for key, value in judgement.tags().items():
        mlflow.set_model_version_tag(judgement.model, judgement.challenger, key, value)
    if judgement.promoted:
        mlflow.set_registered_model_alias(judgement.model, "champion", judgement.challenger)
    record = {"model": judgement.model, "verdict": judgement.verdict.verdict, "lines": judgement.lines()}
    write_json(paths.FINDINGS / "gate" / f"{judgement.model}.json", record | {"promoted": judgement.promoted})


def withdraw_models(state: str, reasons: dict[str, str]) -> None:
    """Put models of a state on the list of withdrawn ones, each with its reason.

    Raises `UserError`: there is no such model, or no reason.
    """
    one = find(state)
    known = {kind: md5 for kind in seed_runs.STAGES if (md5 := seed_runs.model_of(one, kind))}
    known |= {state.rpartition("/")[2]: md5 for md5 in one.outputs().values() if one.adopted}
    for kind, reason in reasons.items():
        if kind not in known:
            raise UserError(f"--withdraw {kind}: {one.name} has no such model; there are {', '.join(known)}")
        if not reason.strip():
            raise UserError(f"--withdraw {kind}=REASON: give the reason, it is recorded with the model")
    for kind, reason in reasons.items():
        withdrawals.withdraw(paths.ROOT, [known[kind]], reason, datetime.now(UTC).date())
        print(f"{kind} of {one.name} is {withdrawn(paths.ROOT, known[kind])}; commit the list, so that others know")


STUDY = Study("promote", Promotion, "The gate's verdict", run_study)


def promote(challenger: str = "", /, *, override: tuple[str, ...] = (), withdraw: tuple[str, ...] = ()) -> int:
    """Ask the gate whether new models replace the champions, and give the alias `champion` to those that do.

    greenhouse promote                        the workspace's models
    greenhouse promote my-experiment
    greenhouse promote workspace --override causal="demo for Monday"
    greenhouse promote my-experiment --withdraw instruct="it quotes a customer"

    Each registered model is judged by itself against its present champion: by its primary metric, guards and limits in
    `promote.rules`, over works and seeds (`greenhouse study seeds` measures the noise of seeds; without it nothing is
    promoted). The smallest gain that could be told from none, or why it is not known, is printed before the verdict.
    The verdict is an artifact of the flow, tags of the model's version and a paragraph of the report; so is a promotion
    by override, with its reason. Where no champion is left, as after a purge, the model of the workspace becomes it.
    Nothing is judged with --withdraw: the model is put on the list withdrawn.json, which verify, export, card, chat and
    the gate read.

    Args:
        challenger: snapshot that would replace the champions.
        override: KIND=REASON: promote this kind of model whatever the gate says; the reason is recorded.
        withdraw: KIND=REASON: nobody may use this model of the snapshot any more; the reason is recorded.
    """
    if withdraw:
        withdraw_models(challenger or "workspace", dict(row.partition("=")[::2] for row in withdraw))
        return 0
    reasons = dict(row.partition("=")[::2] for row in override)
    try:
        chosen = Promotion(challenger=challenger or "workspace", override=reasons)
    except ValidationError as error:
        raise UserError(schema.explain(error, "")) from None
    find(chosen.challenger)  # a wrong name is refused before a run begins
    from flows.forms import study_form

    return cli.run(study_form(STUDY), REPORTS / "report.md", params=chosen)
