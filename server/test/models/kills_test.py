"""Servers that are killed with -9 at random instants of their agents' work: what is paid for, what is done, what is said.

A round starts work at both providers, kills the server once or twice, and holds each of the tasks against one that nobody
has killed. They ask a person, who answers whatever is asked; some of the kills come while an answer is being given. Round N of seed S is round 1 of seed S+N-1, so what has failed is repeated with ERRAND_KILLS=1 ERRAND_SEED=…
"""

import http.client
import json
import os
import random
import threading
import time
import urllib.request
from collections import Counter

import environment
import pytest
from parts import DIRECT, until
from providers import CONFORMANCE, COUNTER, MODELS, Providers, Script, called, record, said, serve

ROUNDS = int(os.environ.get("ERRAND_KILLS") or 6)
SEED = int(os.environ.get("ERRAND_SEED") or random.randrange(1_000_000))
FRUIT = b"name,sold\napple,12\npear,30\nplum,7\n"
UNKNOWN = "It is not known whether this call was carried out"

# What the model calls, answer by answer. `counter_count` must not be run twice, the others may be. Who helps needs an approval for `counter_peek`.
WORK = [
    [("counter_count", {"n": 1}), ("counter_peek", {})],
    [("query_tables", {"sql": "SELECT sum(sold) AS sold FROM fruit"})],
    [("counter_count", {"n": 2})],
    [("delegate", {"agent": "helper", "task": "Help with LABEL."}), ("counter_count", {"n": 3})],
    [("ask_person", {"question": "Is all of LABEL to be counted?"}), ("counter_peek", {})],
    [("counter_count", {"n": 4}), ("counter_count", {"n": 5}), ("query_tables", {"sql": "SELECT count(*) AS kinds FROM fruit"})],
    [("query_tables", {"sql": "SELECT name FROM fruit ORDER BY sold DESC LIMIT 1"})],
    [("counter_count", {"n": 6}), ("counter_peek", {})],
    [("counter_count", {"n": 7})],
]
HELP = [[("counter_count", {"n": 10})], [("counter_peek", {})]]
ENDS = {"Work": "LABEL: most of what was sold were pears, 30 of 49.", "Help": "Of LABEL, pears."}


def script(verb, turns, label):
    """What the model says to a piece of work, in which the label takes its place."""
    put = json.loads(json.dumps(turns).replace("LABEL", label))
    return Script(f"{verb} with {label}.", put, ENDS[verb].replace("LABEL", label))


class Person:
    """Somebody who answers whatever is asked, and asks anew what is open when the server was killed meanwhile."""

    def __init__(self, server):
        self.server, self.taken = server, Counter()
        self.answering = threading.Event()  # set whenever an answer is about to be given
        self.left = threading.Event()
        self.thread = threading.Thread(target=self.work)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *failure):
        self.left.set()
        self.thread.join()

    def work(self):
        while not self.left.wait(0.02):
            try:
                for one in self.server.call("GET", "/v1/approvals?status=open")["items"]:
                    reply = {"answer": "approve"} if one["kind"] == "approval" else {"value": "Yes, all of it."}
                    self.answering.set()
                    self.server.call("POST", f"/v1/approvals/{one['id']}/answer", reply)
                    self.taken[one["id"]] += 1
            except (OSError, http.client.HTTPException, ValueError):  # it was killed
                pass
            except AssertionError as refusal:  # of an answer that was taken when the server was killed
                assert "it was answered before" in str(refusal) or " 503 " in str(refusal), refusal


class Run:
    """A task of an agent, and the one below it."""

    def __init__(self, server, providers, agent, label):
        self.server, self.providers, self.agent, self.label = server, providers, agent, label
        script("Work", WORK, label).load(providers)
        script("Help", HELP, label).load(providers)
        body = {"input": {"text": f"Work with {label}.", "files": [server.upload("fruit.csv", FRUIT)]}}
        self.id = server.call("POST", f"/v1/agents/{agent}/invoke/async", body)["id"]

    def ended(self):
        return self.server.task(self.id)["status"] not in ("pending", "executing", "paused")

    def tell(self):
        """What became of it: the task and the one below, their events, their requests."""
        task = self.server.task(self.id)
        assert task["status"] == "completed", (task["end_reason"], task["result"])
        (below,) = task["sub_executions"]
        self.told = {"Work": (task, self.server.events(self.id)), "Help": (self.server.task(below), self.server.events(below))}
        self.asked = {verb: self.requests(verb) for verb in self.told}
        return self

    def requests(self, verb):
        """The bodies of the requests, by the number of the answer that they ask for, without the label."""
        bodies = {}
        for entry in self.providers.asked(f"{verb} with {self.label}.", anywhere=True):
            body = json.loads(entry["raw"].decode().replace(self.label, "LABEL"))
            if f"{verb} with LABEL." not in str([m for m in body["messages"] if m["role"] == "user"][0]):
                continue  # it is that of who has delegated this
            bodies.setdefault(1 + sum(m["role"] == "assistant" for m in body["messages"]), []).append(body)
        return bodies


def results(body):
    """The results of tools in a request, by the provider's id of the call: where each stands, and its text."""
    found = {}
    for message in body["messages"]:
        if message["role"] == "tool":
            found[message["tool_call_id"]] = (message, message["content"])
        elif isinstance(message["content"], list):
            found |= {block["tool_use_id"]: (block, block["content"]) for block in message["content"] if block["type"] == "tool_result"}
    return found


def as_known(body, model):
    """The body with what is not known of a call put as the model body has it."""
    body = json.loads(json.dumps(body))
    known = results(model)
    for call, (place, text) in results(body).items():
        if UNKNOWN in str(text):
            place.clear()
            place.update(known[call][0])
    return body


def lost(events):
    """How often an attempt was lost while an answer was under way, and while the calls of one were: by its number."""
    asking, calling, heard, open_calls = Counter(), Counter(), 0, 0
    for event in events:
        step = event["data"].get("id", "") if event["type"] == "step" else ""
        if step.startswith("model-"):
            heard, open_calls = int(step.removeprefix("model-")), len(event["data"]["body"].get("calls") or [])
        elif step.startswith("result-"):
            open_calls -= 1
        elif event["type"] == "attempt_lost":
            (calling if open_calls else asking)[heard if open_calls else heard + 1] += 1
    return asking, calling


def check(run, whole, folder):
    """Holds a task, and the one below it, against those that nobody has killed. Answers what the kills have met."""
    met = Counter()
    for verb, (task, events) in run.told.items():
        pattern, _ = whole.told[verb]
        assert (task["status"], task["result"]) == ("completed", ENDS[verb].replace("LABEL", run.label))
        assert said(events) == task["result"], "every viewer and the result agree"
        assert sorted(task["used_tools"]) == sorted(pattern["used_tools"])
        asking, calling = lost(events)
        met += Counter({"lost while asking": asking.total(), "lost while calling": calling.total()})

        bodies = run.asked[verb]
        assert bodies.keys() == whole.asked[verb].keys()
        for n, sent in bodies.items():
            assert len(sent) <= 1 + asking[n], f"answer {n} of {verb} was asked for {len(sent)} times, and broke off {asking[n]} times"
            met["asked again"] += len(sent) - 1
            for body in sent:
                assert as_known(body, whole.asked[verb][n][0]) == whole.asked[verb][n][0], f"the request for answer {n} of {verb}"
            assert all(body == sent[0] for body in sent), "each attempt asks in the same words"

        notes = Counter(line.split()[0] + " " + line.rpartition("/")[2] for line in called(folder, task["id"]))
        names = [e["data"] for e in events if e["type"] == "tool_call_request"]
        assert [c["request_id"] for c in names] == [f"call_1_{n}_{i}" for n, calls in enumerate(WORK if verb == "Work" else HELP, 1) for i in range(len(calls))]
        answers = [e["data"]["id"] for e in events if e["type"] == "approval_answered"]
        assert answers == [e["data"]["id"] for e in events if e["type"] == "approval_requested"], "what is asked is asked and answered once"
        assert len(answers) == 1
        told = [e["data"] for e in events if e["type"] == "tool_call_result"]
        assert sorted(c["request_id"] for c in told) == sorted(c["request_id"] for c in names), "viewers are told of each result once"
        for c in told:
            n, unknown = int(c["request_id"].split("_")[2]), UNKNOWN in c["result"]
            times = notes[f"{c['tool_name'].removeprefix('counter_')} {c['request_id']}"]
            if unknown:
                assert c["tool_name"] == "counter_count" and calling[n], "only what was under way is not known"
                met["not known, done" if times else "not known, not done"] += 1
            if c["tool_name"] == "counter_count":
                assert (times <= 1) if unknown else (times == 1), f"{c['request_id']} was run {times} times"
            elif c["tool_name"] == "counter_peek":
                assert 1 <= times <= 1 + calling[n], f"{c['request_id']} was run {times} times"
                met["run again"] += times - 1
    return met


def follow(server, task_id, most):
    """Follows the log of a task until it has so many events, or ends."""
    request = urllib.request.Request(f"{server.url}/v1/tasks/{task_id}/events", headers={"x-api-key": server.key, "accept": "text/event-stream"})
    with DIRECT.open(request, timeout=60) as stream:
        for line in stream:
            if line.startswith(b"data:") and (most := most - 1) <= 0:
                return


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A server, its agents, and what each does if nobody kills it."""
    folder = tmp_path_factory.mktemp("kills")
    oracle = environment.node(CONFORMANCE / "oracle")
    with Providers(oracle, folder) as providers, serve(providers, folder, seconds=0.03) as server, Person(server) as person:
        for provider in MODELS:
            more = {"mcp_servers": COUNTER, "tools": ["sql", "delegate", "ask_person"], "sub_agents": ["helper"], "lease_seconds": 1, "max_attempts": 20}
            server.apply_agent(provider, **record(provider, **more))
        server.apply_agent("helper", **record("anthropic", mcp_servers=COUNTER, needs_approval=["counter_peek"], lease_seconds=1, max_attempts=20))
        whole = {}
        for provider in MODELS:
            began = time.monotonic()
            run = Run(server, providers, provider, f"the whole of {provider}")
            until(run.ended, "the work ends", 60)
            whole[provider] = run.tell()
            whole[provider].seconds = time.monotonic() - began
            check(run, run, folder)
            assert all(len(sent) == 1 for bodies in run.asked.values() for sent in bodies.values())
        yield server, providers, person, whole
        assert max(person.taken.values()) == 1, "an answer is taken once"


def test_killed_at_random_instants(scene, capfd):
    server, providers, person, whole = scene
    met = Counter()
    for n in range(ROUNDS):
        seed = SEED + n
        chance, before = random.Random(seed), met["kills"]
        providers.control("reset", {})
        runs = [Run(server, providers, provider, f"seed {seed} of {provider}") for provider in chance.sample(list(MODELS), len(MODELS))]
        try:
            for _ in range(chance.choice([1, 1, 2])):
                victim = chance.choice(runs)
                length = len(whole[victim.agent].told["Work"][1])
                person.answering.clear()
                if chance.random() < 1 / 3:
                    until(lambda victim=victim: person.answering.is_set() or victim.ended(), "somebody is asked, or nobody any more", 60)
                    met["killed while a person answers"] += person.answering.is_set()
                    time.sleep(chance.uniform(0, 0.02))
                else:
                    follow(server, victim.id, chance.randrange(1, length))
                    time.sleep(chance.uniform(0, 0.1))
                server.kill()
                server.start()
                met["kills"] += 1
            for run in runs:
                until(run.ended, "the work ends", 120)
                met += check(run.tell(), whole[run.agent], server.folder)
            asked = sum(len(sent) for run in runs for bodies in run.asked.values() for sent in bodies.values())
            # What was cut off while it was asked may have come to one of them only.
            journal, cut = len(providers.control("journal")), met["kills"] - before
            assert abs(journal - asked) <= cut * 2 * len(runs), f"the stand-in has been asked {journal} times, not {asked}"
        except BaseException as failure:
            failure.add_note(f"after {n} rounds; repeat it with ERRAND_KILLS=1 ERRAND_SEED={seed}")
            raise
        if n % 20 == 19 or n == ROUNDS - 1:
            with capfd.disabled():
                print(f"\n{n + 1} rounds from seed {SEED}: {', '.join(f'{many} {what}' for what, many in sorted(met.items()))}")
    assert met["lost while asking"] + met["lost while calling"] > 0
