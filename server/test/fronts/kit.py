"""What MCP's conformance kit expects of a server, made of agents: a door in front of the server, and their worker.

The kit sends no key, and calls tools of its own by name with arguments of its own. The door adds the key and gives an
agent's tool the arguments as its prompt. `greet`, which must never be a task, is `list_agents` with other words.
"""

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from parts import DIRECT

AGENTS = ("slow_compute", "failing_job", "confirm_delete", "multi_input")


@contextlib.contextmanager
def door(server):
    """The URL of the door."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length", "connection")}
            headers["x-api-key"] = server.key
            headers["host"] = self.headers["host"].replace(str(listener.server_port), server.url.rpartition(":")[2])
            with contextlib.suppress(ValueError, KeyError, TypeError):
                message = json.loads(body)
                name = message["params"]["name"]
                if message["method"] == "tools/call" and name in AGENTS:
                    message["params"]["arguments"] = {"prompt": json.dumps(message["params"].get("arguments", {}))}
                if name == "greet":
                    greeted = message["params"]["arguments"]["name"]
                    message["params"].update(name="list_agents", arguments={})
                    headers["mcp-name"] = "list_agents"
                else:
                    greeted = None
                status, kind, content = self.passed(json.dumps(message).encode(), headers)
                if greeted and status == 200:
                    answer = json.loads(content)
                    answer["result"]["content"][0]["text"] = f"Hello, {greeted}!"
                    content = json.dumps(answer).encode()
                return self.say(status, kind, content)
            self.say(*self.passed(body, headers))

        do_GET = do_DELETE = do_POST

        def passed(self, body, headers):
            request = urllib.request.Request(server.url + self.path, body if self.command == "POST" else None, headers, method=self.command)
            try:
                with DIRECT.open(request, timeout=60) as answer:
                    return answer.status, answer.headers["content-type"], answer.read()
            except urllib.error.HTTPError as refusal:
                return refusal.code, refusal.headers["content-type"], refusal.read()

        def say(self, status, kind, content):
            self.send_response(status)
            self.send_header("content-type", kind or "text/plain")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as listener:
        serving = threading.Thread(target=listener.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{listener.server_port}/mcp"
        finally:
            listener.shutdown()
            serving.join()


@contextlib.contextmanager
def worker(server):
    """Does what the kit's tools do, until the context ends."""
    for agent in AGENTS:
        server.apply_agent(agent, lease_seconds=3600)
    over = threading.Event()

    def work(claim):
        task, token, agent = claim["task"]["id"], claim["lease"]["token"], claim["task"]["agent_id"]
        asked = json.loads(claim["task"]["input"]["text"])

        def end(status, result):
            with contextlib.suppress(AssertionError):  # it was stopped
                server.call("POST", f"/v1/tasks/{task}/finish", {"lease_token": token, "status": status, "result": result})

        def ask(key, **more):
            return server.call("POST", f"/v1/tasks/{task}/approvals", {"lease_token": token, "key": key, **more})

        if agent == "slow_compute":
            over.wait(asked["seconds"])
            return end("completed", "computed")
        if agent == "failing_job":
            over.wait(1)
            return end("failed", "the job failed")
        if agent == "confirm_delete":
            if not ask("delete", kind="approval", message=f"Delete {asked['filename']}?")["waiting"]:
                end("completed", "deleted")
            return None
        name = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        questions = [ask(key, message=f"The {key} name?", schema=name, stay=True) for key in ("first", "second")]
        wait = {"lease_token": token, "approvals": [question["id"] for question in questions]}
        if not server.call("POST", f"/v1/tasks/{task}/wait", wait)["waiting"]:
            end("completed", "two names")
        return None

    def claims():
        while not over.is_set():
            body = {"agent_ids": AGENTS, "worker_id": "kit", "slots": 8, "wait": 1}
            for claim in server.call("POST", "/v1/claim", body)["claims"]:
                threading.Thread(target=work, args=(claim,), daemon=True).start()

    claiming = threading.Thread(target=claims)
    claiming.start()
    try:
        yield
    finally:
        over.set()
        claiming.join()
