"""The released Python client, unmodified, against a real Errand server.

Run it with `make smoke-python`. The server is the built binary on a free port
with an empty data folder. Every scenario of client.py, and the worker of
worker.py, runs in a process of its own that has nothing but the environment
variables that the client documents. ERRAND_BIN names another binary to test.
"""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ORGANIZATION = "default"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

CSV = """region,product,amount
North,"Widget, large",1200.50
South,Gadget,350.25
East,"Widget, large",99.00
West,Gizmo,7041.10
South,Gizmo,310.90
"""
TOTAL = "9001.75"


def free_port() -> int:
    """A free port that the client does not treat specially (it knows 8085 and 9016)."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if not re.search("8085|9016", str(port)):
            return port


class Server:
    """`errand serve` in a folder of its own."""

    def __init__(self, binary: str, folder: Path):
        self.key = secrets.token_hex(24)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log_path = folder / "server.log"
        self.folder = folder
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [binary, "serve", "--data", str(folder / "data"), "--addr", self.url.removeprefix("http://")],
                cwd=folder,
                env={"PATH": os.environ["PATH"], "HOME": str(folder), "ERRAND_ADMIN_KEY": self.key},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                with DIRECT.open(self.url + "/readyz", timeout=2):
                    return
            except OSError as failure:
                assert self.process.poll() is None, f"the server ended:\n{self.log()}"
                assert time.monotonic() < deadline, f"not ready ({failure}):\n{self.log()}"
                time.sleep(0.05)

    def call(self, method: str, path: str, body: bytes) -> dict:
        """A request as curl would send it, for what the client has no call for."""
        request = urllib.request.Request(self.url + path, body, {"x-api-key": self.key}, method=method)
        if method == "PUT":
            request.add_header("content-type", "application/json")
        try:
            with DIRECT.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            pytest.fail(f"{method} {path}: {refusal.code} {refusal.read().decode()}")

    def client_environment(self, **more: str) -> dict:
        return {
            "XPANDER_BASE_URL": self.url,
            "XPANDER_API_KEY": self.key,
            "XPANDER_ORGANIZATION_ID": ORGANIZATION,
            # Not the client's own: where its interpreter is, and that a proxy
            # of this machine is not asked for the server beside it.
            "PATH": os.environ["PATH"],
            "NO_PROXY": "127.0.0.1",
            **more,
        }

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    binary = os.environ.get("ERRAND_BIN")
    if not binary:
        binary = str(tmp_path_factory.mktemp("bin") / "errand")
        subprocess.run(["go", "build", "-o", binary, "./cmd/errand"], cwd=ROOT, check=True)
    running = Server(binary, tmp_path_factory.mktemp("server"))
    try:
        running.wait_until_ready()
        yield running
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 0, f"the server did not end well:\n{running.log()}"
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


@pytest.fixture(scope="session")
def client(server):
    """Runs one scenario of client.py in a process of its own."""

    def run(scenario: str, environment: dict | None = None, /, **arguments):
        done = subprocess.run(
            [sys.executable, str(HERE / "client.py"), scenario, json.dumps(arguments)],
            env=server.client_environment(**(environment or {})),
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, f"{scenario} failed:\n{done.stderr}\nserver:\n{server.log()[-4000:]}"
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def agent(server):
    """A new agent for remote workers, without any worker."""
    agent_id = f"agent-{secrets.token_hex(4)}"
    server.call("PUT", f"/v1/agents/{agent_id}", json.dumps({"name": "Remote", "runtime": "worker"}).encode())
    return agent_id


@pytest.fixture(scope="session")
def csv_url(server):
    return server.call("POST", "/v1/files?name=sales.csv", CSV.encode())["url"]


# --- users -------------------------------------------------------------------


def test_create(client, agent):
    task = client("create", agent_id=agent)
    assert task["status"] == "pending"
    assert task["agent_id"] == agent
    assert task["organization_id"] == ORGANIZATION
    assert task["text"] == "Grüße, 世界 🚀"
    assert task["title"] == "A title"
    assert task["user_id"] == "u-1"
    assert task["source"], "metrics reporting needs a source"
    assert not task["finished"]


def test_create_async(client, agent):
    task = client("create_async", agent_id=agent)
    assert (task["status"], task["text"]) == ("pending", "hello")


def test_get(client, agent):
    task = client("create", agent_id=agent)
    got = client("get", task_id=task["id"])
    assert got["get"] == task
    assert got["async"] == task
    assert got["load"] == task


@pytest.mark.parametrize("scenario", ["follow", "follow_async"])
def test_events(client, csv_url, scenario):
    seen = client(scenario, agent_id="profile", prompt="Analyze the sales data", file_urls=[csv_url])
    assert seen["created"]["status"] == "pending"
    check_whole_stream(seen["live"], seen["created"]["id"])
    assert [e["type"] for e in seen["live"]].count("chunk") >= 1
    assert all(isinstance(e["data"], str) for e in seen["live"] if e["type"] == "chunk")
    assert seen["late"] == seen["live"], "a late viewer sees what a live one saw"

    end = seen["live"][-1]["data"]["task"]
    assert end["status"] == "completed", end["result"]
    assert TOTAL in re.sub(r"[,\s]", "", end["result"]), end["result"]
    assert end == seen["final"]


def test_attachments(client, csv_url):
    seen = client("attach", agent_id="profile", url=csv_url)
    assert seen["final"]["status"] == "completed"
    assert TOTAL in re.sub(r"[,\s]", "", seen["final"]["result"]), seen["final"]["result"]
    (attachment,) = seen["attachments"]
    assert (attachment["name"], attachment["mime"], attachment["kind"]) == ("sales.csv", "text/csv", "text")


def test_events_of_a_second_turn(client, csv_url):
    seen = client("continue_task", agent_id="profile", file_urls=[csv_url])
    assert seen["ended"]["status"] == "completed"
    assert seen["second"]["id"] == seen["ended"]["id"]
    assert seen["second"]["created_at"] == seen["ended"]["created_at"]
    assert (seen["second"]["status"], seen["second"]["result"]) == ("pending", None)
    check_whole_stream(seen["events"], seen["ended"]["id"])
    assert (seen["final"]["status"], seen["final"]["text"]) == ("completed", "second")


def test_stop(client, agent):
    seen = client("stop", agent_id=agent)
    for task in seen.values():
        assert (task["status"], task["is_manually_stopped"], task["finished"]) == ("stopped", True, True)
    assert seen["again"] == seen["by_id"] == seen["stored"], "a second stop changes nothing"


def test_stop_then_update(client, agent):
    seen = client("stop_then_update", agent_id=agent)
    assert seen["stopped"]["status"] == "stopped"
    assert (seen["updated"]["status"], seen["updated"]["result"]) == ("completed", "Done by hand")
    assert seen["stored"] == seen["updated"]


def test_list(client, agent):
    seen = client("list_tasks", agent_id=agent)
    assert seen["all"] == {
        seen["pending"]: ["pending", agent, None],
        seen["stopped"]: ["stopped", agent, "Second"],
    }
    assert seen["by_status"] == [seen["stopped"]]
    assert seen["loaded"]["text"] == "two"


def test_save_and_set_status(client, agent):
    seen = client("save", agent_id=agent)
    saved = seen["saved"]
    assert (saved["status"], saved["internal_status"], saved["title"]) == ("pending", "Reading the file", "Renamed")
    assert seen["executing"]["status"] == "executing"
    assert seen["longest"]["internal_status"] == "🚀" * 255, "255 code points stay intact"
    assert (seen["completed"]["status"], seen["completed"]["result"]) == ("completed", "All done")


def test_internal_status_too_long(client, agent):
    seen = client("save_too_long", agent_id=agent)
    assert seen["refusal"]["status_code"] == 422
    assert "internal_status" in seen["refusal"]["description"]
    assert seen["stored"]["internal_status"] == "fits"


def test_refusals(client, agent):
    seen = client("refusals", agent_id=agent, missing="no-such-thing")
    codes = {what: refusal["status_code"] for what, refusal in seen.items()}
    assert codes == {"get": 404, "update": 404, "stop": 404, "create": 404, "list": 422, "file": 422}, seen


def test_wrong_key(client, agent):
    task = client("create", agent_id=agent)
    refusal = client("wrong_key", {"XPANDER_API_KEY": "not-the-key"}, task_id=task["id"])
    assert refusal["status_code"] == 401


def test_file_helpers(client, agent, csv_url):
    # The client refuses to fetch from private addresses unless it is told to.
    allowed = {"XPANDER_INTERNAL_FETCH_ALLOWLIST": "127.0.0.1"}
    seen = client("read_files", allowed, agent_id=agent, file_urls=[csv_url])
    (file,) = seen["files"]
    assert file["content"] == CSV
    assert file["url"].split("?")[0].endswith("/sales.csv")
    assert json.dumps(CSV) in seen["message"]


def test_get_args(client, agent):
    seen = client("get_args", {"OPENAI_API_KEY": "unused", "AGNO_TELEMETRY": "false"}, agent_id=agent)
    assert (seen["id"], seen["name"]) == (agent, "Remote")


# --- workers -----------------------------------------------------------------


@pytest.fixture(scope="module")
def worker_agent(server, tmp_path_factory):
    """An agent with one connected worker process."""
    agent_id = f"agent-{secrets.token_hex(4)}"
    server.call("PUT", f"/v1/agents/{agent_id}", json.dumps({"name": "Upper", "runtime": "worker"}).encode())
    log_path = tmp_path_factory.mktemp("worker") / "worker.log"
    # The client's worker also opens a port of its own, by default always the
    # same one; give it a free one, so that two runs do not meet.
    environment = server.client_environment(XPANDER_AGENT_ID=agent_id, XPANDER_STREAMING_PORT=str(free_port()))
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py")], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield agent_id
        if process.poll() is not None:
            pytest.fail(f"the worker ended early:\n{log_path.read_text(errors='replace')}")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log_path.read_text(errors="replace")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_worker_completes(client, worker_agent):
    seen = client("run_on_worker", agent_id=worker_agent, prompt="hello worker")
    assert seen["created"]["status"] == "pending", "the answer to create comes before any worker"
    check_whole_stream(seen["events"], seen["created"]["id"])
    types = [e["type"] for e in seen["events"]]
    assert types.count("tool_call_request") == types.count("tool_call_result") == 1
    progress = [e["data"]["task"] for e in seen["events"] if e["type"] == "task_updated"]
    assert "working on hello worker" in [task["internal_status"] for task in progress]
    final = seen["final"]
    assert (final["status"], final["result"]) == ("completed", "HELLO WORKER")
    assert final["internal_status"] == "working on hello worker"


def test_worker_fails(client, worker_agent):
    seen = client("run_on_worker", agent_id=worker_agent, prompt="fail: no such column")
    check_whole_stream(seen["events"], seen["created"]["id"])
    assert (seen["final"]["status"], seen["final"]["result"]) == ("error", "no such column")


def test_worker_that_promises_is_asked_once_more(client, worker_agent):
    # The client calls the handler again when its answer is a mere promise. It
    # remembers that in additional_context, which the server must hand back.
    seen = client("run_on_worker", agent_id=worker_agent, prompt="promise", additional_context="Be brief.")
    check_whole_stream(seen["events"], seen["created"]["id"])
    types = [e["type"] for e in seen["events"]]
    assert types.count("tool_call_request") == 2
    assert (seen["final"]["status"], seen["final"]["result"]) == ("completed", "I will read the file.")


# Last, because its handler keeps one of the worker's slots until the process ends.
def test_worker_is_stopped(client, worker_agent):
    seen = client("stop_running", agent_id=worker_agent, prompt="wait")
    assert (seen["stopped"]["status"], seen["stopped"]["is_manually_stopped"]) == ("stopped", True)
    check_whole_stream(seen["events"], seen["stopped"]["id"])
    assert seen["final"] == seen["stopped"]


def check_whole_stream(events: list, task_id: str) -> None:
    types = [event["type"] for event in events]
    assert types[0] == "task_created"
    assert types[-1] == "task_finished"
    assert types.count("task_created") == types.count("task_finished") == 1
    assert {event["task_id"] for event in events} == {task_id}
    for event in events:
        if event["type"] in ("task_created", "task_updated", "task_finished"):
            assert isinstance(event["data"], dict) and "task" in event["data"], "the client parsed a whole Task"
