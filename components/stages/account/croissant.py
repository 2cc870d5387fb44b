"""The Croissant description of the corpus: what machines read to find, load and judge a data set (MLCommons, 1.1).

`data/croissant.json` lies beside the corpora it describes: the mixture that models are trained on
and the held-out set, shard by shard with sha256, the fields of a document, and the Responsible AI
fields filled from what the stages counted. It has no clock time in it; built and checked by the
library `mlcroissant`.
"""

import re
from typing import Any

from components.core.files import read_json
from components.stages.account.data_card import LIMITS
from components.stages.account.summary import Files
from components.stages.account.types import StageRecords

FIELDS = {
    "id": "Unique in the corpus; from the source and the location, the same in every run.",
    "text": "The text.",
    "source": "Name of the source; `curriculum/...` and `canary` are generated.",
    "source_version": "Version, revision or hash of the source.",
    "location": "Where inside the source.",
    "group": "What stays on one side of the held-out cut.",
    "licence": "SPDX expression, or NOASSERTION.",
    "licence_from": "Where the licence was read.",
    "retrieved": "Date of the pin or revision.",
    "sha256": "Of the text as ingested.",
}
"""Fields of a document that are text (`transforms`, a list, is left to readers of the Parquet files)."""

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"

CORPORA = {"train": "mix/train", "heldout": "ingest/heldout"}
"""Record set -> folder under data/."""

HOW = {
    "ingest": "bad records are quarantined one by one, licence policy and opt-out list applied, held-out groups cut by "
    "hash.",
    "dedup": "exact duplicates go, and near-duplicates whose word n-gram Jaccard similarity is verified.",
    "filter": "rules on form; personal data is replaced by its kind.",
    "bias": "documents go that a toxicity scorer flags with words for groups of people masked.",
    "mix": "source weights, generated curriculum and canaries, shuffle.",
}
"""What each stage does, for `dataPreprocessingProtocol`."""


def croissant(file: Files, records: StageRecords, name: str) -> dict[str, Any]:
    """The description as JSON-LD.

    Args:
        file: files of a state with the corpora of `CORPORA`; one that is missing is left out.
        name: of the project; letters and digits of it name the data set.
    """
    import mlcroissant as mlc

    manifests = {
        part: read_json(path) for part, folder in CORPORA.items() if (path := file(f"data/{folder}/manifest.json"))
    }
    metadata = mlc.Metadata(
        ctx=mlc.Context(conforms_to=CONFORMS_TO),
        name=re.sub(r"[^A-Za-z0-9_-]+", "-", f"{name}-corpus"),
        description=f"Training text of {name} and its held-out set, with the provenance of every document.",
        license=[_licence_url(licence) for licence in records.licences] or None,
        distribution=[entry for part, manifest in manifests.items() for entry in _files(part, manifest)],
        record_sets=[_records(part) for part in manifests],
        **_responsible(records),
    )
    described = dict(metadata.to_json()) | _provenance(manifests, records)
    described["@context"] = described["@context"] | {"prov": "http://www.w3.org/ns/prov#"}
    return described


def _provenance(manifests: dict[str, Any], records: StageRecords) -> dict[str, Any]:
    """Origin of the corpora, and the activities that made them, in the terms of W3C PROV that Croissant 1.1 takes."""
    if not manifests:
        return {}
    return {
        "prov:wasDerivedFrom": [{"@type": "prov:Entity", "name": source} for source in records.sources],
        "prov:wasGeneratedBy": [{"@type": "prov:Activity", "name": stage, "description": HOW[stage]} for stage in HOW],
    }


def _licence_url(licence: str) -> str:
    """SPDX's page of a licence; an expression of several, and NOASSERTION, stay as they are."""
    simple = re.fullmatch(r"[A-Za-z0-9.+-]+", licence) and licence != "NOASSERTION"
    return f"https://spdx.org/licenses/{licence}.html" if simple else licence


def _files(part: str, manifest: dict[str, Any]) -> list[Any]:
    """The set of a corpus' shards, then each shard with its hash."""
    import mlcroissant as mlc

    folder = CORPORA[part]
    objects: list[Any] = [
        mlc.FileSet(
            id=f"{part}-shards",
            name=f"{part}-shards",
            description=f"{manifest['num_documents']} documents, {manifest['num_bytes']} bytes of text.",
            includes=[f"{folder}/*.parquet"],
            encoding_formats=["application/x-parquet"],
        )
    ]
    for shard in manifest["shards"]:
        objects.append(
            mlc.FileObject(
                id=f"{part}/{shard['file']}",
                name=f"{part}/{shard['file']}",
                content_url=f"{folder}/{shard['file']}",
                sha256=shard["sha256"],
                encoding_formats=["application/x-parquet"],
            )
        )
    return objects


def _records(part: str) -> Any:
    import mlcroissant as mlc

    fields = [
        mlc.Field(
            id=f"{part}/{name}",
            name=f"{part}/{name}",
            description=text,
            data_types=[mlc.DataType.TEXT],
            source=mlc.Source(file_set=f"{part}-shards", extract=mlc.Extract(column=name)),
        )
        for name, text in FIELDS.items()
    ]
    return mlc.RecordSet(id=part, name=part, description="One document each.", fields=fields)


def _responsible(records: StageRecords) -> dict[str, Any]:
    """The Responsible AI fields, from what was counted."""
    counts = {
        stage: ", ".join(f"{count} {rule}" for rule, count in row.rules.items()) or "none"
        for stage, row in records.documents.items()
    }
    sources = ", ".join(f"{name} ({row['kept']} documents kept)" for name, row in records.sources.items())
    bad = sum(sum(row["quarantined"].values()) for row in records.sources.values())
    personal = ", ".join(f"{count} {kind}" for kind, count in records.personal.items()) or "none found"
    return {
        "data_collection": f"Read from the sources named in params.yaml: {sources or 'none yet'}.",
        "data_collection_type": ["Secondary Data analysis"],
        "data_collection_missing_data": f"{bad} records could not be read and are quarantined with the reason.",
        "data_preprocessing_protocol": [
            f"{stage}: {text} Dropped: {counts.get(stage, 'not run')}." for stage, text in HOW.items()
        ],
        "data_biases": _biases(records),
        "data_limitations": list(LIMITS),
        "data_social_impact": "Filtering can remove text about minorities with text against them: see dataBiases.",
        "data_use_cases": [
            "Pretraining and fine-tuning small language models; studies of data and mitigation choices."
        ],
        "personal_sensitive_information": [f"Replaced by its kind: {personal}. Names and addresses are not found."],
        "data_release_maintenance_plan": "Texts are taken out by the opt-out list, opt_out.txt, at the next run.",
    }


def _biases(records: StageRecords) -> list[str]:
    """Groups that are mentioned, and the filter's effect on them."""
    lines = [
        f"{group}: mentioned by {before} documents, {before - after} of them dropped by the toxicity filter."
        for group, (before, after) in records.mentions.items()
    ]
    if (gap := records.metrics.get("bias", {}).get("probe_gap")) is not None:
        lines.append(
            f"False-positive rates of the filter differ by at most {gap:.3f} between groups on a template probe."
        )
    lines += [f"Of these figures, {records.unjudged}."] if records.unjudged else []
    return lines or ["Not measured yet."]
