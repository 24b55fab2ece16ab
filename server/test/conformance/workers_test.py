"""A worker as the client's documentation shows it, in a process of its own."""

import secrets

import pytest

from parts import HERE, Worker, check_stream


@pytest.fixture(scope="module")
def worker_agent(server, tmp_path_factory):
    """An agent with one connected worker process."""
    agent_id = f"agent-{secrets.token_hex(4)}"
    server.apply_agent(agent_id, name="Upper")
    with Worker(server, tmp_path_factory.mktemp("worker"), agent_id, HERE / "worker.py"):
        yield agent_id


@pytest.mark.check("a worker completes a task", "@on_task")
def test_worker_completes(client, worker_agent):
    seen = client("run_on_worker", agent_id=worker_agent, prompt="hello worker")
    assert seen["created"]["status"] == "pending", "the answer to create comes before any worker"
    check_stream(seen["events"], seen["created"]["id"])
    types = [e["type"] for e in seen["events"]]
    assert types.count("tool_call_request") == types.count("tool_call_result") == 1
    progress = [e["data"]["task"] for e in seen["events"] if e["type"] == "task_updated"]
    assert "working on hello worker" in [task["internal_status"] for task in progress]
    final = seen["final"]
    assert (final["status"], final["result"]) == ("completed", "HELLO WORKER")
    assert final["internal_status"] == "working on hello worker"


@pytest.mark.check("a worker's exception ends the task", "@on_task")
def test_worker_fails(client, worker_agent):
    seen = client("run_on_worker", agent_id=worker_agent, prompt="fail: no such column")
    check_stream(seen["events"], seen["created"]["id"])
    assert (seen["final"]["status"], seen["final"]["result"]) == ("error", "no such column")


@pytest.mark.newest
@pytest.mark.check("a mere promise is asked once more", "@on_task")
def test_worker_that_promises_is_asked_once_more(client, worker_agent):
    # The client calls the handler again when its answer is a mere promise. It
    # remembers that in additional_context, which the server must hand back.
    seen = client("run_on_worker", agent_id=worker_agent, prompt="promise", additional_context="Be brief.")
    check_stream(seen["events"], seen["created"]["id"])
    types = [e["type"] for e in seen["events"]]
    assert types.count("tool_call_request") == 2
    assert (seen["final"]["status"], seen["final"]["result"]) == ("completed", "I will read the file.")


# Last, because its handler keeps one of the worker's slots until the process ends.
@pytest.mark.check("a stop while a worker is at work", "tasks.astop(id)")
def test_worker_is_stopped(client, worker_agent):
    seen = client("stop_running", agent_id=worker_agent, prompt="wait")
    assert (seen["stopped"]["status"], seen["stopped"]["is_manually_stopped"]) == ("stopped", True)
    check_stream(seen["events"], seen["stopped"]["id"])
    assert seen["final"] == seen["stopped"]
