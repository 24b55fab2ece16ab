"""Runs an example of the documentation as it stands: `python example.py FILE [SHOWN=SERVED …]`.

An example may await at its top level, as in a notebook. Each pair puts the URL
of a file that is really served in the place of the one that is shown.
"""

import ast
import asyncio
import inspect
import sys
from pathlib import Path


def main(path: str, *pairs: str) -> None:
    source = Path(path).read_text()
    for pair in pairs:
        shown, served = pair.split("=", 1)
        source = source.replace(shown, served)
    code = compile(source, path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = eval(code, {"__name__": "__main__"})
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)


if __name__ == "__main__":
    main(*sys.argv[1:])
