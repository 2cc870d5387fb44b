"""The SBOM of what is installed (CycloneDX 1.7): each distribution with version, purl, licence, hash, what it needs.

The hash is of its RECORD, the file in which pip keeps the sha256 of every file of a distribution. Made with the library
that validates the ML-BOM; https://cyclonedx.org/docs/1.7/json/
"""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement

from components.core.files import sha256_file
from components.stages.ingest.licences import UNKNOWN, licence_of

OURS = "greenhouse-lm"


def sbom() -> str:
    """The document, as JSON; what Greenhouse itself needs hangs below its own component."""
    installed: dict[str, Distribution] = {}
    for one in distributions():
        if (name := one.metadata["Name"]) is not None:  # the rest of a removal that failed has none
            installed.setdefault(_normal(name), one)  # the first is what `import` finds
    parts = {name: _component(name, installed[name]) for name in sorted(installed)}
    bom = Bom(components=[part for name, part in parts.items() if name != OURS])
    bom.metadata.component = parts.get(OURS)
    for name, part in parts.items():
        bom.register_dependency(part, [parts[need] for need in _needs(installed[name]) if need in parts])
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_7).output_as_string(indent=2)


def _normal(name: str) -> str:
    """The name as package indexes and purls spell it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(name: str, one: Distribution) -> Component:
    licence, _ = licence_of(one)
    unknown = DisjunctiveLicense(name="no SPDX licence in METADATA")
    licences = [unknown if licence == UNKNOWN else LicenseExpression(licence)]
    records = [
        Component(type=ComponentType.FILE, name=str(file), bom_ref=str(file), hashes=[
            HashType(alg=HashAlgorithm.SHA_256, content=sha256_file(Path(str(one.locate_file(file)))))
        ])
        for file in one.files or () if file.name == "RECORD" and len(file.parts) == 2
    ]  # fmt: skip
    purl = PackageURL("pypi", name=name, version=one.version)
    return Component(
        name=name, version=one.version, purl=purl, bom_ref=str(purl), licenses=licences, components=records
    )


def _needs(one: Distribution) -> Iterator[str]:
    """The distributions that it names as needed on this machine; those of extras are left out."""
    for line in one.requires or ():
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            yield _normal(wanted.name)
