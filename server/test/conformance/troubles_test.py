"""What becomes of tasks whose Python worker is killed, stopped, terminated or cut off.

A worker's lease is half a minute, so each of these takes its time. They are
therefore played at once, from when the first is asked for.
"""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hands import SLOTS, START, Gate, Hand, log, new_agent
from parts import Server, until

pytestmark = pytest.mark.newest
LEASE = 30
SLACK = 15  # within which the server must have noticed, on a machine that is busy
SOAK = bool(os.environ.get("ERRAND_SOAK"))
RESTARTS = 10


def story(what: str, call: str):
    """Makes a check of a function that is played at the same time as the others."""

    def make(play):
        @pytest.mark.check(what, call)
        def test(outcomes):
            outcomes[play].result()

        test.play = play
        return test

    return make


@pytest.fixture(scope="module")
def outcomes(request, binary, tmp_path_factory):
    plays = [item.function.play for item in request.session.items if item.module is request.module]
    with Server(binary, tmp_path_factory.mktemp("troubles")) as server, ThreadPoolExecutor(len(plays)) as threads:
        yield {play: threads.submit(play, server, tmp_path_factory.mktemp(play.__name__)) for play in plays}


def is_lost(task: dict) -> None:
    assert (task["status"], task["end_reason"]) == ("error", "worker_lost"), task


# --- killed, stopped -----------------------------------------------------------


@story(
    "a worker is killed: its task ends `worker_lost` within 45 s; one stopped as long goes on when it is continued",
    "SIGKILL; SIGSTOP, SIGCONT",
)
def test_killed_and_frozen(server: Server, folder: Path):
    with Hand(server, folder) as killed, Hand(server, folder) as frozen:
        lost, kept = killed.start("lost"), frozen.start("kept")
        frozen.freeze()
        killed.kill()
        is_lost(killed.ends(lost, LEASE + SLACK))
        assert log(server, lost)[-2:] == ["attempt_lost", "task_finished"]
        assert "no_worker" == server.task(killed.create("next"))["waiting"]["reason"]
        task = server.task(kept)
        assert task["status"] == "executing", "its stream is open"
        frozen.tell("kept", "done")
        frozen.thaw()
        assert frozen.ends(kept)["result"] == "done"
        frozen.has_slots()


@story("a worker is killed and started again at once: its task ends within 45 s", "SIGKILL, a supervisor")
def test_killed_and_started_again(server: Server, folder: Path):
    with Hand(server, folder, SUPERVISED="1") as hand:
        hand.registered()
        lost = hand.start("lost")
        hand.kill_worker()
        killed = time.monotonic()
        hand.registered(2)
        again = time.monotonic() - killed
        is_lost(hand.ends(lost, LEASE + SLACK))
        print(f"registered again after {again:.1f} s, lost after {time.monotonic() - killed:.1f} s")
        hand.has_slots()


@story("a worker and the server are killed and started again at once: its task ends within 45 s", "SIGKILL of both")
def test_both_killed(server: Server, folder: Path):
    with Server(server.binary, folder) as own, Hand(own, folder, SUPERVISED="1") as hand:
        hand.registered()
        lost = hand.start("lost")
        own.kill()
        hand.kill_worker()
        own.start()
        hand.registered(2)
        is_lost(hand.ends(lost, LEASE + SLACK))
        hand.has_slots()


FROZEN = (
    "a stopped worker loses its task a lease after its stream is cut; its late result is shown all the same",
    "SIGSTOP, a cut, SIGCONT",
)


@story(*FROZEN)
def test_frozen_and_cut(server: Server, folder: Path):
    with Gate(server) as gate, Hand(server, folder, XPANDER_BASE_URL=gate.url) as hand:
        task_id = hand.start("late")
        hand.freeze()
        gate.cut()
        is_lost(hand.ends(task_id, LEASE + SLACK))
        hand.tell("late", "better late than never")
        hand.thaw()
        until(lambda: server.task(task_id)["status"] == "completed", "the late result arrives", START)
        assert server.task(task_id)["result"] == "better late than never"
        types = log(server, task_id)
        assert "override" in types
        assert types.count("task_finished") == 1
        hand.has_slots()


if SOAK:  # an open stream speaks for a silent worker for ten minutes

    @story(*FROZEN)
    def test_frozen_with_an_open_stream(server: Server, folder: Path):
        with Hand(server, folder) as hand:
            task_id = hand.start("lost")
            hand.freeze()
            frozen = time.monotonic()
            is_lost(hand.ends(task_id, 600 + LEASE + SLACK))
            assert time.monotonic() - frozen > 590


@story("a stop that the handler does not heed for a lease is abandoned; its slot stays taken", "tasks.stop(id)")
def test_stop_is_abandoned(server: Server, folder: Path):
    with Hand(server, folder) as hand:
        task_id = hand.start("stubborn")
        server.call("POST", f"/v1/tasks/{task_id}/stop")
        until(lambda: server.task(task_id)["stop"]["abandoned_at"], "the stop is abandoned", LEASE + SLACK)
        assert log(server, task_id)[-1] == "stop_abandoned"
        hand.has_slots(SLOTS - 1)
        last = [hand.create("last") for _ in range(SLOTS)]
        for other in last[:-1]:
            hand.begins(other)
        assert server.task(last[-1])["waiting"]["reason"] == "workers_busy"
        hand.tell("stubborn", "at last")
        hand.begins(last[-1])
        hand.tell("last", "done")
        for other in last:
            assert hand.ends(other)["result"] == "done"
        assert server.task(task_id)["status"] == "stopped"


# --- terminated ----------------------------------------------------------------


@story("a worker is terminated while two handlers work: both end `worker_lost` at once, none `completed`", "SIGTERM")
def test_terminated(server: Server, folder: Path):
    with Hand(server, folder) as hand:
        tasks = [hand.start("cut short"), hand.start("cut short")]
        hand.process.send_signal(signal.SIGTERM)
        for task_id in tasks:
            is_lost(hand.ends(task_id, LEASE / 2))
        assert hand.process.wait(30) in (0, 1)


@story("… a `def` handler likewise", "SIGTERM")
def test_terminated_with_a_sync_handler(server: Server, folder: Path):
    with Hand(server, folder, SYNC="1") as hand:
        task_id = hand.start("cut short")
        hand.process.send_signal(signal.SIGTERM)
        is_lost(hand.ends(task_id, LEASE / 2))
        hand.tell("cut short", "unheard")  # its thread cannot be cancelled, and keeps the process
        hand.process.wait(30)
        is_lost(server.task(task_id))


@story("… with `retry_started: true` the next worker gets them", "SIGTERM")
def test_terminated_and_retried(server: Server, folder: Path):
    agent = new_agent(server, retry_started=True)
    with Hand(server, folder, agent) as first, Hand(server, folder, agent) as second:
        tasks = [first.create("unfinished") for _ in range(2 * SLOTS)]
        for hand in (first, second):
            until(lambda hand=hand: sum(map(hand.begun, tasks)) == SLOTS, "all slots of both are taken", START)
        first.process.send_signal(signal.SIGTERM)
        task_id = next(filter(first.begun, tasks))
        until(lambda: server.task(task_id)["status"] == "pending", "it is taken from the first")
        second.tell("unfinished", "done by the next")
        task = second.ends(task_id)
        assert (task["status"], task["result"], task["attempt"]) == ("completed", "done by the next", 2)


@story("a worker is terminated while the server doubts its completion without a result: `worker_lost`", "SIGTERM")
def test_terminated_while_silent(server: Server, folder: Path):
    with Gate(server) as gate, Hand(server, folder, XPANDER_BASE_URL=gate.url) as hand:
        task_id = hand.start("silent")
        hand.tell("silent", "nothing")
        claims = lambda: any(body.get("status") == "completed" for _, body in gate.requests)  # noqa: E731
        until(claims, "it says that it is completed")
        hand.process.send_signal(signal.SIGTERM)
        is_lost(hand.ends(task_id, LEASE / 2))


# --- reports that get lost -----------------------------------------------------


@story(
    "two final reports are lost on the way while a third handler works: it is let be, they end when that is certain",
    "@on_task",
)
def test_lost_reports(server: Server, folder: Path):
    with Gate(server) as gate, Hand(server, folder, XPANDER_BASE_URL=gate.url) as hand:
        third = hand.start("third")
        pair = [hand.start("pair"), hand.start("pair")]
        lost = []

        def loses(line: str, body: dict) -> bool:
            if not (line.startswith("PATCH") and body["status"] == "completed" and body["id"] in pair):
                return False
            lost.append(body["id"])
            return True

        gate.loses = loses
        hand.tell("pair", "never heard of")
        told = lambda: sum(body.get("data") == {"is_busy": False} for _, body in gate.requests)  # noqa: E731
        until(lambda: told() == 2, "it has said twice that it has a slot again", START)
        assert sorted(lost) == sorted(pair)
        hand.has_slots(3)
        states = {server.task(task_id)["status"] for task_id in [third, *pair]}
        assert states == {"executing"}, "in doubt nothing is ended"
        hand.tell("third", "done")
        assert hand.ends(third)["result"] == "done"
        for task_id in pair:
            is_lost(hand.ends(task_id))
        hand.has_slots()


# --- the server restarts -------------------------------------------------------


@story(
    f"the server restarts {RESTARTS} times, killed every second time: tasks of three workers of two agents complete",
    "@on_task",
)
def test_restarts(server: Server, folder: Path):
    with (
        Server(server.binary, folder) as own,
        Hand(own, folder) as one,
        Hand(own, folder, one.agent) as twin,
        Hand(own, folder) as other,
    ):
        tasks = {hand: hand.start("long", worker_id=hand.registered()) for hand in (one, twin, other)}
        for n in range(RESTARTS):
            # The client ends itself at its fifth failure in a row; a stream that
            # the server ends, as it does when it is terminated, begins a new row.
            own.kill() if n % 2 else own.end()
            own.start()
            for hand in tasks:
                hand.registered(n + 2)
        for hand, task_id in tasks.items():
            assert own.task(task_id)["status"] == "executing"
            hand.tell("long", "done")
            task = hand.ends(task_id)
            assert (task["status"], task["result"], task["attempt"]) == ("completed", "done", 1)
            assert hand.begun(task_id) == 1
            assert log(own, task_id).count("attempt_started") == 1
        other.has_slots()
