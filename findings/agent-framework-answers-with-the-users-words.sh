#!/usr/bin/env bash
# agent-framework-a2a 1.0.0b261022: `await A2AAgent.run(...)` looks as if it raised or said
# what went wrong when the remote task fails. It looks at neither the task's state nor the
# message of its status. It takes the artifacts for the answer, and of a task that has none
# the last message of the history, whoever has said that. A task that fails before it has
# made anything has the message that it was sent there, so the text of the response is the
# caller's own prompt: "transfer the money" for an answer. Tasks that were cancelled are no
# better off. A server helps such clients by putting what went wrong into the history, too,
# as a last message of the agent's; a client has to look at raw_representation's state.
#
# Needs Python 3.10 or newer and PyPI. Exits 0 while the behaviour is as described.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check agent-framework-a2a==1.0.0b261022 a2a-sdk==1.3.0
cat >"$tmp/seen.py" <<'PY'
import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
from agent_framework_a2a import A2AAgent


class Remote(BaseHTTPRequestHandler):
    """An agent all of whose tasks fail."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "the account is closed"}]}
        status = {"state": "TASK_STATE_FAILED", "message": said}
        task = {"id": "t", "contextId": "c", "status": status, "history": [request["params"]["message"]]}
        body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": {"task": task}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


async def ask(url):
    async with httpx.AsyncClient(trust_env=False) as http, A2AAgent(name="remote", url=url, http_client=http) as agent:
        return (await agent.run("transfer the money")).text


with HTTPServer(("127.0.0.1", 0), Remote) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answer = asyncio.run(ask(f"http://127.0.0.1:{server.server_port}"))
    server.shutdown()
print("the task has failed, and the answer is:", answer)
if answer != "transfer the money":
    sys.exit("the behaviour has changed")
PY
"$tmp/venv/bin/python" "$tmp/seen.py"
