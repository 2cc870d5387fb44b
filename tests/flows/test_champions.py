"""How a model of the workspace compares with its registered champion."""

from types import SimpleNamespace

import pytest

from components.params import Params
from flows import champions
from flows.tracking.snapshots import Snapshot


def test_a_model_is_compared_with_its_champion_on_the_tasks_that_score_it(monkeypatch: pytest.MonkeyPatch) -> None:
    version = SimpleNamespace(version="3", tags={"fingerprint": "other"})
    monkeypatch.setattr(champions, "registered_alias", lambda name, alias: version if "causal" in name else None)
    held = {"ingest": {"outs": [{"path": "data/ingest/heldout", "md5": "1"}]}}
    now, champion = Snapshot("workspace", "workspace", held), Snapshot("greenhouse-causal-2@champion", "run", held)
    monkeypatch.setattr(champions, "find", lambda name: champion)
    row = SimpleNamespace(a=0.2, b=0.4, improvement=0.2, low=0.1, high=0.3, p_files=0.01, p_holm=0.2)
    models = {"recall/accuracy": "pretrain/causal", "sentence_pairs/masked": "pretrain/masked"}
    rows = [SimpleNamespace(name=name, model=model, **vars(row)) for name, model in models.items()]
    monkeypatch.setattr(champions, "differences", lambda a, b: (rows, []))
    against = champions.against_champion(now, "pretrain/causal", Params())
    assert (against.champion, against.is_this) == ("greenhouse-causal-2 version 3", False)
    assert [change.name for change in against.changes] == ["recall/accuracy"]
    assert (against.changes[0].significant, against.changes[0].by_settings) == (True, False)
    alone = champions.against_champion(now, "pretrain/masked", Params())
    assert alone.not_known == "no registered model greenhouse-masked-2 has the alias champion"
    monkeypatch.setattr(champions, "differences", lambda a, b: ([], []))
    nothing = champions.against_champion(now, "pretrain/causal", Params())
    assert nothing.not_known == "no eval task that scores both this model and greenhouse-causal-2 version 3"
    monkeypatch.setattr(champions, "same_heldout", lambda a, b: False)
    apart = champions.against_champion(now, "pretrain/causal", Params())
    assert apart.not_known == "greenhouse-causal-2 version 3 was examined on another held-out set"
    monkeypatch.setattr(champions, "scores_another", lambda state, branch: state is champion)
    stale = champions.against_champion(now, "pretrain/causal", Params())
    assert stale.not_known.startswith("greenhouse-causal-2 version 3's scores are of an earlier model; run the pipe")
    monkeypatch.setattr(champions, "scores_another", lambda state, branch: state is now)
    stale = champions.against_champion(now, "pretrain/causal", Params())
    assert stale.not_known == "this model's scores are of an earlier model; run the pipeline to its end"
    version.tags["fingerprint"] = now.fingerprints().get("pretrain@causal")
    assert champions.against_champion(now, "pretrain/causal", Params()).is_this
