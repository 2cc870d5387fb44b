"""Claims about a model for tests: those of the tuned model of a finished project."""

import json
from pathlib import Path
from typing import Any

from components.core.files import read_json
from components.params import Params
from components.stages.account.stage import account
from components.studies.attestation.claims import Claims
from tests.components.finished_project import project


def made_claims(root: Path) -> dict[str, Any]:
    """The claims as JSON; the project is made in the empty folder `root`, what only DVC and MLflow know is made up."""
    account(root=root, ledger_folder=project(root), params=Params())
    answers = read_json(root / "reports/cards/finetune-instruct/card.json")
    answers["data"]["removed"] = answers["data"]["removed"][:2]
    answers["quality"]["scores"] = answers["quality"]["scores"][:3]
    answers["rebuild"]["verified"] = {"result": "identical", "at": "2026-01-01T10:00+00:00", "processor": "a CPU"}
    ingest = {"sources": [{"kind": "packages", "name": "numpy"}], "opt_out": "opt_out.txt"}
    lock: dict[str, Any] = {
        "ingest": {"cmd": "exec ingest", "deps": [{"path": "components/core", "md5": "c0.dir"}],
                   "params": {"params.yaml": {"ingest": ingest}},
                   "outs": [{"path": "data/ingest/train", "md5": "1.dir"}]},
        "pretrain@causal": {"cmd": "exec pretrain", "deps": [{"path": "data/ingest/train", "md5": "1.dir"}],
                            "outs": [{"path": "models/pretrain/causal", "md5": "2.dir"}]},
    }  # fmt: skip
    made = Claims(
        **answers, files={"model.safetensors": "ab" * 32}, md5="3.dir", lock=lock, commit="c" * 40,
        environment={"processor": "a CPU", "torch": "2.13.0"},
        verdict={"registered": "greenhouse-instruct-2", "version": "2", "verdict": "promote", "champion": "1",
                 "reasons": ["better"]},
        retrieved=["2026-01-01", "2026-02-01"], personal={"email": 2}, owner={"provider": "we"},
    )  # fmt: skip
    return json.loads(made.model_dump_json())
