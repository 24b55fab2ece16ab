"""What users do with tasks, and what the server then says.

Every scenario of client.py runs in a process of its own.
"""

import json
import re

import pytest

from parts import HERE, ORGANIZATION, check_stream

TOTAL = "9001.75"  # of the amounts in files/data.csv


@pytest.mark.check("create a task with a user and a title", "tasks.create(…)")
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


@pytest.mark.newest
@pytest.mark.check("every argument comes back", "tasks.create(…); agent.create_task(…)")
def test_create_with_everything(client, server, agent):
    assert client("create_with_everything", agent_id=agent) == {"Tasks.create": {}, "Agent.create_task": {}}
    for task_id in ("all-one", "all-two"):
        task = server.task(task_id)
        assert (task["pinned_worker_id"], task["run_locally"]) == ("w-1", True)


@pytest.mark.newest
@pytest.mark.check("every field of a saved task comes back", "task.save(with_deep_plan_update=True)")
def test_save_everything(client, agent):
    assert client("save_everything", agent_id=agent) == {"saved": {}, "read": {}}


@pytest.mark.check("create a task, async", "tasks.acreate(…)")
def test_create_async(client, agent):
    task = client("create_async", agent_id=agent)
    assert (task["status"], task["text"]) == ("pending", "hello")


@pytest.mark.check("three ways to retrieve a task agree", "tasks.get(id); tasks.aget(id); Task.load(id)")
def test_get(client, agent):
    task = client("create", agent_id=agent)
    got = client("get", task_id=task["id"])
    assert got["get"] == task
    assert got["async"] == task
    assert got["load"] == task


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param("follow", marks=pytest.mark.check("live and late viewers see the same", "task.events()")),
        pytest.param("follow_async", marks=pytest.mark.check("the same, async", "task.aevents()")),
    ],
)
def test_events(client, csv_url, scenario):
    seen = client(scenario, agent_id="profile", prompt="Analyze the sales data", file_urls=[csv_url])
    assert seen["created"]["status"] == "pending"
    check_stream(seen["live"], seen["created"]["id"])
    assert [e["type"] for e in seen["live"]].count("chunk") >= 1
    assert all(isinstance(e["data"], str) for e in seen["live"] if e["type"] == "chunk")
    assert seen["late"] == seen["live"], "a late viewer sees what a live one saw"

    end = seen["live"][-1]["data"]["task"]
    assert end["status"] == "completed", end["result"]
    assert TOTAL in re.sub(r"[,\s]", "", end["result"]), end["result"]
    assert end == seen["final"]


@pytest.mark.newest
@pytest.mark.check("files as attachments", "tasks.create(attachments=…)")
def test_attachments(client, csv_url):
    seen = client("attach", agent_id="profile", url=csv_url)
    assert seen["final"]["status"] == "completed"
    assert TOTAL in re.sub(r"[,\s]", "", seen["final"]["result"]), seen["final"]["result"]
    (attachment,) = seen["attachments"]
    assert (attachment["name"], attachment["mime"], attachment["kind"]) == ("sales.csv", "text/csv", "text")


@pytest.mark.check("a second turn has a stream of its own", "tasks.create(existing_task_id=…)")
def test_events_of_a_second_turn(client, csv_url):
    seen = client("continue_task", agent_id="profile", file_urls=[csv_url])
    assert seen["ended"]["status"] == "completed"
    assert seen["second"]["id"] == seen["ended"]["id"]
    assert seen["second"]["created_at"] == seen["ended"]["created_at"]
    assert (seen["second"]["status"], seen["second"]["result"]) == ("pending", None)
    check_stream(seen["events"], seen["ended"]["id"])
    assert (seen["final"]["status"], seen["final"]["text"]) == ("completed", "second")


@pytest.mark.check("stop, and stop again", "tasks.stop(id); task.stop()")
def test_stop(client, agent):
    seen = client("stop", agent_id=agent)
    for task in seen.values():
        assert (task["status"], task["is_manually_stopped"], task["finished"]) == ("stopped", True, True)
    assert seen["again"] == seen["by_id"] == seen["stored"], "a second stop changes nothing"


@pytest.mark.check("complete a stopped task", "tasks.update(…)")
def test_stop_then_update(client, agent):
    seen = client("stop_then_update", agent_id=agent)
    assert seen["stopped"]["status"] == "stopped"
    assert (seen["updated"]["status"], seen["updated"]["result"]) == ("completed", "Done by hand")
    assert seen["stored"] == seen["updated"]


@pytest.mark.check("list, filter, load", "tasks.list(agent_id, filters=…); item.load()")
def test_list(client, agent):
    seen = client("list_tasks", agent_id=agent)
    assert seen["all"] == {
        seen["pending"]: ["pending", agent, None],
        seen["stopped"]: ["stopped", agent, "Second"],
    }
    assert seen["by_status"] == [seen["stopped"]]
    assert seen["loaded"]["text"] == "two"


@pytest.mark.check("save fields, set the status", "task.save(); task.set_status(…)")
def test_save_and_set_status(client, agent):
    seen = client("save", agent_id=agent)
    saved = seen["saved"]
    assert (saved["status"], saved["internal_status"], saved["title"]) == ("pending", "Reading the file", "Renamed")
    assert seen["executing"]["status"] == "executing"
    assert seen["longest"]["internal_status"] == "🚀" * 255, "255 code points stay intact"
    assert (seen["completed"]["status"], seen["completed"]["result"]) == ("completed", "All done")


@pytest.mark.check("an internal status of 256 characters is refused", "task.save()")
def test_internal_status_too_long(client, agent):
    seen = client("save_too_long", agent_id=agent)
    assert seen["refusal"]["status_code"] == 422
    assert "internal_status" in seen["refusal"]["description"]
    assert seen["stored"]["internal_status"] == "fits"


@pytest.mark.check("unknown ids and bad input are refused", "tasks.get(…), .update(…), .stop(…), .create(…), .list(…)")
def test_refusals(client, agent):
    seen = client("refusals", agent_id=agent, missing="no-such-thing")
    codes = {what: refusal["status_code"] for what, refusal in seen.items()}
    assert codes == {"get": 404, "update": 404, "stop": 404, "create": 404, "list": 422, "file": 422}, seen


@pytest.mark.check("a wrong key is refused", "tasks.get(id)")
def test_wrong_key(client, agent):
    task = client("create", agent_id=agent)
    refusal = client("wrong_key", {"XPANDER_API_KEY": "not-the-key"}, task_id=task["id"])
    assert refusal["status_code"] == 401


@pytest.mark.check("a text file reaches the message", "task.get_human_readable_files(); .to_message()")
def test_file_helpers(client, agent, csv_url):
    # The client refuses to fetch from private addresses unless it is told to.
    allowed = {"XPANDER_INTERNAL_FETCH_ALLOWLIST": "127.0.0.1"}
    seen = client("read_files", allowed, agent_id=agent, file_urls=[csv_url])
    csv = (HERE / "files" / "data.csv").read_text()
    (file,) = seen["files"]
    assert file["content"] == csv
    assert file["url"].split("?")[0].endswith("/sales.csv")
    assert json.dumps(csv) in seen["message"]


@pytest.mark.check("the agent's arguments", "Backend().get_args(task=task)")
def test_get_args(client, agent):
    seen = client("get_args", {"OPENAI_API_KEY": "unused", "AGNO_TELEMETRY": "false"}, agent_id=agent)
    assert (seen["id"], seen["name"]) == (agent, "Remote")
