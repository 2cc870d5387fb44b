"""In-toto statements about a model: how it was built (SLSA provenance v1), which tests it passed (test-result v0.1).

Formats: https://slsa.dev/spec/v1.0/provenance, https://github.com/in-toto/attestation/tree/main/spec. They are plain
JSON; the signature of the folder (OMS) covers them together with the model they are about.
"""

from typing import Any

from components.stages.account.answers import NotKnown
from components.studies.attestation.claims import Claims

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
BUILD_TYPE = "urn:greenhouse:dvc-stages:v1"
"""Commands of `externalParameters.stages`, run in their order in a checkout of the commit: docs/answering.md."""


def _statement(claims: Claims, kind: str, predicate: dict[str, Any]) -> dict[str, Any]:
    subject = [{"name": name, "digest": {"sha256": digest}} for name, digest in claims.files.items()]
    return {"_type": STATEMENT, "subject": subject, "predicateType": kind, "predicate": predicate}


def digest_of(md5: str) -> dict[str, str]:
    """DVC's hash as a digest set: of a file its MD5, of a folder the MD5 of its listing, under a name of its own."""
    return {"dvcFolderMd5": md5.removesuffix(".dir")} if md5.endswith(".dir") else {"md5": md5}


def provenance(claims: Claims) -> dict[str, Any]:
    """How the model was built: commands and parameters, every input that no stage made, every output on the way."""
    stages = [name for name in claims.answers.stages if name in claims.lock]
    outs = {out["path"] for name in stages for out in claims.lock[name].get("outs", [])}
    inputs: dict[str, str] = {
        dep["path"]: dep["md5"]
        for name in stages
        for dep in claims.lock[name].get("deps", [])
        if not any(dep["path"] == out or dep["path"].startswith(f"{out}/") for out in outs)
    }
    made = [
        {"name": out["path"], "digest": digest_of(out["md5"]), "annotations": {"stage": name}}
        for name in stages
        for out in claims.lock[name].get("outs", [])
    ]
    commit = claims.commit if isinstance(claims.commit, str) else ""
    code = [{"name": "source code", "digest": {"gitCommit": commit.removesuffix("+changes")}}] if commit else []
    made_with = claims.environment if isinstance(claims.environment, dict) else claims.environment.model_dump()
    return _statement(
        claims,
        PROVENANCE,
        {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "stages": [{"name": name, "command": claims.lock[name]["cmd"]} for name in stages],
                    "parameters": {name: claims.lock[name].get("params", {}) for name in stages},
                },
                "internalParameters": {"uncommittedChanges": commit.endswith("+changes"), "environment": made_with},
                "resolvedDependencies": [
                    *code,
                    *({"name": path, "digest": digest_of(md5)} for path, md5 in sorted(inputs.items())),
                ],
            },
            "runDetails": {"builder": {"id": "urn:greenhouse:flows.pipeline"}, "byproducts": made},
        },
    )


RESULTS = {"promote": "PASSED", "identical": "PASSED", "inconclusive": "WARNED"}
"""What came of a test -> its result; anything else failed."""


def _test_result(claims: Claims, test: str, came: str, configuration: str, more: dict[str, Any]) -> dict[str, Any]:
    result = RESULTS.get(came, "FAILED")
    predicate = {
        "result": result,
        "configuration": [{"name": configuration}],
        "passedTests": [test] if result == "PASSED" else [],
        "warnedTests": [test] if result == "WARNED" else [],
        "failedTests": [test] if result == "FAILED" else [],
        "greenhouse": more,
    }
    return _statement(claims, TEST_RESULT, predicate)


def gate_result(claims: Claims) -> dict[str, Any] | None:
    """The gate's verdict; None if the gate was never asked."""
    gate = claims.verdict
    if isinstance(gate, NotKnown):
        return None
    test, name = f"gate against version {gate.champion}", f"{gate.registered} version {gate.version}"
    return _test_result(claims, test, gate.verdict, name, {"verdict": gate.verdict, "reasons": gate.reasons})


def rebuild_result(claims: Claims) -> dict[str, Any] | None:
    """The last rebuild of these bytes; None if nobody has rebuilt them."""
    rebuild = claims.answers.rebuild
    if isinstance(rebuild.verified, NotKnown):
        return None
    facts = rebuild.verified.model_dump()
    return _test_result(claims, "rebuilt from the commit bit for bit", facts["result"], rebuild.command, facts)
