"""Runs the suite with the newest release of the client and an older one: `make conformance`.

With `--postgres` each server has a PostgreSQL database: `make conformance-postgres`. That run is the newest release's
alone, and writes no table: releases differ in what they say to a server, not in where that keeps it.
With `--model` it runs what needs the small language model: `make conformance-model`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

import environment
import report

HERE = Path(__file__).resolve().parent
# What an older release runs: all but what is new, slow, or the same for every release.
SELECTED = {"newest": "not model", "older": "not model and not newest"}
CI = os.environ.get("CI") == "true"


def main() -> int:
    if "--model" in sys.argv[1:]:
        return check("newest", "model", Path(os.devnull))
    without = missing_node()
    if without and CI:
        print(f"conformance: {without}", file=sys.stderr)
        return 1
    and_not = " and not oracle" if without else ""
    if "--postgres" in sys.argv[1:]:
        return check("newest", SELECTED["newest"] + and_not, Path(os.devnull))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        record = {release: Path(folder) / f"{release}.json" for release in SELECTED}
        # At the same time, as starting the client keeps one core busy for
        # seconds; what the second says is shown once the first is done.
        late = Path(folder) / "older.log"
        with late.open("w") as log:
            older = pool.submit(check, "older", SELECTED["older"] + and_not, record["older"], log)
            statuses = [check("newest", SELECTED["newest"] + and_not, record["newest"]), older.result()]
        print(late.read_text(), flush=True)
        if max(statuses) > 1:  # Not even a failed check: a run itself broke.
            return max(statuses)
        if without:
            print(f"conformance: SKIPPED the checks with a model: {without}", file=sys.stderr)
        else:
            report.write({version(release): json.loads(path.read_text()) for release, path in record.items()})
    return max(statuses)


def check(release: str, selected: str, record: Path, log: TextIO | None = None) -> int:
    """Runs the selected checks with one release; answers pytest's exit status."""
    python = environment.python(lock(release)) / "bin" / "python"
    print(f"conformance: xpander-sdk {version(release)}", file=log, flush=True)
    return subprocess.run(
        [python, "-m", "pytest", "-m", selected, "--record", record, HERE],
        env={**os.environ, "ERRAND_RELEASE": release},
        stdout=log,
        stderr=log,
    ).returncode


def lock(release: str) -> Path:
    return HERE / "releases" / f"{release}.lock"


def version(release: str) -> str:
    return re.search(r"^xpander-sdk==(.+)$", lock(release).read_text(), re.MULTILINE)[1]


def missing_node() -> str | None:
    """Why the oracle cannot run, if so."""
    if not shutil.which("npm") or not shutil.which("node"):
        return "needs node and npm"
    found = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(map(int, found.removeprefix("v").split(".")[:2])) < (20, 15):
        return f"needs Node 20.15 or newer, not {found}"
    return None


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failure:
        print(f"conformance: failed: {' '.join(map(str, failure.cmd))}", file=sys.stderr)
        sys.exit(1)
