"""What becomes of tasks on a Python worker that lives: each begins when it may, and ends as it should."""

import urllib.request

import pytest

from hands import SLOTS, Hand, ended, log
from parts import DIRECT, until

pytestmark = pytest.mark.newest


@pytest.fixture(scope="module")
def hands(server, tmp_path_factory):
    """A worker for each kind of handler."""
    folder = tmp_path_factory.mktemp("hands")
    with Hand(server, folder) as of_async, Hand(server, folder, SYNC="1") as of_sync:
        of_async.registered()
        of_sync.registered()
        yield {"async def": of_async, "def": of_sync}


@pytest.fixture(params=["async def", "def"])
def each(hands, request):
    return hands[request.param]


@pytest.fixture
def hand(hands):
    return hands["async def"]


def waiting(server, task_id: str, *reasons: str) -> dict:
    """Waits until a pending task waits for one of some reasons."""

    def look():
        task = server.task(task_id)
        assert task["status"] == "pending"
        return task if task["waiting"] and task["waiting"]["reason"] in reasons else None

    return until(look, f"{task_id} waits: {reasons}")


@pytest.mark.check("a handler's tokens, metrics, tools, internal status, duration arrive", "@on_task (def, async def)")
def test_handler_reports(server, each):
    task_id = each.start("report")
    at_work = server.task(task_id)
    assert (at_work["status"], at_work["worker_id"]) == ("executing", each.ids()[-1])
    each.tell("report", "done")
    task = each.ends(task_id)
    assert (task["status"], task["end_reason"], task["result"]) == ("completed", "completed", "done")
    assert (task["tokens"]["prompt_tokens"], task["tokens"]["completion_tokens"]) == (3, 5)
    assert (task["internal_status"], task["used_tools"], task["duration"]) == ("at work", ["hammer"], 1.5)
    # The client says so only once its report of metrics was taken.
    until(lambda: f"Finished handling task {task_id}" in each.log(), "the metrics are reported")


@pytest.mark.check("a handler that raises: `error`, with the exception's text", "@on_task (def, async def)")
def test_handler_raises(each):
    task_id = each.start("raise")
    each.tell("raise", "fail: no such column")
    task = each.ends(task_id)
    assert (task["status"], task["end_reason"], task["result"]) == ("error", "worker_error", "no such column")
    each.has_slots()


@pytest.mark.check("of 7 tasks on 6 slots the last waits, says why, and follows", "@on_task (def, async def)")
def test_seven_tasks_on_six_slots(server, each):
    first = each.start("first")
    others = [each.start("other") for _ in range(SLOTS - 1)]
    last = each.create("last")
    task = waiting(server, last, "workers_busy")
    assert task["waiting"]["busy"] == SLOTS
    assert each.begun(last) == 0
    each.tell("first", "done")
    each.begins(last)
    assert each.ends(first)["result"] == "done"
    each.tell("other", "done")
    each.tell("last", "done")
    assert {each.ends(task_id)["status"] for task_id in [*others, last]} == {"completed"}


@pytest.mark.check("a task stopped while it waits for a slot never reaches a handler", "tasks.stop(id)")
def test_stopped_while_pending(server, hand):
    busy = [hand.start("slots") for _ in range(SLOTS)]
    task_id = hand.create("never")
    waiting(server, task_id, "workers_busy")
    stopped = server.call("POST", f"/v1/tasks/{task_id}/stop")
    assert (stopped["status"], stopped["end_reason"]) == ("stopped", "stopped")
    assert stopped["stop"]["confirmed_at"], "nobody has to be asked"
    hand.tell("slots", "done")
    for other in busy:
        assert hand.ends(other)["status"] == "completed"
    hand.has_slots()
    assert hand.begun(task_id) == 0


@pytest.mark.check("… nor does one stopped on its way to the worker", "tasks.stop(id)")
def test_stopped_while_assigned(server, hand):
    hand.has_slots(1)  # it has said by then that it is not busy any more
    hand.freeze()
    try:
        task_id = hand.create("never")
        assert hand.ids()[-1] in waiting(server, task_id, "assigned")["waiting"]["message"]
        stopped = server.call("POST", f"/v1/tasks/{task_id}/stop")
        assert (stopped["status"], bool(stopped["stop"]["confirmed_at"])) == ("stopped", True)
    finally:
        hand.thaw()
    until(lambda: f"Finished handling task {task_id}" in hand.log(), "the worker has been refused")
    hand.has_slots()
    assert hand.begun(task_id) == 0
    after = server.task(task_id)
    assert (after["status"], after["result"]) == ("stopped", None)
    assert log(server, task_id)[-1] == "stop_confirmed"


@pytest.mark.check("a task stopped at work is `stopped` at once; its handler keeps a slot to its end", "tasks.stop(id)")
def test_stopped_while_executing(server, hand):
    task_id = hand.start("stopped")
    others = [hand.start("others") for _ in range(SLOTS - 1)]
    last = hand.create("last one")
    waiting(server, last, "workers_busy")
    stopped = server.call("POST", f"/v1/tasks/{task_id}/stop")
    assert (stopped["status"], stopped["end_reason"], stopped["is_manually_stopped"]) == ("stopped", "stopped", True)
    assert not stopped["stop"]["confirmed_at"]
    hand.tell("others", "done")
    for other in others:
        hand.ends(other)
    more = [hand.start("more") for _ in range(SLOTS - 2)]  # with `last` and the stopped one all slots are taken
    hand.begins(last)
    waits = hand.create("more")
    waiting(server, waits, "workers_busy")

    hand.tell("stopped", "too late")
    until(lambda: server.task(task_id)["stop"]["confirmed_at"], "the stop is confirmed")
    hand.begins(waits)
    until(lambda: server.task(task_id)["tokens"], "its tokens are taken all the same")
    assert log(server, task_id)[-4:] == ["task_finished", "stop_confirmed", "late_write_refused", "override"]
    after = server.task(task_id)
    assert (after["status"], after["result"], after["tokens"]["completion_tokens"]) == ("stopped", None, 5)
    hand.tell("last one", "done")
    hand.tell("more", "done")
    for other in [*more, waits, last]:
        assert hand.ends(other)["status"] == "completed"


@pytest.mark.check("a new turn waits until the last one's stopped handler is over", "tasks.create(existing_task_id=…)")
def test_next_turn_waits_for_the_old_handler(server, hand):
    task_id = hand.start("old turn")
    server.call("POST", f"/v1/tasks/{task_id}/stop")
    assert hand.create("new turn", id=task_id) == task_id
    assert waiting(server, task_id, "earlier_attempt")["waiting"]["worker_id"] == hand.ids()[-1]
    hand.has_slots(SLOTS - 1)
    assert hand.begun(task_id) == 1
    hand.tell("old turn", "a late word of the old turn")
    hand.begins(task_id, 2)
    until(lambda: server.task(task_id)["status"] == "executing", "the new turn is at work")
    assert server.task(task_id)["result"] is None
    hand.tell("new turn", "the new turn's result")
    task = hand.ends(task_id)
    assert (task["status"], task["result"]) == ("completed", "the new turn's result")
    assert log(server, task_id).count("late_write_refused") == 1, "a late word is noted once"
    hand.has_slots()


@pytest.mark.check("a deleted task's id is free again once its handler is over", "tasks.create(existing_task_id=…)")
def test_deleted_while_executing(server, hand):
    task_id = hand.start("deleted")
    server.call("POST", f"/v1/tasks/{task_id}/stop")
    delete(server, task_id)
    with pytest.raises(AssertionError, match="409 .*execut"):
        hand.create("again", id=task_id)
    hand.tell("deleted", "a word of what was deleted")

    def create():
        try:
            return hand.create("again", id=task_id)
        except AssertionError as refusal:
            assert "409" in str(refusal)
            return None

    until(create, "the id can be used again")
    hand.begins(task_id, 2)
    hand.tell("again", "done")
    assert hand.ends(task_id)["result"] == "done"
    hand.has_slots()


@pytest.mark.check("a handler that returns without a result completes its task", "@on_task (def, async def)")
def test_no_result(server, each):
    task_id = each.start("silent")
    each.tell("silent", "nothing")
    task = each.ends(task_id)
    assert (task["status"], task["end_reason"], task["result"]) == ("completed", "completed", None)


@pytest.mark.check("of two workers a pinned task goes to its own", "tasks.create(worker_id=…)")
def test_pinned(server, hand, tmp_path):
    with Hand(server, tmp_path, hand.agent) as second:
        pin = second.registered()
        own = [hand.create("pinned", worker_id=pin) for _ in range(SLOTS)]
        for task_id in own:
            second.begins(task_id)
            assert server.task(task_id)["worker_id"] == pin
        beyond = hand.create("pinned", worker_id=pin)
        waiting(server, beyond, "workers_busy", "behind")
        hand.has_slots()  # the other worker is free, and does not take it
        assert hand.begun(beyond) == second.begun(beyond) == 0
        second.tell("pinned", "done")
        for task_id in [*own, beyond]:
            assert ended(server, task_id)["result"] == "done"
        assert second.begun(beyond) == 1
    absent = hand.create("pinned", worker_id=pin)
    assert pin in waiting(server, absent, "pinned_worker_absent")["waiting"]["message"]
    server.call("POST", f"/v1/tasks/{absent}/stop")


def delete(server, task_id: str) -> None:
    url = f"{server.url}/v1/tasks/{task_id}"
    request = urllib.request.Request(url, headers={"x-api-key": server.key}, method="DELETE")
    with DIRECT.open(request, timeout=30) as answer:
        assert answer.status == 204
