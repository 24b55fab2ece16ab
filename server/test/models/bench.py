"""Measures what stands between a model and those who wait for it: `make bench-models`.

The work is ten answers of a model, nine of which call a tool that costs nothing. Errand, Agno, eino and a program that
does nothing but send the same requests take turns at it, at one aimock, in one run.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance")]

import environment  # noqa: E402
from parts import DIRECT, Oracle, until  # noqa: E402
from providers import CONFORMANCE, Providers, Script, record, serve  # noqa: E402

TURNS = 10
WORDS, END = "Work for the bench", "That is all that there was to be said about it."
ROUNDS = int(os.environ.get("ERRAND_BENCH_ROUNDS") or 50)
WAITING = int(os.environ.get("ERRAND_BENCH_WAITING") or 5000)


class Plain(Providers):
    """Without the tap, which would take time."""

    def __init__(self, *where):
        Oracle.__init__(self, *where)
        self.own = self.url

    def __exit__(self, *failure):
        Oracle.__exit__(self, *failure)


class Direct:
    """The same requests, one after the other."""

    def __init__(self, providers):
        self.where = urllib.parse.urlparse(providers.url)
        self.headers = {"authorization": f"Bearer {providers.KEY}", "content-type": "application/json"}
        messages = [{"role": "user", "content": WORDS}]
        self.bodies = []
        for n in range(1, TURNS + 1):
            self.bodies.append(json.dumps({"model": "o4-mini", "stream": True, "messages": messages}))
            call = {"id": f"toolu_{n}_0", "type": "function", "function": {"name": "list_files", "arguments": "{}"}}
            messages = [*messages, {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "tool_call_id": call["id"], "content": "The task was given no files."}]

    def __call__(self):
        line = http.client.HTTPConnection(self.where.hostname, self.where.port)  # aimock ends those that rest
        began, first = time.monotonic(), 0.0
        for body in self.bodies:
            line.request("POST", "/v1/chat/completions", body, self.headers)
            answer = line.getresponse()
            for event in answer:
                if not first and b"That is" in event:
                    first = time.monotonic() - began
            assert answer.status == 200
        line.close()
        assert first
        return first, time.monotonic() - began


class Errand:
    """A viewer of a task, from the request that creates it to the end of its stream."""

    def __init__(self, server):
        host = urllib.parse.urlparse(server.url)
        self.line = http.client.HTTPConnection(host.hostname, host.port)
        self.headers = {"x-api-key": server.key, "content-type": "application/json", "accept": "text/event-stream"}

    def __call__(self):
        began, first = time.monotonic(), 0.0
        self.line.request("POST", "/v1/agents/bench/invoke/stream", json.dumps({"input": {"text": WORDS}}), self.headers)
        answer = self.line.getresponse()
        ended = b""
        for line in answer:
            if not first and line.startswith(b"data:") and b'"chunk"' in line and b"That is" in line:
                first = time.monotonic() - began
            if b'"task_finished"' in line:
                ended = line
        assert answer.status in (200, 201) and b'"completed"' in ended and first, (answer.status, ended)
        return first, time.monotonic() - began


class Peer:
    def __init__(self, *command, folder):
        self.log = (folder / "peers.log").open("ab")
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)

    def __call__(self):
        self.process.stdin.write(WORDS + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the peer has ended"
        first, total = map(float, line.split())
        assert first
        return first, total

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
        self.log.close()


def script():
    made = Script(WORDS, [[("list_files", {})]] * (TURNS - 1), END)
    for n, fixture in enumerate(made.fixtures):  # Agno gives calls ids of its own
        fixture |= {"chunkSize": 8, "latency": 2, "match": {"userMessage": WORDS, "turnIndex": n}}
    return made


def turns(providers, server, folder):
    """The medians of each, taking turns."""
    script().load(providers)
    server.apply_agent("bench", **record("openai", tools=["files"]))
    eino = folder / "eino"
    subprocess.run(["go", "build", "-o", str(eino), "./peer"], cwd=HERE.parents[2] / "examples" / "eino", check=True)
    agno = environment.python(CONFORMANCE / "releases" / "newest.lock") / "bin" / "python"
    peers = [Peer(agno, HERE / "peers" / "agno_peer.py", f"{providers.url}/v1", providers.KEY, folder=folder), Peer(eino, f"{providers.url}/v1", providers.KEY, folder=folder)]
    all_ = {"direct": Direct(providers), "Errand": Errand(server), "Agno": peers[0], "eino": peers[1]}
    took = {name: [] for name in all_}
    pids = {"direct": os.getpid(), "Errand": server.process.pid, "Agno": peers[0].process.pid, "eino": peers[1].process.pid}
    for n in range(ROUNDS + 3):
        if n == 3:
            computed = {name: computing(pid) for name, pid in pids.items()}
        for name, do in all_.items():
            seconds = do()
            if n >= 3:
                took[name].append(seconds)
    computed = {name: (computing(pid) - computed[name]) / ROUNDS / TURNS * 1000 for name, pid in pids.items()}
    for peer in peers:
        peer.end()
    rows = {}
    for name, seconds in took.items():
        over = [(total - direct) / TURNS * 1000 for (_, total), (_, direct) in zip(seconds, took["direct"], strict=True)]
        first = [(f - d) * 1000 for (f, _), (d, _) in zip(seconds, took["direct"], strict=True)]
        rows[name] = statistics.median(total * 1000 for _, total in seconds), statistics.median(over), statistics.median(first), computed[name]
    return rows


def computing(pid):
    """The seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(server):
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def waiting(providers, server):
    """What each of so many tasks costs the server in memory while it waits for a person."""
    Script("Ask somebody", [[("ask_person", {"question": "May I?"})]], "Thank you.").load(providers)
    server.apply_agent("asks", **record("openai", tools=["ask_person"]))
    before = resident(server)
    for _ in range(WAITING):
        server.call("POST", "/v1/agents/asks/invoke/async", {"input": {"text": "Ask somebody"}})
    until(lambda: server.call("GET", "/v1/tasks?agent_id=asks&status=paused&per_page=1")["total"] == WAITING, "all of them wait", 600)
    time.sleep(5)  # the collector gives memory back
    return (resident(server) - before) / WAITING


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Plain(environment.node(CONFORMANCE / "oracle"), folder) as providers, serve(providers, folder) as server:
            rows = turns(providers, server, folder)
            print(f"{ROUNDS} rounds of {TURNS} answers, in turns; load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores\n")
            print("| ten answers | in all, p50 | over the provider's own time, for each answer | to the first word of the last, over direct | its CPU for each answer |\n| --- | --: | --: | --: | --: |")
            for name, (total, over, first, cpu) in rows.items():
                print(f"| {name} | {total:.0f} ms | {over:.2f} ms | {first:.1f} ms | {'' if name == 'direct' else f'{cpu:.2f} ms'} |")
            if WAITING:
                print(f"\n{WAITING} that wait for people: {waiting(providers, server) / 1024:.1f} KB each")


if __name__ == "__main__":
    sys.exit(main())
