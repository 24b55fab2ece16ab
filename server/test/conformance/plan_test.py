"""Deep planning and local tools with the released Python client, unmodified.

The worker of plan_worker.py calls the plan tools as a model would. What is
tested is the client's own plan check: it reads the task after each call of the
handler, and calls it again while an enforced plan is under way and not done.
"""

import json
import re
import secrets
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from parts import HERE, Worker, check_stream

# Plans are checked with the newest release: older ones go on for longer.
pytestmark = pytest.mark.newest


@contextmanager
def planner(server, folder, **record):
    """An agent with a worker that plans."""
    agent_id = f"agent-{secrets.token_hex(4)}"
    server.apply_agent(agent_id, name="Planner", **record)
    with Worker(server, folder, agent_id, HERE / "plan_worker.py"):
        yield agent_id


@pytest.fixture(scope="module")
def enforced(server, tmp_path_factory):
    record = {"deep_planning": True, "enforce_deep_planning": True}
    with planner(server, tmp_path_factory.mktemp("enforced"), **record) as agent_id:
        yield agent_id


@pytest.fixture(scope="module")
def free(server, tmp_path_factory):
    with planner(server, tmp_path_factory.mktemp("free"), deep_planning=True) as agent_id:
        yield agent_id


class Model(BaseHTTPRequestHandler):
    """A model that plans: it knows the conversation that it is sent, and nothing else."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        results = [m["content"] for m in request["messages"] if m["role"] == "tool"]
        call, content = None, None
        match len(results):
            case 0:
                steps = [{"title": "Add up"}, {"title": "Tell"}]
                call = ("xpcreate_agent_plan", {"body_params": {"tasks": steps, "auto_start": True}})
            case 1:
                call = ("add_up", {"a": 1, "b": 2})
            case 2:
                ids = re.findall(r"'id': '([^']+)'", results[0])
                call = ("xpcomplete_agent_plan_items", {"body_params": {"ids": ids}})
            case _:
                content = "The sum is " + re.search(r"result=(\d+)", results[1])[1]
        message = {"role": "assistant", "content": content}
        if call:
            name, payload = call
            assert name in [tool["function"]["name"] for tool in request["tools"]]
            function = {"name": name, "arguments": json.dumps({"payload": payload})}
            message["tool_calls"] = [{"id": f"call_{len(results)}", "type": "function", "function": function}]
        answer = json.dumps({
            "id": "c", "object": "chat.completion", "created": 1, "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        }).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def with_a_model(server, tmp_path_factory):
    """An agent whose worker asks that model; the model's key is among its credentials."""
    model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    Thread(target=model.serve_forever, daemon=True).start()
    record = {
        "deep_planning": True, "enforce_deep_planning": True, "model_provider": "openai",
        "llm_api_base": f"http://127.0.0.1:{model.server_port}/v1",
        "llm_credentials": {"name": "local", "value": "sk-local"},
    }
    with planner(server, tmp_path_factory.mktemp("model"), **record) as agent_id:
        yield agent_id
    model.shutdown()
    model.server_close()


def plans(seen):
    """The plans that a viewer saw: whether it has started, and what is done of each item."""
    return [
        (e["data"]["started"], [item["completed"] for item in e["data"]["tasks"]])
        for e in seen["events"]
        if e["type"] == "plan_updated"
    ]


@pytest.mark.check("an enforced, unfinished plan calls the handler again", "@on_task; plan tools")
def test_an_unfinished_plan_calls_the_handler_again(client, enforced):
    seen = client("run_on_worker", agent_id=enforced, prompt="rounds")
    check_stream(seen["events"], seen["created"]["id"])
    assert (seen["final"]["status"], seen["final"]["result"]) == ("completed", "3 did it.")
    assert plans(seen) == [(True, [False, False]), (True, [True, False]), (True, [True, True])]


@pytest.mark.check("a plan that is done, not started, or asks does not", "@on_task; plan tools")
@pytest.mark.parametrize("prompt", ["at once", "unstarted", "question"])
def test_any_other_plan_does_not(client, enforced, prompt):
    seen = client("run_on_worker", agent_id=enforced, prompt=prompt)
    check_stream(seen["events"], seen["created"]["id"])
    assert (seen["final"]["status"], seen["final"]["result"][:2]) == ("completed", "1 ")
    assert plans(seen), "the handler made a plan"


@pytest.mark.check("a plan that is not enforced does not", "@on_task; plan tools")
def test_a_plan_that_is_not_enforced_does_not(client, free):
    seen = client("run_on_worker", agent_id=free, prompt="rounds")
    assert (seen["final"]["status"], seen["final"]["result"]) == ("completed", "1 did it.")
    assert plans(seen) == [(True, [False, False])]


@pytest.mark.check("tools that run with the worker are noted, plan errors are answered", "tool.ainvoke(…)")
def test_tool_calls(client, enforced):
    seen = client("run_on_worker", agent_id=enforced, prompt="tools")
    assert seen["final"]["status"] == "completed", seen["final"]["result"]
    got = json.loads(seen["final"]["result"].removeprefix("1 "))
    assert got["sum"] == [True, 3], "a local tool's call stands, whatever its report was answered"
    assert got["activity"] == [["add_up", {"a": 1, "b": 2}, 3, False]]
    types = [e["type"] for e in seen["events"]]
    assert types.count("tool_call_request") == types.count("tool_call_result") == 1

    is_error, status, words = got["unknown"]
    assert is_error and status == 404 and "xpcreate_agent_plan" in words
    is_error, status, words = got["empty"]
    assert is_error and status == 422 and "title" in words

    schema = got["schemas"]["xpcreate_agent_plan"]
    assert "body_params" in schema["required"], "a model is told what to give"
    assert "auto_start" in json.dumps(schema)
    assert len(got["schemas"]) == 8


@pytest.mark.check("an Agno agent works a plan off", "Backend(configuration=…).aget_args(task=task)")
def test_agno_plans_with_a_model(client, with_a_model):
    seen = client("run_on_worker", agent_id=with_a_model, prompt="agno")
    check_stream(seen["events"], seen["created"]["id"])
    assert (seen["final"]["status"], seen["final"]["result"]) == ("completed", "1 The sum is 3")
    assert plans(seen) == [(True, [False, False]), (True, [True, True])]
    # The client pushes this call and reports it as well.
    types = [e["type"] for e in seen["events"]]
    assert types.count("tool_call_request") == types.count("tool_call_result") == 1
