"""Fine-tune on rows of your own, and on a model of your own: look at them, then write params.yaml.

    python -m flows.finetune_data PATH                       a jsonl, csv or parquet file, or a folder of them
    python -m flows.finetune_data OWNER/NAME@COMMIT          a data set of the Hugging Face hub, copied to downloads/
    python -m flows.finetune_data PATH --base FOLDER         and start from a model of `transformers` (Qwen3, EuroBERT)
    python -m flows.finetune_data PATH --base OWNER/NAME@COMMIT   the same from the hub: safetensors alone, no code
    python -m flows.finetune_data default                    back to the corpus and the pipeline's own models
    python -m flows.finetune_data PATH --dry-run             only look

Rows have `messages` (a list of {role, content}), or `prompt` and `completion`, or `text` and `label`, or `prompt`,
`chosen` and `rejected`. Shown are how many can be used, what is left out and why, and two examples; then what changes
in params.yaml. At a terminal it asks before it writes.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

from components import params as schema
from components.core.errors import UserError
from components.core.files import write_text
from components.finetuning_data.chat import encode
from components.finetuning_data.formats import Chat, Kind, Labelled, Preference, Rows, read, reason_lines
from components.finetuning_data.split import Split, split
from flows.system import params_file, paths
from flows.system.command import parser_of, run_command
from flows.system.disk import human

PARAMS, DOWNLOADS = paths.ROOT / "params.yaml", paths.ROOT / "downloads"
BRANCH: dict[Kind, str] = {"chat": "instruct", "label": "classify", "preference": "prefer"}
PASSES, MOST_STEPS = 3, 1000
"""Times through the rows, and steps at most, that are proposed."""
BYTES_PER_PARAMETER = 16
"""Weight, gradient and AdamW's two moments in float32."""
HUB_ID = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
MODEL_FILES = ("*.safetensors", "*.json", "merges.txt", "LICENSE*", "README.md")


def main() -> None:
    """Look, show, write."""
    parser = parser_of("finetune_data", __doc__)
    parser.add_argument("data", metavar="DATA", help="file, folder, owner/name@commit, or `default`")
    parser.add_argument(
        "--branch", choices=sorted(BRANCH.values()), help="where rows or `default` belong; else all it may"
    )
    parser.add_argument("--base", metavar="MODEL", help="model folder, or owner/name@commit")
    parser.add_argument("--split", default="train", help="split of a data set of the hub (train)")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    if arguments.data == "default":
        values = shipped([arguments.branch] if arguments.branch else list(BRANCH.values()))
    else:
        values = wanted(arguments.data, arguments.branch, arguments.base, arguments.split)
    print(apply(values, arguments.dry_run))


def wanted(data: str, branch: str | None, base: str | None, split_name: str) -> dict[str, Any]:
    """Look at rows and a base, print what is there; returns the keys of params.yaml and their values.

    Raises:
        UserError: one of them cannot be used.
    """
    path = fetched_rows(data, split_name)
    examples, params = read(path), schema.load(PARAMS)
    fits = BRANCH[examples.kind]
    if branch not in (None, fits):
        raise UserError(f"{data}: its rows are for {fits} (kind {examples.kind}), not for {branch}; leave --branch out")
    mine = getattr(params.finetune, fits)
    heldout = paths.ROOT / "data/ingest/heldout"
    parts = split(examples, path, heldout if (heldout / "manifest.json").exists() else None, sys.maxsize, mine.seed)
    if folder := fetched_base(base) if base else None:
        description = described(folder, fits)
    print("\n".join(summary(path, examples, parts, folder or paths.ROOT / mine.base, mine.context)))
    steps = max(1, min(MOST_STEPS, round(PASSES * len(parts.train) / mine.batch)))
    values: dict[str, Any] = {"data": _named(path), "max_pairs": max(10, len(parts.train)), "steps": steps}
    if folder:
        print(description)
        values["base"] = _named(folder)
    elif fits == "prefer" and not mine.base:
        values["base"] = "models/finetune/instruct"
    return {f"finetune.{fits}.{name}": value for name, value in values.items()}


def shipped(branches: list[str]) -> dict[str, Any]:
    """The keys this command writes, as they ship, of branches with a base or data of one's own."""
    names, before = ("data", "base", "max_pairs", "steps"), schema.Params().finetune
    present = schema.load(PARAMS).finetune

    def own(branch: str) -> bool:
        return any(
            getattr(getattr(present, branch), name) != getattr(getattr(before, branch), name) for name in names[:2]
        )

    pairs = [(branch, name) for branch in branches if own(branch) for name in names]
    return {
        f"finetune.{branch}.{name}": getattr(getattr(before, branch), name)
        for branch, name in pairs
        if getattr(getattr(present, branch), name) != getattr(getattr(before, branch), name)
    }


def apply(values: dict[str, Any], dry_run: bool) -> str:
    """Show what changes in params.yaml, ask where there is somebody to ask, write. Returns how it ended."""
    old = PARAMS.read_text(encoding="utf-8")
    files = schema.read(PARAMS, old)
    new = params_file.rewritten(files, old, params_file.changed(files.params(), values, "params.yaml for these rows"))
    if new == old:
        return "params.yaml has these values already; nothing changed"
    print("\n".join(params_file.difference(old, new)))
    if dry_run or (
        sys.stdin.isatty() and input("Write this to params.yaml? [y/N] ").strip().lower() not in ("y", "yes")
    ):
        return "nothing changed"
    write_text(PARAMS, new)
    branches = sorted({key.split(".")[1] for key in values})
    return "written; tune with " + ", ".join(f"`python -m flows.pipeline --until finetune@{one}`" for one in branches)


# -- what there is -----------------------------------------------------------------------------------------------------


def summary(path: Path, examples: Rows, parts: Split, base: Path, context: int) -> list[str]:
    """Counts, what is left out with the first place of each reason, lengths, two examples."""
    lines = [f"{path}: {len(parts.train)} rows to train on, {len(parts.heldout)} held out (kind {examples.kind})"]
    lines += [f"  left out: {line}" for line in reason_lines(parts.refused)]
    if (base / "tokenizer.json").exists():
        sizes = token_counts(parts, base, context)
        lengths, unfit = sorted(length for length, _ in sizes), sum(not fits for _, fits in sizes)
        lines.append(f"  tokens per row: median {lengths[len(lengths) // 2]}, longest {lengths[-1]}")
        if unfit == len(sizes):
            raise UserError(f"{path}: no answer begins within the context of {context} tokens; raise finetune."
                            f"{BRANCH[examples.kind]}.context, or shorten the prompts")  # fmt: skip
        if long := sum(length > context for length in lengths):
            lines.append(f"  {long} rows are longer than the context of {context}, raise it to keep them whole: "
                         f"{unfit} have no answer in it and are left out, {long - unfit} are cut")  # fmt: skip
    if examples.kind == "label":
        labels = [row.label for row in parts.train if isinstance(row, Labelled)]
        lines.append("  classes: " + ", ".join(f"{name} {labels.count(name)}" for name in sorted(set(labels))[:20]))
    for row in parts.train[:2]:
        lines.append(f"  {row.where}: {shown(row)}")
    return lines


def token_counts(parts: Split, base: Path, context: int) -> list[tuple[int, bool]]:
    """Tokens of each row, and whether something of it can be learned within the context."""
    from components.tokens.hub_encoder import encoder_of

    encoder, found = encoder_of(base), []
    for row in (*parts.train, *parts.heldout):
        if isinstance(row, Chat):
            ids, learned = encode(row.messages, encoder)
            found.append((len(ids), any(learned[1 : context + 1])))
        elif isinstance(row, Preference):
            from components.stages.finetune import preferences

            [pair], _ = preferences.encoded([row], encoder, sys.maxsize, [])
            found.append((len(pair), len(pair) <= context + 1))
        else:
            found.append((len(encoder.encode(row.text)), True))
    return found


def shown(row: Any) -> str:
    """A row on one line."""
    if isinstance(row, Chat):
        text = " | ".join(f"{message.role}: {message.content}" for message in row.messages)
    elif isinstance(row, Preference):
        text = f"{row.text} | chosen: {row.chosen} | rejected: {row.rejected}"
    else:
        text = f"{row.label}: {row.text}"
    text = " ".join(text.split())
    return text if len(text) <= 200 else text[:199] + "…"


def described(folder: Path, branch: str) -> str:
    """A base: its size, and the memory that training all of it takes.

    Raises:
        UserError: it is of another kind, or lacks the tokens of a chat.
    """
    from components.model import export
    from components.tokens.hub_encoder import encoder_of

    shape, _ = export.inspected(folder)
    if branch != "classify":
        if not shape.causal:
            raise UserError(f"{folder}: a masked model; {branch} takes a causal one (Qwen3ForCausalLM)")
        _ = encoder_of(folder).chat
    count = shape.num_block_parameters + shape.vocab_size * shape.width * (1 if shape.tied else 2)
    whole, adapted = human(count * BYTES_PER_PARAMETER), human(count * 4)
    return (
        f"{folder}: {count / 1e6:.3g} M parameters; tuning all of them takes {whole} of memory and the activations, "
        f"with LoRA (finetune.{branch}.lora_rank) {adapted}"
    )


# -- from the hub ------------------------------------------------------------------------------------------------------


def fetched_rows(data: str, split_name: str) -> Path:
    """The local path of rows; a data set of the hub is read at its commit and kept in downloads/.

    Raises:
        UserError: there is no such path, no commit is named, or the hub cannot be read.
    """
    path = Path(data).expanduser()
    if path.exists():
        return path.resolve()
    match = _pinned(data, "datasets/")
    target = DOWNLOADS / f"{match['id'].replace('/', '--')}@{match['revision'][:8]}-{split_name}.parquet"
    if not target.exists():
        from datasets import load_dataset  # seconds of import, needed only here

        try:
            rows = load_dataset(match["id"], revision=match["revision"], split=split_name)
            target.parent.mkdir(parents=True, exist_ok=True)
            rows.to_parquet(partial := target.with_suffix(".partial"))
        except Exception as error:  # datasets raises whatever its reader, fsspec or the network raises
            raise _unreachable(data, error) from None
        partial.rename(target)
    return target


def fetched_base(base: str) -> Path:
    """The local folder of a model; one of the hub is fetched at its commit, safetensors and JSON alone.

    Raises:
        UserError: there is no such folder, no commit is named, or the hub cannot be read.
    """
    path = Path(base).expanduser()
    if not path.exists():
        match = _pinned(base, "")
        path = DOWNLOADS / f"{match['id'].replace('/', '--')}@{match['revision'][:8]}"
        if not path.exists():
            _fetch_model(base, match, path)
    return path.resolve()


def _fetch_model(base: str, match: re.Match[str], target: Path) -> None:
    from huggingface_hub import snapshot_download

    partial = target.with_name(f"{target.name}.partial")  # what is there already is not fetched again
    try:
        snapshot_download(
            match["id"], revision=match["revision"], allow_patterns=list(MODEL_FILES), local_dir=str(partial)
        )
    except Exception as error:  # whatever the network raises
        raise _unreachable(base, error) from None
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    partial.rename(target)


def _named(path: Path) -> str:
    """A path as params.yaml has it: what a stage writes from the root, so that DVC knows the stage; others absolute."""
    inside = any(path.is_relative_to(paths.ROOT / own) for own in ("data", "models"))
    return path.relative_to(paths.ROOT).as_posix() if inside else str(path)


def _pinned(name: str, kind: str) -> re.Match[str]:
    if match := HUB_ID.fullmatch(name):
        return match
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(@.*)?", name):
        raise UserError(f"{name}: no such file or folder")
    commits = f"https://huggingface.co/{kind}{name.split('@')[0]}/commits/main"
    raise UserError(
        f"{name}: no such path; of the hub, name the commit, since a branch moves: owner/name@<40 hex digits>, from "
        f"{commits}"
    )


def _unreachable(name: str, error: Exception) -> UserError:
    what = " ".join(str(error).split())[:300] or type(error).__name__
    return UserError(f"{name}: {what}; check the name, and that the hub can be reached, or give a local path")


if __name__ == "__main__":
    run_command("finetune_data", main)
