"""Environments of the suite: Python's and Node's packages, as the lock files name them.

They live in the user's cache, outside the tree, under names that follow from
the lock file and the interpreter. So each is made once, a changed lock file
makes a new one, and several checkouts share them.

`python environment.py newest` prints the path of one, to run pytest by hand.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def python(lock: Path, check: bool = True) -> Path:
    """A virtual environment with the packages of a lock file, checked to have all that they say they need."""

    def install(folder: Path) -> None:
        run(sys.executable, "-m", "venv", str(folder))
        pip = (str(folder / "bin" / "python"), "-m", "pip")
        run(*pip, "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", str(lock))
        if check:
            run(*pip, "check", "--disable-pip-version-check")

    return cached("venv", lock.read_bytes() + sys.version.encode(), install)


def node(manifest: Path) -> Path:
    """A folder with the node_modules of the package-lock.json in a folder."""

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(manifest / name, folder)
        run("npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder))

    return cached("node", (manifest / "package-lock.json").read_bytes(), install)


def cached(kind: str, content: bytes, install) -> Path:
    """Builds in a folder of its own and links it last, so nobody sees half of one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "errand"
    finished = cache / f"{kind}-{hashlib.sha256(content).hexdigest()[:16]}"
    if finished.exists():
        return finished
    print(f"making {finished} (once; a few minutes)", file=sys.stderr)
    cache.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f"{finished.name}-", dir=cache))
    try:
        install(building)
        link = building.with_name(building.name + ".link")
        link.symlink_to(building.name)
        link.replace(finished)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return finished


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    print(python(HERE / "releases" / f"{sys.argv[1]}.lock"))
