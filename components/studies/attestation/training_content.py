"""Summary of the training content, one page of Markdown: material for two forms that ask for one.

The forms are the template of the European Commission of July 2025 (AI Act, Article 53(1)(d)) and
the twelve items of California's AB 2013 (Civil Code 3111). A line comes from what the stages
recorded, from the owner's file, or is "not known"; the words are ours, and whoever fills a form
decides what it asks. Nothing here says that a duty is met.
"""

from components.params import layout
from components.stages.account.answers import NotKnown
from components.stages.account.model_card import cell
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
FORMS = "Regulation (EU) 2024/1689, Article 53(1)(d), and California Civil Code 3111 (AB 2013)"
RANDOM = "none: trained from random weights"
NOT_ASKED = "not known: it is for the owner to say (--owner FILE)"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items()) or "none"


def _tuning_rows(claims: Claims) -> list[str]:
    """The files of rows of one's own that the model was tuned on, each with its MD5: what dvc.lock knows of them."""
    return [
        f"{dep['path']} (MD5 {dep['md5']})"
        for stage, entry in claims.lock.items()
        if stage.startswith("finetune@")
        for dep in entry["deps"]
        if dep["path"] == layout.effective(entry["params"])[stage.replace("@", ".")]["data"]
        and not dep["path"].startswith("data/")
    ]


def recorded(claims: Claims) -> dict[str, str]:
    """What the stages recorded, by field; numbers are of documents unless said."""
    rows = {
        "name and version": f"{claims.title}, {claims.md5}",
        "depends on": claims.base or (RANDOM if claims.stages else "not known: another trainer made it"),
        "modality": "text",
        "rows tuned on": ", ".join(_tuning_rows(claims)) or "none of one's own",
        "text retrieved": " to ".join(claims.retrieved) or "not known: no pin has a day",
        "personal data replaced": f"{_counts(claims.personal)}; names and addresses are not found",
    }
    if isinstance(data := claims.data, NotKnown):
        return rows | {"data": f"not known: {data.not_known}"}
    tokens = data.tokens_seen or "not known how many"
    return rows | {
        "size": f"{data.documents} documents, {data.num_bytes} bytes; {tokens} tokens read in pretraining",
        "sources": _counts(data.sources),
        "generated text": f"{data.generated} documents, by rules of components/synthetic, no model",
        "licences as stated": _counts(data.licences),
        "removed": _counts({f"{row.stage}: {row.rule}": row.documents for row in data.removed}),
        "quarantined": str(data.quarantined),
    }


def training_content(claims: Claims) -> str:
    """The summary as Markdown."""
    rows = recorded(claims) | {name.replace("_", " "): claims.owner.get(name, NOT_ASKED) for name in OWNER}
    table = "".join(f"| {name} | {cell(value)} |\n" for name, value in rows.items())
    return f"# Training content of {claims.title}\n\nMaterial for {FORMS}.\n\n| | |\n|---|---|\n{table}"
