"""Every example of the client's documentation of tasks, in a process of its own.

examples/ holds them word for word, each after the lines that it needs from
elsewhere on that page; the ids stay the page's, so each has a server of its own.
"""

import re

import pytest

from parts import HERE

AGENT, TASK = "agent-123", "task-456"
PROMPT = "Analyze the sales data"
SHOWN = "https://example.com/"
LOOPBACK = {"XPANDER_INTERNAL_FETCH_ALLOWLIST": "127.0.0.1"}


@pytest.fixture
def run(own_server):
    """Runs an example. Named files are served by Errand in the place of the page's host."""

    def run(example: str, files: dict | None = None, **more: str):
        pairs = [f"{SHOWN}{shown}={own_server.upload(shown, content)}" for shown, content in (files or {}).items()]
        return own_server.run(str(HERE / "example.py"), str(HERE / "examples" / f"{example}.py"), *pairs, **more)

    return run


def lines(done) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def check(what: str, call: str, *values):
    """Values of a parametrized test, with the row that they are in the table."""
    return pytest.param(*values, marks=pytest.mark.check(what, call), id=values[0])


@pytest.mark.parametrize(
    ("example", "streaming"),
    [
        check("example: create a task, async", "tasks.acreate(…)", "create_async", True),
        check("example: create a task, sync", "tasks.create(…)", "create_sync", False),
    ],
)
def test_create(own_server, run, example, streaming):
    own_server.apply_agent(AGENT)
    (line,) = lines(run(example))
    task = own_server.task(line.removeprefix("Created task: "))
    assert (task["status"], task["agent_id"], task["events_streaming"]) == ("pending", AGENT, streaming)
    assert (task["input"]["text"], task["input"]["files"]) == (PROMPT, [f"{SHOWN}sales_data.csv"])


@pytest.mark.parametrize(
    "example",
    [
        check("example: retrieve a task, async", "tasks.aget(id)", "get_async"),
        check("example: retrieve a task, sync", "tasks.get(id)", "get_sync"),
    ],
)
def test_get(own_server, run, example):
    own_server.apply_agent(AGENT)
    own_server.call("POST", "/v1/tasks", {"id": TASK, "agent_id": AGENT, "input": {"text": PROMPT}})
    assert lines(run(example)) == ["Task status: AgentExecutionStatus.Pending", "Task result: None"]


@pytest.mark.parametrize(
    ("example", "time"),
    [
        check("example: stream events, async", "task.aevents()", "events_async", r" at \d{4}-\d\d-\d\d \S+"),
        check("example: stream events, sync", "task.events()", "events_sync", ""),
    ],
)
def test_events(own_server, run, example, time):
    own_server.apply_agent(AGENT, runtime="profile")
    seen = lines(run(example, {"sales_data.csv": (HERE / "files" / "data.csv").read_bytes()}))
    assert seen.pop() == "Task completed!"
    types = [re.fullmatch(rf"Event: TaskUpdateEventType\.(\w+){time}", line)[1] for line in seen]
    assert (types[0], types[-1]) == ("TaskCreated", "TaskFinished")
    assert "Chunk" in types


@pytest.mark.parametrize(
    "example",
    [
        check("example: stop and update, async", "tasks.astop(id); tasks.aupdate(…)", "lifecycle_async"),
        check("example: stop and update, sync", "tasks.stop(id); tasks.update(…)", "lifecycle_sync"),
    ],
)
def test_lifecycle(own_server, run, example):
    own_server.apply_agent(AGENT)
    own_server.call("POST", "/v1/tasks", {"id": TASK, "agent_id": AGENT, "input": {"text": PROMPT}})
    assert lines(run(example)) == [f"Task {TASK} has been stopped"]
    types = [event["type"] for event in own_server.events(TASK)]
    assert types.index("task_finished") < types.index("override"), "the stop came first"
    task = own_server.task(TASK)
    assert (task["status"], task["result"]) == ("completed", "Analysis completed successfully")


def attached() -> dict:
    return {name: (HERE / "files" / name).read_bytes() for name in ("report.pdf", "chart.png", "data.csv", "logo.jpg")}


@pytest.mark.check("example: files by kind", "task.get_files(); .get_images(); .get_human_readable_files()")
def test_files(own_server, run):
    own_server.apply_agent(AGENT)
    found = ["Found 1 PDF files", "Found 2 image files", "Found 1 readable files"]
    assert lines(run("files", attached(), **LOOPBACK)) == found


@pytest.fixture
def run_agno(own_server, run, oracle):
    own_server.apply_agent(AGENT, **oracle.agent())
    return lambda example: run(example, attached(), XPANDER_AGENT_ID=AGENT, AGNO_TELEMETRY="false", **LOOPBACK)


@pytest.mark.oracle
@pytest.mark.check("example: Agno, word for word", "Agent(**backend.get_args())")
def test_agno_word_for_word(run_agno, record_property):
    done = run_agno("agno")
    assert done.returncode == 1
    assert "AttributeError: 'NoneType' object has no attribute" in done.stderr, done.stderr
    record_property("result", "the client's own error: `AttributeError`")


@pytest.mark.oracle
@pytest.mark.check("example: Agno, with the task", "Agent(**backend.get_args(task=task))")
def test_agno_with_task(run_agno, newest, record_property):
    done = run_agno("agno_with_task")
    if newest:
        assert done.returncode == 1
        assert "TypeError: Agent.__init__() got an unexpected keyword argument '_xpander_" in done.stderr, done.stderr
        record_property("result", "the client's own error: `TypeError`")
    else:
        assert lines(done)[-1] == "Analysis result: Sales are up in four of four files."


@pytest.mark.oracle
@pytest.mark.check("example: Agno, the form that works", "Agent(**{n: v for n, v in args.items() if n[0] != '_'})")
def test_agno_that_works(run_agno, oracle):
    assert lines(run_agno("agno_that_works"))[-1] == "Analysis result: Sales are up in four of four files."
    (message,) = [m for m in oracle.requests()[-1]["messages"] if m["role"] == "user"]
    parts = {part["type"]: part for part in message["content"]}
    assert "Gizmo,7041.10" in parts["text"]["text"], "the readable file's content is in the message"
    assert {"image_url", "file"} <= parts.keys(), "images and documents came along"
