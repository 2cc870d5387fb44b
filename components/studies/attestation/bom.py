"""The ML-BOM of a model (CycloneDX 1.7): its files, data, packages, scores with intervals, energy, and what limits it.

Written as a dictionary: cyclonedx-python-lib has no model card. https://cyclonedx.org/docs/1.7/json/
"""

import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any

from components.stages.account.answers import Attribution, DataAnswer, NotKnown
from components.studies.attestation.claims import Claims

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
                "modelArchitecture": f"{claims.facts.objective}, {claims.facts.parameters or 'unknown'} parameters",
                "datasets": [{"ref": f"data:{name}"} for name in sources_of(claims)],
            },
            "quantitativeAnalysis": {"performanceMetrics": [*_metrics(claims)]},
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


@cache
def stated(licence: str) -> dict[str, Any]:
    """A licence as its source states it: an SPDX id, an expression of several, or words that are neither."""
    from license_expression import get_spdx_licensing

    spdx = get_spdx_licensing()
    if licence in spdx.known_symbols and not licence.startswith("LicenseRef-"):
        return {"license": {"id": licence}}
    is_expression = " " in licence and not spdx.validate(licence).errors
    return {"expression": licence} if is_expression else {"license": {"name": licence}}


def _metrics(claims: Claims) -> Iterator[dict[str, Any]]:
    """The model's own scores: those of its base stand in the base's documents."""
    for score in [] if isinstance(claims.quality, NotKnown) else claims.quality.scores:
        if score.model != claims.model:
            continue
        row: dict[str, Any] = {"type": f"{score.task}: {score.title}", "value": f"{score.value:.6g}"}
        if score.low is not None and score.high is not None:
            row["confidenceInterval"] = {"lowerBound": f"{score.low:.6g}", "upperBound": f"{score.high:.6g}"}
        yield row


def _energy(claims: Claims) -> list[dict[str, Any]]:
    """Energy and carbon of all stages behind the model, mid, with low and high as properties; none if not metered."""
    cost = claims.cost
    if isinstance(cost, NotKnown):
        return []
    spent = {"value": cost.kwh[1], "unit": "kWh"}
    provider = {"organization": {"name": cost.location}, "energySource": "unknown", "energyProvided": spent}
    facts = {
        "kWh low": cost.kwh[0], "kWh high": cost.kwh[2], "tCO2eq low": cost.grams[0] / 1e6,
        "tCO2eq high": cost.grams[2] / 1e6, "stages": ", ".join(cost.stages), "obtained": cost.how,
        "intensity": cost.intensity,
    }  # fmt: skip
    return [
        {
            "activity": "fine-tuning" if claims.base else "training",
            "energyProviders": [provider],
            "activityEnergyCost": spent,
            "co2CostEquivalent": {"value": cost.grams[1] / 1e6, "unit": "tCO2eq"},
            "properties": _properties(facts),
        }
    ]


def _properties(values: dict[str, Any]) -> list[dict[str, str]]:
    return [{"name": f"greenhouse:{name}", "value": str(value)} for name, value in values.items()]


def _data(claims: Claims) -> list[dict[str, Any]]:
    """A component per source of text, with its versions and licences; its bytes are outputs in provenance.json."""
    components = []
    for name, documents in sources_of(claims).items():
        of_source = [row for row in attributions(claims) if row.source == name]
        content = {"type": "dataset", "name": name, "contents": {"properties": _properties({"documents": documents})}}
        versions = ", ".join(dict.fromkeys(row.version for row in of_source))
        ref = {"type": "data", "bom-ref": f"data:{name}", "name": name, "version": versions[:1024]}
        licences = [stated(licence) for licence in dict.fromkeys(row.licence for row in of_source)]
        components.append(ref | {"licenses": licences, "data": [content]})
    return components


def sources_of(claims: Claims) -> dict[str, int]:
    """Source -> documents trained on, repeats left out."""
    return claims.data.sources if isinstance(claims.data, DataAnswer) else {}


def attributions(claims: Claims) -> list[Attribution]:
    """Source, version and licence of the text trained on."""
    rows = claims.data.attribution if isinstance(claims.data, DataAnswer) else []
    return [] if isinstance(rows, NotKnown) else rows


def _packages(environment: dict[str, str] | NotKnown) -> list[dict[str, Any]]:
    """The packages that the model's own stage ran with."""
    if isinstance(environment, NotKnown):
        return []
    return [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name.replace('_', '-')}@{version}"}
        for name, version in environment.items()
        if name not in MACHINE
    ]
