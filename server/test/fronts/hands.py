"""The released clients of user interfaces (hands.mjs), and a model that does what it is told."""

import contextlib
import json
import os
import queue
import secrets
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[2] / "docs" / "FRONTS.md"


def shown(section: str, modules: Path, folder: Path, server) -> list[str]:
    """What the programs of a section of docs/FRONTS.md print, as they stand there."""
    (folder / "node_modules").symlink_to(modules / "node_modules")
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    said = []
    for number, block in enumerate(text.split("```js\n")[1:]):
        program = folder / f"{number}.mjs"
        program.write_text(block.partition("```")[0].replace("http://127.0.0.1:4747", server.url))
        env = {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", "ERRAND_API_KEY": server.key, "COPILOTKIT_TELEMETRY_DISABLED": "true"}
        run = subprocess.run(["node", str(program)], cwd=folder, env=env, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
        said.append(run.stdout)
    return said


def script(*lines: object) -> str:
    """A prompt of the agent `actor`."""
    return "\n".join(map(str, lines))


class Hold:
    """A line of a script at which the actor waits until it is let go."""

    def __init__(self, server):
        self.file = server.folder / secrets.token_hex(4)

    def __str__(self) -> str:
        return f"wait {self.file.name}"

    def go(self) -> None:
        self.file.touch()


class Attempt:
    """An attempt at the next task of an agent, as a worker has it that says what it is told and no more."""

    def __init__(self, server, agent: str):
        self.server = server
        body = {"agent_ids": [agent], "worker_id": secrets.token_hex(4), "wait": 20}
        self.claim = server.call("POST", "/v1/claim", body)["claims"][0]
        self.path = f"/v1/tasks/{self.claim['task']['id']}"

    def call(self, what: str, **body: object) -> None:
        self.server.call("POST", f"{self.path}/{what}", {"lease_token": self.claim["lease"]["token"], **body})

    def tell(self, kind: str, data: object) -> None:
        self.call("events", events=[{"type": kind, "data": data}])

    def say(self, words: str) -> None:
        self.tell("chunk", words)

    def ask(self, **what: object) -> str:
        """What it asks people, by the server's name for it."""
        return self.server.call("POST", f"{self.path}/approvals", {"lease_token": self.claim["lease"]["token"], **what})["id"]

    def finish(self, result: str) -> None:
        self.call("finish", status="completed", result=result)


class Hands:
    """One process of Node with all of the clients."""

    def __init__(self, modules: Path, folder: Path):
        shutil.copy(HERE / "hands.mjs", folder)
        (folder / "node_modules").symlink_to(modules / "node_modules")
        env = {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", "SUPPRESS_TRANSFORMATION_WARNINGS": "true", "COPILOTKIT_TELEMETRY_DISABLED": "true"}
        self.log = (folder / "hands.log").open("wb")
        self.process = subprocess.Popen(
            ["node", str(folder / "hands.mjs")], cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.asks: dict[int, Ask] = {}
        self.unhandled: list[str] = []
        threading.Thread(target=self.hear, daemon=True).start()

    def hear(self) -> None:
        for line in self.process.stdout:
            said = json.loads(line) if line.startswith("{") else {"n": 0}
            if "unhandled" in said:
                self.unhandled.append(said["unhandled"])
            if said["n"] in self.asks:
                self.asks[said["n"]].heard.put(said)
        for ask in self.asks.values():
            ask.heard.put({"done": {"error": "the process has ended", "messages": []}})

    def ask(self, **what) -> "Ask":
        number = len(self.asks) + 1
        self.asks[number] = ask = Ask(self, number)
        self.tell(n=number, **what)
        return ask

    def tell(self, **what) -> None:
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)
        self.log.close()


class Ask:
    """Something that a client was asked to do."""

    def __init__(self, hands: Hands, number: int):
        self.hands, self.number, self.heard = hands, number, queue.Queue()
        self.events: list[dict] = []
        self.messages: list[dict] = []

    def until(self, seen) -> None:
        """Waits until what was heard is such."""
        while not seen(self):
            assert "done" not in self.next(), f"it is over before: {self.events or self.messages}"

    def next(self) -> dict:
        said = self.heard.get(timeout=60)
        if "event" in said:
            self.events.append(said["event"])
        if "messages" in said:
            self.messages = said["messages"]
        return said

    def done(self) -> dict:
        """Waits for the end."""
        while "done" not in (said := self.next()):
            pass
        return said["done"]


class Model:
    """A provider of chat completions whose model says what the user's last message tells it, line by line.

    `say WORDS`; `hold` until it is let go; `call NAME ARGUMENTS`, after which it holds, too, and says what came of it.
    """

    def __init__(self):
        self.hold = hold = threading.Event()
        hold.set()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                with contextlib.suppress(OSError):  # whoever asked has gone
                    for part in answer(body["messages"], hold):
                        self.wfile.write(b"data: " + part.encode() + b"\n\n")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def record(self, **more) -> dict:
        return {
            "runtime": "model", "model_provider": "openai", "model_name": "told", "llm_api_base": self.url,
            "llm_credentials": {"name": "told", "value": "key"}, **more,
        }  # fmt: skip

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def answer(messages: list[dict], hold: threading.Event):
    """The stream of an answer."""
    last = max(i for i, m in enumerate(messages) if m["role"] == "user")
    results = [m["content"] for m in messages if m["role"] == "tool"]
    content = messages[last]["content"]
    text = content if isinstance(content, str) else "\n".join(p.get("text", "") for p in content)
    behind = [m for m in messages[last + 1 :] if m["role"] == "tool"] or messages[last - 1]["role"] == "tool" and not text.strip()

    def delta(what: dict, finish: str | None = None) -> str:
        return json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "told", "choices": [{"index": 0, "delta": what, "finish_reason": finish}]})

    yield delta({"role": "assistant", "content": ""})
    finish = "stop"
    if behind:
        hold.wait(60)
        yield delta({"content": "It says: " + "; ".join(results[-2:])})
    else:
        for index, line in enumerate(text.splitlines()):
            verb, _, words = line.partition(" ")
            if verb == "say":
                yield delta({"content": words})
            elif verb == "hold":
                hold.wait(60)
            elif verb == "call":
                name, _, arguments = words.partition(" ")
                finish = "tool_calls"
                yield delta({"tool_calls": [{"index": index, "id": f"toolu_{index}", "type": "function", "function": {"name": name, "arguments": arguments or "{}"}}]})
    yield delta({}, finish)
    yield json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "told", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}})
    yield "[DONE]"
