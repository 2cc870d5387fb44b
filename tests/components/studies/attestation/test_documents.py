"""The documents of an attestation: valid formats, and every field follows from a recorded fact."""

import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from benchmarks.proof.fields import without_source
from components.core.files import read_json
from components.params import Params
from components.stages.account.stage import account
from components.studies.attestation.claims import Claims, compared
from components.studies.attestation.documents import documents
from tests.components.finished_project import project


@pytest.fixture(scope="module")
def claims(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Claims about the tuned model of a finished project; what only DVC and MLflow know is made up."""
    root = tmp_path_factory.mktemp("project")
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
    manifest = read_json(root / "data/bias/train/manifest.json")
    croissant = {"@type": "sc:Dataset"}
    made = Claims(
        files={"model.safetensors": "ab" * 32}, md5="3.dir", lock=lock, answers=answers, commit="c" * 40,
        environment={"processor": "a CPU", "torch": "2.13.0"},
        verdict={"registered": "greenhouse-instruct-2", "version": "2", "verdict": "promote", "champion": "1",
                 "reasons": ["better"]},
        energy={"ingest": {"kwh": [1, 2, 3], "grams": [4, 5, 6]}}, source_kinds={"numpy": ingest["sources"][0]},
        sources=manifest["sources"], generated={"canary": {"num_documents": 3, "num_bytes": 40}},
        retrieved=["2026-01-01", "2026-02-01"], read={}, personal={"email": 2},
        shards={"data/mix/train/part-00000.parquet": "cd" * 32}, croissant=croissant, owner={"provider": "we"},
    )  # fmt: skip
    return json.loads(made.model_dump_json())


def test_the_bill_of_materials_is_valid_and_has_intervals_and_energy(claims: dict[str, Any]) -> None:
    bom = documents(Claims.model_validate(claims))["bom.cdx.json"]
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(json.dumps(bom)) is None
    card = bom["metadata"]["component"]["modelCard"]
    assert card["quantitativeAnalysis"]["performanceMetrics"][0]["confidenceInterval"]
    (energy,) = card["considerations"]["environmentalConsiderations"]["energyConsumptions"]
    assert energy["activityEnergyCost"] == {"value": 2, "unit": "kWh"}
    unmetered = claims | {"energy": {"not_known": "no ledger"}, "environment": {"not_known": "no run"}}
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(
        json.dumps(documents(Claims.model_validate(unmetered))["bom.cdx.json"])
    ) is None  # fmt: skip


@pytest.mark.parametrize(
    ("licence", "row"),
    [
        ("CC-BY-4.0", {"license": {"id": "CC-BY-4.0"}}),
        ("MIT OR Apache-2.0", {"expression": "MIT OR Apache-2.0"}),
        ("NOASSERTION", {"license": {"name": "NOASSERTION"}}),
        ("MyOwn-1.0", {"license": {"name": "MyOwn-1.0"}}),
    ],
)
def test_licences_are_ids_or_expressions_where_they_can_be(
    claims: dict[str, Any], licence: str, row: dict[str, Any]
) -> None:
    data = claims["answers"]["data"]
    own = [one | {"licence": licence} for one in data["attribution"]]
    answers = claims["answers"] | {"licence": licence, "data": data | {"attribution": own}}
    bom = documents(Claims.model_validate(claims | {"answers": answers}))["bom.cdx.json"]
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(json.dumps(bom)) is None
    assert bom["metadata"]["component"]["licenses"] == [row]
    assert bom["components"][0]["licenses"] == [row]


def test_every_field_of_every_document_follows_from_a_fact(claims: dict[str, Any]) -> None:
    number, without = without_source(claims)
    assert number > 150
    assert without == []


def test_tests_that_nobody_made_have_no_statement(claims: dict[str, Any]) -> None:
    unknown = {"not_known": "nobody asked"}
    silent = claims | {"verdict": unknown, "answers": claims["answers"] | {
        "rebuild": claims["answers"]["rebuild"] | {"verified": unknown}}}  # fmt: skip
    assert {"gate.json", "verify.json"}.isdisjoint(documents(Claims.model_validate(silent)))
    assert documents(Claims.model_validate(claims))["verify.json"]["predicate"]["result"] == "PASSED"


def test_what_differs_is_named_and_what_is_unknown_here_is_not_called_checked(claims: dict[str, Any]) -> None:
    here = claims | {"md5": "4.dir", "energy": {"not_known": "no ledger here"}, "sources": {}}
    differs, unknown = compared(claims, here)
    assert differs[0].startswith("md5: attested 3.dir, recomputed 4.dir")
    assert [line for line in differs if line.startswith("sources.")]
    assert unknown == ["energy: no ledger here"]


def test_what_nobody_knows_there_or_here_is_no_difference(claims: dict[str, Any]) -> None:
    there = claims | {"verdict": {"not_known": "the gate was not asked about this model"}}
    assert compared(there, claims | {"verdict": {"not_known": "not registered here"}}) == (
        [], ["verdict: not registered here"])  # fmt: skip
    wrong, told = compared(there, claims)
    assert not wrong, "the gate may be asked after a model was attested"
    assert told == ["verdict: not in the attestation; here greenhouse-instruct-2 version 2: promote"]
    wrong, told = compared(there, claims | {"verdict": claims["verdict"] | {"verdict": "hold"}})
    assert wrong == ["verdict: not in the attestation; here greenhouse-instruct-2 version 2: hold"]
    rebuild = claims["answers"]["rebuild"]
    silent, failed = (
        claims | {"answers": claims["answers"] | {"rebuild": rebuild | {"verified": verified}}}
        for verified in ({"not_known": "nobody did"}, rebuild["verified"] | {"result": "differs: model.safetensors"})
    )
    assert compared(silent, failed)[0], "a rebuild that made other bytes may have been left out"
    assert compared(claims, claims | {"verdict": claims["verdict"] | {"verdict": "refuse"}})[0]


def test_a_model_without_a_corpus_of_the_pipeline_has_documents_without_one(claims: dict[str, Any]) -> None:
    own = {"data": {"not_known": "rows made elsewhere"}, "base": "Qwen3-0.6B", "stages": ["finetune@instruct"]}
    none: dict[str, Any] = {name: {} for name in ("sources", "generated", "read", "personal", "shards", "croissant")}
    alone = documents(Claims.model_validate(claims | none | {"retrieved": [], "answers": claims["answers"] | own}))
    assert "croissant.json" not in alone
    assert alone["provenance.json"]["predicate"]["buildDefinition"]["externalParameters"]["stages"] == []
    assert alone["training-content.json"]["model"]["depends_on"]["value"] == "Qwen3-0.6B"
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(json.dumps(alone["bom.cdx.json"])) is None


def test_the_training_content_says_not_known_rather_than_nothing(claims: dict[str, Any]) -> None:
    summary = documents(Claims.model_validate(claims))["training-content.json"]
    assert summary["model"]["provider"] == {"value": "we", "from": "owner's file"}
    assert summary["sources"]["user_data"]["value"].startswith("not known")
    assert summary["sources"]["data_sets_of_packages_and_hubs"]["value"]["numpy"]["share_of_sources"] > 0


def test_rows_that_the_model_was_tuned_on_are_among_its_data(claims: dict[str, Any]) -> None:
    rows = {"path": "/home/a/chats.jsonl", "md5": "7", "size": 70}
    params = {"params.yaml": {"finetune.instruct": {"data": rows["path"]}}}
    base = {"path": "models/pretrain/causal", "md5": "2.dir"}
    tuned = {"cmd": "exec finetune", "deps": [rows, base], "params": params, "outs": []}
    lock = claims["lock"] | {"finetune@instruct": tuned}
    sources = documents(Claims.model_validate(claims | {"lock": lock}))["training-content.json"]["sources"]
    assert sources["own_files"]["value"]["/home/a/chats.jsonl"]["md5"] == "7"
