"""What MCP's conformance kit expects of a server, made of agents: a door in front of the server, and their worker.

The kit sends no key, and calls tools of its own by name with arguments of its own. The door adds the key and gives an
agent's tool the arguments as its prompt. `greet`, which must never be a task, is `list_agents` with other words.
"""

import contextlib
import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from parts import DIRECT

AGENTS = ("slow_compute", "failing_job", "protocol_error_job", "confirm_delete", "multi_input", "test_streaming_elicitation", "test_logging_tool")


@contextlib.contextmanager
def door(server):
    """The URL of the door."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            ours = server.url.rpartition(":")[2]
            headers = {name.lower(): value for name, value in self.headers.items()} | {"x-api-key": server.key}
            for name in ("content-length", "connection"):
                headers.pop(name, None)
            for name in headers.keys() & {"host", "origin"}:
                headers[name] = headers[name].replace(str(listener.server_port), ours)
            greeted = None
            with contextlib.suppress(ValueError, KeyError, TypeError):  # not a call of such a tool
                message = json.loads(body)
                call = message["params"]
                if call["name"] in AGENTS:
                    call["arguments"] = {"prompt": json.dumps(call.get("arguments", {}))}
                elif call["name"] == "greet":
                    greeted = call["arguments"]["name"]
                    call["name"] = headers["mcp-name"] = "list_agents"
                    call["arguments"] = {}
                body = json.dumps(message).encode()
            status, kind, content = self.passed(body, headers)
            if greeted and status == 200:
                answer = json.loads(content)
                answer["result"]["content"][0]["text"] = f"Hello, {greeted}!"
                content = json.dumps(answer).encode()
            with contextlib.suppress(OSError):  # the kit has gone
                self.say(status, kind, content)

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

    class Listener(ThreadingHTTPServer):
        def handle_error(self, *_):  # the kit has gone
            pass

    with Listener(("127.0.0.1", 0), Door) as listener:
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
        if agent == "protocol_error_job":
            return end("error", "the job broke")
        if agent == "test_logging_tool":
            thought = {"type": "think", "data": {"title": "Thinking", "thought": "this goes to nobody's log"}}
            server.call("POST", f"/v1/tasks/{task}/events", {"lease_token": token, "events": [thought]})
            return end("completed", "thought about")
        if agent == "test_streaming_elicitation":
            return ask("answer", message="What is the answer?")
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
