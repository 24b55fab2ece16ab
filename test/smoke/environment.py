"""Prints the path of a virtual environment with what requirements.lock names.

The environment lives in the user's cache, outside the tree, under a name that
follows from the lock file and the interpreter. So it is made once, a changed
lock file makes a new one, and several checkouts share it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(__file__).with_name("requirements.lock")


def main() -> int:
    if sys.version_info < (3, 10):
        print("the Python client needs Python 3.10 or newer", file=sys.stderr)
        return 1
    key = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "errand"
    venv = cache / f"venv-{key}"
    if not (venv / "bin" / "python").exists():
        cache.mkdir(parents=True, exist_ok=True)
        make(venv)
    print(venv)
    return 0


def make(venv: Path) -> None:
    """Builds in a folder of its own and links it last, so nobody sees half of one."""
    print(f"making the Python environment {venv} (once; a few minutes)", file=sys.stderr)
    building = Path(tempfile.mkdtemp(prefix=f"{venv.name}-", dir=venv.parent))
    try:
        run(sys.executable, "-m", "venv", str(building))
        pip = (str(building / "bin" / "python"), "-m", "pip")
        run(*pip, "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", str(LOCK))
        run(*pip, "check", "--disable-pip-version-check")
        link = building.with_name(building.name + ".link")
        link.symlink_to(building.name)
        link.replace(venv)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failure:
        print(f"failed: {' '.join(failure.cmd)}", file=sys.stderr)
        sys.exit(1)
