"""The command `greenhouse`: a verb per question. The module of a verb is imported when it is asked for, not before.

`python -m flows.cli` is the same command. An error of the user's is one sentence, without a traceback.
"""

import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Literal, NoReturn

from cyclopts import App, CycloptsError, Group, Parameter, UnusedCliTokensError
from rich.console import Console

from flows.system.command import run_command

ROOT_HELP = """Train a small language model end to end, and answer for it.

greenhouse run                                  what is stale of the pipeline, then a table
greenhouse run finetune.instruct.steps=60       the same with another value, as an experiment beside it
greenhouse up                                   Prefect, MLflow and the forms on 127.0.0.1
greenhouse edit text ~/my-texts                 your own text into params.yaml
greenhouse VERB --help                          examples of a verb
"""
WIDTH = 130
"""Columns of help: no line of an example is broken, whatever the terminal does."""
VERBS: dict[str, dict[str, tuple[str, str]]] = {
    "Before a run": {
        "edit": ("", "Edit params.yaml: a preset, your text, your rows, another base."),
        "plan": ("flows.plan:plan", "Time, energy and gCO2e of the next run; with --why what is stale, and why."),
    },
    "A run": {
        "run": ("flows.run:run", "Run what is stale of the pipeline; KEY=VALUE makes an experiment."),
        "up": ("flows.up:up", "Serve Prefect, MLflow and the forms until Ctrl-C."),
        "study": ("", "Scaling law, noise of seeds, choices of data, mitigation of bias among them."),
    },
    "After a run": {
        "chat": ("flows.chat:chat", "Talk to the model just made."),
        "card": ("flows.card:card", "The five answers of a model on one page."),
        "compare": ("flows.compare:compare", "What differs between two states, with intervals."),
        "cost": ("flows.cost:cost", "What the whole project has cost, failed runs too."),
        "promote": ("flows.promote:promote", "Ask the gate whether new models replace the champions."),
        "verify": ("flows.verify:verify", "Rebuild a model and compare every hash; or check a signed folder."),
        "trace": ("flows.trace:trace", "Which documents hold a text, and which models saw it how often."),
        "forget": ("flows.forget:forget", "Leave a text out of the models, and delete its copies."),
        "adopt": ("flows.adopt:adopt", "A model of another trainer, to be answered for like one's own."),
    },
    "Elsewhere": {
        "export": ("flows.export:export", "A model for llama.cpp or the hub, or as a signed folder."),
        "sync": ("flows.sync:sync", "Push to, or pull from, the team's remote."),
        "clean": ("flows.clean:clean", "Disk use, and room given back."),
    },
}
"""Heading of the help -> verb -> function, and what the help says of it; a verb without a function has verbs below."""
BELOW = {
    "edit": {
        "preset": ("flows.edit.preset:preset", "The keys that a preset names, or all keys as they ship."),
        "text": ("flows.edit.text:text", "A folder, a file or a data set of the hub as the only source of text."),
        "rows": ("flows.edit.rows:rows", "Rows of your own to fine-tune on."),
        "base": ("flows.edit.rows:base", "A model of your own to fine-tune."),
        "defaults": ("flows.edit.preset:defaults", "defaults.yaml anew, after a change of the schema."),
    },
    "study": {
        "scaling": ("flows.study:scaling", "A sweep of small models, a scaling law, and larger runs that check it."),
        "seeds": ("flows.study:seeds", "Trainings with other seeds: how far a seed alone moves each score."),
        "data": ("flows.study:data", "Which settings of the data make a better model, over works and seeds."),
    },
}
"""Verb -> the verbs below it."""
GONE = {
    "study labels": "study data --arm",
    "study mitigate": "study data --arm mix.augment=counterfactual --arm mix.augment=random",
    "plan --best": "study scaling, whose report has the best sizes",
    "verify --segments": "verify MODEL, which rebuilds all of it",
    "plan --fit": "plan, which says whether the run fits runtime.budget",
}
"""What was taken out after version 0.1 -> what serves instead."""


def app_for(words: Sequence[str]) -> App:
    """The command as these words need it: a verb that they name shows its own docstring, the others one line."""
    app = App(
        name="greenhouse", help=ROOT_HELP, help_format="plaintext", help_formatter="plain", version_flags=(),
        default_parameter=Parameter(negative=(), show_default=False),
        console=Console(width=WIDTH, highlight=False), suppress_keyboard_interrupt=False,
    )  # fmt: skip
    app.command(completion, name="--completion", help="Print the shell's completion: bash, zsh or fish.")
    app["--help"].group = app["--completion"].group = Group("Options")
    for heading, verbs in VERBS.items():
        group = Group.create_ordered(heading)
        for verb, (function, line) in verbs.items():
            if function:
                app.command(function, name=verb, group=group, help=None if verb in words[:1] else line)
                continue
            above = App(name=verb, help=line, group=group)
            for name, (inner, summary) in BELOW[verb].items():
                above.command(inner, name=name, help=None if [verb, name] == words[:2] else summary)
            app.command(above)
    return app


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print what completes verbs and options in a shell: eval "$(greenhouse --completion bash)".

    Args:
        shell: bash, zsh or fish.
    """
    print(app_for(()).generate_completion(shell=shell))


def answer(words: Sequence[str]) -> int:
    """Carry out a command line; the exit status: 2 for words that no verb takes, which one sentence says."""
    for gone, instead in GONE.items():
        verb, rest = gone.split(" ")
        if words[:1] == [verb] and rest in words[1:]:
            print(f"greenhouse {gone} was taken out; use: greenhouse {instead}", file=sys.stderr)
            return 2
    try:
        status = app_for(words)(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        verb = " ".join(error.command_chain or ())
        help_of = " ".join(filter(None, ("greenhouse", verb, "--help")))
        print(f"{verb or 'greenhouse'}: {_sentence(error)}; `{help_of}` shows examples", file=sys.stderr)
        return 2
    return status or 0


def _sentence(error: CycloptsError) -> str:
    """Error in the words of a command, as one clause."""
    if isinstance(error, UnusedCliTokensError):
        return f"{' '.join(error.unused_tokens or ())}: no argument of it takes that"
    text = " ".join(str(error).split()).removesuffix(".")
    meant = re.search(r": --(\S+)\. (Did you mean --(\S+)\?)", text)
    if meant and not get_close_matches(meant[1], [meant[3]]):  # alike in their dashes alone
        text = text.replace(meant[2], "Keys of params.yaml are given as KEY=VALUE")
    text = re.sub(r"\. ([A-Z])", lambda match: f", {match[1].lower()}", text)
    return text[:1].lower() + text[1:]


def main() -> NoReturn:
    """Carry out the command line of this process."""
    words = sys.argv[1:]
    run_command(words[0] if words else "greenhouse", lambda: answer(words))


if __name__ == "__main__":
    main()
