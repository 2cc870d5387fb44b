"""The ML-BOM of a model (CycloneDX 1.7): its files, data, packages, scores with intervals, energy, and what limits it.

Written as a dictionary: cyclonedx-python-lib has no model card. https://cyclonedx.org/docs/1.7/json/
"""

import uuid
from typing import Any

from components.scores import Score
from components.stages.account.answers import DataAnswer, NotKnown
from components.studies.attestation.claims import Claims

ACTIVITIES = {"pretrain": "training", "finetune": "fine-tuning"}
"""Stage -> activity; all others prepare data."""
MACHINE = ("processor", "system", "python")
"""What the environment holds besides packages."""


def bom(claims: Claims) -> dict[str, Any]:
    """The bill of materials; its serial number follows from the model's bytes."""
    model = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": claims.title,
        "version": claims.md5.removesuffix(".dir"),
        "description": claims.description,
        "components": [
            {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": [{"alg": "SHA-256", "content": sha}]}
            for name, sha in claims.files.items()
        ],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised" if claims.base else "self-supervised"},
                "task": claims.facts.pipeline_tag,
                "architectureFamily": "transformer",
                "modelArchitecture": f"{claims.facts.objective}, {claims.facts.parameters} parameters",
                "datasets": [{"ref": f"data:{name}"} for name in (*claims.sources, *claims.generated)],
            },
            "quantitativeAnalysis": {"performanceMetrics": _metrics(claims)},
            "considerations": {
                "technicalLimitations": claims.limits,
                "environmentalConsiderations": {"energyConsumptions": _energy(claims)},
            },
        },
    }
    if isinstance(claims.licence, str):
        model["licenses"] = [stated(claims.licence)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, claims.md5)}",
        "version": 1,
        "metadata": {"component": model},
        "components": [*_data(claims), *_packages(claims.environment)],
    }


def stated(licence: str) -> dict[str, Any]:
    """A licence as its source states it: an SPDX id, an expression of several, or words that are neither."""
    from license_expression import get_spdx_licensing

    spdx = get_spdx_licensing()
    if licence in spdx.known_symbols and not licence.startswith("LicenseRef-"):
        return {"license": {"id": licence}}
    is_expression = " " in licence and not spdx.validate(licence).errors
    return {"expression": licence} if is_expression else {"license": {"name": licence}}


def _metrics(claims: Claims) -> list[dict[str, Any]]:
    """The model's own scores: those of its base stand in the base's documents."""
    scores = [] if isinstance(claims.quality, NotKnown) else claims.quality.scores
    return [_metric(score) for score in scores if score.model == claims.model]


def _metric(score: Score) -> dict[str, Any]:
    row: dict[str, Any] = {"type": f"{score.task}: {score.title}", "value": f"{score.value:.6g}"}
    if score.low is not None and score.high is not None:
        row["confidenceInterval"] = {"lowerBound": f"{score.low:.6g}", "upperBound": f"{score.high:.6g}"}
    return row


def _energy(claims: Claims) -> list[dict[str, Any]]:
    """Energy and carbon of each stage behind the model, mid, with low and high as properties; none if not metered."""
    cost = claims.cost
    if isinstance(claims.energy, NotKnown) or isinstance(cost, NotKnown):
        return []
    rows = []
    for stage, row in claims.energy.items():
        kwh, tonnes = row.kwh, [grams / 1e6 for grams in row.grams]
        spent = {"value": kwh[1], "unit": "kWh"}
        provider = {"organization": {"name": cost.location}, "energySource": "unknown", "energyProvided": spent}
        bounds = {
            "stage": stage,
            "kWh low": kwh[0],
            "kWh high": kwh[2],
            "tCO2eq low": tonnes[0],
            "tCO2eq high": tonnes[2],
        }
        bounds |= {"obtained": cost.how, "intensity": cost.intensity}
        rows.append(
            {
                "activity": ACTIVITIES.get(stage.split("@")[0], "data-preparation"),
                "energyProviders": [provider],
                "activityEnergyCost": spent,
                "co2CostEquivalent": {"value": tonnes[1], "unit": "tCO2eq"},
                "properties": _properties(bounds),
            }
        )
    return rows


def _properties(values: dict[str, Any]) -> list[dict[str, str]]:
    return [{"name": f"greenhouse:{name}", "value": str(value)} for name, value in values.items()]


def _data(claims: Claims) -> list[dict[str, Any]]:
    """A component per source of text, and one for the corpora's files with their hashes."""
    data = claims.data
    rows = data.attribution if isinstance(data, DataAnswer) and not isinstance(data.attribution, NotKnown) else []
    found = []
    for name, counts in claims.sources.items():
        own = [row for row in rows if row.source == name]
        content = {"type": "dataset", "name": name, "contents": {"properties": _properties(dict(counts))}}
        licences = [stated(licence) for licence in dict.fromkeys(row.licence for row in own)]
        versions = ", ".join(dict.fromkeys(row.version for row in own))
        ref = {"type": "data", "bom-ref": f"data:{name}", "name": name, "version": versions[:1024]}
        found.append(ref | {"licenses": licences, "data": [content]})
    for name, counts in claims.generated.items():
        made = {"type": "dataset", "name": name, "contents": {"properties": _properties(dict(counts))}}
        ref = {"type": "data", "bom-ref": f"data:{name}", "name": name}
        found.append(ref | {"data": [made]})
    files = [
        {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": sha}]}
        for name, sha in claims.shards.items()
    ]
    steps = ", ".join(claims.stages)
    return [*found, {"type": "data", "bom-ref": "corpora", "name": f"corpora of {steps}", "components": files}]


def _packages(environment: dict[str, str] | NotKnown) -> list[dict[str, Any]]:
    """The packages that the model's own stage ran with."""
    if isinstance(environment, NotKnown):
        return []
    return [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name.replace('_', '-')}@{version}"}
        for name, version in environment.items()
        if name not in MACHINE
    ]
