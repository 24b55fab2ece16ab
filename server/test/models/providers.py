"""What the checks of models share: both providers as aimock stands in for them, and a server with an account at each."""

import json
import os
import socket
import sys
import threading
import urllib.request
from pathlib import Path

import anthropic.types
import openai.types.chat
from parts import DIRECT, Oracle, Server, listen
from pydantic import TypeAdapter

HERE = Path(__file__).resolve().parent
CONFORMANCE = HERE.parent / "conformance"
OPENAI = TypeAdapter(openai.types.chat.CompletionCreateParams)
ANTHROPIC = TypeAdapter(anthropic.types.MessageCreateParams)
MODELS = {"openai": "o4-mini", "anthropic": "claude-opus-4-7"}


def in_order(messages: list[dict]) -> None:
    """Each call is answered, in order, before anything else is said: providers refuse all else."""
    for i, message in enumerate(messages):
        blocks = message["content"] if isinstance(message["content"], list) else []
        calls = [call["id"] for call in message.get("tool_calls", [])]
        calls += [block["id"] for block in blocks if block["type"] == "tool_use"]
        if not calls:
            continue
        if "tool_calls" in message:
            results = [m.get("tool_call_id") for m in messages[i + 1 : i + 1 + len(calls)]]
        else:
            results = [block.get("tool_use_id") for block in messages[i + 1]["content"][: len(calls)]]
        assert results == calls


def every(value) -> None:
    """Looks at all of what was validated: pydantic does not look into what is Iterable before somebody does."""
    if isinstance(value, dict):
        value = value.values()
    if not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        for one in value:
            every(one)


class Tap:
    """Carries connections to a provider, byte by byte, and keeps the requests as they were sent."""

    def __init__(self, target: str):
        host, _, port = target.removeprefix("http://").rpartition(":")
        self.target = (host, int(port))
        self.requests: list[dict] = []
        self.before = lambda request: None  # what is done before a request goes on
        self.listener = listen()
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        try:
            while True:
                client, _ = self.listener.accept()
                provider = socket.create_connection(self.target)
                for side in (client, provider):
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.carry, args=(client, provider, self.keep()), daemon=True).start()
                threading.Thread(target=self.carry, args=(provider, client, None), daemon=True).start()
        except OSError:  # It was closed.
            pass

    def carry(self, source, to, keep) -> None:
        """Carries what comes on one side to the other, until either has gone."""
        if keep:
            next(keep)
        try:
            while data := source.recv(65536):
                if keep:
                    keep.send(data)
                to.sendall(data)
        except OSError:
            pass
        finally:
            for side in (source, to):
                try:
                    side.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            source.close()

    def keep(self):
        """Takes the bytes of a connection, and keeps each request once it is whole."""
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                data += yield
            head, _, data = data.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = int(headers.get("content-length", 0))
            while len(data) < length:
                data += yield
            body, data = data[:length], data[length:]
            self.requests.append({"path": first.split()[1], "headers": headers, "raw": body, "body": json.loads(body)})
            self.before(self.requests[-1])

    def close(self) -> None:
        self.listener.close()


class Providers(Oracle):
    """Both providers, at one address, and what they were sent: what aimock keeps of it is not what was sent to Anthropic."""

    FOLDER = HERE

    def __init__(self, *where):
        super().__init__(*where)
        self.own, self.tap = self.url, Tap(self.url)
        self.url = self.tap.url

    def __exit__(self, *failure):
        self.tap.close()
        super().__exit__(*failure)

    def control(self, what: str, body: object = None):
        """What the stand-in is told or asked about itself; it is told with a body."""
        request = urllib.request.Request(f"{self.own}/__aimock/{what}", headers={"x-api-key": self.KEY, "content-type": "application/json"})
        request.data = None if body is None else json.dumps(body).encode()
        with DIRECT.open(request, timeout=30) as answer:
            return json.load(answer)

    def asked(self, words: str, anywhere: bool = False) -> list[dict]:
        """The requests whose last message, or any, has some words, each held against the provider's own types."""
        entries = [entry for entry in self.tap.requests if words in str(entry["body"]["messages"][0 if anywhere else -1 :])]
        for entry in entries:
            in_order(entry["body"]["messages"])
            types = ANTHROPIC if "/messages" in entry["path"] else OPENAI
            every(types.validate_python(entry["body"], strict=False))
            assert not {"temperature", "top_p", "top_k"} & entry["body"].keys()
            if types is ANTHROPIC:
                assert entry["headers"]["anthropic-version"] == "2026-10-21"
                assert entry["body"]["max_tokens"] > 0
        return entries


class Script:
    """What a model says to words, whoever asks and however often: in each turn the calls of some tools, and then an end."""

    def __init__(self, words: str, turns: list[list[tuple[str, dict]]], end: str):
        self.fixtures, last = [], None
        for n, calls in enumerate(turns, 1):
            made = [{"id": f"toolu_{n}_{i}", "name": name, "arguments": json.dumps(given)} for i, (name, given) in enumerate(calls)]
            self.add(words, last, {"content": f"Answer {n} calls.", "toolCalls": made})
            last = made[-1]["id"]
        self.add(words, last, {"content": end})

    def add(self, words: str, last: str | None, response: dict) -> None:
        match = {"userMessage": words} | ({"toolCallId": last} if last else {"hasToolResult": False})
        self.fixtures.append({"match": match, "response": response, "chunkSize": 12, "latency": 10})

    def load(self, providers: Providers) -> None:
        providers.control("fixtures", {"fixtures": self.fixtures})


def serve(providers, folder, *flags, seconds=0.0, programs=None, windows=None):
    """A server with an account at both, which may be told how many tokens models take.

    Its MCP servers are programs by name: of its own one that notes in the folder what is called, and takes so many seconds.
    """
    counter = {"run": [sys.executable, str(HERE / "counter.py"), str(folder / "calls"), str(seconds)]}
    config = folder / "errand.yaml"
    config.write_text(json.dumps({"mcp_servers": {"counter": counter, **(programs or {})}} | ({"windows": windows} if windows else {})))
    accounts = {
        "OPENAI_API_KEY": providers.KEY, "OPENAI_BASE_URL": f"{providers.url}/v1",
        "ANTHROPIC_API_KEY": providers.KEY, "ANTHROPIC_BASE_URL": providers.url,
    }  # fmt: skip
    host = providers.url.removeprefix("http://")
    return Server(os.environ["ERRAND_BIN"], folder, "--config", str(config), "--allow-model-host", host, *flags, env=accounts)


def record(provider, **more):
    return {"runtime": "model", "model_provider": provider, "model_name": MODELS[provider], **more}


def said(events, kind="chunk"):
    """What a viewer is left with: what was said before a void is not shown any more."""
    void = [i for i, e in enumerate(events) if e["type"] == "task_compactization" and e["data"].get("type") == "retry"]
    return "".join(e["data"] for e in events[void[-1] + 1 if void else 0 :] if e["type"] == kind)


COUNTER = [{"name": "counter", "program": "counter"}]


def called(folder, task_id):
    """The calls of a task, as the MCP server has noted them."""
    notes = folder / "calls"
    return sorted(line for line in notes.read_text().splitlines() if f" {task_id}/" in line) if notes.exists() else []


def results(body):
    """The results of tools in a request, in order, as ids and texts."""
    found = [(m["tool_call_id"], m["content"]) for m in body["messages"] if m["role"] == "tool"]
    for message in body["messages"]:
        if isinstance(message["content"], list):
            found += [(b["tool_use_id"], b["content"]) for b in message["content"] if b["type"] == "tool_result"]
    return found


