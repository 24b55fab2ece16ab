"""Runs the checks of the protocols beside /v1 with their released clients: `make fronts`.

Arguments are the files of checks to run, all if there are none.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))

import environment  # noqa: E402
from run import CI, missing_node  # noqa: E402


def main() -> int:
    if without := missing_node():
        print(f"fronts: {'' if CI else 'SKIPPED: '}{without}", file=sys.stderr)
        return int(CI)
    python = environment.python(HERE / "requirements.lock") / "bin" / "python"
    return subprocess.run([python, "-m", "pytest", *(str(HERE / name) for name in sys.argv[1:] or ["."])]).returncode


if __name__ == "__main__":
    sys.exit(main())
