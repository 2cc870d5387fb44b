"""`python -m flows.account --since`: the project's total as a table, and a date that is none."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.core.errors import UserError
from components.params import Params
from flows import account, compare
from flows.system import paths
from flows.tracking import model_origin, seed_runs, snapshots
from flows.tracking.snapshots import Snapshot
from tests.components.finished_project import ledger


@pytest.fixture
def spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose ledger has a run of two stages; its params.yaml sets a price."""
    root = tmp_path / "greenhouse"
    root.mkdir()
    text = (paths.ROOT / "params.yaml").read_text()
    assert "price_per_kwh: 0.0" in text
    (root / "params.yaml").write_text(text.replace("price_per_kwh: 0.0", "price_per_kwh: 0.3"))
    shutil.copy(paths.ROOT / "defaults.yaml", root)
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "LEDGER", root / "ledger")
    ledger(root / "ledger", root, {"dedup": 0.05, "filter": 0.05})
    return root


def rows(text: str) -> dict[str, list[str]]:
    """First word of a line -> its other words."""
    return {words[0]: words[1:] for line in text.splitlines() if (words := line.split())}


def test_the_total_of_the_project(spent: Path) -> None:
    said = account.project("")
    found = rows(said)
    assert {"dedup", "filter", "orchestration", "Completed", "workspace"} <= set(found)
    assert found["dedup"][0] == "1"  # runs
    assert float(found["dedup"][1]) > 0
    assert found["Completed"][0] == "3"  # two stages, and the run around them
    assert found["Completed"][1:] == found["workspace"][1:]
    assert float(found["price:"][0]) >= 0
    assert "all, since the first run" in said
    assert "nobody's (unattributed)" in said


def test_nothing_was_spent_since_a_day_to_come(spent: Path) -> None:
    said = rows(account.project("2999-01-01"))
    assert "dedup" not in said
    assert said["all,"][:3] == ["since", "2999-01-01", "0"]


def test_a_date_that_is_none_is_refused(spent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="since last week: no date"):
        account.project("last week")
    monkeypatch.setattr("sys.argv", ["account", "--since", "31.01.2026"])
    with pytest.raises(UserError, match=r"^since 31\.01\.2026: no date; write a day in UTC"):
        account.main()


def test_a_ledger_that_is_gone_is_an_empty_one(spent: Path) -> None:
    shutil.rmtree(spent / "ledger")
    assert "hosts: none" in account.project("")


def test_a_model_is_compared_with_its_champion_on_the_tasks_that_score_it(monkeypatch: pytest.MonkeyPatch) -> None:
    version = SimpleNamespace(version="3", tags={"fingerprint": "other"})
    monkeypatch.setattr(model_origin, "registered_alias", lambda name, alias: version if "causal" in name else None)
    held = {"ingest": {"outs": [{"path": "data/ingest/heldout", "md5": "1"}]}}
    now, champion = Snapshot("workspace", "workspace", held), Snapshot("greenhouse-causal-2@champion", "run", held)
    monkeypatch.setattr(snapshots, "find", lambda name: champion)
    row = SimpleNamespace(a=0.2, b=0.4, improvement=0.2, low=0.1, high=0.3, p_holm=0.01)
    rows = [SimpleNamespace(name=name, **vars(row)) for name in ("recall/accuracy", "sentence_pairs/masked")]
    monkeypatch.setattr(compare, "differences", lambda a, b: (rows, []))
    against = account.against_champion(now, "pretrain/causal", Params())
    assert (against.champion, against.is_this) == ("greenhouse-causal-2 version 3", False)
    assert [change.name for change in against.changes] == ["recall/accuracy"]
    assert against.changes[0].significant
    alone = account.against_champion(now, "pretrain/masked", Params())
    assert alone.not_known == "no registered model greenhouse-masked-2 has the alias champion"
    monkeypatch.setattr(compare, "differences", lambda a, b: ([], []))
    nothing = account.against_champion(now, "pretrain/causal", Params())
    assert nothing.not_known == "no eval task that scores both this model and greenhouse-causal-2 version 3"
    monkeypatch.setattr(compare, "same_heldout", lambda a, b: False)
    apart = account.against_champion(now, "pretrain/causal", Params())
    assert apart.not_known == "greenhouse-causal-2 version 3 was examined on another held-out set"
    monkeypatch.setattr(seed_runs, "scores_another", lambda state, branch: state is champion)
    stale = account.against_champion(now, "pretrain/causal", Params())
    assert stale.not_known.startswith("greenhouse-causal-2 version 3's scores are of an earlier model; run the pipe")
    monkeypatch.setattr(seed_runs, "scores_another", lambda state, branch: state is now)
    stale = account.against_champion(now, "pretrain/causal", Params())
    assert stale.not_known == "this model's scores are of an earlier model; run the pipeline to its end"
    version.tags["fingerprint"] = now.fingerprints().get("pretrain@causal")
    assert account.against_champion(now, "pretrain/causal", Params()).is_this
