"""`greenhouse edit rows` and `edit base`: fine-tuning on rows of one's own, or of a model of one's own."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from components import params as schema
from components.core.errors import UserError
from components.core.files import raise_if_linked_out, write_json
from components.core.plain_text import abbreviated, plain
from components.finetuning_data.columns import Columns, in_words, parsed
from components.finetuning_data.coverage import known_line, notes, num_known, seen_line
from components.finetuning_data.formats import read
from components.finetuning_data.rows import KINDS, Chat, Preference, reason_lines
from components.finetuning_data.split import Split, classes_of, split
from components.params import FURTHER, Branch, Finetune
from flows.planning.staleness import tuning_line
from flows.system import params_file, paths
from flows.system.disk import human
from flows.system.hub_name import pinned

if TYPE_CHECKING:
    from components.stages.finetune.task_selection import Choice

BRANCHES: tuple[Branch, ...] = get_args(Branch)
PASSES, MOST_STEPS = 3, 1000  # times through the rows, and steps at most, that are proposed
HEAD_STEPS, HEAD_PASSES = 100, 20
"""Steps at least for a classifier, whose head begins untrained, as far as so many times through the
rows allow."""
BYTES_PER_PARAMETER = 16  # weight, gradient and AdamW's two moments in float32
MODEL_FILES = ("*.safetensors", "*.json", "merges.txt", "LICENSE*", "README.md")
MISSING = {"none", "null", "na", "n/a", "#n/a", "<na>", "nil"}  # as tables write that there is nothing
FEW = 30  # rows to train on below which it is said that they are few


def rows(
    data: str,
    /,
    *,
    columns: str = "",
    branch: Branch | None = None,
    base: str | None = None,
    split: str = "train",
    dry_run: bool = False,
) -> None:
    """Fine-tune on rows of your own, and on a model of your own: look at them, then write params.yaml.

    greenhouse edit rows PATH                       a json, jsonl, csv or parquet file, or a folder of them
    greenhouse edit rows OWNER/NAME@COMMIT          a data set of the Hugging Face hub, copied to downloads/
    greenhouse edit rows PATH --base FOLDER         and start from a model of `transformers`, such as Llama or BERT
    greenhouse edit rows PATH --base OWNER/NAME@COMMIT   the same from the hub: safetensors alone, no code
    greenhouse edit rows PATH --columns text=review,label=sentiment     where the guess is wrong; one may be enough
    greenhouse edit rows PATH --dry-run             write nothing

    Rows are chats (`messages`; or `prompt` and `completion`), texts (`text` and `label`, or `labels`, a list of several
    classes) or preferences (`prompt`, `chosen`, `rejected`). Their columns are guessed and shown: those of OpenAI's
    chats, ShareGPT, Alpaca and SQuAD, two texts of a pair (premise, hypothesis), review, sentiment and the like.

    Shown are how many can be used, what is left out and why, and two examples; then what changes in params.yaml. At a
    terminal it asks before it writes; params.yaml as it was before the first edit is kept in params.yaml.before. In a
    folder, files named test, validation, valid, val, dev, eval or heldout are held out.

    Args:
        data: file, folder, or owner/name@commit.
        columns: ROLE=COLUMN,...; A+B joins two columns, A.B is inside another; a part with a comma is quoted whole:
            '"text=A, B",label=C'.
        branch: where the rows belong.
        base: model folder, or owner/name@commit.
        split: split of a data set of the hub (train).
        dry_run: write nothing.
    """
    if not data.strip():
        raise UserError("no path is given; name a file, a folder, or owner/name@commit")
    print(apply(wanted(data, branch, base, split, parsed(columns)), dry_run))


def base(model: str, /, *, branch: Branch | None = None, dry_run: bool = False) -> None:
    """A model of your own to fine-tune, with the rows that the branch has.

    greenhouse edit base FOLDER --branch instruct             a model of `transformers`, such as Llama or BERT
    greenhouse edit base OWNER/NAME@COMMIT --branch classify  the same from the hub: safetensors alone, no code

    Its size and the memory that tuning takes are shown, then what changes in params.yaml. At a terminal it asks before
    it writes.

    Args:
        model: model folder, or owner/name@commit.
        branch: the branch that starts from it; needed.
        dry_run: write nothing.
    """
    if branch is None:
        raise UserError(f"{model}: which branch starts from it? name one with --branch {' or '.join(BRANCHES)}")
    folder = fetched_base(model)
    print(plain(described(folder, branch)))
    print(apply(_started_from(folder, branch), dry_run))


def _started_from(folder: Path, branch: Branch) -> dict[str, Any]:
    """What a branch is given with a base: its folder, and the learning rate that is usual for it.

    A base made elsewhere gets 5e-5, with LoRA ten times that, and for preferences a tenth. A rate
    of one's own stays.
    """
    settings = getattr(schema.load(paths.PARAMS).finetune, branch)
    default = type(settings).model_fields["learning_rate"].default
    rate = default / 2 if settings.lora_rank else default / 20
    if folder.is_relative_to(paths.ROOT / "models"):
        rate = default
    values: dict[str, Any] = {"base": _named(folder)}
    if settings.learning_rate in (default, default / 2, default / 20):
        values["learning_rate"] = rate
    return {f"finetune.{branch}.{name}": value for name, value in values.items()}


def wanted(
    data: str, branch: Branch | None, base: str | None, split_name: str, columns: Columns | None = None
) -> dict[str, Any]:
    """Look at rows and a base, print what is there; returns the keys of params.yaml and their values.

    Raises:
        UserError: one of them cannot be used.
    """
    path = fetched_rows(data, split_name)
    source, params = read(path, columns), schema.load(paths.PARAMS)
    fits = KINDS[source.kind].branch
    if branch not in (None, fits):
        raise UserError(f"{data}: its rows are for {fits} (kind {source.kind}), not for {branch}; leave --branch out")
    settings = getattr(params.finetune, fits)
    heldout = paths.ROOT / "data/ingest/heldout"
    is_there = (heldout / "manifest.json").exists()
    parts = split(source, heldout if is_there else None, sys.maxsize, settings.seed)
    folder = None if base is None else fetched_base(base)
    description = [described(folder, fits)] if folder else []
    start = settings.base or "models/finetune/instruct"
    base_folder = folder or paths.ROOT / start
    choice: Choice | None = None
    on_tokens = [f"how long they are is not known: no {_named(base_folder)} yet"]
    if (base_folder / "tokenizer.json").exists():
        choice, on_tokens = encoded(parts, settings, base_folder)
    print(plain("\n".join(summary(parts, choice, on_tokens) + description)))
    if not is_there:
        print("  nothing is ingested yet: rows with text of its held-out corpus are left out when the stage runs")
    num_train = len(choice.examples.train if choice else parts.train)
    per_pass = num_train / settings.batch
    minimum = min(HEAD_STEPS, HEAD_PASSES * per_pass) if fits == "classify" else 1
    steps = round(min(MOST_STEPS, max(PASSES * per_pass, minimum)))
    if few := seen_line(fits, num_train, steps, settings.batch):
        print(f"  {few}")
    values: dict[str, Any] = {"data": _named(path), "max_pairs": max(10, len(parts.train)), "steps": steps}
    if (columns or {}) != settings.columns:
        values["columns"] = columns or {}
    if fits in FURTHER and not settings.base:
        values["base"] = start
    edits = {f"finetune.{fits}.{name}": value for name, value in values.items()}
    return edits | (_started_from(folder, fits) if folder else {})


def apply(values: dict[str, Any], dry_run: bool) -> str:
    """Show what changes in params.yaml, ask where there is somebody to ask, write. Returns how it ended."""
    old = paths.PARAMS.read_text(encoding="utf-8")
    files = schema.read(paths.PARAMS, old)
    where = "params.yaml for these rows"
    new = params_file.rewritten(files, old, params_file.changed(files.params(), values, where))
    if new == old:
        return "params.yaml has these values already; nothing changed"
    branches = sorted({key.split(".")[1] for key in values})
    print(tuning_line([f"finetune@{one}" for one in branches], schema.read(paths.PARAMS, new)))
    tune = ", ".join(f"tune with `greenhouse run --until finetune@{one}`" for one in branches)
    return params_file.offer(paths.PARAMS, old, new, f"written; {tune}", dry_run)


# -- what there is -----------------------------------------------------------------------------------------------------


def encoded(rows: Split, params: Finetune, base: Path) -> tuple["Choice", list[str]]:
    """Rows as the stage of their branch encodes them, and lines on their tokens and what the context leaves out.

    Raises:
        UserError: no training row, or no held-out one, is left.
    """
    from components.model import export
    from components.stages.finetune.example_selection import choice_of
    from components.tokens.hub_encoder import encoder_of

    branch = KINDS[rows.source.kind].branch
    most, key = export.inspected(base, branch == "classify")[0].context, f"finetune.{branch}.context"
    limit, remedy = f"the context of {params.context}", f"raise {key} (the base has {most} positions)"
    if most < params.context:
        limit = f"the context of {most} positions of the base ({key} is {params.context})"
    if most <= params.context:
        remedy = f"take a base with more positions (pretrain.common.context, for your own), and raise {key} too"
    choice = choice_of(rows, encoder_of(base), min(params.context, most))
    if not (choice.examples.train and choice.examples.heldout):
        raise UserError(f"{rows.source.path}: no answer begins within {limit}; {remedy}, or shorten the prompts")
    lengths = sorted(choice.lengths)
    lines = [f"tokens per row: median {lengths[len(lengths) // 2]}, longest {lengths[-1]}"]
    if choice.cut:
        lines.append(f"rows cut to {limit}: {choice.cut}; to keep them whole, {remedy}")
    if beyond := len(rows.train) - len(choice.examples.train):
        lines.append(f"max_pairs counts rows before {limit} leaves {beyond} of them out")
    return choice, lines


def summary(rows: Split, choice: "Choice | None", on_tokens: list[str]) -> list[str]:
    """Counts, what is left out with the first place of each reason, lengths, two examples.

    Args:
        choice: what the context leaves of rows; None where there is no base yet.
    """
    source, columns = rows.source, rows.source.columns
    used = choice.examples if choice else rows
    refused = choice.refused if choice else rows.refused
    known = choice.known_answers if choice else num_known(rows.train, rows.heldout)
    lines = [f"columns: {in_words(columns)} (--columns {next(iter(columns))}=... changes them)", *notes(rows)]
    lines += [f"left out: {line}" for line in reason_lines(refused)]
    lines.append("rows are used as they are, personal data included, and a model may repeat it")
    lines += filter(None, [known_line(known, len(used.heldout))])
    if len(used.train) < FEW:
        lines.append(f"so few rows to train on ({len(used.train)}) teach a model hardly anything that others share")
    labels = Counter(name for row in rows.train for name in classes_of(row))
    kept = labels.keys() | {name for row in rows.heldout for name in classes_of(row)}
    if lost := sorted({name for row in (*source.rows, *source.heldout) for name in classes_of(row)} - kept):
        lines.append(f"no row is left of {', '.join(lost[:20])}")
    if unused := [name for name in source.unused if name]:
        lines.append(f"columns that are not used: {', '.join(unused[:20])}")
    lines += on_tokens
    if labels:
        lines.append("classes: " + ", ".join(f"{name} {labels[name]}" for name in sorted(labels)[:20]))
        if missing := sorted(name for name in labels if name.casefold() in MISSING):
            lines.append(f"{', '.join(missing)}: if that means that the label is missing, leave these rows out")
    refused_at = {one.where for one in refused}
    lines += [f"{row.where}: {shown(row)}" for row in [row for row in rows.train if row.where not in refused_at][:2]]
    counts = f"{source.path}: {len(used.train)} rows to train on, {len(used.heldout)} held out (kind {source.kind})"
    return [counts, *(f"  {line}" for line in lines)]


def shown(row: Any) -> str:
    """A row on one line."""
    if isinstance(row, Chat):
        text = " | ".join(f"{message.role}: {message.content}" for message in row.messages)
    elif isinstance(row, Preference):
        text = f"{row.text} | chosen: {row.chosen} | rejected: {row.rejected}"
    else:
        text = f"{', '.join(classes_of(row)) or 'none'}: {row.text}"
    return abbreviated(" ".join(text.split()), 200)


def described(folder: Path, branch: str) -> str:
    """A base: its size, and the memory that training all of it takes.

    Raises:
        UserError: it is of another kind or not whole, or lacks the tokens of a chat.
    """
    from components.model import export
    from components.tokens.hub_encoder import encoder_of

    model, _, _ = export.load(folder, any_head=branch == "classify")
    if branch != "classify":
        if not model.shape.causal:
            raise UserError(f"{folder}: a masked model; {branch} takes a causal one, such as Llama, Qwen or GPT-2")
        _ = encoder_of(folder).chat
    count = model.num_parameters
    whole, adapted = human(count * BYTES_PER_PARAMETER), human(count * 4)
    return (
        f"{folder}: {count / 1e6:.3g} M parameters; tuning all of them takes {whole} of memory and the activations, "
        f"with LoRA (finetune.{branch}.lora_rank; a base made elsewhere needs the extra peft) {adapted}"
    )


# -- from the hub ------------------------------------------------------------------------------------------------------


def fetched_rows(data: str, split_name: str) -> Path:
    """The local path of rows; a data set of the hub is read at its commit and kept in downloads/.

    Raises `UserError`: as `_fetched`.
    """

    def download(name: str, revision: str, target: Path) -> None:
        from datasets import load_dataset  # seconds of import, needed only here

        load_dataset(name, revision=revision, split=split_name).to_parquet(target)

    return _fetched(data, "datasets/", f"-{split_name}.parquet", download)


def fetched_base(base: str) -> Path:
    """The local folder of a model; one of the hub is fetched at its commit, safetensors and JSON alone.

    Raises `UserError`: as `_fetched`.
    """
    from components.stages.finetune.base_check import SOURCE

    def download(name: str, revision: str, target: Path) -> None:
        from huggingface_hub import snapshot_download

        snapshot_download(name, revision=revision, allow_patterns=list(MODEL_FILES), local_dir=str(target))
        shutil.rmtree(target / ".cache", ignore_errors=True)
        write_json(target / SOURCE, {"name": name, "revision": revision})

    return _fetched(base, "", "", download)


def _fetched(given: str, kind: str, ending: str, download: Callable[[str, str, Path], None]) -> Path:
    """A path that is here, or what `download` of a name of the hub and its commit writes to one in downloads/, once.

    Raises:
        UserError: there is no such path, no commit is named, or the hub cannot be read.
    """
    path = Path(os.path.expanduser(given))
    if os.path.exists(path):
        if os.path.isabs(_named(path.resolve())):  # in data/ and models/ DVC may link to its cache
            raise_if_linked_out(path)
        return path.resolve()
    name, revision = pinned(given, kind)
    target = paths.ROOT / "downloads" / f"{name.replace('/', '--')}@{revision[:8]}{ending}"
    if not target.exists():
        partial = target.with_name(f"{target.name}.partial")  # of a model what is there already is not fetched again
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            download(name, revision, partial)
        except Exception as error:  # whatever a reader, fsspec or the network raises
            message = " ".join(str(error).split())[:300] or type(error).__name__
            todo = "check the name, and that the hub can be reached, or give a local path"
            raise UserError(f"{given}: {message}; {todo}") from None
        partial.rename(target)
    return target


def _named(path: Path) -> str:
    """A path as params.yaml has it: what a stage writes from the root, so that DVC knows the stage; others absolute."""
    inside = any(path.is_relative_to(paths.ROOT / folder) for folder in ("data", "models"))
    return path.relative_to(paths.ROOT).as_posix() if inside else str(path)
