"""MCP servers of others, from npm and PyPI, over standard input and output and over HTTP: Errand is their host."""

import contextlib
import http.server
import json
import os
import signal
import socketserver
import threading
import urllib.error
import urllib.request
from pathlib import Path

import environment
import pytest
from parts import DIRECT, Process, free_port, until
from providers import HERE, Script, record, serve

OFFICIAL = "node_modules/@modelcontextprotocol/server-{}/dist/index.js"
NOT_KNOWN = "It is not known whether this call was carried out"


class Others:
    """What is installed of the servers, as commands."""

    def __init__(self):
        node, python = environment.node(HERE / "servers"), environment.python(HERE / "servers" / "requirements.lock")
        self.bin = python / "bin"
        for name in ("everything", "filesystem", "memory"):
            setattr(self, name, ["node", str(node / OFFICIAL.format(name))])
        self.fickle = [str(self.bin / "python"), str(HERE / "fickle.py")]


@pytest.fixture(scope="session")
def others():
    return Others()


class Web(Process):
    """A server over streamable HTTP, which can be ended and started again at its address."""

    def __init__(self, folder, name, command, **env):
        super().__init__(folder / f"{name}.log")
        self.port = free_port()
        self.command, self.env = [*map(str, command), str(self.port)], env
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.start()

    def start(self):
        self.spawn(*self.command, env={"PATH": os.environ["PATH"], "PORT": str(self.port), **self.env})
        until(self.ready, "the MCP server listens", 60)

    def ready(self):
        assert self.process.poll() is None, f"the MCP server ended:\n{self.log()}"
        try:
            DIRECT.open(self.url, timeout=2).close()
        except urllib.error.HTTPError:
            return True  # it wants to be asked otherwise
        except OSError:
            return False
        return True

    def check_end(self, code):
        pass  # how others end is not ours


@pytest.fixture(scope="module")
def server(providers, others, tmp_path_factory):
    """An Errand that may reach this machine, with all of the programs."""
    folder = tmp_path_factory.mktemp("mcp")
    (folder / "own").mkdir()
    (folder / "own" / "note.txt").write_text("The key is under the mat.\n")
    programs = {
        "everything": {"run": others.everything},
        "filesystem": {"run": [*others.filesystem, str(folder / "own")]},
        "memory": {"run": ["env", f"MEMORY_FILE_PATH={folder / 'memory.jsonl'}", *others.memory]},
        "time": {"run": [str(others.bin / "mcp-server-time"), "--local-timezone=Europe/Oslo"]},
        "fetch": {"run": [str(others.bin / "mcp-server-fetch"), "--ignore-robots-txt", "--allow-private-ips"]},
        "fickle": {"run": [*others.fickle, str(folder / "notes")]},
    }
    with serve(providers, folder, "--allow-private", "127.0.0.0/8", programs=programs) as running:
        yield running


def talk(server, providers, words, servers, turns, during=None, before=None, **more):
    """A task whose model calls tools, turn by turn: it, the tools that were told, and what came of each call.

    Something may be done during it, given its id, and before the model is asked for its second answer.
    """
    agent = words.replace(" ", "-").lower()
    server.apply_agent(agent, **record("openai", mcp_servers=servers, **more))
    script = Script(words, turns, "That is all.")
    script.load(providers)
    done = []

    def act(request):
        if before and not done and any(m["role"] == "assistant" for m in request["body"]["messages"]):
            done.append(before())

    providers.tap.before = act
    task_id = server.call("POST", f"/v1/agents/{agent}/invoke/async", {"input": {"text": words}})["id"]
    if during:
        during(task_id)
    until(lambda: server.task(task_id)["status"] not in ("pending", "executing", "paused"), "the task ends", 120)
    task, events = server.task(task_id), server.events(task_id)
    assert (task["status"], task["result"]) == ("completed", "That is all."), server.log()
    asked = providers.asked(words, anywhere=True)
    assert len(asked) == len(turns) + 1, [e for e in events if e["type"] not in ("chunk", "step")]
    tools = {tool["function"]["name"]: tool["function"] for tool in asked[0]["body"]["tools"]}
    results = [e["data"] for e in events if e["type"] == "tool_call_result"]
    order = sorted(results, key=lambda r: [int(n) for n in r["request_id"].split("_")[1:]])
    return task, tools, [(r["is_error"], r["result"]) for r in order]


def notes(server):
    kept = server.folder / "notes"
    return kept.read_text().splitlines() if kept.exists() else []


def programs(*names):
    return [{"name": name, "program": name} for name in names]


@pytest.fixture
def page():
    """A page of this machine's."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"<html><body><h1>Tide table</h1><p>High water at noon.</p></body></html>"
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Page) as web:
        web.daemon_threads = True
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_address[1]}/tides"
        web.shutdown()


def test_programs(server, providers, page):
    """Five servers at once, in Node and Python, of the old revisions and the new one; two of them are filtered."""
    servers = programs("everything", "memory", "time", "fetch", "filesystem")
    servers[0]["allowed_tools"] = ["echo", "get-sum", "get-structured-content", "get-tiny-image"]
    servers[4]["allowed_tools"] = ["read_text_file"]
    entities = [{"name": "Ada", "entityType": "person", "observations": ["sails"]}]
    own = server.folder / "own"
    task, tools, results = talk(
        server, providers, "Try all programs", servers,
        [
            [
                ("everything_echo", {"message": "hello"}),
                ("memory_create_entities", {"entities": entities}),
                ("time_convert_time", {"source_timezone": "Europe/Oslo", "time": "12:00", "target_timezone": "UTC"}),
                ("fetch_fetch", {"url": page}),
                ("filesystem_read_text_file", {"path": str(own / "note.txt")}),
            ],
            [
                ("memory_read_graph", {}),
                ("everything_get-structured-content", {"location": "Chicago"}),
                ("everything_get-tiny-image", {}),
                ("filesystem_write_file", {"path": str(own / "new.txt"), "content": "no"}),
                ("filesystem_read_text_file", {"path": "/etc/hostname"}),
                ("everything_get-sum", {"a": 2, "b": "three"}),
                ("time_get_current_time", {"timezone": "Atlantis/Poseidonis"}),
            ],
        ],
    )  # fmt: skip
    listed = set(tools)
    assert {n for n in listed if n.startswith("everything_")} == {"everything_echo", "everything_get-sum", "everything_get-structured-content", "everything_get-tiny-image"}
    assert {n for n in listed if n.startswith("filesystem_")} == {"filesystem_read_text_file"}
    assert {"memory_create_entities", "memory_read_graph", "time_convert_time", "time_get_current_time", "fetch_fetch"} <= listed
    assert "$schema" not in json.dumps(list(tools.values()))
    for (wrong, text), expected in zip(results[:5], ["Echo: hello", "sails", "UTC", "High water at noon.", "The key is under the mat."], strict=True):
        assert not wrong and expected in text, text
    graph, weather, image, refused, outside, ill, nowhere = results[5:]
    assert not graph[0] and "Ada" in graph[1]
    assert not weather[0] and "humidity" in weather[1]
    assert not image[0] and "An image, image/png" in image[1]
    assert refused[0] and 'There is no tool "filesystem_write_file"' in refused[1] and not (own / "new.txt").exists()
    assert outside[0] and "outside allowed directories" in outside[1]
    assert ill[0] and "do not follow the tool's schema" in ill[1]
    assert nowhere[0] and "Atlantis" in nowhere[1]
    assert "filesystem_write_file" not in task["used_tools"]


def test_over_http(server, providers, others, tmp_path):
    with Web(tmp_path, "everything", [*others.everything, "streamableHttp"]) as everything, Web(tmp_path, "fickle", [*others.fickle, tmp_path / "notes"]) as fickle:
        servers = [
            {"name": "npm", "url": everything.url, "allowed_tools": ["echo", "trigger-long-running-operation"]},
            {"name": "pypi", "url": fickle.url, "allowed_tools": ["late", "grow"]},
        ]
        _, tools, results = talk(
            server, providers, "Try both over HTTP", servers,
            [
                [("npm_echo", {"message": "hello"}), ("pypi_late", {"seconds": 5}), ("npm_trigger-long-running-operation", {"duration": 5, "steps": 5})],
                [("pypi_pay", {"amount": 1}), ("npm_get-env", {})],
            ],
            lease_seconds=3,
        )  # fmt: skip
    assert set(tools) == {"npm_echo", "npm_trigger-long-running-operation", "pypi_late", "pypi_grow"}
    assert [wrong for wrong, _ in results] == [False, False, False, True, True]
    assert results[0][1] == "Echo: hello"
    assert results[1][1] == "at last, after 5.0 s", "a late answer is one: the lease was renewed meanwhile"
    assert "Long running operation completed" in results[2][1]
    assert "There is no tool" in results[3][1]
    assert "There is no tool" in results[4][1]
    assert not any(line.startswith("pay") for line in (tmp_path / "notes").read_text().splitlines())


def below(pid):
    """The processes that a process has started, and those that these have."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def kill_program(server, words):
    """Kills the program of the server whose command has some words."""
    command = {}
    for pid in below(server.process.pid):
        with contextlib.suppress(OSError):  # It has ended.
            command[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    (found,) = [pid for pid, line in command.items() if words in line and line.startswith("node")]
    os.kill(found, signal.SIGKILL)


def test_programs_that_die_in_mid_call(server, providers):
    """What may be called again is; of what may not it is said that nobody knows; either is started again."""

    def during(task_id):
        until(lambda: any(e["type"] == "tool_call_request" for e in server.events(task_id)) and notes(server), "it is called")
        kill_program(server, "server-everything")

    _, _, results = talk(
        server, providers, "Die and live again", programs("everything", "fickle"),
        [
            [("everything_trigger-long-running-operation", {"duration": 3, "steps": 3}), ("fickle_die", {})],
            [("fickle_pay", {"amount": 7}), ("everything_echo", {"message": "again"})],
        ],
        during,
    )  # fmt: skip
    assert not results[0][0] and "Long running operation completed" in results[0][1]
    assert results[1][0] and NOT_KNOWN in results[1][1]
    assert results[2:] == [(False, "paid 7"), (False, "Echo: again")]
    assert notes(server).count("die") == 1


def test_web_that_dies_in_mid_call(server, providers, others, tmp_path):
    with Web(tmp_path, "fickle", [*others.fickle, tmp_path / "notes"]) as fickle:

        def during(_):
            until(lambda: (tmp_path / "notes").exists(), "it is called")
            fickle.kill()

        _, _, results = talk(
            server, providers, "Die over HTTP", [{"name": "pypi", "url": fickle.url}],
            [[("pypi_late_payment", {"seconds": 30})], [("pypi_pay", {"amount": 8})]], during, fickle.start,
        )  # fmt: skip
    assert results[0][0] and NOT_KNOWN in results[0][1]
    assert results[1] == (False, "paid 8")
    assert (tmp_path / "notes").read_text().splitlines() == ["late_payment 30.0", "pay 8"]


def test_a_lost_session(server, providers, others, tmp_path):
    """A server that has forgotten its sessions answers 400 to all of them: a new one is begun, and nothing is called twice."""
    with Web(tmp_path, "everything", [*others.everything, "streamableHttp"]) as everything:

        def forget():
            everything.kill()
            everything.start()

        _, _, results = talk(
            server, providers, "Lose the session", [{"name": "npm", "url": everything.url}],
            [
                [("npm_echo", {"message": "before"})],
                [("npm_trigger-sampling-request", {"prompt": "x"}), ("npm_echo", {"message": "after"}), ("npm_toggle-simulated-logging", {})],
            ],
            before=forget,
        )  # fmt: skip
    assert results[0] == (False, "Echo: before")
    assert "There is no tool" in results[1][1], "a server is told what the host can do, and lists no more"
    assert results[2] == (False, "Echo: after")
    assert not results[3][0] and "tarted" in results[3][1], results[3][1] + " although it had not reached the server, and was called again"


@pytest.mark.parametrize("over", ["stdio", "http"])
def test_a_list_that_changes(server, providers, others, tmp_path, over):
    """A tool that goes is an error of its calls, one that comes is there for the next attempt."""
    with Web(tmp_path, "fickle", [*others.fickle, tmp_path / "notes"]) as fickle:
        name = f"list_{over}"
        source = [{"name": name, "program": "fickle"}] if over == "stdio" else [{"name": name, "url": fickle.url}]
        _, tools, results = talk(server, providers, f"Grow over {over}", source, [[(f"{name}_grow", {})], [(f"{name}_grown", {}), (f"{name}_pay", {"amount": 3})]])
        assert f"{name}_pay" in tools and f"{name}_grown" not in tools
        assert results[0] == (False, "grown")
        assert results[1][0] and f'There is no tool "{name}_grown"' in results[1][1]
        assert results[2][0] and "pay" in results[2][1]
        _, tools, results = talk(server, providers, f"Use what has grown over {over}", source, [[(f"{name}_grown", {})]])
        assert f"{name}_pay" not in tools and f"{name}_grown" in tools
        assert results == [(False, "here I am")]
