"""Summary of the training content: material for two forms that ask for one, each field with where it was read.

The forms are the template of the European Commission of July 2025 (AI Act, Article 53(1)(d)) and the twelve items of
California's AB 2013 (Civil Code 3111). A field comes from what the stages recorded, from the owner's file, or is "not
known"; the words are ours, and whoever fills a form decides what it asks. Nothing here says that a duty is met.
"""

from collections.abc import Callable
from typing import Any

from components.core.files import nested
from components.params import layout
from components.stages.account.answers import DataAnswer, NotKnown
from components.studies.attestation.bom import sources_of
from components.studies.attestation.claims import Claims

OWNER = {
    "provider": "who provides the model, and how to reach them",
    "placed_on_market": "day on which the model was made available",
    "purpose": "how the data furthers the intended purpose",
    "languages": "languages of the text",
    "rights": "whether texts are protected by copyright, trademark or patent, or in the public domain",
    "public": "which data sets are publicly available",
    "licensed": "whether data sets were bought or licensed",
    "crawled": "crawlers used, period and the domains they read most",
    "user_data": "data of users of a service",
    "consumer_information": "whether there is aggregate consumer information",
    "first_used": "day on which the data was first used",
    "illegal_content": "how illegal content is kept out, beyond the filters",
}
"""Field of the owner's file -> what it is for."""
NOT_ASKED = "not known: it is for the owner to say (--owner FILE)"
LEAST_SHARE = 0.03
"""Share of the documents from which a data set is named by itself."""
Field = tuple[Any, str]
"""A value, and where it was read."""


def _owner(name: str) -> Callable[[Claims], Field]:
    return lambda claims: (claims.owner[name], "owner's file") if name in claims.owner else (NOT_ASKED, "")


def _base(claims: Claims) -> Field:
    return claims.base or "none: trained from random weights", "dvc.yaml, finetune in params.yaml"


def _size(claims: Claims) -> Field:
    data = claims.data
    if isinstance(data, NotKnown):
        return f"not known: {data.not_known}", ""
    values = {
        "text_of_sources": {"documents": data.documents, "num_bytes": data.num_bytes},
        "trained_on_with_generated_text_and_repeats": {"documents": data.mixture, "tokens": data.num_tokens},
        "tokens_that_pretraining_read": data.tokens_seen,
    }
    return values, "manifests of data/bias/train, data/mix/train and data/tokenize/train, greenhouse.json"


def _period(claims: Claims) -> Field:
    days = claims.retrieved
    return (" to ".join(days), "column `retrieved` of data/bias/train") if days else ("not known: no pin has a day", "")


def _data_sets(own: bool) -> Callable[[Claims], Field]:
    """The sources that are files of one's own, or those of packages and hubs, with their share of the documents."""

    def rows(claims: Claims) -> Field:
        total = sum(sources_of(claims).values()) or 1
        found: dict[str, Any] = {
            name: {"documents": number, "share": round(number / total, 4), "named": number / total >= LEAST_SHARE}
            for name, number in sources_of(claims).items()
            if (_kinds(claims).get(name) == "files") == own
        }
        found |= _tuning_rows(claims) if own else {}
        return found or "none", "data/bias/train/manifest.json, ingest.sources in params.yaml, dvc.lock"

    return rows


def _kinds(claims: Claims) -> dict[str, str]:
    """Source -> packages, files or hub, as ingest was run with it."""
    params = layout.effective(claims.lock.get("ingest", {}).get("params", {}))
    return {row.get("name", row["kind"]): row["kind"] for row in nested(params).get("ingest", {}).get("sources", [])}


def _tuning_rows(claims: Claims) -> dict[str, Any]:
    """The files of rows that the model was tuned on, by path: what dvc.lock knows of them."""
    found = {}
    for stage, entry in claims.lock.items():
        if not stage.startswith("finetune@"):
            continue
        data = layout.effective(entry["params"])[stage.replace("@", ".")]["data"]
        for dep in entry["deps"]:
            if dep["path"] == data and not data.startswith("data/"):
                found[data] = {"md5": dep["md5"], "num_bytes": dep.get("size"), "licence": "not known"}
    return found


def _licences(claims: Claims) -> Field:
    data = claims.data
    if not isinstance(data, DataAnswer):
        return "not known: no corpus is recorded", ""
    return data.licences, "data/bias/train/manifest.json"


def _generated(claims: Claims) -> Field:
    number = claims.data.generated if isinstance(claims.data, DataAnswer) else 0
    made = {"documents": number, "made_by": "rules of components/synthetic, no model"}
    return made if number else "none", "data/mix/train/manifest.json"


def _personal(claims: Claims) -> Field:
    replaced = dict(claims.personal) or "none found"
    return {"replaced": replaced, "limit": "names and addresses are not found"}, "reports/filter/details/personal.csv"


def _cleaning(claims: Claims) -> Field:
    data = claims.data
    if not isinstance(data, DataAnswer):
        return "not known: no corpus is recorded", ""
    removed = {f"{row.stage}: {row.rule}": row.documents for row in data.removed}
    return {"documents_removed": removed, "quarantined": data.quarantined}, "data/*/dropped/manifest.json"


def _opt_out(claims: Claims) -> Field:
    data = claims.data
    dropped = [row.documents for row in data.removed if row.rule == "opted_out"] if isinstance(data, DataAnswer) else []
    listed = claims.lock.get("ingest", {}).get("params", {}).get("params.yaml", {}).get("ingest", {}).get("opt_out", "")
    return {"list": listed, "documents_left_out": sum(dropped)}, "ingest.opt_out in params.yaml, data/ingest/dropped"


SECTIONS: dict[str, dict[str, Callable[[Claims], Field]]] = {
    "model": {
        "provider": _owner("provider"),
        "name_and_version": lambda claims: ({"name": claims.title, "hash": claims.md5}, "dvc.lock"),
        "depends_on": _base,
        "placed_on_market": _owner("placed_on_market"),
        "purpose": _owner("purpose"),
    },
    "size_and_kind": {
        "modality": lambda claims: ("text", "greenhouse trains on text alone"),
        "size": _size,
        "languages": _owner("languages"),
        "retrieved": _period,
        "first_used": _owner("first_used"),
    },
    "sources": {
        "data_sets_of_packages_and_hubs": _data_sets(own=False),
        "public": _owner("public"),
        "own_files": _data_sets(own=True),
        "licensed": _owner("licensed"),
        "crawled": _owner("crawled"),
        "user_data": _owner("user_data"),
        "synthetic": _generated,
    },
    "rights": {"rights": _owner("rights"), "licences_as_stated": _licences, "opt_out": _opt_out},
    "processing": {
        "personal_information": _personal,
        "consumer_information": _owner("consumer_information"),
        "cleaning": _cleaning,
        "illegal_content": _owner("illegal_content"),
    },
}


def training_content(claims: Claims) -> dict[str, Any]:
    """The summary: section -> field -> `value`, and `from` where it is known."""
    found: dict[str, Any] = {
        "material_for": [
            "Template for the public summary of training content (Regulation (EU) 2024/1689, Article 53(1)(d))",
            "Documentation of training data (California Civil Code 3111, AB 2013)",
        ]
    }
    for section, fields in SECTIONS.items():
        rows = {name: read(claims) for name, read in fields.items()}
        found[section] = {
            name: {"value": value} | ({"from": source} if source else {}) for name, (value, source) in rows.items()
        }
    return found
