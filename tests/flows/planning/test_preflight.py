"""What is refused before the first stage begins."""

from pathlib import Path

import pytest
import torch

from components.core.errors import UserError
from components.params import parse
from flows.planning.preflight import raise_if_unfit

SOURCE = {"kind": "files", "name": "own", "path": "texts"}
ROWS = {"instruct": {"data": "rows.jsonl"}, "classify": {}}


@pytest.mark.parametrize(
    ("tree", "stage", "complaint"),
    [
        ({"ingest": {"sources": [SOURCE], "watch": "texts"}}, "ingest", "texts: no such file or folder"),
        ({"ingest": {"sources": [SOURCE | {"licence": "MINE"}], "watch": "texts"}}, "ingest", "no SPDX licence"),
        ({"ingest": {"licences": {"deny": ["MINE"]}}}, "ingest", "no SPDX licence"),
        ({"filter": {"languages": ["german"]}}, "filter", "'german' is no language"),
        ({"finetune": ROWS}, "finetune@instruct", "rows.jsonl: no such file or folder"),
        ({"numerics": {"device": "cuda"}}, "pretrain@causal", "no CUDA device"),
    ],
)
def test_what_a_stage_would_refuse_is_refused_before_any_begins(
    tree: dict, stage: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    params = parse(tree)
    raise_if_unfit(params, tmp_path, ["mix"])  # of stages that do not run nothing is asked
    with pytest.raises(UserError, match=complaint):
        raise_if_unfit(params, tmp_path, ["mix", stage])


def test_the_parameters_that_ship_pass(tmp_path: Path) -> None:
    raise_if_unfit(
        parse({}), tmp_path, ["ingest", "filter", "pretrain@causal", "finetune@instruct", "finetune@classify"]
    )
