"""The documents of an attestation by file name, each made of the claims alone."""

from typing import Any

from components.studies.attestation.bom import bom
from components.studies.attestation.claims import Claims
from components.studies.attestation.statements import gate_result, provenance, rebuild_result
from components.studies.attestation.training_content import training_content


def documents(claims: Claims) -> dict[str, Any]:
    """File -> contents; a test that was never made has none, nor corpora that are not behind it."""
    found = {
        "claims.json": claims.model_dump(mode="json"),
        "provenance.json": provenance(claims),
        "gate.json": gate_result(claims),
        "verify.json": rebuild_result(claims),
        "bom.cdx.json": bom(claims),
        "training-content.json": training_content(claims),
        "croissant.json": claims.croissant or None,
    }
    return {name: content for name, content in found.items() if content is not None}
