"""Answer of `greenhouse trace`: documents, where they lie, which models saw them; text or JSON."""

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from components.core.errors import UserError
from components.core.plain_text import counted
from components.lineage.documents import DocumentLocation, Query, Traced, View, near, predicate, query_of, trace
from components.lineage.needles import Needles
from flows.system import dvc
from flows.tracking.model_exposure import Seen, models, seen_by, states, stretch_of, tokens_fit, workspace_view
from flows.tracking.search import Search
from flows.tracking.snapshots import Snapshot

SHOWN = 20
"""Documents printed; `--json` has all."""


@dataclass
class TraceMatch:
    """A document: its locations in the files of `view`, and what each model has seen of it."""

    document: Traced
    seen: list[Seen | str]
    state: Snapshot
    view: View


def answers(query: Query, whole: bool = False) -> list[TraceMatch]:
    """All documents of the workspace and of the states whose models were trained on other text.

    Args:
        whole: what models saw of the documents, not of the passage alone.
    """
    known, passage = models(), query.value if query.kind == "passage" and not whole else ""
    here = {model.mix for model in known if "workspace" in model.names}
    workspace = Snapshot("workspace", "workspace", dvc.lock()), workspace_view
    mixes = sorted({model.mix for model in known}, key=lambda mix: (mix not in here, mix))
    matches = dict[tuple[str, str], TraceMatch]()  # by id and hash: an edited file has the id that it had before
    for of_mix in ([], *([model for model in known if model.mix == mix] for mix in mixes)):
        state, view = (of_mix[0].state, of_mix[0].view) if of_mix else workspace
        for document in trace(query, view):
            key = document.facts["id"], document.facts["sha256"]
            answer = matches.setdefault(key, TraceMatch(document, [], state, view))
            answer.seen += [seen_by(model, document, passage) for model in of_mix]
    return list(matches.values())


def search_for(query: Query, needles: Needles, ids: Collection[str] = ()) -> Search:
    """The search for the documents of a query."""
    asked = query.kind in ("passage", "email")
    return Search(needles, ids, predicate(query.kind, query.value) if asked else lambda text: False)


def answer_lines(query: Query, matches: list[TraceMatch], search: Search) -> Iterator[str]:
    """The answer, line by line."""
    yield from _documents_lines(query, matches)
    files = [match.line() for match in search.matches]
    sections = {
        "In rows for fine-tuning and evaluation items, which are no documents": files,
        "Not searched": search.unsearched,
    }
    for title, lines in sections.items():
        yield from [f"\n{title}:", *(f"    {line}" for line in lines)] if lines else ()


def _documents_lines(query: Query, matches: list[TraceMatch]) -> Iterator[str]:
    subject = f"{query.kind} {query.value}" if query.kind != "passage" else "this passage"
    if not matches:
        yield f"No document has {subject}: none that was ingested (kept or not), none that the mixture adds."
        yield from _near_lines(query)
        return
    yield f"{counted(len(matches), 'document')} for {subject}:"
    for answer in matches[:SHOWN]:
        yield ""
        yield from _document_lines(answer)
    if len(matches) > SHOWN:
        yield f"\nand {len(matches) - SHOWN} more; --json has all"


def _near_lines(query: Query) -> Iterator[str]:
    if query.kind != "passage":
        return
    if rows := near(query.value, workspace_view):
        yield "Documents that hold some of its runs of six words:"
    else:
        yield "None has a fifth of it in runs of six words either. Punctuation and case do not count, every word does."
    for row in rows:
        location = f"{row.facts['source']}: {row.facts['location']} (id {row.facts['id']})"
        yield f"    {row.share:.0%}  {location}  {row.stage}/{row.part}"


def _document_lines(answer: TraceMatch) -> Iterator[str]:
    facts = answer.document.facts
    yield f"{facts['source']}: {facts['location']}   id {facts['id']}"
    yield f"    licence {facts['licence']} (read from: {facts['licence_from'] or 'nowhere'})"
    dated = f", retrieved {facts['retrieved']}" if facts["retrieved"] else ""
    yield f"    {facts['source_version']}{dated}, sha256 {facts['sha256']}"
    if answer.state.name != "workspace":
        yield f"    not in the workspace; in the state {answer.state.name}:"
    for location in answer.document.locations:
        yield f"    {_location_line(location)}"
    for copy in answer.document.trained if tokens_fit(answer.state) else []:
        if stretch := stretch_of(copy, answer.view):
            first, size = stretch.in_shard, stretch.end - stretch.start
            yield f"    {'tokenize':<9}{'train':<11}{stretch.shard}, tokens {first} to {first + size}"
    for seen in answer.seen:
        yield f"    {seen if isinstance(seen, str) else seen.line()}"
    if any((location.stage, location.part) == ("bias", "train") for location in answer.document.locations):
        yield "    fine-tuning may have used it: it is in the sample that its examples were drawn from"


def _location_line(location: DocumentLocation) -> str:
    why = f": {location.rule}, {location.reason}" if location.rule else ""
    changes = f" (changed: {', '.join(location.transforms)})" if location.transforms and not location.rule else ""
    name = f" as {location.id}" if "-" in location.id else ""
    return f"{location.stage:<9}{location.part:<11}{location.file} row {location.row}{name}{why}{changes}"


def as_json(query: Query, matches: list[TraceMatch], search: Search) -> str:
    """The answer for a program; of a model whose exposure is not known `{"said": why}`."""
    rows = list[dict[str, Any]]()
    for match in matches:
        seen = [{"said": seen} if isinstance(seen, str) else asdict(seen) for seen in match.seen]
        rows.append(asdict(match.document) | {"state": match.state.name, "models": seen})
    files = [{"key": one.owner, "path": one.path, "places": [hit.where for hit in one.hits]} for one in search.matches]
    answer = {"query": asdict(query), "documents": rows, "files": files, "not_searched": search.unsearched}
    return json.dumps(answer, indent=2, ensure_ascii=False)


def report(text: str, json_wanted: bool) -> tuple[str, bool]:
    """Report on a passage, id, hash or location, and whether anything was found.

    Raises `UserError`: nothing was ingested, or the text can be no query.
    """
    if workspace_view("data/ingest/train/manifest.json") is None:
        raise UserError("nothing has been ingested here yet; run `make demo` or `dvc repro` first")
    query = query_of(text, workspace_view)
    matches, search = answers(query), search_for(query, Needles())
    search.scan_local_files(states())
    is_found = bool(matches or search.matches)
    if json_wanted:
        return as_json(query, matches, search), is_found
    return "\n".join(answer_lines(query, matches, search)), is_found
