"""Copies of a run's checkpoints on a file system that outlives this machine, such as `s3://bucket/prefix`.

The thread that writes checkpoints sends them, files.json last, so that one that has it is whole.
What cannot be sent is said, and training goes on: the checkpoint is on this disk.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.errors import UserError, clause
from components.training import checkpoint

LAST = "files.json"


@dataclass(frozen=True)
class Mirror:
    """The checkpoints of one work folder at an address for fsspec; credentials are those of its driver.

    Attributes:
        address: of the folder that holds a folder per step.
        log: gets a sentence about what could not be sent.
    """

    address: str
    log: Callable[[str], None]

    @classmethod
    def under(cls, work_path: str, work: Path, log: Callable[[str], None]) -> "Mirror | None":
        """Mirror of a work folder `work/<stage>/<fingerprint>`; None without a `work_path`."""
        return cls(f"{work_path.rstrip('/')}/checkpoints/{work.parent.name}/{work.name}", log) if work_path else None

    def send(self, folder: Path, kept: Iterable[int]) -> None:
        """Copy a checkpoint there, and remove those there that are not of the steps `kept`."""
        try:
            system, root = self._file_system()
            system.makedirs(f"{root}/{folder.name}", exist_ok=True)
            for path in sorted(folder.iterdir(), key=lambda path: path.name == LAST):
                system.put_file(str(path), f"{root}/{folder.name}/{path.name}")
            for step in set(self._steps(system, root)) - set(kept):
                system.rm(f"{root}/{checkpoint.folder_of(folder, step).name}", recursive=True)
        except (OSError, ImportError, ValueError) as error:
            self.log(f"runtime.work_path: {folder.name} was not copied to {self.address} ({clause(error)})")

    def fetch_newer(self, work: Path, than: int) -> None:
        """Copy the newest whole checkpoint there to `work`, if it is of a later step; -1 for any.

        Raises `UserError`: the address cannot be read.
        """
        try:
            system, root = self._file_system()
            for step in sorted((one for one in self._steps(system, root) if one > than), reverse=True):
                folder = checkpoint.folder_of(work, step)
                temp = work / f".{folder.name}"
                shutil.rmtree(temp, ignore_errors=True)
                system.get(f"{root}/{folder.name}/", str(temp), recursive=True)
                problem = checkpoint.damage(temp)
                if problem is None:
                    shutil.rmtree(folder, ignore_errors=True)
                    os.replace(temp, folder)
                    self.log(f"{folder.name} was copied from {self.address}")
                    return
                self.log(f"{folder.name} at {self.address} is damaged ({problem}); trying the one before it")
        except (OSError, ImportError, ValueError) as error:
            raise UserError(
                f"runtime.work_path: {self.address} cannot be read ({clause(error)}); it needs fsspec's driver (s3fs, "
                "gcsfs, adlfs) and credentials, or set it to '' to resume from this disk alone"
            ) from None

    def _file_system(self) -> tuple[Any, str]:
        import fsspec

        return fsspec.core.url_to_fs(self.address)

    @staticmethod
    def _steps(system: Any, root: str) -> list[int]:
        system.invalidate_cache()
        matches = (checkpoint.NAME.fullmatch(path.split("/")[-2]) for path in system.glob(f"{root}/*/{LAST}"))
        return [int(match[1]) for match in matches if match]
