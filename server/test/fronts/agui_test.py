"""AG-UI with its released clients, of version 1.0 and of before it, and with CopilotKit's runtime between (docs/FRONTS.md)."""

import json
import secrets
import signal
import urllib.error
import urllib.request

import pytest
from ag_ui.core import Event, RunAgentInput
from hands import Attempt, Hold, script, shown
from parts import DIRECT, until
from pydantic import TypeAdapter

EVENT = TypeAdapter(Event)
CLIENTS = ["1.0.0", "0.0.59", "copilotkit"]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def user(text, **more):
    return {"id": secrets.token_hex(8), "role": "user", "content": text, **more}


class Thread:
    """A conversation of a client with an agent."""

    def __init__(self, hands, server, client, agent="actor"):
        self.hands, self.server, self.client, self.agent = hands, server, client, agent
        self.id, self.messages, self.pending, self.state = secrets.token_hex(8), [], [], {"mine": 1}

    def begin(self, *messages, run=None, query="", key=None, hands=None, **more):
        self.messages += messages
        self.run = run or secrets.token_hex(8)
        return (hands or self.hands).ask(
            do="agui", client=self.client, url=f"{self.server.url}/agui/agents/{self.agent}{query}", key=key or self.server.key,
            thread=self.id, run=self.run, messages=self.messages, pending=self.pending, state=self.state, **more,
        )  # fmt: skip

    def end(self, ask):
        done = ask.done()
        for event in ask.events:
            EVENT.validate_python(event)
        self.messages, self.pending, self.state = done["messages"], done.get("pending") or [], done.get("state")
        return done

    def ask(self, *messages, **more):
        ask = self.begin(*messages, **more)
        return self.end(ask), ask.events

    @property
    def task(self):
        return self.server.task(self.id)


@pytest.fixture(params=CLIENTS)
def thread(request, hands, server):
    return Thread(hands, server, request.param)


def types(events):
    return [event["type"] for event in events]


def texts(messages):
    return [m["content"] for m in messages if m["role"] == "assistant" and m.get("content")]


def test_text(thread):
    """Thoughts, a tool and text, then a second message: the thread is one task, the runs are its turns."""
    done, events = thread.ask(user(script("think Hm.", "tool add", "say Hello, ", "say world")))
    assert (done["error"], texts(done["messages"])) == (None, ["Hello, world"])
    assert [m["role"] for m in done["messages"]] == ["user", "reasoning", "assistant", "tool", "assistant"]
    assert (types(events)[0], types(events)[-1]) == ("RUN_STARTED", "RUN_FINISHED")
    assert thread.task["result"] == "Hello, world"
    done, _ = thread.ask(user("say Again"))
    assert texts(done["messages"]) == ["Hello, world", "Again"]
    assert (thread.task["turn"], thread.task["input"]["text"]) == (2, "say Again")


def test_asked_anew(thread):
    """A message without its answer is asked anew by another run; a run's name is its thread's."""
    thread.ask(user("say Once"), run="1")
    thread.messages = thread.messages[:1]
    done, _ = thread.ask(run="2")
    assert (done["error"], texts(done["messages"])) == (None, ["Once"])
    assert (thread.task["turn"], thread.task["input"]["text"]) == (2, "say Once")
    other = Thread(thread.hands, thread.server, thread.client)
    assert texts(other.ask(user("say Other"), run="1")[0]["messages"]) == ["Other"]


def test_failed(thread):
    """No half answer passes for success, and the next message is taken without the one that has failed."""
    done, events = thread.ask(user(script("say Half", "fail It is broken")))
    assert types(events)[-1] == "RUN_ERROR"
    assert "It is broken" in events[-1]["message"]
    assert events[-1]["code"] == thread.task["end_reason"]
    done, _ = thread.ask(user("say Whole"))
    assert thread.task["input"]["text"] == "say Whole"
    assert texts(done["messages"])[-1] == "Whole"


def test_stopped(thread):
    """A run that somebody stops says so in the way that its client knows."""
    ask = thread.begin(user(script("say Half", Hold(thread.server))))
    ask.until(lambda a: "TEXT_MESSAGE_CONTENT" in types(a.events))
    thread.server.call("POST", f"/v1/tasks/{thread.id}/stop")
    thread.end(ask)
    last = ask.events[-1]
    assert (last.get("outcome", {}).get("type"), last.get("code")) in [("cancelled", None), (None, "stopped")]
    assert (last["type"] == "RUN_FINISHED") == (thread.client == "1.0.0")


def test_again_in_mid_run(thread, elsewhere):
    """The same run again, by a client elsewhere, shows it from its beginning; another run is refused meanwhile."""
    hold = Hold(thread.server)
    first = thread.begin(user(script("think Hm.", "say Hello, ", hold, "say world")))
    first.until(lambda a: "TEXT_MESSAGE_CONTENT" in types(a.events))
    run, mine = thread.run, thread.messages
    again = thread.begin(run=run, hands=elsewhere)
    again.until(lambda a: "TEXT_MESSAGE_CONTENT" in types(a.events))
    if thread.client != "copilotkit":  # which has one run of a thread at a time, and says nothing of another
        refused, _ = thread.ask(user("say No"), hands=elsewhere)
        assert "409" in refused["error"]
    hold.go()
    assert texts(first.done()["messages"]) == texts(again.done()["messages"]) == ["Hello, world"]
    thread.messages = mine[:1]
    after = thread.begin(run=run, hands=elsewhere)
    assert texts(after.done()["messages"]) == ["Hello, world"]
    assert after.events[1:] == again.events[1:]  # CopilotKit's runtime puts the request into the first
    assert thread.task["turn"] == 1


def test_cut_and_again(hands, server):
    """A client that was cut in mid-text, and has a half message, has the whole one once after the same run again."""
    thread, hold = Thread(hands, server, "1.0.0"), Hold(server)
    first = thread.begin(user(script("say Hello, ", hold, "say world")))
    first.until(lambda a: "TEXT_MESSAGE_CONTENT" in types(a.events))
    hands.tell(do="abort", of=first.number)
    thread.messages = first.done()["messages"]
    assert texts(thread.messages) == ["Hello, "]
    hold.go()
    done, _ = thread.ask(run=thread.run)
    assert texts(done["messages"]) == ["Hello, world"]
    assert thread.task["turn"] == 1


def test_on_disconnect(hands, server):
    """abortRun stops the turn if the URL says so, and nothing otherwise (X2)."""
    threads = [Thread(hands, server, "1.0.0") for _ in range(2)]
    hold = Hold(server)
    for thread, query in zip(threads, ["?on_disconnect=stop", ""], strict=True):
        ask = thread.begin(user(script("say Half", hold)), query=query)
        ask.until(lambda a: "TEXT_MESSAGE_CONTENT" in types(a.events))
        hands.tell(do="abort", of=ask.number)
        ask.done()
    until(lambda: threads[0].task["status"] == "stopped", "the turn is stopped")
    assert threads[1].task["status"] == "executing"
    hold.go()
    until(lambda: threads[1].task["status"] == "completed", "the other goes on")


def test_approval(thread):
    """What an agent asks is an interrupt; the run that resumes it goes on behind it, also when it is sent twice."""
    done, events = thread.ask(user(script("ask sure", "say Done")))
    interrupt = events[-1]["outcome"]["interrupts"][0]
    assert (interrupt["message"], interrupt["reason"]) == ("May I?", "confirmation")
    assert interrupt["responseSchema"]["required"] == ["approved"]
    if thread.client != "copilotkit":
        assert [p["id"] for p in thread.pending] == [interrupt["id"]]
    answer = [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}]
    done, events = thread.ask(resume=answer)
    assert (done["error"], texts(done["messages"])) == (None, ["Done"])
    assert thread.task["turn"] == 1
    thread.pending = []
    run, thread.messages = thread.run, thread.messages[:1]
    if thread.client != "copilotkit":
        done, _ = thread.ask(run=run, resume=answer)
        assert texts(done["messages"]) == ["Done"]
        done, _ = thread.ask(resume=[answer[0] | {"payload": False}])
        assert "409" in done["error"]


def test_question_and_approval_of_a_model(hands, server, told):
    """A model's question is answered with a value, and a call that needs approval is made after it."""
    server.apply_agent("asker", **told.record(tools=["ask_person"]))
    thread = Thread(hands, server, "1.0.0", "asker")
    done, events = thread.ask(user('call ask_person {"question":"Who?","options":["Ann","Bob"]}'))
    interrupt = events[-1]["outcome"]["interrupts"][0]
    assert (interrupt["message"], interrupt["reason"], interrupt["responseSchema"]["enum"]) == ("Who?", "input_required", ["Ann", "Bob"])
    assert interrupt["toolCallId"] == next(e["toolCallId"] for e in events if e["type"] == "TOOL_CALL_START")
    refused, _ = thread.ask(resume=[{"interruptId": interrupt["id"], "status": "resolved", "payload": "Eve"}])
    assert "422" in refused["error"]
    thread.pending = [interrupt]
    done, _ = thread.ask(resume=[{"interruptId": interrupt["id"], "status": "resolved", "payload": "Ann"}])
    assert texts(done["messages"]) == ["It says: Ann"]
    assert [m["role"] for m in done["messages"]] == ["user", "assistant", "tool", "assistant"]

    server.apply_agent("careful", **told.record(tools=["files"], needs_approval=["*"]))
    for answer, says in [({"status": "resolved"}, "It says: "), ({"status": "cancelled"}, "It says: Error: Not carried out: a person has declined it.")]:
        thread = Thread(hands, server, "1.0.0", "careful")
        done, events = thread.ask(user("call list_files"))
        interrupt = events[-1]["outcome"]["interrupts"][0]
        assert interrupt["reason"] == "tool_call"
        done, _ = thread.ask(resume=[{"interruptId": interrupt["id"], **answer}])
        assert texts(done["messages"])[-1].startswith(says)
    used = thread.task["tokens"]
    assert events[-1]["type"] == "RUN_FINISHED"
    assert used["prompt_tokens"] == 10


@pytest.mark.parametrize("client", CLIENTS)
def test_tools_of_the_client(hands, server, told, client):
    """A call of the client's own tool ends the run, and its result begins the next."""
    server.apply_agent("told", **told.record())
    thread = Thread(hands, server, client, "told")
    tools = [{"name": "paint", "description": "Paints.", "parameters": {"type": "object", "properties": {"colour": {"type": "string"}}}}]
    done, events = thread.ask(user(script("say Look: ", 'call paint {"colour":"red"}')), tools=tools)
    assert texts(done["messages"]) == ["Look: "]
    call = next(c for m in done["messages"] for c in m.get("toolCalls", []))
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("paint", {"colour": "red"})
    assert events[-1]["type"] == "RUN_FINISHED"
    if client == "1.0.0":
        assert events[-1]["outcome"] == {"type": "success", "pendingToolCallIds": [call["id"]]}
    result = {"id": secrets.token_hex(8), "role": "tool", "toolCallId": call["id"], "content": "red it is"}
    done, events = thread.ask(result, tools=tools)
    assert texts(done["messages"]) == ["Look: ", "It says: red it is"]
    assert "TOOL_CALL_RESULT" not in types(events)
    assert thread.task["turn"] == 2


def test_files_state_and_context(thread):
    """Files come by their URLs or inside the message; context, state and a foreign history reach the agent."""
    url = thread.server.upload("sales.csv", b"a,b\n1,2\n")
    parts = [
        {"type": "text", "text": script("task additional_context", "say |", "task payload_extension", "say |")},
        {"type": "image", "source": {"type": "data", "value": PNG, "mimeType": "image/png"}},
        {"type": "document", "source": {"type": "url", "value": url, "mimeType": "text/csv"}},
    ]
    thread.messages = [user("My name is Ann."), {"id": "foreign", "role": "assistant", "content": "Hello Ann."}]
    done, _ = thread.ask(user(parts), context=[{"description": "page", "value": "7"}], props={"theme": "dark"})
    context, extension, _ = texts(done["messages"])[-1].split("|")
    assert all(words in context for words in ["page: 7", "user: My name is Ann.", "assistant: Hello Ann."])
    if thread.client != "copilotkit":
        assert json.loads(extension)["agui"] | {"message": ""} == {"message": "", "state": {"mine": 1}, "forwardedProps": {"theme": "dark"}}
    assert [url.rpartition("/")[2].partition("?")[0] for url in thread.task["input"]["files"]] == ["file.png", "sales.csv"]


def test_output_files(thread):
    """A file that the agent has written is told of before the end, with its URL."""
    _, events = thread.ask(user(script("write sums.csv", "say Written")))
    (output,) = [e["value"] for e in events if e["type"] == "CUSTOM"]
    assert (events[-2]["name"], output["name"], output["size"], output["content_type"]) == ("errand.output", "sums.csv", 8, "text/csv; charset=utf-8")
    with DIRECT.open(output["url"], timeout=30) as file:
        assert file.read() == b"a,b\n1,2\n"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_lost_attempt(hands, server, client):
    """What a worker that was killed has said is gone, and the next one's answer is whole."""
    server.apply_agent("lost", lease_seconds=1, retry_started=True)
    thread = Thread(hands, server, client, "lost")
    ask = thread.begin(user("Hi"))
    Attempt(server, "lost").say("Half an ans")
    ask.until(lambda a: "TEXT_MESSAGE_CONTENT" in types(a.events))
    another = Attempt(server, "lost")  # nobody keeps the lease of the first
    another.say("A whole one")
    another.finish("A whole one")
    done = thread.end(ask)
    assert (done["error"], texts(done["messages"])) == (None, ["A whole one"])
    assert "MESSAGES_SNAPSHOT" in types(ask.events)


@pytest.mark.parametrize("client", CLIENTS)
def test_plan_and_sub_tasks(hands, server, client):
    """The plan is in the client's state, sub-tasks are sub-agents, and one that goes on does not hold up a question."""
    server.apply_agent("planner")
    thread = Thread(hands, server, client, "planner")
    ask = thread.begin(user("Hi"))
    attempt = Attempt(server, "planner")
    plan = {"tasks": [{"id": "1", "title": "Look", "completed": False}]}
    attempt.tell("plan_updated", plan)
    attempt.tell("sub_agent_trigger", {"agent_id": "helper", "task_id": "elsewhere", "query": "Find it"})
    below = server.call("POST", "/v1/tasks", {"agent_id": "actor", "parent_execution": thread.id, "input": {"text": "say Found"}})["id"]
    until(lambda: server.task(below)["status"] == "completed", "the sub-task ends")
    attempt.call("approvals", key="sure", kind="approval", message="Sure?")
    done = thread.end(ask)
    assert (done["error"], done["state"]) == (None, {"mine": 1, "plan": plan})
    told = [(e["type"].removeprefix("SUBAGENT_"), e["subagentRunId"]) for e in ask.events if e["type"].startswith("SUBAGENT_")]
    assert told == [("STARTED", "elsewhere"), ("STARTED", below), ("FINISHED", below), ("FINISHED", "elsewhere")]
    (interrupt,) = ask.events[-1]["outcome"]["interrupts"]
    ask = thread.begin(resume=[{"interruptId": interrupt["id"], "status": "resolved"}])
    Attempt(server, "planner").finish("Done")
    assert texts(thread.end(ask)["messages"]) == ["Done"]


@pytest.mark.parametrize("how", ["kill", "end"])
def test_server_goes(hands, own, how):
    """The server is killed, or shut down, in mid-stream: the same run again has the whole of it."""
    thread, hold = Thread(hands, own, "1.0.0"), Hold(own)
    ask = thread.begin(user(script("say Hello, ", hold, "say world")))
    ask.until(lambda a: "TEXT_MESSAGE_CONTENT" in types(a.events))
    own.process.send_signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
    done = ask.done()
    hold.go()
    own.process.wait(30)
    if how == "end":
        assert (ask.events[-1]["type"], ask.events[-1]["code"]) == ("RUN_ERROR", "unavailable")
    else:
        assert done["error"]
    thread.messages = done["messages"]
    own.start()
    done, _ = thread.ask(run=thread.run)
    assert (done["error"], texts(done["messages"])) == (None, ["Hello, world"])
    assert thread.task["turn"] == 1


@pytest.mark.parametrize("client", CLIENTS[:2])
def test_server_is_killed_under_a_model(hands, own, told, client):
    """A model was in the middle of its answer behind a call: the same run again has the call once, and the whole answer."""
    own.apply_agent("told", **told.record(tools=["files"], lease_seconds=1))
    thread = Thread(hands, own, client, "told")
    told.hold.clear()
    ask = thread.begin(user(script("say Let me look.", "call list_files")))
    ask.until(lambda a: "TOOL_CALL_RESULT" in types(a.events))
    own.kill()
    thread.messages = ask.done()["messages"]
    told.hold.set()
    own.start()
    done, events = thread.ask(run=thread.run)
    assert (done["error"], [text[:9] for text in texts(done["messages"])]) == (None, ["It says: "])
    assert [m["role"] for m in done["messages"]] == ["user", "reasoning", "assistant", "tool", "assistant"]
    assert types(events).count("TOOL_CALL_START") == 1
    assert thread.task["result"] == texts(done["messages"])[0]


def post(server, body, key=None, agent="actor"):
    request = urllib.request.Request(f"{server.url}/agui/agents/{agent}", json.dumps(body).encode(), {"content-type": "application/json"})
    if key:
        request.add_header("authorization", f"Bearer {key}")
    try:
        with DIRECT.open(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def test_refused(server, other_key):
    """What cannot be done is said in words, and nothing is begun."""
    thread = secrets.token_hex(8)
    good = json.loads(RunAgentInput(thread_id=thread, run_id="r", state={}, messages=[user("say Hi")], tools=[], context=[], forwarded_props={}).model_dump_json(by_alias=True))
    assert post(server, good)[0] == 401
    assert post(server, good, key="wrong" * 8)[0] == 401
    for change, field in [
        ({"threadId": ""}, "threadId"),
        ({"runId": 5}, "runId"),
        ({"messages": []}, "messages"),
        ({"messages": {"a": 1}}, "messages"),
        ({"messages": [{"id": "a"}]}, "messages[0]"),
        ({"messages": [user([{"type": "image", "source": {"type": "data", "value": "%%%", "mimeType": "image/png"}}])]}, "messages.content.source.value"),
        ({"messages": [user([{"type": "image", "source": {"type": "file", "value": "f-1"}}])]}, "messages.content.source"),
    ]:
        status, body = post(server, good | change, key=server.key)
        assert (status, body["field"]) == (422, field), change
    status, body = post(server, good, key=server.key, agent="actor?on_disconnect=never")
    assert (status, body["field"]) == (422, "on_disconnect")
    assert post(server, good | {"resume": [{"interruptId": "none", "status": "resolved"}]}, key=server.key)[0] == 404
    assert post(server, good, key=server.key, agent="nobody")[0] == 404
    assert post(server, good, key=other_key)[0] == 404
    with pytest.raises(AssertionError, match="404"):
        server.task(thread)
    assert post(server, good, key=server.key)[0] == 200
    status, body = post(server, good | {"messages": [user("say Other")]}, key=server.key)
    assert (status, body["field"]) == (409, "runId")


def test_page(server, modules, tmp_path):
    """What docs/FRONTS.md shows runs as it stands there."""
    alone, behind = shown("AG-UI", modules, tmp_path, server)
    assert "**1 row** in **2 columns**" in alone
    assert behind == "[ 'profile' ]\n"
