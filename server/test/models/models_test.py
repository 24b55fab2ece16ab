"""Agents of runtime model against aimock, which knows nothing of Errand."""

import json
import os
import sys
import time
import urllib.request
from pathlib import Path

import anthropic.types
import environment
import openai.types.chat
import pytest
from parts import DIRECT, Oracle, Process, Server, until
from parts import HERE as CONFORMANCE
from pydantic import TypeAdapter

HERE = Path(__file__).resolve().parent
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


class Providers(Oracle):
    """Both providers, at one address."""

    FOLDER = HERE

    def asked(self, words: str, anywhere: bool = False) -> list[dict]:
        """The requests whose last message, or any, has some words, each held against the provider's own types."""
        request = urllib.request.Request(f"{self.url}/__aimock/journal", headers={"x-api-key": self.KEY})
        with DIRECT.open(request, timeout=30) as answer:
            entries = [entry for entry in json.load(answer) if words in str(entry["body"]["messages"][0 if anywhere else -1 :])]
        for entry in entries:
            in_order(entry["body"]["messages"])
            types = ANTHROPIC if "/messages" in entry["path"] else OPENAI
            types.validate_python(entry["body"], strict=False)
            assert not {"temperature", "top_p", "top_k"} & entry["body"].keys()
            if types is ANTHROPIC:
                assert entry["headers"]["anthropic-version"] == "2026-10-21"
                assert entry["body"]["max_tokens"] > 0
        return entries


@pytest.fixture(scope="session")
def providers(tmp_path_factory):
    with Providers(environment.node(CONFORMANCE / "oracle"), tmp_path_factory.mktemp("providers")) as running:
        yield running


def serve(providers, folder):
    """A server with an account at both, and an MCP server that notes in the folder what is called."""
    config = folder / "errand.yaml"
    config.write_text(f"mcp_servers:\n  counter: {{run: [{sys.executable}, {HERE / 'counter.py'}, {folder / 'calls'}]}}\n")
    accounts = {
        "OPENAI_API_KEY": providers.KEY, "OPENAI_BASE_URL": f"{providers.url}/v1",
        "ANTHROPIC_API_KEY": providers.KEY, "ANTHROPIC_BASE_URL": providers.url,
    }  # fmt: skip
    host = providers.url.removeprefix("http://")
    return Server(os.environ["ERRAND_BIN"], folder, "--config", str(config), "--allow-model-host", host, env=accounts)


@pytest.fixture(scope="session")
def server(providers, tmp_path_factory):
    """The server that most checks share."""
    with serve(providers, tmp_path_factory.mktemp("server")) as running:
        for provider in MODELS:
            running.apply_agent(provider, **record(provider))
        yield running
        assert providers.KEY not in running.log()


def record(provider, **more):
    return {"runtime": "model", "model_provider": provider, "model_name": MODELS[provider], **more}


@pytest.fixture(params=MODELS)
def agent(request):
    return request.param


def ask(server, agent, words, **more):
    """Invokes the agent with words that say whose they are: the stand-in counts for both providers together."""
    task = server.call("POST", f"/v1/agents/{agent}/invoke", {"input": {"text": f"{words} ({agent.split('-')[0]})"}, **more})
    events = server.events(task["id"])
    return task, events


def said(events, kind="chunk"):
    """What a viewer is left with: what was said before a void is not shown any more."""
    void = [i for i, e in enumerate(events) if e["type"] == "task_compactization" and e["data"].get("type") == "retry"]
    return "".join(e["data"] for e in events[void[-1] + 1 if void else 0 :] if e["type"] == kind)


def asked(providers, agent, words):
    return [entry for entry in providers.asked(words) if f"({agent})" in str(entry["body"]["messages"])]


def test_text_and_thoughts(server, providers, agent):
    task, events = ask(server, agent, "What is the capital of France?")
    assert (task["status"], task["result"]) == ("completed", "The capital of France is Paris.")
    assert said(events) == task["result"]
    assert "They ask for a city." in json.dumps(events), "it thinks aloud"
    assert (task["tokens"]["prompt_tokens"], task["tokens"]["completion_tokens"]) == (12, 7)
    (request,) = asked(providers, agent, "capital of France")
    assert request["body"]["model"] == MODELS[agent]
    assert request["body"]["stream"] is True


def test_waits_as_long_as_it_is_told(server, providers, agent):
    began = time.monotonic()
    task, events = ask(server, agent, "This is too many")
    assert (task["status"], task["result"]) == ("completed", "Here I am again.")
    assert time.monotonic() - began >= 1, "Retry-After is kept"
    assert len(asked(providers, agent, "too many")) == 2
    assert said(events) == task["result"]


def test_overloaded(server, providers, agent):
    task, _ = ask(server, agent, "You are overloaded")
    assert (task["status"], task["result"]) == ("completed", "Here I am again.")
    assert len(asked(providers, agent, "overloaded")) == 2


def test_cut_in_mid_stream(server, providers, agent):
    task, events = ask(server, agent, "Tell me the cut story")
    assert (task["status"], task["result"]) == ("completed", "Once upon a time there was a stream that somebody had cut.")
    assert said(events) == task["result"], "every viewer and the result agree"
    assert len(asked(providers, agent, "cut story")) == 2


def test_structured(server, providers, agent):
    schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
    task, _ = ask(server, agent, "Answer as JSON", output_format="json", output_schema=schema)
    assert (task["status"], task["result_check"]["state"]) == ("completed", "valid")

    task, events = ask(server, agent, "Answer badly as JSON", output_format="json", output_schema=schema)
    assert (task["status"], json.loads(task["result"])) == ("completed", {"city": "Paris"})
    assert (task["result_check"]["state"], task["result_check"]["rounds"]) == ("repaired", 1)
    assert "75" not in said(events), "what was sent back is void"

    task, _ = ask(server, agent, "Answer never as JSON", output_format="json", output_schema=schema)
    assert (task["status"], task["end_reason"]) == ("failed", "schema_mismatch")
    assert (task["result_check"]["state"], task["result_check"]["rounds"]) == ("invalid", 2)
    assert len([entry for entry in providers.asked("missing property") if f"({agent})" in str(entry["body"])]) == 2


def test_a_refused_key_is_not_told(server, agent):
    other = f"{agent}-refused"
    secret = {"name": "own", "value": "sk-a-key-that-nobody-knows"}
    server.apply_agent(other, **record(agent, llm_credentials=secret))
    task, events = ask(server, other, "What is the capital of France?")
    assert task["status"] in ("failed", "error")
    assert "401" in task["result"]
    assert secret["value"] not in json.dumps([task, events]) + server.log()


@pytest.mark.parametrize("mode", ["plain", "stream"])
def test_a_program_behind_the_proxy(server, providers, agent, mode, tmp_path):
    """An unmodified client asks with the server's account, never sees its key, and is cut at the budget's line."""
    name, words = f"spender-{agent}-{mode}", f"Name the capital of France, {mode} ({agent})"
    server.apply_agent(name)
    body = {"agent_id": name, "input": {"text": words}, "budget": {"tokens": 100}}
    task_id = server.call("POST", "/v1/tasks", body)["id"]
    with Process(tmp_path / "worker.log") as worker:
        program = [sys.executable, str(HERE / "spender.py"), agent, MODELS[agent], mode]
        worker.spawn(os.environ["ERRAND_BIN"], "worker", "--agent", name, "--", *program, env=server.environment(ERRAND_URL=server.url, ERRAND_API_KEY=server.key))
        until(lambda: server.task(task_id)["status"] not in ("pending", "executing"), "the budget is used up", 60)
        time.sleep(1)  # For whatever the program still wants to ask.
    task, events = server.task(task_id), server.events(task_id)
    assert (task["status"], task["waiting"]["reason"]) == ("paused", "budget")
    uses = [event["data"] for event in events if event["type"] == "usage"]
    each = sum(uses[0]["tokens"][part] for part in ("prompt_tokens", "completion_tokens"))
    assert each > 0
    assert task["spent"]["tokens"] == each * len(uses)
    assert each * (len(uses) - 1) < 100 <= each * len(uses), "no call after the line"
    assert len(asked(providers, agent, words)) == len(uses)
    assert providers.KEY not in json.dumps([task, events]) + worker.log() + server.log()


def test_killed_in_mid_answer(providers, agent, tmp_path):
    """What was answered before is paid for once, what was under way is asked for again."""
    schema = {"type": "object", "properties": {"village": {"type": "string"}}}
    with serve(providers, tmp_path) as server:
        server.apply_agent(agent, **record(agent, lease_seconds=1))
        body = {"input": {"text": f"Answer slowly as JSON ({agent})"}, "output_format": "json", "output_schema": schema}
        task_id = server.call("POST", f"/v1/agents/{agent}/invoke/async", body)["id"]
        until(lambda: said(server.events(task_id)).startswith('{"vill') and "75" not in said(server.events(task_id)), "the second answer has begun")
        server.kill()
        server.start()
        until(lambda: server.task(task_id)["status"] not in ("pending", "executing"), "the task ends", 60)
        task, events = server.task(task_id), server.events(task_id)
    assert (task["status"], json.loads(task["result"])) == ("completed", {"village": "Ely"})
    assert (task["result_check"]["state"], task["result_check"]["rounds"]) == ("repaired", 1)
    assert json.loads(said(events)) == {"village": "Ely"}, "every viewer and the result agree"
    assert len(asked(providers, agent, "slowly as JSON")) == 1, "a finished answer is paid for once"
    first, second = asked(providers, agent, "/village:")
    assert first["body"] == second["body"], "the conversation is rebuilt as it was"


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


def test_two_calls_at_once(server, providers, agent):
    other = f"{agent}-counts"
    server.apply_agent(other, **record(agent, mcp_servers=COUNTER))
    task, events = ask(server, other, "Count twice")
    assert (task["status"], task["result"]) == ("completed", "Counted.")
    assert said(events) == task["result"], "what was said before the calls is a thought"
    assert sorted(task["used_tools"]) == ["counter_count", "counter_peek"]
    assert called(server.folder, task["id"]) == [f"count {task['id']}/call_1_1_0", f"peek {task['id']}/call_1_1_1"]
    first, second = (e for e in providers.asked("Count twice", anywhere=True) if f"({agent})" in str(e["body"]))
    assert second["body"]["messages"][: len(first["body"]["messages"])] == first["body"]["messages"]
    assert [text for _, text in results(second["body"])] == ['count {"n": 1}', "peek {}"]
    assert first["body"]["tools"] == second["body"]["tools"]
    assert "draft-07" not in str(first["body"]["tools"])


def test_killed_in_mid_call(providers, agent, tmp_path):
    """A call that must not be made twice is made once; the model is told that nobody knows what became of it."""
    with serve(providers, tmp_path) as server:
        server.apply_agent(agent, **record(agent, lease_seconds=1, mcp_servers=COUNTER))
        body = {"input": {"text": f"Count slowly ({agent})"}}
        task_id = server.call("POST", f"/v1/agents/{agent}/invoke/async", body)["id"]
        until(lambda: any("slow" in line for line in called(tmp_path, task_id)), "the call is under way")
        server.kill()
        server.start()
        until(lambda: server.task(task_id)["status"] not in ("pending", "executing"), "the task ends", 60)
        task, events = server.task(task_id), server.events(task_id)
    assert (task["status"], task["result"]) == ("completed", "Counted.")
    assert [line for line in called(tmp_path, task_id) if "slow" in line] == [f"slow {task_id}/call_1_1_0"]
    requests = [e["request_id"] for e in (e["data"] for e in events if e["type"] == "tool_call_request")]
    assert requests == ["call_1_1_0", "call_1_1_1"], "viewers are told of each call once"
    first, second = (e for e in providers.asked("Count slowly", anywhere=True) if f"({agent})" in str(e["body"]))
    assert second["body"]["messages"][: len(first["body"]["messages"])] == first["body"]["messages"]
    (_, unknown), (_, peeked) = results(second["body"])
    assert "It is not known whether this call was carried out" in unknown
    assert peeked == "peek {}"
