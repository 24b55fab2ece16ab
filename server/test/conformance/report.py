"""Writes what a run found into docs/COMPATIBILITY.md, as a table between two markers.

Nothing in it depends on the time or the machine: a green run leaves it as it was.
"""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "COMPATIBILITY.md"
BEGIN, END = "<!-- conformance: begin -->\n", "<!-- conformance: end -->\n"
FAILS = "**fails**"


def write(results: dict[str, list]) -> None:
    """Takes, for each release, its rows of (check, call, result) in their order; the first release has all rows."""
    columns = []
    for rows in results.values():
        column = {}
        for what, call, result in rows:
            # Several tests may be one row; it works when they all do.
            column[what, call] = FAILS if column.get((what, call)) == FAILS else result
        columns.append(column)
    lines = ["| check | client call | " + " | ".join(results) + " |", "| --- | --- |" + " --- |" * len(results)]
    for what, call in {row: None for column in columns for row in column}:
        found = [column.get((what, call), "not run") for column in columns]
        lines.append(f"| {what} | `{call}` | " + " | ".join(found) + " |")
    table = "\n".join(lines) + "\n"
    text = PAGE.read_text()
    assert text.count(BEGIN) == text.count(END) == 1, f"{PAGE} needs both markers"
    written = re.sub(f"(?<={BEGIN}).*(?={END})", lambda _: table, text, flags=re.DOTALL)
    if written != text:
        PAGE.write_text(written)
