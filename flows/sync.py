"""`greenhouse sync`: what a team shares through DVC's default remote."""

import subprocess
from typing import Literal

from components.core.errors import UserError
from components.core.plain_text import counted
from flows.system import dvc, paths
from flows.tracking import team_ledger
from flows.tracking.snapshots import raise_if_listings_lead_out


def sync(direction: Literal["push", "pull"], /) -> None:
    """Share with a team through DVC's default remote: the pipeline's outputs, and the ledger records of their cost.

    greenhouse sync push    this clone's ledger records, then `dvc push`
    greenhouse sync pull    the ledger records of all other clones, then `dvc pull`

    Afterwards `greenhouse compare` shows scores, licences and energy of stages made elsewhere (docs/team.md).

    Args:
        direction: push or pull.
    """
    # The ledger first: what is wrong with the remote is one sentence there.
    files = team_ledger.push() if direction == "push" else team_ledger.pull()
    done = "of this clone pushed" if direction == "push" else "of other clones pulled"
    print(f"ledger: {counted(files, 'file')} {done}", flush=True)
    if direction == "pull":
        raise_if_listings_lead_out()
    if subprocess.run(dvc.command(direction), cwd=paths.ROOT).returncode:
        raise UserError(f"`dvc {direction}` failed; its lines above say why")
