"""`greenhouse promote`: what was judged is promoted and nothing else; an override is recorded with its reason."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.core.errors import UserError
from components.core.files import read_json
from components.params import GateRule, Params, Promote, Promotion
from components.statistics import Difference, Spread
from components.studies.noise_floor import SeedNoise
from components.studies.promotion_gate import Evaluation, decide
from flows import promote
from flows.tracking import mlflow_run, seed_runs
from flows.tracking.model_registry import registered_name
from flows.tracking.snapshots import Snapshot
from tests.errors import refuses

NAME = "greenhouse-causal-2"
FREE = {"causal": GateRule(primary="bits"), "masked": GateRule(primary="bits")}


def raises(words: str) -> None:
    raise UserError(words)


class Registry:
    """Versions 1 (champion) and 2 of a causal and a masked model; version 2 was made by the challenger."""

    def __init__(self) -> None:
        self.aliases = {name: {"champion": "1"} for name in (NAME, "greenhouse-masked-2")}
        self.tags: dict[tuple[str, str, str], str] = {}

    def search_model_versions(self, query: str) -> list[Any]:
        name = query.split("'")[1]
        made = {"1": "old", "2": "new"} if name in self.aliases else {}
        return [SimpleNamespace(name=name, version=v, tags={"fingerprint": made[v]}) for v in made]

    def get_registered_model(self, name: str) -> Any:
        return SimpleNamespace(aliases=self.aliases[name])

    def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        self.tags[name, version, key] = value

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self.aliases[name][alias] = version


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry, with the causal challenger better by much more than the noise, and the masked one equal."""
    found = Registry()
    challenger = Snapshot("workspace", "workspace", {stage: {} for stage in seed_runs.STAGES.values()})
    monkeypatch.setattr(Snapshot, "fingerprints", lambda self: dict.fromkeys(self.lock, "new"))
    monkeypatch.setattr(mlflow_run, "client", lambda: found)
    monkeypatch.setattr(promote, "find", lambda name: challenger)
    monkeypatch.setattr(promote, "REPORTS", tmp_path / "reports")
    monkeypatch.setattr(promote.paths, "FINDINGS", tmp_path)

    def judged(old: Snapshot, new: Snapshot, branch: str, rule: GateRule, params: Params) -> Any:
        gain = 0.2 if branch == "causal" else 0.0
        row = Difference(
            "bits", "lower", 2.0, 2.0 - gain, gain, gain, gain, 0.0, 0.0, 40, 10, 0, 0, (Spread(gain, 0.01, 9.0),)
        )
        noise = SeedNoise(0.013, 3.0, 2.0, "seed sd 0.0130 from 4 runs of both sides")
        return decide(rule, Evaluation([]), Evaluation([]), lambda metric: noise, [row])

    monkeypatch.setattr(promote, "_judged", judged)
    return found


RULES = Params(promote=Promote(rules=FREE))


def told(params: Params = RULES, **settings: Any) -> str:
    """The report of the gate, asked with these settings."""
    return (promote.run_study("run", params, Promotion(**settings)) / "report.md").read_text()


def test_the_better_model_is_promoted_and_the_equal_one_is_not(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = told()
    assert capsys.readouterr().out == "", "the command prints the report, once"
    assert registry.aliases == {NAME: {"champion": "2"}, "greenhouse-masked-2": {"champion": "1"}}
    assert registry.tags[NAME, "2", "gate.verdict"] == "promote"
    assert registry.tags["greenhouse-masked-2", "2", "gate.verdict"] == "inconclusive"
    assert not any(key == "gate.override" for _, _, key in registry.tags)
    assert text.index("smallest gain in bits") < text.index("verdict: promote")
    assert f"version 2 of {NAME} is champion now" in text
    assert "version 1 stays champion" in text
    assert read_json(tmp_path / "gate" / f"{NAME}.json")["promoted"] is True
    assert "champion already" in told()


def test_an_override_promotes_one_kind_and_is_recorded(registry: Registry) -> None:
    text = told(override={"masked": "demo for Monday"})
    assert registry.aliases["greenhouse-masked-2"]["champion"] == "2"
    assert registry.tags["greenhouse-masked-2", "2", "gate.override"] == "demo for Monday"
    assert registry.tags["greenhouse-masked-2", "2", "gate.verdict"] == "inconclusive"
    assert "promoted by override, against the gate: demo for Monday" in text
    assert (NAME, "2", "gate.override") not in registry.tags, "the gate promoted it"


def test_a_classifier_which_no_rule_judges_is_promoted_by_override(registry: Registry) -> None:
    name = registered_name(Params(), "finetune", "classify")
    registry.aliases[name] = {"champion": "1"}
    text = told(override={"classify": "fewer errors"})
    assert registry.aliases[name]["champion"] == "2"
    assert registry.tags[name, "2", "gate.override"] == "fewer errors"
    assert f"version 2 of {name} is champion now" in text
    challenger = promote.find("workspace")
    assert f"version 2 of {name} is champion now" in seed_runs.paragraphs(challenger, FREE)[name]


def test_a_model_without_a_rule_and_a_rule_without_a_model_are_sentences(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = told()
    assert "- prefer: no rule judges models of this kind: write into promote.rules what `prefer` must" in text
    lock: dict[str, dict] = {
        stage: {} for stage in ("ingest", "pretrain@causal", "pretrain@masked", "finetune@classify")
    }
    monkeypatch.setattr(promote, "find", lambda name: Snapshot("run-7", "run", lock))
    text = told(Params())
    assert "- prefer: run-7 has no stage finetune@prefer, so there is nothing to judge" in text
    assert "greenhouse-classify-2: no registered version was made by run-7" in text
    registry.aliases[NAME] = {}
    assert f"- {NAME}: no champion to be held against; `greenhouse promote` makes" in told(Params())


def test_the_workspaces_model_is_champion_where_a_purge_left_none(registry: Registry) -> None:
    """It said "no champion", and Completed; nothing made one again."""
    registry.aliases[NAME] = {}
    assert f"- {NAME}: there was no champion, so version 2 is champion now" in told()
    assert registry.aliases[NAME] == {"champion": "2"}


def test_a_wrong_name_is_refused_before_a_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promote, "find", lambda name: raises(f"{name}: there is none"))
    with pytest.raises(UserError, match="no-such: there is none"):
        promote.promote("no-such")


def test_the_preferred_model_is_judged_by_its_own_answers(registry: Registry) -> None:
    """Its base stays judged by the base's."""
    rules, name = Params().promote.rules, registered_name(Params(), "finetune", "prefer")
    assert rules.keys() == seed_runs.STAGES.keys()
    registry.aliases[name] = {"champion": "1"}
    text = told(Params())
    assert f"version 2 of {name} against version 1" in text


def test_no_challenger_at_all_is_a_sentence() -> None:
    refuses(lambda: told(challenger=" "), "snapshots.find.1", "`workspace`")


def test_a_withdrawn_model_is_neither_judged_nor_promoted_by_override(
    registry: Registry, checkout: Path, monkeypatch: pytest.MonkeyPatch, greenhouse: Callable[..., str]
) -> None:
    outs = {"outs": [{"path": "models/pretrain/causal", "md5": "1.dir"}]}
    challenger = Snapshot("workspace", "workspace", {"pretrain@causal": outs})
    monkeypatch.setattr(promote, "find", lambda name: challenger)
    said = greenhouse("promote", "--withdraw", "causal=it quotes a customer")
    assert "causal of workspace is withdrawn on 2" in said
    assert list(read_json(checkout / "withdrawn.json")) == ["1.dir"]
    text = told(override={"causal": "demo"})
    assert "it quotes a customer (withdrawn.json), so it is not judged" in text
    assert "the override of causal had no effect" in text
    assert registry.aliases[NAME] == {"champion": "1"}


@pytest.mark.parametrize(
    ("withdraw", "says"),
    [("masked=x", ["withdraw_models.1", "masked", "causal"]), ("causal= ", ["withdraw_models.2", "causal"])],
)
def test_only_a_model_that_there_is_is_withdrawn_with_a_reason(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, withdraw: str, says: list[str]
) -> None:
    outs = {"outs": [{"path": "models/pretrain/causal", "md5": "1.dir"}]}
    monkeypatch.setattr(promote, "find", lambda name: Snapshot("workspace", "workspace", {"pretrain@causal": outs}))
    refuses(lambda: promote.promote("", withdraw=("causal=a reason", withdraw)), *says)
    assert not (checkout / "withdrawn.json").exists()
