"""Agents of runtime model against aimock, which knows nothing of Errand."""

import json
import os
import sys
import time

import pytest
from parts import Process, until
from providers import COUNTER, HERE, MODELS, called, record, results, said, serve


@pytest.fixture(scope="session")
def server(providers, tmp_path_factory):
    """The server that most checks share."""
    with serve(providers, tmp_path_factory.mktemp("server")) as running:
        for provider in MODELS:
            running.apply_agent(provider, **record(provider))
        yield running
        assert providers.KEY not in running.log()


@pytest.fixture(params=MODELS)
def agent(request):
    return request.param


def ask(server, agent, words, **more):
    """Invokes the agent with words that say whose they are: the stand-in counts for both providers together."""
    task = server.call("POST", f"/v1/agents/{agent}/invoke", {"input": {"text": f"{words} ({agent.split('-')[0]})"}, **more})
    events = server.events(task["id"])
    return task, events


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
    task, events = ask(server, other, "Let me in.")
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


def test_killed_while_summing_up(providers, tmp_path):
    """Near the end of the model's window older turns are summed up, once, whatever kills the server meanwhile."""
    slowly = {"chunkSize": 3, "latency": 120}
    dig = [{"id": "toolu_dig", "name": "read_file", "arguments": json.dumps({"name": "archive.txt"})}]
    providers.control("fixtures", {"fixtures": [
        {"match": {"userMessage": "Your context is nearly full"}, "response": {"content": "THE SUMMARY: apples."}, **slowly},
        {"match": {"userMessage": "THE SUMMARY"}, "response": {"content": "There were apples."}, **slowly},
        {"match": {"userMessage": "Dig in the archive", "hasToolResult": False}, "response": {"toolCalls": dig}},
    ]})  # fmt: skip
    with serve(providers, tmp_path, windows={"openai/o4-mini": 8000, "claude-opus-4-7": 8000}) as server:
        tasks = {}
        for provider in MODELS:
            server.apply_agent(provider, **record(provider, tools=["files"], lease_seconds=1))
            archive = server.upload("archive.txt", b"apples and earth\n" * 1800)
            body = {"input": {"text": f"Dig in the archive ({provider})", "files": [archive]}, "disable_attachment_injection": True}
            tasks[provider] = server.call("POST", f"/v1/agents/{provider}/invoke/async", body)["id"]
        until(lambda: all(asked(providers, provider, "nearly full") for provider in tasks), "the conversations are being summed up")
        server.kill()
        server.start()
        until(lambda: all(said(server.events(task_id)) for task_id in tasks.values()), "the answers behind the summaries have begun", 60)
        server.kill()
        server.start()
        for provider, task_id in tasks.items():
            until(lambda task_id=task_id: server.task(task_id)["status"] not in ("pending", "executing"), "the task ends", 60)
            task, events = server.task(task_id), server.events(task_id)
            assert (task["status"], task["result"]) == ("completed", "There were apples.")
            assert said(events) == task["result"], "every viewer and the result agree"
            sums = [e["data"]["data"] for e in events if e["type"] == "task_compactization" and e["data"]["type"] == "summarization"]
            assert [told["task_context"] for told in sums] == ["THE SUMMARY: apples."], "viewers are told once"
            assert [e["data"]["id"] for e in events if e["type"] == "step" and e["data"]["kind"] == "compact"] == ["compact-1"]
            for words in ("nearly full", "THE SUMMARY"):
                requests = asked(providers, provider, words)
                assert 1 <= len(requests) <= 2, f"{words}: what was committed is paid for once, what was under way at most twice"
                assert all(request["body"] == requests[0]["body"] for request in requests), "the conversation is rebuilt as it was"
            assert "earth" not in str(requests[0]["body"]["messages"])
            assert f"Dig in the archive ({provider})" in str(requests[0]["body"]["messages"])


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
