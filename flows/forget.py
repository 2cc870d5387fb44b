"""`greenhouse forget`: who saw a text, what its removal costs; then leave it out, and delete the copies."""

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from components import params as schema
from components.carbon.footprint.intensity import resolve
from components.carbon.ledger import reader
from components.carbon.planning.forecast import completed, orchestration_forecast
from components.core.errors import UserError
from components.core.files import write_text
from components.core.plain_text import counted
from components.corpus.corpus import is_generated
from components.lineage.documents import Query, query_of
from components.stages.ingest.opt_out import RULE as OPTED_OUT
from components.studies.withdrawn import withdraw
from flows.clean import agreed, carry_out, idle_work_folders, of_paths, refuse_while_running
from flows.plan import PlanRow, render
from flows.planning import step_cost
from flows.planning.stage_forecast import expected, settings_of
from flows.system import dvc, paths, processes
from flows.system.command import whole
from flows.tracking import forgetting, team_ledger
from flows.tracking.forgetting import entries, quoting, recorded, stages_to_redo, with_duplicates
from flows.tracking.model_exposure import workspace_view
from flows.tracking.search import CACHE, FILE, files_of, still_held
from flows.tracking.snapshots import ObjectCache, Snapshot
from flows.tracking.trace_report import answers, search_for

HELD_OUT = "held-out text is among it: the held-out set changes, and scores do not compare with earlier ones"
PURGED = (
    "\n`of workspace` is the workspace before the removal. Old states whose objects go can no longer be checked out, "
    "compared or verified. What stays of it:\n"
)
COPIES = "copies of them that dedup dropped, which would come in their place, so they go too: {}"
STAY = "words that stay, in files of your own or in other documents, which --quoting takes along"
REPLACE = "`greenhouse promote` replaces each, with --override KIND=REASON where no rule judges its kind"
SHOWN = 10
"""Documents that are listed."""
REMOVED = """
removed: {}; no corpus of the workspace has one of them any more
left in old states: up to {} in DVC's cache and remote, which --purge deletes"""
"""The result of a removal, before what was searched."""
LEFT = "words left in the workspace, where --apply --quoting with the same QUERY takes other documents along, no files"
YOURS = "left in the sources themselves, which only you can change:"
ALREADY = "on {} already: what was made since has none of it; the rest is of older states, whose copies --purge deletes"


def find_documents(text: str) -> tuple[Any, list[Any]]:
    """The query, and the documents that it names with the models that saw them; none, if all were taken out before.

    Raises:
        UserError: nothing was ingested, or the query names nothing, and never did.
    """
    if not text.strip():
        raise UserError("an empty query; name an id, a location, a source, a licence, or some words of the text")
    fetch_corpora()
    if workspace_view("data/ingest/train/manifest.json") is None:
        raise UserError("nothing has been ingested here yet, and no DVC remote has it; run `make demo` first")
    query = query_of(text, workspace_view)
    hits = answers(query, whole=True)
    generated = [hit for hit in hits if is_generated(hit.document.facts["source"])]
    if generated and len(generated) == len(hits):
        raise UserError(
            f"{generated[0].document.facts['source']}: text that mix generates; mix.curriculum.share or "
            "mix.canaries.per_count 0 in params.yaml leaves it out"
        )
    hits = [match for match in hits if match not in generated]
    known = recorded(text)
    if not hits and not known.ids:
        hint = "`greenhouse trace` says what is near, and which rows and items of your own have it"
        raise UserError(f"no document has this {query.kind}; {hint}")
    return query, hits


def fetch_corpora() -> None:
    """In a clone without the outputs, fill DVC's cache from the remote.

    Raises:
        UserError: neither has all of the corpora.
    """
    if not dvc.lock() or all((paths.ROOT / out).exists() for out in ("data/ingest/train", "data/mix")):
        return
    print("some outputs are not here: looking for them in DVC's cache and its remote, if there is one ...", flush=True)
    store, state = ObjectCache(), Snapshot("workspace", "workspace", dvc.lock())
    store.pull(state.outputs().values())
    files = state.outputs() | dict(files_of(store, state))
    store.pull(files.values())
    if missing := [md5 for path, md5 in files.items() if path.startswith("data/") and not store.path(md5).exists()]:
        why = store.unanswered or "they were never pushed, or purged after a removal"
        raise UserError(
            f"{len(missing)} objects of dvc.lock's data are in neither DVC's cache nor a remote: {why}; take a newer "
            "dvc.lock (`git pull`), or `dvc push` them where they are"
        )


def rows_to_redo(documents: list[Any]) -> list[PlanRow]:
    """The stages that have to run again, and what runs around them, each with its forecast."""
    params, ledger = schema.load(paths.PARAMS), reader.history(paths.LEDGER)
    rates, names = step_cost.known(params), stages_to_redo(documents, dvc.lock())
    rows = [PlanRow(name, "again", expected(ledger, name, "", params, rates)) for name in names]
    if missing := {(row.stage, "") for row in rows if row.expected is None}:
        team = team_ledger.ledger_of(missing)  # a fresh clone has the team's records at best
        rows = [replace(row, expected=row.expected or expected(team, row.stage, "", params, {})) for row in rows]
    for known in (ledger, *(reader.history(folder) for folder in sorted(team_ledger.PULLED.glob("*")))):
        if around := orchestration_forecast(known, len(rows)):
            return [*rows, PlanRow(around.stage, "around the stages", around)]
    return rows


def elapsed_s(rows: list[PlanRow]) -> float:
    """Seconds from the beginning to the end of a run of these stages, some of which run at the same time.

    Each is taken to last as long as the last time with these settings: that says most of the machine's present load.
    """
    graph, ends, around, params = dvc.graph(), dict[str, float](), 0.0, schema.load(paths.PARAMS)
    free, ledger = [0.0] * params.runtime.parallel_stages, reader.history(paths.LEDGER)
    for row in (row for row in rows if row.expected):
        seconds = row.expected.seconds.mid if row.expected else 0.0
        if row.stage not in graph:
            around += seconds
            continue
        settings = settings_of(row.stage, params)
        last = [run for run in completed(ledger, row.stage) if run.span.labels.get("settings") == settings]
        seconds = last[-1].span.seconds if last else seconds
        begin = max([min(free), *(ends.get(name, 0.0) for name in graph[row.stage])])
        ends[row.stage] = free[free.index(min(free))] = begin + seconds
    return max(ends.values(), default=0.0) + around


def price(documents: list[Any]) -> str:
    """Seconds, energy and grams of the removal, stage by stage and in all."""
    runtime, rows = schema.load(paths.PARAMS).runtime, rows_to_redo(documents)
    in_all = f"\nfrom the beginning to the end of the run: about {elapsed_s(rows):.3g} s, by each stage's last run, "
    table = render(rows, resolve(runtime.grid, paths.ROOT), datetime.now(UTC))
    return f"{table}{in_all}up to {runtime.parallel_stages} stages at a time"


def prepare_search(text: str, query: Any, matches: list[Any], most_others: int) -> Any:
    """The search for the documents, for what an earlier removal by this query recorded, and for copies that dedup
    dropped; still to be made."""
    known, ids = recorded(text), forgetting.with_duplicates(matches)
    needles = forgetting.needles_of(matches, ids, known.needles.salt, most_others).joined(known.needles)
    return search_for(query, needles, {*ids, *known.ids})


def documents_lines(query: Any, matches: list[Any], parts: list[Any]) -> list[str]:
    """The documents that are taken out, each with the reason if the query does not name it.

    Args:
        parts: of documents that ingest cut: those without what the query names.
    """
    facts, title = [match.document.facts for match in matches], f"documents for {query.kind} {query.value}"
    if query.kind in ("passage", "email"):
        title = "documents that hold it, each of which goes whole"
    lines = [f"{title}: {len(facts)}"]
    lines += [f"    {row['id']} {row['source']}: {row['location']}" for row in facts[:SHOWN]]
    if len(facts) > SHOWN:
        lines.append(f"    and {len(facts) - SHOWN} more")
    if parts:
        lines.append(f"the other parts of documents that are cut for the held-out set, which go too: {len(parts)}")
        lines += [f"    {one.document.facts['id']} {one.document.facts['location']}" for one in parts[:SHOWN]]
    ids = {row["id"] for row in facts}
    if dropped := [row for row in forgetting.dropped_for([*matches, *parts]) if row["id"] not in ids]:
        lines.append(COPIES.format(len(dropped)))
        lines += [f"    {row['id']} {row['location']}: {row['reason']}" for row in dropped[:SHOWN]]
    locations = [location for match in (*matches, *parts) for location in match.document.locations]
    if any((location.stage, location.part) == ("ingest", "heldout") for location in locations):
        lines.append(HELD_OUT)
    return lines


def first_answer(query: Any, matches: list[Any], parts: list[Any], entries: list[str]) -> str:
    """What the records say before anything is searched or changed; for `parts` see `documents_lines`."""
    lines = documents_lines(query, matches, parts)
    matches = [*matches, *parts]
    documents = [match.document for match in matches]
    listed = opt_out_file().read_text("utf-8").splitlines()
    out = all(any(location.rule == OPTED_OUT for location in doc.locations) for doc in documents)
    if already := out or set(entries) <= set(listed):
        lines.append(ALREADY.format(opt_out_file().name))
    if saw := [*forgetting.models_that_saw(matches)]:
        lines += ["", "models that were pretrained on them:", *saw]
    if not already:
        lines += ["", "price of their removal:", price(documents)]
    lines += ["", "the sources themselves, which only you can change:"]
    return "\n".join([*lines, *(f"    {source}" for source in sources_of(matches)), ""])


def found_copies(search: Any) -> str:
    """What the search found."""
    items, unreached = forgetting.copies(search.copies, search.models)
    copies = [item.label for item in items] + [f"not known or not reached: {line}" for line in unreached]
    lines = [f"copies: {len(search.copies)} objects of DVC and what follows:", *(f"    {one}" for one in copies)]
    return "\n".join([*lines, "", search.sentence(STAY)])


def sources_of(matches: list[Any]) -> list[str]:
    """Where the owner has the texts: source and location, without the number of the document in it."""
    rows = [match.document.facts for match in matches]
    return list(dict.fromkeys(f"{row['source']}: {row['location'].split('#')[0]}" for row in rows))


def opt_out_file() -> Path:
    """The list that params.yaml names."""
    return paths.ROOT / schema.load(paths.PARAMS).ingest.opt_out


def leave_out(text: str, entries: list[str], search: Any, sources: list[str]) -> None:
    """Put lines on the opt-out list, make again what is stale, withdraw the models that saw the documents.

    Args:
        sources: where the owner has the texts.

    Raises:
        UserError: the pipeline did not complete; the list keeps the entries, and it can be run
            again.
    """
    known = forgetting.record(text, search)
    if not all((paths.ROOT / out).exists() for out in dvc.outputs()):
        dvc.run("checkout", "--allow-missing")
    listed = opt_out_file().read_text("utf-8")
    new = [line for line in entries if line not in listed.splitlines()]
    write_text(opt_out_file(), listed.rstrip("\n") + "\n" + "".join(f"{line}\n" for line in new))
    print(f"{opt_out_file().name}: {counted(len(new), 'line')} added; making again what is stale", flush=True)
    make_again()
    outputs = {*Snapshot("workspace", "workspace", dvc.lock()).outputs().values()}
    reason = f"it saw or may have seen {len(known.ids)} documents that were to be forgotten"
    withdraw(paths.ROOT, sorted(known.models - outputs), reason, datetime.now(UTC).date())
    if aliases := forgetting.aliases_of(forgetting.versions_of(known.models - outputs)):
        print(f"still at a model that saw them or may have: {', '.join(aliases)}; {REPLACE}")
    if left := still_held(known.ids):
        raise UserError(f"still there after the removal: {', '.join(left[:5])}; report this as a mistake in Greenhouse")
    search.everywhere()
    search.matches = [hit for hit in search.matches if hit.owner != CACHE or hit.md5 not in known.copies]
    print(REMOVED.format(counted(len(known.ids), "document"), counted(len(known.copies), "object")))
    print(search.sentence(LEFT))
    print("\n    ".join([YOURS, *sources]))
    files = f"{opt_out_file().name}, {FILE}, withdrawn.json and dvc.lock"
    print(f"other clones need this state: commit {files}, then `dvc push`")


def make_again() -> None:
    """Run the pipeline. Ctrl-C is the pipeline's to answer: it ends in order, and this process waits for that.

    It does not ask what the filter may take: of the text that stays that was settled before.

    Raises:
        UserError: it did not complete.
    """
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        command = [sys.executable, "-m", "flows.cli", "run", "--yes"]
        ends = processes.dies_with_parent(signal.SIGKILL)
        status = subprocess.run(command, cwd=paths.ROOT, preexec_fn=ends).returncode
    finally:
        signal.signal(signal.SIGINT, before)
    if status:
        raise UserError(
            f"the pipeline did not complete; its lines above say why; {opt_out_file().name} is changed already: run "
            "the same command again, it goes on from there"
        )


def forget(
    query: str, /, *, apply: bool = False, purge: bool = False, quoting: bool = False,
    common_above: Annotated[int, Parameter(converter=whole)] = 5,
) -> int:  # fmt: skip
    """Forget a text: who saw it, what its removal costs, every copy that is left; leave it out, and delete the copies.

    greenhouse forget "five words or more of it"      what would go; or an id, sha256, location, source, licence
    greenhouse forget QUERY --apply                   opts it out, makes again what is stale, withdraws the models
    greenhouse forget QUERY --purge                   afterwards: deletes what old states still hold

    The first changes nothing; `--apply` asks first where QUERY names several documents, `--purge` always; without a
    terminal, YES=1 in front of the command agrees.

    The price is the forecast of the stages that have to run again, with its interval. Afterwards the workspace's bytes
    are those of a run that never had the text, but for the records of the removal and for what is held out of a work
    that has other documents, or of a source with a limit, which stays as it was. Runs of six of its words are
    looked for in every file of every state, in rows and items, MLflow, DVC's cache and remote, git and its other
    worktrees, in any encoding or archive that Python opens; each answer ends with what was searched, what was found
    where, and what was not searched or not opened. Works from a fresh clone that has a DVC remote.

    Args:
        query: id, passage, e-mail address, location or its beginning, source, or licence.
        apply: opt out, make again what is stale, withdraw the models that saw it.
        purge: then: delete the copies in old states, after asking.
        quoting: documents that have some of its words too go with it.
        common_above: words that more documents than so many have too are common, and are not looked for.
    """
    if apply and purge:
        raise UserError("--apply and --purge go one after the other; leave --purge out until the first is done")
    if purge:
        refuse_while_running()
        items, note = forgetting.to_purge(query)
        items += of_paths(idle_work_folders())
        return carry_out(items, [PURGED, note], "purge", len(items))
    asked, exact = find_documents(query)
    if not (exact or apply):
        known = recorded(query)
        print("it was taken out before; its words are looked for ...", flush=True)
        print(search_for(asked, known.needles, known.ids).everywhere().sentence("words that stay"))
        print("\nnothing has changed: it was taken out before; --purge deletes old copies that are left")
        return 0
    hits = exact + (quoting_too(prepare_search(query, asked, exact, common_above)) if quoting else [])
    cut = forgetting.cut_locations(hits)
    parts = other_halves(hits, cut)
    whole_hits = hits + parts
    if apply:
        print("\n".join(["These will be left out:", *documents_lines(asked, hits, parts)]), flush=True)
    if apply and len(whole_hits) > 1 and not agreed("apply"):
        return 1
    if apply:
        print(
            "first their copies are looked for; until the list is changed, a run beside this one uses them", flush=True
        )
    lines = entries(asked, exact, with_duplicates(whole_hits), cut)
    if not apply:
        print(first_answer(asked, hits, parts, lines), flush=True)
    search = prepare_search(query, asked, whole_hits, common_above).everywhere()
    if apply:
        leave_out(query, lines, search, sources_of(whole_hits))
    else:
        print(found_copies(search))
        print("\nnothing has changed; --apply leaves them out, --purge then deletes the copies")
    return 0


def quoting_too(search: Any) -> list[Any]:
    """The documents that have some words of those searched for, which may have gone already."""
    ids = quoting(search.needles, search.ids)
    return [match for id in ids for match in answers(Query("id", id.split("-")[0]), whole=True)]


def other_halves(matches: list[Any], cut: set[str]) -> list[Any]:
    """What is not found of the documents that ingest cut at the edge of the held-out set: each goes whole."""
    others = sorted(cut - {match.document.facts["location"] for match in matches})
    halves = [(location, match) for location in others for match in answers(Query("location", location), whole=True)]
    return [match for location, match in halves if match.document.facts["location"] == location]
