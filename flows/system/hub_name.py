"""Names of data sets and models of the Hugging Face hub, which are taken at a commit."""

import re

from components.core.errors import UserError

HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w.-]+)@(?P<revision>[0-9a-f]{40})")


def pinned(name: str, kind: str) -> tuple[str, str]:
    """The id on the hub and the commit that `owner/name@commit` names; what is no path here is taken for one.

    Args:
        kind: `datasets/` or "", as in addresses of the hub.

    Raises:
        UserError: it is no such name, or has no commit.
    """
    if match := HUB_ID.fullmatch(name):
        return match["id"], match["revision"]
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+(@.*)?", name):
        raise UserError(f"{name}: no such file or folder, and no hub id (owner/name@commit); correct the path")
    commits = f"https://huggingface.co/{kind}{name.split('@')[0]}/commits/main"
    raise UserError(
        f"{name}: no such file or folder; of the hub, name the commit, since a branch moves: "
        f"owner/name@<40 hex digits>, from {commits}"
    )
