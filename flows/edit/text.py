"""`greenhouse edit text`: params.yaml for one's own text."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from components import params as schema
from components.carbon.planning.step_cost_table import Rates
from components.core.errors import UserError
from components.core.files import nested, read_json, write_json
from components.params import layout
from flows.planning import preview, step_cost
from flows.planning.inspect_text import OwnText, inspect
from flows.planning.step_cost import in_proportion
from flows.system import params_file, paths
from flows.system.disk import human
from flows.system.params_file import difference

SIZED = (
    *("tokenize.vocab_size", "mix.canaries.per_count", "bias.min_mentions"),
    *(f"pretrain.{one}.{key}" for one in layout.BRANCHES for key in ("steps", "eval_every", "checkpoint_every")),
)
"""Keys that follow from how much text there is."""
CHOSEN = ("mix.curriculum.share", *SIZED)
"""Keys that follow from the text unless a person has set them."""

DATA_STAGES_MEGABYTES = 25.0
"""Megabytes the data stages get through in their part of the demo's five minutes on two cores
(docs/guide.md)."""
MOST_EPOCHS = 8
"""Times a text is repeated at most: to about 4 repeats are as good as new text, beyond 16 they
bring nothing (Muennighoff et al. 2023, arXiv:2305.16264)."""
VOCABULARY = ((0.3, 384, 1.9), (1.0, 768, 2.5), (4.0, 2048, 3.2), (1e9, 2048, 3.7))
"""Up to so many megabytes of text: tokens in the vocabulary, and about how many bytes one then
stands for."""
MOST_LANGUAGES = 4
"""Times as many tokens at most, for each language wants its own, and Chinese characters are a few
thousand."""
LEAST_VOCABULARY, BYTES_PER_TOKEN = 300, 40
"""The bytes, the special tokens and a few; bytes of text for each token more, since learned from
less it is rare."""
LITTLE = ("; that is very little: a model will repeat it, and tuning, whose tasks are drawn from it, may want 100 kB "
          "(`greenhouse run --until pretrain@causal` ends before)")  # fmt: skip
PRETRAIN_S = 75.0
"""Seconds of the demo's five minutes in which both models are pretrained, side by side
(docs/guide.md)."""
MOST_STEPS = 3
"""On a quick machine pretraining gets at most so many times the shipped steps: what follows takes
its time too."""

Change = tuple[Any, str]
"""A new value, and the reason for it."""
Changes = dict[str, Change]
Measure = Callable[[schema.Params], dict[str, Rates]]
"""Tries some training steps: parameters -> branch -> what they take here (`rates.required`)."""


def wanted(corpus: OwnText, before: schema.Params, measure: Measure, kept: Mapping[str, Any] = {}) -> Changes:
    """Dotted keys of the schema and the values they get for this text.

    Args:
        before: the parameters as if there had been no text: text up to the limits of their sources
            fits the time.
        measure: says how many training steps do.
        kept: keys that have a value by hand, and that value: the others go with it.
    """
    limits = [source.max_megabytes for source in before.ingest.sources]
    limit = sum(limits) if all(limits) else DATA_STAGES_MEGABYTES
    megabytes = min(limit, corpus.num_bytes / 1e6) if corpus.num_bytes else limit
    by_size = sizes(megabytes, corpus.languages, before, measure, kept)
    return sources(corpus, limit) | exercises(corpus, before) | by_size


def sources(corpus: OwnText, limit: float) -> Changes:
    """The one source, and all that named the sources before it."""
    files = {"path": corpus.place, "text_field": corpus.text_field}
    hub = {"dataset": corpus.place, "revision": corpus.revision}
    cut = corpus.kind == "hub" or corpus.num_bytes / 1e6 > limit
    entry: dict[str, Any] = {"kind": corpus.kind, "name": corpus.name, **(files if corpus.kind == "files" else hub)}
    entry |= {"max_megabytes": limit if cut else 0.0}
    why = f"the first {limit:g} MB, which fit the time; 0 for all of it" if cut else "all of it fits the time"
    return {
        "ingest.sources": ([entry], why),
        "ingest.watch": (corpus.place if corpus.kind == "files" else "corpora/pins.json", "what DVC watches"),
        "mix.weights": ({}, "they named other sources"),
        "filter.per_source": ({}, "they named other sources"),
    }


def exercises(corpus: OwnText, before: schema.Params) -> Changes:
    """The curriculum, which is in English: none for text without, unless a person asks for it."""
    if not corpus.languages or "en" in corpus.languages:
        return {"mix.curriculum.share": (before.mix.curriculum.share or schema.Params().mix.curriculum.share, "")}
    return {"mix.curriculum.share": (0.0, "its exercises are in English, and the text has none; set it to have them")}


def sizes(
    megabytes: float, languages: tuple[str, ...], before: schema.Params, measure: Measure, kept: Mapping[str, Any]
) -> Changes:
    """Vocabulary, training steps and canaries for an amount of text in some languages.

    Raises:
        UserError: a single training step would repeat the text too often.
    """
    vocabulary, bytes_per_token = next((size, ratio) for most, size, ratio in VOCABULARY if megabytes <= most)
    times = min(MOST_LANGUAGES, len(languages) + 2 * bool({"zh", "ja"} & {*languages})) or 1
    learned = min(vocabulary * times, LEAST_VOCABULARY + round(megabytes * 1e6 / BYTES_PER_TOKEN))
    tokens = megabytes * 1e6 / bytes_per_token
    if (epochs := before.pretrain.causal.batch * before.pretrain.causal.context / tokens) > MOST_EPOCHS:
        raise UserError(
            f"too little text, about {megabytes * 1e6:.0f} bytes: one training step would go over it {epochs:.0f} "
            f"times, and more than {MOST_EPOCHS} bring little; give {megabytes * 1e6 * epochs / MOST_EPOCHS:.0f} bytes "
            "at least"
        )
    amount = f"for {human(round(megabytes * 1e6))} of text in {', '.join(languages) or 'one language'}"
    changes: Changes = {"tokenize.vocab_size": (learned, amount)}
    tokenize = before.tokenize.model_copy(update={"vocab_size": kept.get("tokenize.vocab_size", learned)})
    rates = measure(before.model_copy(update={"tokenize": tokenize}))
    for branch in ("causal", "masked"):
        shipped = getattr(before.pretrain, branch)
        in_time, most = rates[branch].steps_in(shipped, PRETRAIN_S), MOST_STEPS * shipped.steps
        allowed = min(in_time, most)
        per_epoch = tokens / (shipped.batch * shipped.context)
        steps = max(1, min(allowed, int(per_epoch * MOST_EPOCHS)))
        limit = f"the time allows {in_time} on this machine" if in_time <= most else f"{most} are the most"
        # The mixture has generated texts beside the text, so a step has less of it than its tokens.
        why = f"about {steps / per_epoch * (1 - before.mix.curriculum.share):.2g} times through the text; {limit}"
        changes[name := f"pretrain.{branch}.steps"] = steps, why
        for key, value in in_proportion(shipped, kept.get(name, steps)).items():
            changes.setdefault(f"pretrain.{branch}.{key}", (value, "in proportion"))
    few = next((number for minimum, number in ((2, 8), (0.3, 3)) if megabytes >= minimum), 1)
    changes["mix.canaries.per_count"] = (min(few, before.mix.canaries.per_count), "so that canaries stay a small share")
    mentions = before.bias.min_mentions
    return changes | {
        "bias.min_mentions": (
            mentions if megabytes >= 2 else min(5, mentions),
            "so little text mentions few groups often",
        )
    }


# -- writing it --------------------------------------------------------------------------------------------------------


def configure(data: str, measure: Measure = step_cost.required) -> str:
    """Edit params.yaml for this text. Returns what there is to say; the caller prints it.

    Raises:
        UserError: the text cannot be used, or params.yaml is not valid.
    """
    text, files = paths.PARAMS.read_text(encoding="utf-8"), schema.read(paths.PARAMS)
    current = files.params()
    corpus = inspect(data, current.ingest)
    if _same(corpus, current):
        return f"params.yaml points at {corpus.place} already; nothing changed"
    unplanned = as_shipped(files)
    kept = by_hand(files, unplanned)
    changes = wanted(corpus, unplanned, measure, kept)
    values = {key: value for key, (value, _) in changes.items() if key not in kept}
    goal = params_file.changed(current, values, "params.yaml for this text")
    new = params_file.rewritten(files, text, goal)
    back = params_file.replace(paths.PARAMS, new)
    write_json(_plan(), _values(goal, (key for key in CHOSEN if key not in kept)))
    stays = [
        f"  {key}: {value}  (stays: set by hand; {changes[key][0]} would follow from the text)"
        for key, value in kept.items()
    ]
    lines = [_introduction(corpus), *_change_lines(files, goal, changes), *stays, "", *difference(text, new), back]
    return "\n".join(lines)


def as_shipped(files: schema.ParamFiles) -> schema.Params:
    """What to plan from: what follows from the amount of text is as it ships for this size of the network."""
    keys = {_file_key(key): layout.file_keys()[_file_key(key)].value for key in SIZED}
    return files.overlaid(nested(params_file.reaching(keys, files.own))).params()


def by_hand(files: schema.ParamFiles, unplanned: schema.Params) -> dict[str, Any]:
    """Keys that follow from a text and have a value that a person gave: not shipped, nor a preset's or another plan's.

    Where a text of one's own is named and the plan for it is not there, as in a clone, all of them
    count as planned.
    """
    values, shipped = _values(files.params(), CHOSEN), _values(schema.Params(), CHOSEN) | _values(unplanned, SIZED)
    named = files.params().ingest.sources != schema.Params().ingest.sources
    earlier = values if named else {}
    if _plan().exists():
        earlier = read_json(_plan())
    presets = [layout.leaves(params_file.read_preset(name)) for name in params_file.preset_names()]
    known = {key: [shipped[key], earlier.get(key), *(one.get(_file_key(key)) for one in presets)] for key in CHOSEN}
    return {key: value for key, value in values.items() if value not in known[key]}


def _plan() -> Path:
    """The file with what the last text gave the keys that follow from it."""
    return paths.PARAMS.with_name(f"{paths.PARAMS.name}.planned")


def _file_key(key: str) -> str:
    """The file key that ships for a key of the schema: the shared one, if branches share it."""
    return [*layout.shared_places(key)][-1]


def _values(params: schema.Params, keys: Iterable[str]) -> dict[str, Any]:
    tree = params.model_dump(mode="json")
    return {key: layout.value_at(tree, key) for key in keys}


def _same(corpus: OwnText, current: schema.Params) -> bool:
    """Whether params.yaml has this text as its one source."""
    named = {"path": corpus.place} if corpus.kind == "files" else {"dataset": corpus.place, "revision": corpus.revision}
    entries = [source.model_dump() for source in current.ingest.sources]
    return len(entries) == 1 and {"kind": corpus.kind, **named}.items() <= entries[0].items()


def _introduction(corpus: OwnText) -> str:
    if corpus.kind == "hub":
        return f"{corpus.place} at {corpus.revision[:9]}: read from the hub while ingest runs"
    field = f", text in the field `{corpus.text_field}`" if corpus.text_field != "text" else ""
    language = f", languages of a tenth or more: {', '.join(corpus.languages)}" if corpus.languages else ""
    little = LITTLE if corpus.num_bytes < 100_000 else ""
    lost = f"\nnot all of it is read: {corpus.not_read}" if corpus.not_read else ""
    hint = f"\n{corpus.hint}" if corpus.hint else ""
    size = human(corpus.num_bytes)
    return f"{corpus.place}: files to read: {corpus.files}, about {size} of text{language}{field}{little}{lost}{hint}"


def _change_lines(files: schema.ParamFiles, goal: schema.Params, changes: dict[str, Change]) -> list[str]:
    """One line for each key that changes, as params.yaml has it, with the reason."""
    before, after = _values(files.params(), changes), layout.leaves(goal.model_dump(mode="json"))
    rows = dict[str, str]()
    for key, (value, why) in changes.items():
        if before[key] != value:
            written = params_file.file_key(key, value, after, files.own)
            shown = value[0]["name"] if key == "ingest.sources" else value
            rows.setdefault(written, f"  {written}: {shown}" + (f"  ({why})" if why else ""))
    return [*rows.values()]


def text(data: str, /) -> None:
    """Your own text as the only source: params.yaml is edited, and nothing runs.

    greenhouse edit text ~/my-texts             a folder or a file
    greenhouse edit text owner/name@commit      a data set of the hub
    greenhouse run --data ~/my-texts            the same, and the pipeline

    Comments are kept, and what changes is shown. The work is planned to fit the time; the same text again changes
    nothing, so nothing becomes stale. params.yaml as it was before the first
    edit is kept in params.yaml.before.

    Args:
        data: folder, file, or owner/name@commit.
    """
    print(configure(data))
    preview.show(schema.load(paths.PARAMS))
