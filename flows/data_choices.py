"""Data choices: trainings with other settings of the data beside the settings as they are."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import mean, variance

from components import params as schema
from components.core.errors import UserError
from components.core.files import write_text
from components.params import DataChoices, Params
from components.params.promote import RULES
from components.reporting.tables import Page, interval, markdown_table, ranged
from components.studies.data_choices import CONTROL, Arm, Gain, gains, least_gain
from components.verdicts import shipped_spread
from flows.execution.stage import Study
from flows.seeds import trained
from flows.system import paths
from flows.tracking import seed_runs
from flows.tracking.snapshots import ObjectCache, Snapshot

REPORTS = paths.ROOT / "reports" / "data_choices"
SECTIONS = ("dedup", "filter", "bias", "mix", "tokenize")
"""Whose settings are choices of data: others change which tokens are read or what is scored."""
METRIC = RULES["causal"].primary
OF_BIAS = ("pronoun_gap/gap", "sentence_pairs/causal")
"""Scores that arms of these keys are held against the control in, beside `METRIC`."""
MITIGATIONS = ("bias.", "mix.augment", "mix.group_weights")
REPEATED, SWAPPED = "mix.augment=random", "mix.augment=counterfactual"
"""Without as much repeated text beside it, whatever repeating does would be credited to the swap."""


def run_study(name: str, params: Params, settings: DataChoices) -> Path:
    """Train with other settings of the data, each with several seeds; one table says what each gains and takes.

    Raises:
        UserError: no arm, or one that is no choice of data; a training did not end well.
    """
    arms = {CONTROL: params} | {entry: _chosen(entry) for entry in settings.arms}
    if len(arms) == 1:
        raise UserError("study data: no arm is named; give --arm KEY=VALUE, such as --arm dedup.near=false")
    for first, second in combinations(arms, 2):
        if arms[first] == arms[second]:
            raise UserError(f"--arm {second}: means the same as --arm {first}; leave one of them out")
    print(expectation(settings.seeds, len(arms) - 1), flush=True)
    runs: dict[str, list[Snapshot]] = {arm: [] for arm in arms}
    for number in range(1, settings.seeds + 1):  # all arms of a seed, then the next: what is stopped can be read
        for arm, arm_params in arms.items():
            runs[arm].append(trained(arm_params, number))
    if len({seed_runs.heldout_of(one) for many in runs.values() for one in many}) > 1:
        raise UserError("study data: the arms were scored on different held-out sets; sources changed on the way")
    write_text(REPORTS / "report.md", markdown(runs, settings.seeds))
    return REPORTS


def _chosen(entry: str) -> Params:
    """params.yaml with an arm's setting."""
    from flows.run import form_of

    if entry.partition(".")[0] not in SECTIONS:
        raise UserError(f"--arm {entry}: no choice of data; give a key of {', '.join(SECTIONS)}, as KEY=VALUE")
    as_it_is = schema.read(paths.PARAMS)
    if (chosen := form_of([entry]).applied(as_it_is)) == form_of([]).applied(as_it_is):
        raise UserError(f"--arm {entry}: params.yaml says so already; give a value that differs")
    return chosen


def expectation(seeds: int, rows: int, measured: float = 0.0) -> str:
    """Sentence on the gain that so many seeds can show, by how much a seed moves the score: measured, or the demo's."""
    of_demo, trainings = shipped_spread()[f"pretrain/causal {METRIC}"]
    known = "in these trainings" if measured else f"in {trainings} trainings of the demo; other sizes and texts differ"
    gain = least_gain(deviation := measured or of_demo, seeds, rows)
    return (
        f"{seeds} seeds a side can show a gain of {gain:.3f} bits per byte or more, in four of five cases and if all "
        f"works agree, where a seed moves the score by {deviation:.3f}, as {known}"
    )


def _arm(name: str, runs: Sequence[Snapshot]) -> Arm:
    """The scored items of an arm's trainings."""
    from components.statistics import mean_rows

    cache = ObjectCache()
    items = [cache.fetched(seed_runs.items_of(one, cache, "causal")) for one in runs]
    return Arm(name, mean_rows(items), [seed_runs.scores_of(path) for path in items])


def markdown(runs: Mapping[str, Sequence[Snapshot]], seeds: int) -> str:
    """The report: one table; arms against bias in scores of bias too."""
    control, *arms = (_arm(name, many) for name, many in runs.items())
    by_name, spent = {one.name: one for one in arms}, dict(_spent(runs))
    mitigates = any(one.name.startswith(MITIGATIONS) for one in arms)
    metrics = [METRIC, *(name for name in OF_BIAS if mitigates and all(name in one.rows for one in (control, *arms)))]
    pairs = [(control, one) for one in arms]
    if REPEATED in by_name and SWAPPED in by_name:
        pairs.append((by_name[REPEATED], by_name[SWAPPED]))
    results = gains(pairs, metrics)
    spread = mean(variance(scores[METRIC] for scores in one.scores) for one in (control, *arms))
    rows = [
        *((CONTROL, one.metric, f"{one.row.a:.4f}", "", "", *spent[CONTROL]) for one in results[: len(metrics)]),
        *(_row(one, spent.get(one.arm, ("", ""))) for one in results),
    ]
    page = Page("Choices of data", None)
    page.add(
        f"{seeds} trainings an arm, of as many tokens each. Gain: how much better than the control (fewer bits per "
        "byte, a gap nearer to 0, a share nearer to .5), with its 95% interval over works and seeds; verdict at 5% "
        "after Holm's correction over the table.",
        expectation(seeds, len(results), spread**0.5) + ".",
        markdown_table(("arm", "score", "value", "gain", "verdict", "device-hours", "Wh"), rows, "llrllrr"),
    )
    return page.markdown


def _row(one: Gain, spent: tuple[str, str]) -> tuple[str, ...]:
    gain = interval(one.row.improvement, one.row.low, one.row.high, "+.4f")
    return one.arm, one.metric, f"{one.row.b:.4f}", gain, one.verdict, *spent


def _spent(runs: Mapping[str, Sequence[Snapshot]]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Arm -> device-hours and Wh of its trainings, failed and resumed attempts among them."""
    from components.carbon.footprint.costs import device_hours
    from components.carbon.ledger import reader

    ledger = reader.read(paths.LEDGER)
    for arm, many in runs.items():
        names = {one.name for one in many}
        spans = ledger.where(lambda span, names=names: span.labels.get("run") in names)  # type: ignore[misc]
        wh = [1000 * value for value in spans.energy.kwh.as_list()]
        yield arm, (f"{device_hours(spans):.3f}", ranged(wh))


STUDY = Study("data_choices", DataChoices, "Choices of data, over works and seeds", run_study)
