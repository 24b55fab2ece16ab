"""The real parts that the checks are made of: servers, workers, the oracle, a proxy."""

import contextlib
import json
import os
import random
import re
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
ORGANIZATION = "default"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def listen() -> socket.socket:
    """A listener at a port that the client does not treat specially (it knows 8085 and 9016).

    It is below those that a system gives to outgoing connections, any of which could
    take it before it is used.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        if not re.search("8085|9016", str(port)):
            with contextlib.suppress(OSError):  # It is taken.
                return socket.create_server(("127.0.0.1", port))


def free_port() -> int:
    """Such a port, for another process to listen at."""
    with listen() as probe:
        return probe.getsockname()[1]


# What makes databases (server/test/postgres), if the servers are to be on PostgreSQL.
DATABASES = os.environ.get("ERRAND_TEST_DATABASES", "")


def create_database() -> str:
    """The URL of a new PostgreSQL database, or nothing for SQLite."""
    if not DATABASES:
        return ""
    return subprocess.run([DATABASES, "-create"], capture_output=True, text=True, check=True).stdout.strip()


def drop_database(url: str) -> None:
    if url:
        subprocess.run([DATABASES, "-drop", url], check=True)


def until(condition, what: str, seconds: float = 30):
    """Waits until the condition holds, and answers what it gave."""
    deadline = time.monotonic() + seconds
    while not (outcome := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return outcome


class Process:
    """A child process with a log; a context in which it is ended with SIGTERM."""

    def __init__(self, log: Path):
        self.log_path = log
        self.process = None

    def spawn(self, *command: str, cwd: Path | None = None, env: dict) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=cwd, env=env, stdout=log, stderr=subprocess.STDOUT)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        try:
            early = self.process.poll()
            if failure is None:
                assert early is None, f"{self.log_path.name}: ended early with {early}:\n{self.log()}"
                self.check_end(self.end())
        finally:
            if self.process.poll() is None:
                self.kill()

    def check_end(self, code: int) -> None:
        assert code == 0, f"{self.log_path.name}: ended with {code}:\n{self.log()}"


class Server(Process):
    """`errand serve` in a folder of its own. What the client has no call for goes through /v1."""

    def __init__(self, binary: str, folder: Path, *flags: str, env: dict | None = None):
        super().__init__(folder / "server.log")
        self.binary, self.folder, self.flags, self.env = binary, folder, flags, env or {}
        self.key = secrets.token_hex(24)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.database = create_database()
        self.start()

    def start(self) -> None:
        """Starts it, or starts it again: same address, same data."""
        self.spawn(
            self.binary, "serve", "--data", str(self.folder / "data"), "--addr", self.url.removeprefix("http://"),
            *self.flags,
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "ERRAND_ADMIN_KEY": self.key,
                "ERRAND_DATABASE_URL": self.database,
                **self.env,
            },
        )  # fmt: skip
        until(self.ready, f"the server is ready:\n{self.log()}")

    def ready(self) -> bool:
        assert self.process.poll() is None, f"the server ended:\n{self.log()}"
        try:
            with DIRECT.open(self.url + "/readyz", timeout=2):
                return True
        except OSError:
            return False

    def call(self, method: str, path: str, body: object = None):
        """A request as curl would send it. Bytes are sent as they are, anything else as JSON."""
        raw = isinstance(body, bytes)
        data = body if raw or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"x-api-key": self.key}, method=method)
        if not raw:
            request.add_header("content-type", "application/json")
        try:
            with DIRECT.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            raise AssertionError(f"{method} {path}: {refusal.code} {refusal.read().decode()}") from refusal

    def apply_agent(self, agent_id: str, **record: object) -> None:
        self.call("PUT", f"/v1/agents/{agent_id}", {"name": "Analyst", "runtime": "worker", **record})

    def upload(self, name: str, content: bytes) -> str:
        return self.call("POST", f"/v1/files?name={name}", content)["url"]

    def task(self, task_id: str) -> dict:
        return self.call("GET", f"/v1/tasks/{task_id}")

    def events(self, task_id: str) -> list[dict]:
        return self.call("GET", f"/v1/tasks/{task_id}/events?limit=1000")["items"]

    def environment(self, **more: str) -> dict:
        """What the client is given: its three variables, and what a process needs on this machine."""
        return {
            "XPANDER_BASE_URL": self.url,
            "XPANDER_API_KEY": self.key,
            "XPANDER_ORGANIZATION_ID": ORGANIZATION,
            "PATH": os.environ["PATH"],
            "NO_PROXY": "127.0.0.1",
            **more,
        }

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess:
        """A script of a user, in a process of its own."""
        return subprocess.run(
            [sys.executable, *command], env=self.environment(**more), capture_output=True, text=True, timeout=120
        )

    def check_end(self, code: int) -> None:
        assert code == 0, f"the server did not end well:\n{self.log()}"

    def __exit__(self, failure, *_):
        try:
            super().__exit__(failure, *_)
        finally:
            drop_database(self.database)


class Worker(Process):
    """A worker script of the client for one agent."""

    def __init__(self, server: Server, folder: Path, agent_id: str, script: Path, **more: str):
        super().__init__(folder / f"worker-{secrets.token_hex(4)}.log")
        # The newest client's worker also opens a port of its own, by default
        # always the same one; a free one, so that two runs do not meet.
        environment = server.environment(
            XPANDER_AGENT_ID=agent_id, XPANDER_STREAMING_PORT=str(free_port()), AGNO_TELEMETRY="false", **more
        )
        self.spawn(sys.executable, str(script), env=environment)

    def check_end(self, code: int) -> None:
        # Older releases end with 1 (see docs/COMPATIBILITY.md).
        newest = os.environ.get("ERRAND_RELEASE", "newest") == "newest"
        assert code == 0 or (code == 1 and not newest), f"the worker ended with {code}:\n{self.log()}"


class Oracle(Process):
    """An OpenAI-compatible server whose answers follow from oracle/fixtures.json alone."""

    FOLDER = HERE / "oracle"
    KEY = "key-of-the-agent-record"

    def __init__(self, modules: Path, folder: Path):
        super().__init__(folder / "oracle.log")
        program = modules / "node_modules" / "@copilotkit" / "aimock" / "dist" / "aimock-cli.js"
        self.spawn(
            "node", str(program), "--config", "aimock.json", "--port", "0",
            cwd=self.FOLDER,
            env={"PATH": os.environ["PATH"], "AIMOCK_API_KEYS": self.KEY},
        )  # fmt: skip
        self.url = until(self.listening, "the oracle listens")[1]

    def listening(self) -> re.Match | None:
        assert self.process.poll() is None, f"the oracle ended:\n{self.log()}"
        return re.search(r"listening on (\S+)", self.log())

    def agent(self, **record: object) -> dict:
        """The part of an agent's record that names this model and its key."""
        credentials = {"name": "oracle", "value": self.KEY}
        return {"model_name": "oracle-1", "llm_api_base": f"{self.url}/v1", "llm_credentials": credentials, **record}

    def requests(self) -> list[dict]:
        request = urllib.request.Request(f"{self.url}/__aimock/journal", headers={"x-api-key": self.KEY})
        with DIRECT.open(request, timeout=30) as answer:
            return [entry["body"] for entry in json.load(answer)]

    def check_end(self, code: int) -> None:
        assert code in (0, -signal.SIGTERM), f"the oracle ended with {code}:\n{self.log()}"


class Dialogue(Process):
    """A scenario of client.py that says what it sees, line by line, and takes orders."""

    def __init__(self, server: Server, folder: Path, scenario: str, *, base_url: str | None = None, **arguments):
        super().__init__(folder / "dialogue.log")
        more = {"XPANDER_BASE_URL": base_url} if base_url else {}
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "client.py"), scenario, json.dumps(arguments)],
                env=server.environment(**more), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        # Who waits for a line that never comes is woken by the end of the process.
        self.watchdog = threading.Timer(300, self.process.kill)
        self.watchdog.start()

    def hear(self) -> str:
        line = self.process.stdout.readline()
        assert line, f"the client ended early:\n{self.log()}"
        return line.rstrip("\n")

    def hear_until(self, *lines: str) -> list[str]:
        heard = [self.hear()]
        while heard[-1] not in lines:
            heard.append(self.hear())
        return heard

    def order(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self) -> int:
        self.process.stdin.close()
        return self.process.wait(30)

    def __exit__(self, failure, *_):
        try:
            super().__exit__(failure, *_)
        finally:
            self.watchdog.cancel()
            self.process.stdout.close()


class ImpatientProxy:
    """Carries TCP connections to a server, and cuts one on which the server is silent for too long."""

    def __init__(self, server: Server, patience: float):
        self.patience = patience
        self.keep_alives = 0
        self.heard = threading.Condition()
        self.target = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        self.listener = listen()
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.target) as server, contextlib.suppress(OSError):
            last = time.monotonic()
            while (left := last + self.patience - time.monotonic()) > 0:
                for ready in select.select([client, server], [], [], left)[0]:
                    if not (data := ready.recv(65536)):
                        return
                    if ready is server:
                        last = time.monotonic()
                        with self.heard:
                            self.keep_alives += data.startswith(b": ") + data.count(b"\n: ")
                            self.heard.notify_all()
                    (client if ready is server else server).sendall(data)

    def wait_for_keep_alives(self, more: int) -> None:
        """Waits until the server has sent so many more keep-alive comments."""
        with self.heard:
            enough = self.keep_alives + more
            assert self.heard.wait_for(lambda: self.keep_alives >= enough, 300), f"only {self.keep_alives} of {enough}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def check_stream(events: list, task_id: str) -> None:
    """Holds what client.py saw to be one whole turn, with whole tasks in it."""
    types = [event["type"] for event in events]
    assert types[0] == "task_created"
    assert types[-1] == "task_finished"
    assert types.count("task_created") == types.count("task_finished") == 1
    assert {event["task_id"] for event in events} == {task_id}
    for event in events:
        if event["type"] in ("task_created", "task_updated", "task_finished"):
            assert isinstance(event["data"], dict) and "task" in event["data"], "the client parsed a whole Task"
