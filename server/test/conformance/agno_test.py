"""Agno agents as handlers, with a model whose every answer is known beforehand."""

import json
import re
import secrets

import pytest

from parts import HERE, ROOT, Worker, until

pytestmark = pytest.mark.oracle
PAGE = ROOT / "docs" / "PYTHON.md"


@pytest.fixture
def agent_with_model(server, oracle):
    agent_id = f"agent-{secrets.token_hex(4)}"
    server.apply_agent(agent_id, **oracle.agent())
    return agent_id


@pytest.mark.check("an Agno agent with a tool and a structured answer", "@on_task; Backend().aget_args(task=task)")
def test_agent(server, client, oracle, agent_with_model, tmp_path, newest):
    before = len(oracle.requests())
    with Worker(server, tmp_path, agent_with_model, HERE / "analyst.py"):
        seen = client("run_on_worker", agent_id=agent_with_model, prompt="Report the total sales of North.")
        task = server.task(seen["created"]["id"])
    assert (task["status"], json.loads(task["result"])) == ("completed", {"region": "North", "total": 1200.5})
    assert task["tokens"]["prompt_tokens"] > 0
    assert task["tokens"]["completion_tokens"] > 0

    # The oracle refuses any other key than that of the agent's record.
    first, second = oracle.requests()[before:]
    assert {first["model"], second["model"]} == {"oracle-1"}
    assert [tool["function"]["name"] for tool in first["tools"]] == ["total_sales"]
    assert "region" in first["messages"][0]["content"], "the model was told the schema"
    assert second["messages"][-1]["content"] == "1200.5", "the tool has run"

    if newest:  # This release reports tool calls by itself.
        calls = [event for event in seen["events"] if event["type"].startswith("tool_call")]
        assert [event["type"] for event in calls] == ["tool_call_request", "tool_call_result"]
        assert calls[1]["data"]["result"] == 1200.5


# --- docs/PYTHON.md ----------------------------------------------------------


def page_files(*, helpers: bool) -> dict[str, str]:
    """The page's files, each named by the first line of its block; of two with one name the second has the helpers."""
    files = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        name, variant = re.match(r"# (\w+\.py)(, with the helpers)?", block).groups()
        if not variant or helpers:
            files[name] = block
    assert ("report_tool_call" in files["tool_calls.py"]) == helpers
    return files


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.newest)], ids=["by hand", "with helpers"])
def page_worker(request, server, agent_with_model, tmp_path):
    """A worker that is the page's, word for word."""
    for name, content in page_files(helpers=request.param).items():
        (tmp_path / name).write_text(content)
    with Worker(server, tmp_path, agent_with_model, tmp_path / "worker.py"):
        yield agent_with_model


@pytest.mark.check("PYTHON.md: a worker streams what its agent does", "POST …/events/push; report_tool_call_…(…)")
def test_page_streams(client, page_worker):
    seen = client("run_on_worker", agent_id=page_worker, prompt="What are the total sales of North?")
    assert (seen["final"]["status"], seen["final"]["result"]) == (
        "completed",
        "The total sales of North are 1200.5 pounds.",
    )
    events = [event for event in seen["events"] if not event["type"].startswith("task_")]
    request, result, *chunks = events
    assert (request["type"], result["type"]) == ("tool_call_request", "tool_call_result")
    assert request["data"]["request_id"] == result["data"]["request_id"] == "call_total"
    assert request["data"]["operation_id"] == "total_sales"
    assert request["data"]["payload"] == {"region": "North"}
    assert float(result["data"]["result"]) == 1200.5
    assert {chunk["type"] for chunk in chunks} == {"chunk"}
    assert len(chunks) > 1
    assert "".join(chunk["data"] for chunk in chunks) == seen["final"]["result"]


@pytest.mark.check("PYTHON.md: a stop ends the handler", "tasks.astop(id)")
def test_page_stops(server, page_worker):
    created = {"agent_id": page_worker, "input": {"text": "Tell me a long story"}}
    task_id = server.call("POST", "/v1/tasks", created)["id"]
    until(lambda: "chunk" in [event["type"] for event in server.events(task_id)], "the agent speaks")
    server.call("POST", f"/v1/tasks/{task_id}/stop")
    # The story would take a minute; only the handler's end confirms the stop.
    until(lambda: "stop_confirmed" in [event["type"] for event in server.events(task_id)], "the stop is confirmed", 20)
    task = server.task(task_id)
    assert (task["status"], task["result"]) == ("stopped", None)
