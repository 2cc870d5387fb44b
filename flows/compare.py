"""`greenhouse compare`: two states of the pipeline side by side."""

import html
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from components import params as schema
from components.carbon.footprint import intensity
from components.carbon.footprint.costs import LedgerCosts, stage_runs
from components.core.errors import UserError
from components.core.files import read_json, write_text
from components.core.plain_text import counted
from components.params import FURTHER, layout
from components.reporting.tables import interval, ranged
from components.scores import Score, as_scores
from components.stages.account.answer_text import licence_words
from components.stages.account.stage import costs
from components.stages.account.summary import MODELS, read_rows
from components.statistics import CONFIDENCE, difference, paired_difference
from components.studies.noise_floor import all_over_seeds
from components.studies.noise_floor import same as is_same
from components.verdicts import LEVEL
from flows.system import code_files, dvc, paths
from flows.tracking import mlflow_run, seed_runs
from flows.tracking.snapshots import Snapshot, files_of, find
from flows.tracking.team_ledger import ledger_of

MARKS = (
    "* the change of settings does it, over works and training seeds; files: these two files differ on these texts, "
    "whatever made them; each at 5 % for all scores together (Holm)"
)
SHOWN = 12
"""Rows of a long list that are shown."""
PAIRS = "reports/finetune/instruct/details"
"""Where the stage that tunes keeps its held-out pairs."""
CHOICES, BITS, FEWER = "instruct/choice_accuracy", "instruct/answer_bits_per_byte", "answers/bits_per_byte"
"""The choice of an answer and its bits, on those pairs; its bits on the fewer pairs that evaluate has."""
TUNED = "finetune/instruct"


class Verdict(str):
    """The line that sums a comparison up, or says why nothing is compared; `brief` is the same in few words."""

    brief: str

    def __new__(cls, text: str, brief: str) -> "Verdict":
        line = super().__new__(cls, text)
        line.brief = brief
        return line

    @classmethod
    def none(cls, why: str, label: str = "") -> "Verdict":
        """No scores are compared, or not those of the models there are."""
        return cls(f"scores{label}: {why}", why)


def different(a: Snapshot, b: Snapshot) -> list[str]:
    """Differences in parameters, code, data and models, as lines of text."""
    params = [f"{key}: {old} -> {new}" for key, old, new in dvc.leaves("", a.params(), b.params())]
    commands = [one.adopted.get("cmd", "") for one in (a, b)]
    if all(commands) and commands[0] != commands[1]:
        params.append(f"command: {commands[0]} -> {commands[1]}")
    sections = {"parameters": params, "code": _changed(a.code(), b.code())}
    for top in ("data", "models"):
        sections[top] = _changed(_hashes(a, top), _hashes(b, top))
    if unknown := [label for label, one in (("A", a), ("B", b)) if one.adopted and not one.adopted["recorded"]]:
        sections["code"] = sections["data"] = [f"not known of {' and '.join(unknown)}: nobody recorded the run"]
    if rows := [row for one in (a, b) if one.kind == "workspace" for row in _edited(one)]:
        sections["params.yaml, edited since the workspace was made and not compared"] = rows
    return [line for title, rows in sections.items() for line in _section(title, rows)]


def _edited(workspace: Snapshot) -> list[str]:
    """Values of params.yaml that differ from those that the workspace was made with."""
    recorded = workspace.params()
    changes = dvc.leaves("", recorded, schema.load(paths.PARAMS).model_dump(mode="json"))
    return [f"{key}: {old} -> {new}" for key, old, new in changes if layout.contains(recorded, key)]


def _hashes(state: Snapshot, top: str) -> dict[str, str]:
    """Path -> hash of a state's outputs below a folder; data also of files outside that stages read, such as rows.

    Of a model of another trainer the data are those it read.
    """
    if state.adopted and top == "data":
        return {path: row["sha256"] for path, row in state.adopted["data"].items()}
    outs = state.outputs()
    deps = [dep for entry in state.lock.values() for dep in entry.get("deps", []) if dep["path"] not in outs]
    own = (*code_files.CODE, "data/", "models/", "reports/")
    read = {dep["path"]: dep.get("md5", "") for dep in deps if not dep["path"].startswith(own)}
    return {path: md5 for path, md5 in outs.items() if path.startswith(f"{top}/")} | (read if top == "data" else {})


def _changed(a: dict[str, str], b: dict[str, str]) -> list[str]:
    """One line per path whose hash differs."""
    names = [*a, *(path for path in b if path not in a)]
    pairs = [(path, a.get(path, "none"), b.get(path, "none")) for path in names]
    return [f"{path}: {before[:8]} -> {after[:8]}" for path, before, after in pairs if before != after]


def _section(title: str, rows: list[str]) -> list[str]:
    if not rows:
        return [f"{title}: the same"]
    more = [f"    and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    return [f"{title}:", *(f"    {row}" for row in rows[:SHOWN]), *more]


# -- scores ------------------------------------------------------------------------------------------------------------


def same_heldout(a: Snapshot, b: Snapshot) -> bool:
    """Whether both were examined on the same held-out set."""
    return seed_runs.heldout_of(a) == seed_runs.heldout_of(b)


def differences(a: Snapshot, b: Snapshot) -> tuple[list[Any], list[str]]:
    """The paired difference of every metric on the items both answered, and those without the noise of seeds."""
    branches = [branch for branch in seed_runs.STAGES if scored_apart(a, b, branch)]
    compared = {branch: seed_runs.Compared.of(a, b, branch) for branch in branches}
    rows = [
        row
        for branch, pair in compared.items()
        for row in paired_difference(pair.items_a, pair.items_b)
        if kind_of(row) == branch
    ]
    if "instruct" in compared:
        on_pairs = [difference(name, *_on_pairs(a, b, name)) for name in (CHOICES, BITS)]
        rows = [row for row in rows if row.name != FEWER or on_pairs[1] is None] + [row for row in on_pairs if row]

    kinds = {row.name: kind_of(row) for row in rows}

    def noise(metric: str) -> Any:  # a mean over fewer pairs moves with the seed at least as much
        return compared[kinds[metric]].noise_or_shipped(FEWER if metric == BITS else metric)

    return all_over_seeds(rows, noise)


def kind_of(row: Any) -> str:
    """The kind of model whose items a difference is of."""
    return row.model.rsplit("/", 1)[-1]


def _on_pairs(a: Snapshot, b: Snapshot, score: str) -> tuple[dict, dict]:
    """Each side's score of each held-out pair, as items; none unless both were asked the same in the same order.

    A choice is among the pairs beside one's own.
    """
    column, weight, direction = {
        CHOICES: ("right_after", "", "higher"), BITS: ("bits_after", "bytes", "lower")
    }[score]  # fmt: skip
    sides = [[row for row in _heldout_pairs(state) if row.get(column)] for state in (a, b)]
    questions = [[(row["text"], row["answer"]) for row in rows] for rows in sides]
    if questions[0] != questions[1]:
        return {}, {}
    items = [
        {
            ("", str(number)): {"score": float(row[column]), "weight": float(row.get(weight, 1)), "model": TUNED}
            | {"direction": direction, "cluster": row["cluster"], "stratum": row["stratum"]}
            for number, row in enumerate(rows)
        }
        for rows in sides
    ]
    return items[0], items[1]


def _heldout_pairs(state: Snapshot) -> list[dict[str, str]]:
    """Held-out pairs of instruction tuning with their scores; none where their bytes are gone."""
    with suppress(UserError):
        return read_rows(files_of(state)(f"{PAIRS}/heldout.csv"))
    return []


def outdated(a: Snapshot, b: Snapshot) -> Iterator[str]:
    """A line per model that was made anew after the evaluation which its state holds."""
    for label, one in (("A", a), ("B", b)):
        kinds = [kind for kind, stage in seed_runs.STAGES.items() if stage in one.lock and _is_on(one, kind)]
        if kinds := [kind for kind in kinds if seed_runs.scores_another(one, kind)]:
            why = f"of earlier models than these: {', '.join(kinds)}; run the pipeline there to its end"
            yield Verdict.none(why, f" {label}")


def _is_on(one: Snapshot, kind: str) -> bool:
    """Whether the evaluation knew of a branch: dvc.lock keeps the stage of one that is off since."""
    known = Snapshot("", "", {"evaluate": one.lock.get("evaluate", {})}).params().get("finetune", {})
    return kind not in FURTHER or bool(known.get(kind, {}).get("base"))


def scored_apart(a: Snapshot, b: Snapshot, branch: str) -> bool:
    """Whether both have a model of this kind, scored item by item, by other reports."""
    stage, details = seed_runs.STAGES[branch], f"{seed_runs.SCORED_BY[branch]}/details"
    reports = {state.outputs().get(details) for state in (a, b) if stage in state.lock}
    return len(reports) == 2 and all(seed_runs.has_items(state, branch) for state in (a, b))


def verdict(a: Snapshot, b: Snapshot, rows: list[Any]) -> Verdict:
    """In one line: in what the two files differ, then whether the settings do it, the main scores, and the costs."""
    differing = named([row for row in rows if not is_same(row)], a, b)
    files, settings = (sorted(filter(holds, differing), key=_sureness) for holds in (_is_of_files, _is_of_settings))
    main = [row for name in mlflow_run.PRIMARY for row in differing if row.name == name]
    apart = sorted({model.split("/")[1] for model in differing_models(a, b)} - {kind_of(row) for row in rows})
    changes = f"; not compared, without items in common: {', '.join(apart)}" if apart else ""
    established = by_settings(settings)
    brief = f"the files differ in {len(files)} of {counted(len(differing), 'score')}; {established}" + changes
    for row in [*main, *(row for row in (*settings[:2], *files[:2]) if row not in main)][: len(main) + 2]:
        changes += f"; {row.name} {row.a:.3f} -> {row.b:.3f}, improvement {row.improvement:+.4f}"
        shown = "" if _is_of_files(row) else ", not beyond chance"
        changes += ", by the settings" if _is_of_settings(row) else shown
    spent = {label: text.split()[0] if text[0].isdigit() else "unknown" for label, text in _energies(a, b).items()}
    energy = ", ".join(f"{label} {wh}" for label, wh in spent.items())
    differ = f"these two files differ on these texts in {len(files)} of {counted(len(differing), 'score')}"
    head = f"{differ} ({_sides(files)}); {established}" if differing else "no score on items of both differs"
    return Verdict(f"{head}{changes}; Wh: {energy}", brief if differing else head + changes)


def by_settings(established: list[Any]) -> str:
    """Whether the change of settings makes the difference: one training a side says so only with a known spread."""
    if established:
        return f"the change of settings does it in {len(established)} ({_sides(established)})"
    return (
        "whether the change of settings does it is not established: needs trainings a side (`greenhouse study seeds`)"
    )


def _sides(rows: list[Any]) -> str:
    better = sum(row.improvement > 0 for row in rows)
    return f"B better in {better}, worse in {len(rows) - better}"


def differing_models(a: Snapshot, b: Snapshot) -> list[str]:
    """Models that both have, with other bytes."""
    before, after = a.outputs(), b.outputs()
    paths_of = {model: f"models/{model}" for model in MODELS}
    return [
        model for model, path in paths_of.items() if path in before and path in after and before[path] != after[path]
    ]


def _is_of_files(row: Any) -> bool:
    """Whether the two files differ in it on these texts, whatever made them."""
    return bool(row.p_files < LEVEL)


def _is_of_settings(row: Any) -> bool:
    """Whether trainings of A's and B's settings differ in it, over works and seeds."""
    return bool(row.p_holm < LEVEL)


def _sureness(row: Any) -> float:
    return float(-abs(row.improvement) / (row.error or 1.0))


def named(rows: list[Any], *states: Snapshot) -> list[Any]:
    """Differences under the names that their scores have everywhere else; of other items, with what these are."""
    known = {score.name: score for one in states for model in ("evaluate", *MODELS) for score in _scored(one, model)}

    def name(row: Any) -> str:
        score = known.get(row.name)
        if score and row.conditions > 1 and not {f"{row.a:.4f}", f"{row.b:.4f}"} & {f"{score.value:.4f}"}:
            return f"{row.name}, {row.conditions} conditions"
        return score.key if score else row.name

    return [replace(row, name=name(row)) for row in rows]


def scores(a: Snapshot, b: Snapshot) -> Iterator[str]:
    """The verdict, the table of scores, and what its intervals cover."""
    rows, without = differences(a, b)
    if not rows:
        before, after = (state.outputs().get(f"{seed_runs.EVALUATE}/details") for state in (a, b))
        branches = ", ".join(branch for branch in seed_runs.STAGES if scored_apart(a, b, branch))
        same = "the same evaluation" + (f"; of {branches} no item in common" if branches else "")
        yield Verdict.none(same if before == after else "the two answered no item in common")
        yield from scored_by_themselves(a, b, [])
        return
    yield verdict(a, b, rows)
    yield from score_table(named(rows, a, b))
    yield from textwrap.wrap(MARKS, 110)
    if unshown := [row for row in rows if (row.low or 0.0) * (row.high or 0.0) > 0.0 and not _is_of_settings(row)]:
        min_p, min_corrected = min(row.p for row in unshown), min(row.p_holm for row in unshown)
        why = f"p {min_p:.2g} or more, corrected {min_corrected:.2g} or more; few works give no small p"
        yield f"no * though the interval leaves out zero: {counted(len(unshown), 'score')}, {why}"
    if without and all(row.name in without or row.low is None or is_same(row) for row in rows):
        yield "intervals cover works and items, not another seed: `greenhouse study seeds` measures that"
    elif without:
        yield from textwrap.wrap(f"intervals cover works and seeds, but not seeds for {', '.join(without)}", 110)
    yield from scored_by_themselves(a, b, rows)


def scored_by_themselves(a: Snapshot, b: Snapshot, rows: list[Any]) -> Iterator[str]:
    """A line per model that differs: scores that its own stage measured and that none of these rows is.

    Each stage scores its model on its own held-out rows, which need not be the same in A and B: no interval.
    """
    scored = {kind_of(row) for row in rows}
    shown = {(kind_of(row), row.name.split("/")[1]) for row in rows}
    for model in differing_models(a, b):
        branch = model.split("/")[1]
        if branch in scored and model.startswith("pretrain"):
            continue  # evaluate scores a sample of the same text
        was, now = (_measured(state, model) for state in (a, b))
        rest = [name for name in was if name in now and (branch, name) not in shown]
        moved = ", ".join(f"{now[name].key} {was[name].value:.4f} -> {now[name].value:.4f}" for name in rest)
        on = "their own held-out rows" if _task(a, branch) == _task(b, branch) else "rows of unlike tasks"
        scored_text = f"by {on}, without an interval: {moved}" if moved else ""
        if branch not in scored:
            identical = f"{branch}: the models differ, and no item of the evaluation tells them apart"
            yield f"{identical}; {scored_text}" if scored_text else identical
        elif scored_text:
            yield f"{branch}, {scored_text}"


def _task(state: Snapshot, branch: str) -> tuple[Any, Any]:
    """Data and task that a model was tuned on; nothing of a pretrained one."""
    section = state.params().get("finetune", {}).get(branch, {})
    return section.get("data"), section.get("task")


def _measured(state: Snapshot, model: str) -> dict[str, Score]:
    """The scores of a model that its own stage measured, by metric."""
    return {score.name.split("/")[1]: score for score in _scored(state, model)}


def _scored(state: Snapshot, reports: str) -> list[Score]:
    """The scores that a stage measured; none if its report is no longer there."""
    with suppress(UserError):
        if path := files_of(state)(f"reports/{reports}/details/facts.json"):
            return as_scores(read_json(path))
    return []


def score_table(rows: list[Any]) -> list[str]:
    """One line per metric that differs: both scores, improvement with interval, and whether it is more than chance.

    Of metrics that are the same on every item, the numbers by kind of model: their names would bury what differs.
    """
    same, unlike = ([row for row in rows if is_same(row) == equal] for equal in (True, False))
    width = max((len(row.name) for row in unlike), default=6)
    head = f"{'metric':<{width}}  {'A':>9}  {'B':>9}  B better by [{CONFIDENCE:.0%} interval]"
    table = [head, *(_score_line(row, width) for row in unlike)] if unlike else []
    kinds = Counter(map(kind_of, same))
    counts = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
    last_line = f"the same on every item: {counted(len(same), 'metric')} ({counts})"
    return [*table, last_line] if same else table


def _score_line(row: Any, width: int) -> str:
    gain = _gain(row) + (" no interval" if row.low is None else "")
    mark = " *" if _is_of_settings(row) else " files" if _is_of_files(row) else ""
    left_out = f"  ({row.only_a} items only in A, {row.only_b} only in B: left out)" if row.only_a or row.only_b else ""
    return f"{row.name:<{width}}  {row.a:>9.4f}  {row.b:>9.4f}  {gain}{mark}{left_out}"


def _gain(row: Any) -> str:
    return interval(row.improvement, row.low, row.high, "+.4f")


# -- licences ----------------------------------------------------------------------------------------------------------


def licence_lines(a: Snapshot, b: Snapshot) -> list[str]:
    """Licences of the text each learned from, by documents, without what the mixture generates."""
    before, after = _licences(a), _licences(b)
    return [f"licences: {before}"] if before == after else [f"licences A: {before}", f"licences B: {after}"]


def _licences(state: Snapshot) -> str:
    manifest = files_of(state)("data/bias/train/manifest.json")
    if manifest is None:
        return "not known: no text of this pipeline is there"
    licences = read_json(manifest)["licences"]
    return licence_words({name: row["num_documents"] for name, row in licences.items()}, len(licences))


# -- energy ------------------------------------------------------------------------------------------------------------


def energy_lines(a: Snapshot, b: Snapshot) -> list[str]:
    """Cost of each, by the ledger: every attempt at its stages, failed and resumed ones included."""
    scope = "all its stages and what ran around them, failed runs included"
    lines = [f"energy {label}, {scope}: {text}" for label, text in _energies(a, b).items()]
    return [*lines, "stages that both have count in both; each run by itself: `greenhouse cost`"]


def _energies(a: Snapshot, b: Snapshot) -> dict[str, str]:
    grid = schema.load(paths.PARAMS).runtime.grid
    ledger = ledger_of({*a.fingerprints().items(), *b.fingerprints().items()})
    ledger_costs = LedgerCosts(ledger, grid, intensity.resolve(grid, paths.ROOT))
    return {label: _energy(ledger_costs, state) for label, state in (("A", a), ("B", b))}


def _energy(ledger_costs: LedgerCosts, state: Snapshot) -> str:
    """Cost of all stages of a state and of what ran around them, or that the ledger does not have them."""
    wanted = state.fingerprints()
    runs = stage_runs(ledger_costs.ledger, wanted, wanted, paths.ROOT.name)
    runs = {name: one for name, one in runs.items() if one.run.labels.get("fingerprint") == wanted[name]}
    if not runs:
        return "not in this machine's ledger"
    cost, absent = costs(ledger_costs, runs).total, len(wanted) - len(runs)
    missing = f"; {absent} of {len(wanted)} stages are not in this machine's ledger" if absent else ""
    wh = ranged([1000 * kwh for kwh in cost.kwh], "Wh", ".4g")
    return f"{wh} and {ranged(cost.grams, 'g CO2e', '.4g')}{missing}"


# -- the whole ---------------------------------------------------------------------------------------------------------


def report(a: Snapshot, b: Snapshot) -> Iterator[str]:
    """The comparison, line by line."""
    yield f"A = {a.name} ({a.kind} {a.commit[:9]}), B = {b.name} ({b.kind} {b.commit[:9]})"
    yield ""
    yield from different(a, b)
    yield ""
    details = {f"{reports}/details" for reports in seed_runs.SCORED_BY.values()}
    if others := [(label, one.adopted) for label, one in (("A", a), ("B", b)) if one.adopted]:
        yield Verdict.none("NOT COMPARABLE: of another trainer only its own last figures are known, on data of its own")
        for label, adopted in others:
            figures = [f"{name} {value:.4g}" for name, value in adopted["figures"].items()]
            yield f"    {label}: {', '.join(figures) or 'none'}"
    elif not same_heldout(a, b):
        yield Verdict.none("NOT COMPARABLE: the two were examined on different held-out sets (ingest differs)")
    elif without := [f"{side} ({it.kind})" for side, it in (("A", a), ("B", b)) if not details & it.outputs().keys()]:
        yield Verdict.none(f"{' and '.join(without)} has none: no run of it came as far as evaluate")
    else:
        yield from scores(a, b)
    yield from outdated(a, b)
    yield ""
    yield from licence_lines(a, b)
    yield from energy_lines(a, b)


def verdict_of(lines: list[str]) -> Verdict:
    """The verdict among the lines of a report; that a model is newer than its scores goes before the scores."""
    return next(line for line in reversed(lines) if isinstance(line, Verdict))


def as_page(lines: list[str]) -> str:
    """The comparison as one HTML file, with the verdict as its heading; it leads nowhere and needs nothing.

    Sentences wrap; rows of a table keep their columns and scroll.
    """
    first, verdict = lines[0], verdict_of(lines)
    head = f"<h1>B against A: {html.escape(verdict.brief)}</h1><p>{html.escape(first)}</p><p>{html.escape(verdict)}</p>"
    rest = [line for line in lines[1:] if line != verdict]
    body = "".join(
        f"<pre{' class=table' if is_table else ''}>{html.escape(chr(10).join(part)).strip(chr(10))}</pre>"
        for is_table, part in groupby(rest, lambda line: "  " in line.strip())
    )
    style = "body{font:16px sans-serif;margin:2em auto;max-width:70em;padding:0 1em}h1{font-size:1.3em}"
    style += "p,pre{overflow-wrap:anywhere}pre{white-space:pre-wrap;font-size:14px}"
    style += ".table{white-space:pre;overflow-x:auto;font-size:min(14px,2.6vw)}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Comparison of two models</title><style>{style}</style>{head}{body}"
    )


def compare(a: str, b: str = "workspace", /, *, page: Path | None = None) -> None:
    """Two states of the pipeline side by side: what differs, what that did to each metric, and what each has cost.

    greenhouse compare workspace my-experiment
    greenhouse compare greenhouse-causal-2@champion
    greenhouse compare HEAD~1 --page changes.html             a page for someone without the project

    A and B are `workspace`, a git revision, a DVC experiment, a pipeline run of MLflow, or a registered model's alias.
    Every metric that has items, not only the report's scores, is compared on the items both answered, with the interval
    of the difference; scores on different held-out sets do not compare, and are not shown.

    Two things are said apart, each wrong in at most 5 % of comparisons, all scores together: in which scores these two
    files differ on these texts, and in which the change of settings does it, over works and training seeds. The latter
    takes trainings a side (`greenhouse study seeds`), or the shipped spread where both have the demo's size.

    Args:
        a: the state before.
        b: the state after; `workspace` if it is left out.
        page: an HTML file to write it to as well.
    """
    if not a or not b:
        raise UserError("name two states: greenhouse compare workspace NAME, such as a git revision or an experiment")
    lines = list[str]()
    for line in report(find(a), find(b)):
        print(line, flush=True)
        lines.append(line)
    if page:
        try:
            write_text(page, as_page(lines))
        except OSError as error:
            raise UserError(f"{page}: cannot be written ({error.strerror}); name a file in a folder of yours") from None
