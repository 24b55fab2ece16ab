"""Runs the checks of the protocols beside /v1 with their released clients: `make fronts`.

Arguments are the files of checks to run, all if there are none.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What needs other versions of the same packages has an environment of its own.
FRAMEWORKS = HERE / "frameworks"
sys.path.insert(0, str(HERE.parent / "conformance"))

import environment  # noqa: E402
from run import CI, missing_node  # noqa: E402


def main() -> int:
    if without := missing_node():
        print(f"fronts: {'' if CI else 'SKIPPED: '}{without}", file=sys.stderr)
        return int(CI)
    named: dict[Path, list[str]] = {HERE: [], FRAMEWORKS: []}
    for name in sys.argv[1:] or [".", FRAMEWORKS.name]:
        path = (HERE / name).resolve()
        named[FRAMEWORKS if path.is_relative_to(FRAMEWORKS) else HERE].append(str(path))
    with ThreadPoolExecutor() as pool:  # where they have to be made, that takes its time
        pool.submit(environment.node, HERE / "node")
        made = {folder: pool.submit(environment.python, folder / "requirements.lock") for folder, names in named.items() if names}
        runs = [subprocess.run([of.result() / "bin" / "python", "-m", "pytest", *named[folder]]) for folder, of in made.items()]
    return max(run.returncode for run in runs)


if __name__ == "__main__":
    sys.exit(main())
