#!/usr/bin/env bash
# SQLite 3.50.4 (apsw 3.50.4.0), FTS5: the bound on rowid at which a query ends does not
# bound the work of a phrase. Read newest first (ORDER BY rowid DESC), `rowid >= ?` is that
# bound: a query for two words stops there, and so does one for a phrase that is found. Where
# the words stand side by side in no row, FTS5 goes on through all rows that have them: it
# compares with the bound only when it has a match. A window of a hundred rows then costs as
# much as the whole table. The bound at which a query begins is a seek, and works: the same
# question in ascending order costs a thousandth. So pages that go back in time cannot be
# made cheap by windows of rowids.
#
# Needs Python 3 and PyPI. Exits 0 while the behaviour is as described.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/v"
"$tmp/v/bin/pip" --quiet --disable-pip-version-check install apsw==3.50.4.0
"$tmp/v/bin/python" - <<'PY'
import sys, time

import apsw

ROWS, WINDOW = 300_000, 100
db = apsw.Connection(":memory:")
db.execute("CREATE VIRTUAL TABLE words USING fts5(said)")
with db:
    db.executemany("INSERT INTO words (rowid, said) VALUES (?, 'a report about the sales')", ((i,) for i in range(1, ROWS + 1)))


def least(match, order, first):
    """How many rows are found from a row on, and the shortest time of five."""
    query = f"SELECT rowid FROM words WHERE words MATCH ? AND rowid >= ? ORDER BY rowid {order} LIMIT {WINDOW}"
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        found = len(db.execute(query, (match, first)).fetchall())
        times.append(time.perf_counter() - begun)
    return found, min(times)


whole = least('"the about"', "DESC", 1)[1]
share = {}
for match in "the AND about", '"about the"', '"the about"':
    for order in "DESC", "ASC":
        found, took = least(match, order, ROWS - WINDOW + 1)
        share[match, order] = took / whole
        print(f"{match:15} {order:4}  {found:3} found in the last {WINDOW} rows, in {took / whole:.3f} of the time for all rows")
missed = share.pop(('"the about"', "DESC"))
if apsw.sqlite_lib_version() != "3.50.4" or missed < 0.5 or max(share.values()) > 0.2:
    sys.exit("the behaviour has changed")
PY
