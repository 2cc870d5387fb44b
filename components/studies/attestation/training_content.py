"""Summary of the training content: material for two forms that ask for one, each field with where it was read.

The forms are the template of the European Commission of July 2025 (AI Act, Article 53(1)(d)) and
the twelve items of California's AB 2013 (Civil Code 3111). A field comes from what the stages
recorded, from the owner's file, or is "not known"; the words are ours, and whoever fills a form
decides what it asks. Nothing here says that a duty is met.
"""

from typing import Any

from components.core.files import nested
from components.params import layout
from components.stages.account.answers import NotKnown
from components.studies.attestation.bom import sources_of
from components.studies.attestation.claims import Claims

OWNER = (
    "provider", "placed_on_market", "purpose", "languages", "rights", "public", "licensed", "crawled", "user_data",
    "consumer_information", "first_used", "illegal_content",
)  # fmt: skip
"""Fields of the owner's file: who provides the model and how to reach them; the day it was made
available; how the data furthers its purpose; languages of the text; whether texts are protected or
in the public domain; which data sets are public, which bought or licensed; crawlers, period and
domains; data of users of a service; aggregate consumer information; the day the data was first
used; how illegal content is kept out, beyond the filters."""
NOT_ASKED = NotKnown(not_known="it is for the owner to say (--owner FILE)")
LEAST_SHARE = 0.03
"""Share of the documents from which a data set is named by itself."""


def _data_sets(claims: Claims, from_files: bool) -> dict[str, Any]:
    """The sources that are files of one's own, or those of packages and hubs, with their share of the documents."""
    params = nested(layout.effective(claims.lock.get("ingest", {}).get("params", {})))
    kinds = {row.get("name", row["kind"]): row["kind"] for row in params.get("ingest", {}).get("sources", [])}
    total = sum(sources_of(claims).values()) or 1
    return {
        name: {"documents": number, "share": round(number / total, 4), "named": number / total >= LEAST_SHARE}
        for name, number in sources_of(claims).items()
        if (kinds.get(name) == "files") == from_files
    }


def _tuning_rows(claims: Claims) -> dict[str, Any]:
    """The files of rows that the model was tuned on, by path: what dvc.lock knows of them."""
    return {
        dep["path"]: {"md5": dep["md5"], "num_bytes": dep.get("size"), "licence": "not known"}
        for stage, entry in claims.lock.items()
        if stage.startswith("finetune@")
        for dep in entry["deps"]
        if dep["path"] == layout.effective(entry["params"])[stage.replace("@", ".")]["data"]
        and not dep["path"].startswith("data/")
    }


SECTIONS = {
    "model": ("provider", "name_and_version", "depends_on", "placed_on_market", "purpose"),
    "size_and_kind": ("modality", "size", "languages", "retrieved", "first_used"),
    "sources": (
        "data_sets_of_packages_and_hubs", "public", "own_files", "licensed", "crawled", "user_data", "synthetic",
    ),
    "rights": ("rights", "licences_as_stated", "opt_out"),
    "processing": ("personal_information", "consumer_information", "cleaning", "illegal_content"),
}  # fmt: skip
"""Section -> its fields, of the owner or of `facts`."""
SOURCES_FROM = "data/bias/train/manifest.json, ingest.sources in params.yaml, dvc.lock"


def facts(claims: Claims) -> dict[str, tuple[Any, str]]:
    """Field -> what the stages recorded, and where it was read; without those of the data where nobody knows it."""
    fields: dict[str, tuple[Any, str]] = {
        "name_and_version": ({"name": claims.title, "hash": claims.md5}, "dvc.lock"),
        "depends_on": (claims.base or "none: trained from random weights", "dvc.yaml, finetune in params.yaml"),
        "modality": ("text", "greenhouse trains on text alone"),
        "retrieved": (
            " to ".join(claims.retrieved) or NotKnown(not_known="no pin has a day"),
            "column `retrieved` of data/bias/train",
        ),
        "data_sets_of_packages_and_hubs": (_data_sets(claims, from_files=False) or "none", SOURCES_FROM),
        "own_files": (_data_sets(claims, from_files=True) | _tuning_rows(claims) or "none", SOURCES_FROM),
        "personal_information": (
            {"replaced": dict(claims.personal) or "none found", "limit": "names and addresses are not found"},
            "reports/filter/details/personal.csv",
        ),
    }
    if isinstance(data := claims.data, NotKnown):
        return fields
    asked = claims.lock.get("ingest", {}).get("params", {}).get("params.yaml", {}).get("ingest", {})
    dropped = sum(row.documents for row in data.removed if row.rule == "opted_out")
    removed = {f"{row.stage}: {row.rule}": row.documents for row in data.removed}
    generated = {"documents": data.generated, "made_by": "rules of components/synthetic, no model"}
    size = {
        "text_of_sources": {"documents": data.documents, "num_bytes": data.num_bytes},
        "trained_on_with_generated_text_and_repeats": {"documents": data.mixture, "tokens": data.num_tokens},
        "tokens_that_pretraining_read": data.tokens_seen,
    }
    left_out = {"list": asked.get("opt_out", ""), "documents_left_out": dropped}
    cleaned = {"documents_removed": removed, "quarantined": data.quarantined}
    return fields | {
        "size": (size, "manifests of data/bias/train, data/mix/train and data/tokenize/train, greenhouse.json"),
        "synthetic": (generated if data.generated else "none", "data/mix/train/manifest.json"),
        "licences_as_stated": (data.licences, "data/bias/train/manifest.json"),
        "opt_out": (left_out, "ingest.opt_out in params.yaml, data/ingest/dropped"),
        "cleaning": (cleaned, "data/*/dropped/manifest.json"),
    }


def training_content(claims: Claims) -> dict[str, Any]:
    """The summary: section -> field -> `value`, and `from` where it is known."""
    forms = [
        "Template for the public summary of training content (Regulation (EU) 2024/1689, Article 53(1)(d))",
        "Documentation of training data (California Civil Code 3111, AB 2013)",
    ]
    known = facts(claims) | {name: (claims.owner.get(name, NOT_ASKED), "owner's file") for name in OWNER}

    def field(name: str) -> dict[str, Any]:
        value, source = known.get(name, (claims.data, ""))
        unknown = isinstance(value, NotKnown)
        return {"value": f"not known: {value.not_known}"} if unknown else {"value": value, "from": source}

    sections = {section: {name: field(name) for name in names} for section, names in SECTIONS.items()}
    return {"material_for": forms} | sections
