"""Tools of the caller: a turn ends with their calls open, and the next one brings what came of them (rule T10)."""

import pytest
from parts import until
from providers import COUNTER, MODELS, Script, called, record, results, said, serve

TOOLS = [
    {
        "name": "weather",
        "description": "What the weather is in a city.",
        "input_schema": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
    }
]


@pytest.mark.parametrize("agent", MODELS)
def test_killed_between_and_in_turns(providers, agent, tmp_path):
    """The server is killed while calls are open, and in the middle of the answer to what came of them."""
    words = f"How is it there ({agent})?"
    script = Script(words, [[("weather", {"city": "Ely"}), ("counter_peek", {}), ("weather", {"city": "Bath"})], [("weather", {"city": "York"})]], "It snows.")
    script.fixtures[1] |= {"chunkSize": 2, "latency": 300}
    more = f"Tell me the rest ({agent})."
    script.fixtures.append({"match": {"userMessage": more}, "response": {"content": "It rains in Ely."}})
    script.load(providers)
    with serve(providers, tmp_path) as server:
        server.apply_agent(agent, **record(agent, lease_seconds=1, mcp_servers=COUNTER))

        def ended(body):
            task_id = server.call("POST", f"/v1/agents/{agent}/invoke/async", body)["id"]
            return until(lambda: over(server.task(task_id)), "the turn ends", 60)

        def over(task):
            return task if task["status"] not in ("pending", "executing") else None

        def asked():
            return [entry["body"] for entry in providers.asked(words, anywhere=True)]

        task = ended({"input": {"text": words}, "client_tools": TOOLS})
        assert (task["status"], task["result"]) == ("completed", "Answer 1 calls.")
        assert [(c["id"], c["name"], c["arguments"]) for c in task["open_calls"]] == [
            ("call_1_1_0", "weather", {"city": "Ely"}),
            ("call_1_1_2", "weather", {"city": "Bath"}),
        ]
        assert called(tmp_path, task["id"]) == [f"peek {task['id']}/call_1_1_1"], "the server's own tool is run"
        server.kill()
        server.start()

        given = [{"call_id": "call_1_1_0", "content": "rain"}, {"call_id": "call_1_1_2", "content": "no such city", "is_error": True}]
        server.call("POST", f"/v1/agents/{agent}/invoke/async", {"id": task["id"], "input": {}, "tool_results": given})
        until(lambda: said(server.events(task["id"])), "the second answer has begun")
        server.kill()
        server.start()
        task = until(lambda: over(server.task(task["id"])), "the turn ends", 60)
        assert [c["id"] for c in task["open_calls"]] == ["call_2_1_0"]
        first, second, again = asked()
        assert second == again, "the conversation is rebuilt as it was"
        before = first["messages"]
        assert second["messages"][: len(before)] == before
        assert first["tools"] == second["tools"]
        told = [text for _, text in results(second)]
        assert (told[0], told[1]) == ("rain", "peek {}")
        assert "no such city" in told[2]

        task = ended({"id": task["id"], "input": {"text": more}, "tool_results": [{"call_id": "call_2_1_0", "content": "snow"}]})
        assert (task["status"], task["result"], task["open_calls"]) == ("completed", "It rains in Ely.", [])
        third = asked()[-1]
        assert third["messages"][: len(second["messages"])] == second["messages"]
        assert [text for _, text in results(third)][-1] == "snow"
        assert more in str(third["messages"][-1]), "what the turn asks stands behind the results"
        assert called(tmp_path, task["id"]) == [f"peek {task['id']}/call_1_1_1"], "nothing is run twice"
