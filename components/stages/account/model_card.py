"""Model cards and attributions: the five answers as the files that lie beside a model wherever it is copied.

`README.md` is the card as the Hugging Face hub reads it; `ATTRIBUTION.md` names what was trained on
by licence, with what each licence asks; `card.json` is the typed object itself. They hold
measurements, so they lie beside the reports and in copies of a model, not in its folder under
models/, whose bytes DVC hashes. The metadata names no repository: nothing here was published, and a
name such as `pretrain/causal` could be a stranger's.
"""

import re
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from components.core.files import rounded, write_json, write_text
from components.reporting.tables import escaped, ranged
from components.stages.account.answer_text import known, own_rows_text, reference_text, sentences, withdrawn_text
from components.stages.account.answers import ModelAnswers, NotKnown
from components.verdicts import COVERED, verdict_text, verdicts

TEMPLATES = Path(__file__).with_name("templates")
NOTICE = "keep its copyright notice and its text with copies"
ASKS = {
    r"CC0-|Unlicense|0BSD|WTFPL": "asks for nothing.",
    r"BSD-3-|NCSA": f"asks to {NOTICE}, and not to use its authors' names to promote what is made of it.",
    r"MIT|ISC|BSD-|X11|Zlib|PSF-|Python-|HPND|PostgreSQL|BSL-": f"asks to {NOTICE}.",
    r"Apache-": f"asks to {NOTICE}, to pass on a NOTICE file, and to say which files were changed.",
    r"CC-BY-SA-": "asks to credit the authors, link the licence, say what was changed, and share adaptations alike.",
    r"CC-BY-(NC|ND)": "asks to credit the authors, link the licence and say what was changed; restricts commercial use "
    "or adaptations.",
    r"CC-BY-": "asks to credit the authors, link the licence, and say what was changed.",
    r"MPL-|EPL-|LGPL-|GPL-|AGPL-": "is a copyleft licence: source of covered files stays under it.",
    r"NOASSERTION": "is no licence: none was stated, or what was is no SPDX id (`licence read from` quotes it).",
}
"""SPDX id (beginning) -> what the licence asks of those who pass its text on; not legal advice."""


TFIDF_LINES = """\
import json
from safetensors.numpy import load_file
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
kept, arrays = json.load(open("{}tfidf/tfidf.json")), load_file("{}tfidf/tfidf.safetensors")
parts = [TfidfVectorizer(vocabulary=terms, **kept["settings"][name]) for name, terms in kept["vocabulary"].items()]
_ = [setattr(part, "idf_", arrays[name]) for name, part in zip(kept["vocabulary"], parts)]
scores = lambda texts: hstack([part.transform(texts) for part in parts]) @ arrays["coef"].T + arrays["intercept"]
classify = lambda texts: """
"""Lines that load TF-IDF, up to what it returns; no block, so that a prompt takes them one by one."""
ONE, SEVERAL = (
    '[kept["labels"][best] for best in scores(texts).argmax(axis=1)]',
    '[[label for label, score in zip(kept["labels"], row) if score > 0] for row in scores(texts)]',
)


TFIDF_FIRST = "Use the TF-IDF"
"""How the advice of a classifier begins whose network is no better."""


def tfidf_lines(answers: ModelAnswers, folder: str = "") -> str:
    """Lines of Python that load TF-IDF beside a classifier, from its `folder`, or run there."""
    lines = TFIDF_LINES.replace("{}", folder)
    return lines + (SEVERAL if answers.facts.task.get("problem") == "multi_label_classification" else ONE)


HUB = frozenset((
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear",
    "bsl-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0",
    "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2", "gpl-2.0", "gpl-3.0", "isc", "lgpl-2.1",
    "lgpl-3.0", "lppl-1.3c", "mit", "mpl-2.0", "ms-pl", "ncsa", "ofl-1.1", "osl-3.0", "postgresql", "unlicense",
    "wtfpl", "zlib",
))  # fmt: skip
"""Licences that the hub has an id for (its documentation, "Licenses"); it refuses a card with another."""


HUB_VERSION = re.compile(r"([^@=]+/[^@]+)@[0-9a-f]{40}")
"""Version of a source that is a data set of the hub."""
HUB_COPY = re.compile(r"([\w-][\w.-]*?)--([\w.-]+?)@[0-9a-f]{8}.*")
"""Name of a file or folder that was downloaded from the hub: owner--name@commit."""


def hub_names(answers: ModelAnswers) -> dict[str, list[str]]:
    """Languages, and the hub's names of what the model was made of, as its filters search for them."""
    data = answers.data
    sources = [] if isinstance(data, NotKnown) or isinstance(data.attribution, NotKnown) else data.attribution
    streamed = [match[1] for row in sources if (match := HUB_VERSION.fullmatch(row.version))]
    rows = [f"{match[1]}/{match[2]}" for name in answers.own_rows if (match := HUB_COPY.fullmatch(name))]
    base = HUB_COPY.fullmatch(answers.base)
    return {
        "language": [] if isinstance(data, NotKnown) else data.languages,
        "base_model": [f"{base[1]}/{base[2]}"] if base else [],
        "datasets": list(dict.fromkeys([*streamed, *rows])),
    }


def hub_licence(licence: str) -> str:
    """The hub's id of an SPDX licence; `other` where it has none, and the card says the name."""
    name = licence.lower()
    if name.startswith(("gpl", "lgpl", "agpl")):
        name = name.removesuffix("-only").removesuffix("-or-later")
    return name if name in HUB else "other"


def environment() -> Any:
    """Jinja's environment for our templates; values in HTML are escaped."""
    from jinja2 import Environment, FileSystemLoader, select_autoescape

    result = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(["html.j2"]), keep_trailing_newline=True
    )
    result.filters["cell"] = cell
    return result


def write_cards(answers: Mapping[str, ModelAnswers], folder: Path) -> None:
    """Write the files of each model to a folder of its own below `folder`, named like `finetune-instruct`."""
    for name, model in answers.items():
        write_card(model, folder / name.replace("/", "-"))


def write_card(answers: ModelAnswers, folder: Path) -> None:
    """README.md, ATTRIBUTION.md and card.json of one model."""
    write_text(folder / "README.md", card(answers))
    write_text(folder / "ATTRIBUTION.md", attribution(answers))
    write_json(folder / "card.json", rounded(answers.model_dump(mode="json")))


def card(answers: ModelAnswers) -> str:
    """The card as Markdown with YAML front matter."""
    templates = environment()
    templates.filters |= {"bounds": ranged, "known": lambda x: known(x, str)}
    templates.filters["watt_hours"] = lambda kwh: ranged([1000 * value for value in kwh])
    by_score = {} if isinstance(answers.quality, NotKnown) else verdicts(answers.quality.scores)
    templates.filters |= {"beside": reference_text, "verdict": lambda score: verdict_text(score, by_score)}
    templates.tests["known"] = lambda value: not isinstance(value, NotKnown)
    licence = "unknown" if isinstance(answers.licence, NotKnown) else hub_licence(answers.licence)
    limits = [*withdrawn_text(answers), *answers.limits, *map(own_rows_text, answers.own_rows)]
    if taught := answers.facts.task.get("range"):
        limits.append(f"Of questions that were taught it knows {taught}.")
    facts = {"a": answers, "model": answers.facts, "said": sentences(answers), "limits": limits, "hub_licence": licence}
    facts["hub_names"] = hub_names(answers)
    facts |= {"tfidf_lines": tfidf_lines(answers), "TFIDF_FIRST": TFIDF_FIRST, "covered": COVERED}
    return str(templates.get_template("card.md.j2").render(**facts))


def cell(text: Any) -> str:
    """Text in a cell of a Markdown table."""
    return escaped(str(text))


def attribution(answers: ModelAnswers) -> str:
    """ATTRIBUTION.md: what was trained on, by licence."""
    data = answers.data
    rows = data if isinstance(data, NotKnown) else data.attribution
    row_texts = [own_rows_text(name) for name in answers.own_rows]
    groups = [] if isinstance(rows, NotKnown) else [(a, list(b)) for a, b in groupby(rows, lambda row: row.licence)]
    return str(
        environment()
        .get_template("attribution.md.j2")
        .render(a=answers, groups=groups, asks=asks, own=row_texts, unknown=known(rows, lambda _: ""))
    )


def asks(licence: str) -> str:
    """Demands of an SPDX expression, for each licence in it."""
    names = [name for name in re.split(r"\s+(?:AND|OR|WITH)\s+|[()]", licence) if name]
    texts = {name: next((text for start, text in ASKS.items() if re.match(start, name)), "") for name in names}
    return " ".join(f"{name} {text or 'is not summarised here: read it.'}" for name, text in texts.items())
