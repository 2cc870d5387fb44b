"""Share with a team through DVC's default remote: the pipeline's outputs, and the ledger records of what they cost.

    python -m flows.team push    this clone's ledger records, then `dvc push`
    python -m flows.team pull    the ledger records of all other clones, then `dvc pull`

Afterwards `python -m flows.compare` shows scores, licences and energy of stages made elsewhere (docs/team.md).
"""

import subprocess

from components.core.errors import UserError
from flows.system.command import parser_of, run_command


def main() -> None:
    parser = parser_of("team", __doc__)
    parser.add_argument("verb", choices=("push", "pull"))
    verb = parser.parse_args().verb

    from flows.system import dvc, paths
    from flows.tracking import team_ledger

    # The ledger first: what is wrong with the remote is one sentence there.
    files = team_ledger.push() if verb == "push" else team_ledger.pull()
    print(f"ledger: {files} files {'of this clone pushed' if verb == 'push' else 'of other clones pulled'}", flush=True)
    if subprocess.run(dvc.command(verb), cwd=paths.ROOT).returncode:
        raise UserError(f"`dvc {verb}` failed; its lines above say why")


if __name__ == "__main__":
    run_command("team", main)
