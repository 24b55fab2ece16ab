"""Asks a real server everything that its OpenAPI document allows, and what it forbids: `make fuzz-api`.

Schemathesis makes the requests, always the same ones for a seed, and holds each answer to the document. Afterwards the
server's log must tell of no trouble, and its database hold nothing that the rules refuse (fuzzing/audit.py).
`python fuzz.py EXAMPLES [SEED]` says how many requests each operation gets at least, beside those at the limits.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import environment
from fuzzing import audit
from parts import HERE, Server

# The document cannot say all rules (what a cursor is, which token is good), so what
# it allows may still be refused; that is for the tests of the rules.
UNCHECKED = "positive_data_acceptance"


def main(examples: str = "10", seed: str = "1") -> int:
    bin = environment.python(HERE / "fuzzing" / "requirements.lock") / "bin"
    with tempfile.TemporaryDirectory() as folder:
        with Server(os.environ["ERRAND_BIN"], Path(folder), "--log-format", "json") as server:
            prepare(server)
            begun = time.monotonic()
            status = subprocess.run(
                [
                    bin / "schemathesis", "--config-file", HERE / "fuzzing" / "schemathesis.toml", "run", server.url + "/v1/openapi.json",
                    "--header", f"x-api-key: {server.key}", "--seed", seed, "--max-examples", examples, "--phases", "coverage,fuzzing",
                    "--exclude-checks", UNCHECKED, "--generation-allow-x00", "false", "--generation-database", "none",
                    "--request-timeout", "20", "--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off", "--no-color",
                ],
                timeout=180 + 6 * int(examples),  # a stream that does not end must not look like work
                cwd=folder,
                env={
                    **os.environ, "PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "fuzzing.hooks", "NO_PROXY": "127.0.0.1",
                    "ERRAND_URL": server.url, "ERRAND_API_KEY": server.key,
                },
            ).returncode  # fmt: skip
            print(f"fuzz-api: {time.monotonic() - begun:.0f} s of requests", flush=True)
        wrong = [line for line in server.log().splitlines() if is_trouble(line)] + audit.findings(Path(folder) / "data" / "errand.db")
    for finding in wrong:
        print(f"fuzz-api: {finding}", file=sys.stderr)
    return status or bool(wrong)


def prepare(server: Server) -> None:
    """Makes what hooks.py leads requests to."""
    for agent in ("fuzz-1", "fuzz-2"):
        server.apply_agent(agent, lease_seconds=1)
    for n in range(6):
        server.call("POST", "/v1/tasks", {"agent_id": "fuzz-1", "id": f"fuzz-task-{n}", "input": {"text": "Do it."}})


def is_trouble(line: str) -> bool:
    """Whether a line of the server's log is one that no request may cause: above all a panic, or a 500's cause."""
    try:
        return json.loads(line)["level"] == "ERROR"
    except (ValueError, KeyError):
        return "panic" in line or "goroutine" in line


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
