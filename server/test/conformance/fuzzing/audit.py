"""What must hold of a stored record, whatever was asked of the server: the rules that a request cannot get around."""

import json
import re
import sqlite3
from pathlib import Path

ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
STATUSES = {"pending", "executing", "paused", "completed", "failed", "error", "stopped"}


def findings(database: Path) -> list[str]:
    """Everything in a server's database that the rules refuse."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        db.row_factory = sqlite3.Row
        return [*texts(db), *ids(db), *tasks(db), *turns(db), *logs(db), *agents(db)]


def texts(db) -> list[str]:
    """No text holds NUL or bytes that are not UTF-8 (H2); sqlite3 refuses to read the latter."""
    found = []
    # Python's own SQLite may be too old for the index of words, whose parts are tables as well.
    kept = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL %'"
    for (table,) in db.execute(kept).fetchall():
        for row in db.execute(f'SELECT * FROM "{table}"'):
            found += [f"{table}.{name}: NUL in {row[name]!r:.80}" for name in row.keys() if isinstance(row[name], str) and bad(row[name])]
    return found


def bad(text: str) -> bool:
    return "\0" in text or re.search(r"(?<!\\)(\\\\)*\\u0000", text) is not None


def ids(db) -> list[str]:
    """Ids are of rule T1, and every task's agent was there once."""
    return [
        f"{table}: id {id!r:.80}"
        for table in ("agents", "tasks", "keys", "files")
        for (id,) in db.execute(f"SELECT id FROM {table}")
        if not ID.fullmatch(id) or id in (".", "..")
    ]


def tasks(db) -> list[str]:
    found = []
    for t in db.execute("SELECT * FROM tasks"):
        side = json.loads(t["side"])
        wrong = {
            "status": t["status"] not in STATUSES,
            "priority": not -100 <= t["priority"] <= 100,
            "max_attempts": not 1 <= t["max_attempts"] <= 100,
            "timeout": not 0 <= t["timeout"] <= 10 * 365 * 86400,
            "internal_status": len(t["internal_status"] or "") > 255,
            "ended": bool(t["ended"]) != bool(t["finished_at"]),
            "tokens": any(n < 0 for n in (side.get("tokens") or {}).values()),
            "duration": side.get("duration", 0) < 0,
        }
        found += [f"task {t['id']}: {field}" for field, is_wrong in wrong.items() if is_wrong]
    return found


def turns(db) -> list[str]:
    found = []
    for t in db.execute("SELECT * FROM turns"):
        spec = json.loads(t["spec"])
        files, user = spec["input"]["files"] or [], spec["input"]["user"]
        wrong = {
            "prompt": len((spec["input"]["text"] or "").encode()) > 1 << 20,
            "files": len(files) > 100 or not all(url.startswith(("http://", "https://", "file:")) for url in files),
            "user": user is not None and not isinstance(user.get("email"), str),
            "tags": len(spec["tags"]) > 32 or not all(1 <= len(tag.encode()) <= 64 for tag in spec["tags"]),
            "output_format": spec["output_format"] not in (None, "text", "markdown", "json", "voice"),
            "think_mode": spec["think_mode"] not in ("default", "harder"),
            "secrets in the open": spec["user_tokens"] is not None or spec["user_oidc_token"] is not None,
            "result": len((t["result"] or "").encode()) > 16 << 20,
        }
        found += [f"turn {t['n']} of {t['task']}: {field}" for field, is_wrong in wrong.items() if is_wrong]
    return found


def logs(db) -> list[str]:
    """A log has no gap (T3), is of its task, and no event is too large (T6)."""
    found = []
    for e in db.execute(
        "SELECT t.id, t.last_seq, count(e.seq) AS n, min(e.seq) AS first, max(e.seq) AS last, max(length(e.client_id)) AS longest, "
        "max(length(CAST(e.own AS BLOB))) AS largest FROM tasks t LEFT JOIN events e ON e.org = t.org AND e.task = t.id GROUP BY t.org, t.id"
    ):
        if (e["first"], e["last"], e["n"]) != (1, e["last_seq"], e["last_seq"]):
            found.append(f"log of {e['id']}: {dict(e)}")
        if (e["largest"] or 0) > 256 << 10 or (e["longest"] or 0) > 128:
            found.append(f"log of {e['id']}: too large: {dict(e)}")
    orphans = db.execute("SELECT count(*) FROM events e WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.org = e.org AND t.id = e.task)")
    if n := orphans.fetchone()[0]:
        found.append(f"{n} events of no task")
    return found


def agents(db) -> list[str]:
    found = []
    for a in db.execute("SELECT * FROM agent_versions"):
        record = json.loads(a["record"])
        wrong = {
            "name": not 1 <= len(record["name"]) <= 255,
            "runtime": record["runtime"] not in ("worker", "profile", "command"),
            "lease_seconds": not 0 <= record.get("lease_seconds", 0) <= 3600,
            "max_attempts": not 0 <= record.get("max_attempts", 0) <= 100,
            "secrets in the open": record.get("llm_credentials") is not None,
        }
        found += [f"agent {a['id']}: {field}" for field, is_wrong in wrong.items() if is_wrong]
    return found
