"""How a model was built, as an in-toto statement (SLSA provenance v1).

Formats: https://slsa.dev/spec/v1.0/provenance, https://github.com/in-toto/attestation/tree/main/spec. Plain JSON; the
signature of the folder (OMS) covers it together with the model it is about.
"""

from typing import Any

from components.studies.attestation.claims import Claims

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:greenhouse:dvc-stages:v1"
"""Commands of `externalParameters.stages`, run in their order in a checkout of the commit: docs/answering.md."""


def digest_of(md5: str) -> dict[str, str]:
    """DVC's hash as a digest set: of a file its MD5, of a folder the MD5 of its listing, under a name of its own.

    Inputs of a recorded run of another trainer have a sha256.
    """
    if len(md5) == 64:
        return {"sha256": md5}
    return {"dvcFolderMd5": md5.removesuffix(".dir")} if md5.endswith(".dir") else {"md5": md5}


def provenance(claims: Claims) -> dict[str, Any]:
    """How the model was built: commands and parameters, every input that no stage made, every output on the way."""
    stages = [name for name in claims.stages if name in claims.lock]
    outs = [(name, out) for name in stages for out in claims.lock[name].get("outs", [])]
    inputs: dict[str, str] = {
        dep["path"]: dep["md5"]
        for name in stages
        for dep in claims.lock[name].get("deps", [])
        if not any(f"{dep['path']}/".startswith(f"{out['path']}/") for _, out in outs)
    }
    byproducts = [
        {"name": out["path"], "digest": digest_of(out["md5"]), "annotations": {"stage": name}} for name, out in outs
    ]
    commit = claims.commit if isinstance(claims.commit, str) else ""
    code = [{"name": "source code", "digest": {"gitCommit": commit.removesuffix("+changes")}}] if commit else []
    environment = claims.environment if isinstance(claims.environment, dict) else claims.environment.model_dump()
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in claims.files.items()],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "stages": [{"name": name, "command": claims.lock[name]["cmd"]} for name in stages],
                    "parameters": {name: claims.lock[name].get("params", {}) for name in stages},
                },
                "internalParameters": {"uncommittedChanges": commit.endswith("+changes"), "environment": environment},
                "resolvedDependencies": [
                    *code,
                    *({"name": path, "digest": digest_of(md5)} for path, md5 in sorted(inputs.items())),
                ],
            },
            "runDetails": {"builder": {"id": "urn:greenhouse:flows.pipeline"}, "byproducts": byproducts},
        },
    }
