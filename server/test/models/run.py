"""Runs the checks of agents of runtime model against an independent stand-in for their providers: `make models`.

What it answers follows from fixtures.json alone, and it checks nothing of what it is sent: the types of the providers'
own clients do that here. Arguments are the files of checks to run, all if there are none; `bench` measures instead.
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
        print(f"models: {'' if CI else 'SKIPPED: '}{without}", file=sys.stderr)
        return int(CI)
    python = environment.python(HERE / "requirements.lock") / "bin" / "python"
    if sys.argv[1:] == ["bench"]:
        return subprocess.run([python, str(HERE / "bench.py")]).returncode
    return subprocess.run([python, "-m", "pytest", *(str(HERE / name) for name in sys.argv[1:] or ["."])]).returncode


if __name__ == "__main__":
    sys.exit(main())
