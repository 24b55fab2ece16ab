"""What happens to the client under load, in silence, and when the server goes away."""

import os
import time

import pytest

from parts import Dialogue, ImpatientProxy, Server

AGENT = "agent-123"
MANY = 200
# What stands in front of servers cuts a connection after a minute of silence;
# the server breaks the silence every 15 s. Three minutes are long only for
# people, so `make soak` alone takes them; elsewhere the seconds are shorter.
SECOND = 1 if os.environ.get("ERRAND_SOAK") else 1 / 30
KEEP_ALIVE, PATIENCE, SILENCE = 15 * SECOND, 60 * SECOND, 180 * SECOND


@pytest.mark.newest
@pytest.mark.check("200 creates at once are 200 tasks, listed newest first", "tasks.acreate(…); tasks.alist(agent_id)")
def test_many_creates(client, agent):
    seen = client("create_many", agent_id=agent, count=MANY)
    assert sorted(seen["created"].values()) == sorted(f"task {n}" for n in range(MANY))
    ids, times = zip(*seen["listed"], strict=True)
    assert len(ids) == MANY
    assert set(ids) == seen["created"].keys()
    assert list(times) == sorted(times, reverse=True)


@pytest.mark.check("a silent stream behind a proxy that cuts silent connections", "task.aevents()")
def test_silence(binary, tmp_path):
    with (
        Server(binary, tmp_path, "--keep-alive", f"{KEEP_ALIVE}s") as server,
        ImpatientProxy(server, PATIENCE) as proxy,
    ):
        server.apply_agent(AGENT)
        with Dialogue(server, tmp_path, "watch", base_url=proxy.url, agent_id=AGENT) as client:
            task_id = client.hear()
            client.hear_until("task_created")
            began = time.monotonic()
            proxy.wait_for_keep_alives(round(SILENCE / KEEP_ALIVE))
            assert time.monotonic() - began > 2 * PATIENCE
            server.call("POST", f"/v1/tasks/{task_id}/stop")
            assert client.hear_until("end of the stream")[-2:] == ["task_finished", "end of the stream"]


@pytest.mark.newest
@pytest.mark.check("… which does cut where no keep-alive comes", "task.aevents()")
def test_silence_is_cut(binary, tmp_path, record_property):
    with Server(binary, tmp_path, "--keep-alive", "1h") as server, ImpatientProxy(server, 0.5) as proxy:
        server.apply_agent(AGENT)
        with Dialogue(server, tmp_path, "watch", base_url=proxy.url, agent_id=AGENT) as client:
            client.hear_until("RemoteProtocolError")
    record_property("result", "`RemoteProtocolError`")


@pytest.mark.parametrize(
    ("leave", "ending"),
    [
        pytest.param(
            Server.end, "end of the stream",
            marks=pytest.mark.check("a server restarts (SIGTERM) while a stream is read", "task.aevents()"),
        ),
        pytest.param(
            Server.kill, "RemoteProtocolError",
            marks=pytest.mark.check("a server is killed (SIGKILL) while a stream is read", "task.aevents()"),
        ),
    ],
)  # fmt: skip
def test_restart(own_server, tmp_path, record_property, leave, ending):
    own_server.apply_agent(AGENT)
    with Dialogue(own_server, tmp_path, "watch", agent_id=AGENT) as client:
        task_id = client.hear()
        before = client.hear_until("task_created")
        leave(own_server)
        cut = client.hear_until("end of the stream", "RemoteProtocolError")
        assert cut[-1] == ending
        assert "task_finished" not in cut

        client.order("get")
        assert client.hear() == "ModuleException 500", "the client's own word for a refused connection"
        own_server.start()
        client.order("get")
        assert client.hear() == "pending"

        client.order("watch")
        again = client.hear_until("task_created")
        assert again == before, "the second stream begins at the beginning"
        own_server.call("POST", f"/v1/tasks/{task_id}/stop")
        assert client.hear_until("end of the stream")[-2:] == ["task_finished", "end of the stream"]
    what = f"`{ending}`" if ending.endswith("Error") else "the loop ends without `task_finished`"
    record_property("result", f"{what}; a second `aevents()` shows the whole turn")
