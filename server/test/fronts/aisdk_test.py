"""The AI SDK's user interfaces: AbstractChat, which useChat is made of, and DefaultChatTransport, as released (docs/FRONTS.md)."""

import json
import secrets
import signal
import urllib.error
import urllib.request

import pytest
from hands import Attempt, Hold, script, shown
from parts import DIRECT, until

PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Chat:
    """A chat of a client with an agent."""

    def __init__(self, hands, server, agent="actor", **body):
        self.hands, self.server, self.agent, self.body = hands, server, agent, body
        self.id = secrets.token_hex(8)

    def begin(self, verb, *, hands=None, query="", messages=None, **more):
        return (hands or self.hands).ask(
            do="chat", verb=verb, chat=self.id, url=f"{self.server.url}/aisdk/agents/{self.agent}/chat", key=self.server.key,
            query=query, messages=messages, body=self.body, **more,
        )  # fmt: skip

    def do(self, verb, **more):
        return self.begin(verb, **more).done()

    @property
    def task(self):
        return self.server.task(self.id)


@pytest.fixture
def chat(hands, server):
    return Chat(hands, server)


def said(message):
    return "".join(part["text"] for part in message["parts"] if part["type"] == "text")


def kinds(message):
    return [part["type"] for part in message["parts"] if part["type"] != "step-start"]


def answer(done):
    """The text of the answer at the end, of a chat that is well."""
    assert (done["status"], done["error"]) == ("ready", None)
    assert done["messages"][-1]["role"] == "assistant"
    return said(done["messages"][-1])


def begun(ask):
    return ask.messages and ask.messages[-1]["role"] == "assistant" and said(ask.messages[-1])


def test_send(chat):
    """Thoughts, a tool and text, then a second message: the chat is one task, the answers are its turns."""
    done = chat.do("send", text=script("think Hm.", "tool add", "say Hello, ", "say world"))
    assert answer(done) == "Hello, world"
    assert done["finish"]["finishReason"] == "stop"
    last = done["messages"][-1]
    assert kinds(last) == ["reasoning", "dynamic-tool", "text"]
    assert (last["parts"][2]["toolName"], last["parts"][2]["state"], last["parts"][2]["output"]) == ("add", "output-available", "2")
    assert last["metadata"] == {"task_id": chat.id, "turn": 1, "status": "completed"}
    done = chat.do("send", text="say Again")
    assert answer(done) == "Again"
    assert [m["role"] for m in done["messages"]] == ["user", "assistant"] * 2
    assert (chat.task["turn"], chat.task["input"]["text"]) == (2, "say Again")


def test_failed_and_stopped(chat):
    """No half answer passes for success."""
    done = chat.do("send", text=script("say Half", "fail It is broken"))
    assert done["status"] == "error"
    assert "It is broken" in done["error"]
    assert answer(chat.do("send", text="say Whole")) == "Whole"
    assert chat.task["input"]["text"] == "say Whole"
    ask = chat.begin("send", text=script("say Half", Hold(chat.server)))
    ask.until(begun)
    chat.server.call("POST", f"/v1/tasks/{chat.id}/stop")
    assert ask.done()["finish"]["finishReason"] == "interrupted"


def test_resume_in_mid_run(chat, elsewhere):
    """Who comes again has all of the answer, from its beginning and live; when nothing runs there is nothing to resume."""
    none = chat.do("resume", hands=elsewhere)
    assert (none["status"], none["messages"]) == ("ready", [])
    hold = Hold(chat.server)
    first = chat.begin("send", text=script("think Hm.", "say Hello, ", hold, "say world"))
    first.until(begun)
    half = [{"id": f"{chat.id}_1", "role": "assistant", "parts": [{"type": "text", "text": "Hel"}]}]
    elsewhere.tell(do="forget", chat=chat.id)
    again = chat.begin("resume", hands=elsewhere, messages=half)
    again.until(lambda a: begun(a) == "Hello, ")
    refused = Chat(elsewhere, chat.server)
    refused.id = chat.id
    elsewhere.tell(do="forget", chat=chat.id)
    no = refused.do("send", text="say No")
    assert (no["status"], "has not ended" in no["error"]) == ("error", True)
    hold.go()
    one, other = first.done(), again.done()
    assert answer(one) == answer(other) == "Hello, world"
    assert one["messages"][-1] == other["messages"][-1]
    assert len(other["messages"]) == 1, "the half message is replaced"
    assert chat.task["turn"] == 1
    assert chat.do("resume")["messages"] == one["messages"]


def test_on_disconnect(hands, server):
    """stop() stops the turn if the requests say so, and nothing otherwise (X2)."""
    chats, hold = [Chat(hands, server) for _ in range(2)], Hold(server)
    for chat, query in zip(chats, ["?on_disconnect=stop", ""], strict=True):
        ask = chat.begin("send", text=script("say Half", hold), query=query)
        ask.until(begun)
        chat.do("stop")
        ask.done()
    until(lambda: chats[0].task["status"] == "stopped", "the turn is stopped")
    assert chats[1].task["status"] == "executing"
    hold.go()
    until(lambda: chats[1].task["status"] == "completed", "the other goes on")


def test_on_disconnect_of_who_has_come_again(hands, server, told, elsewhere):
    """stop() of a client that has resumed stops the turn that runs, which is not the one that its message began with."""
    server.apply_agent("told", **told.record())
    chat = Chat(hands, server, "told", client_tools=[{"name": "paint", "input_schema": {"type": "object"}}])
    done = chat.do("send", text="call paint")
    told.hold.clear()
    first = chat.begin("output", tool="paint", id=done["messages"][-1]["parts"][-1]["toolCallId"], output="red")
    until(lambda: chat.task["turn"] == 2, "the next turn")
    again = chat.begin("resume", hands=elsewhere, query="?on_disconnect=stop")
    again.until(lambda a: a.messages)
    chat.do("stop")
    first.done()
    assert chat.task["status"] == "executing", "the first says nothing of stopping, and another follows"
    chat.do("stop", hands=elsewhere)
    again.done()
    until(lambda: chat.task["status"] == "stopped", "the turn is stopped")
    told.hold.set()
    assert chat.task["turn"] == 2


def test_regenerate(chat):
    """An answer that is asked for anew is the next turn, with the same prompt."""
    first = chat.do("send", text="say Once")
    again = chat.do("regenerate")
    assert answer(first) == answer(again) == "Once"
    assert first["messages"][-1]["id"] != again["messages"][-1]["id"]
    assert (len(again["messages"]), chat.task["turn"], chat.task["input"]["text"]) == (2, 2, "say Once")
    mine = again["messages"][0]["id"]
    for turn, (verb, more, says) in enumerate([
        ("regenerate", {"id": mine}, "Once"),
        ("regenerate", {"id": mine}, "Once"),
        ("send", {"instead": mine, "text": "say Twice"}, "Twice"),
        ("send", {"instead": mine, "text": "say Once"}, "Once"),
        ("send", {"instead": mine, "text": "say Twice"}, "Twice"),
    ], 3):  # fmt: skip
        done = chat.do(verb, **more)
        assert (answer(done), done["messages"][-1]["id"], chat.task["turn"]) == (says, f"{chat.id}_{turn}", turn)


@pytest.mark.parametrize(("verb", "which"), [("regenerate", {}), ("regenerate", {"id": "m"}), ("send", {"instead": "m"})])
def test_sent_twice(chat, elsewhere, verb, which):
    """A request that comes again while its turn is under way is told of that turn."""
    hold = Hold(chat.server)
    text = script("say Hello, ", hold, "say world")
    asks = []
    for hands in (chat.hands, elsewhere):
        asks.append(chat.begin(verb, hands=hands, text=text, messages=[{"id": "m", "role": "user", "parts": [{"type": "text", "text": text}]}], **which))
        asks[-1].until(begun)
    hold.go()
    one, other = [ask.done() for ask in asks]
    assert answer(one) == answer(other) == "Hello, world"
    assert (one["messages"], chat.task["turn"]) == (other["messages"], 1)


def test_files_and_history(hands, server):
    """Files come by their URLs or as data; a history that the task does not have is told to the agent."""
    url = server.upload("sales.csv", b"a,b\n1,2\n")
    files = [{"type": "file", "mediaType": "image/png", "filename": "dot.png", "url": PNG}, {"type": "file", "mediaType": "text/csv", "url": url}]
    before = [
        {"id": "a", "role": "user", "parts": [{"type": "text", "text": "My name is Ann."}]},
        {"id": "b", "role": "assistant", "parts": [{"type": "text", "text": "Hello Ann."}]},
    ]
    chat = Chat(hands, server)
    done = chat.do("send", text="task additional_context", files=files, messages=before)
    assert all(words in answer(done) for words in ["user: My name is Ann.", "assistant: Hello Ann.", "dot.png sales.csv"])
    assert chat.task["input"]["text"] == "task additional_context"


def test_approval(chat, elsewhere):
    """What an agent asks waits for the client, which goes on by itself once it has answered; so does another client."""
    done = chat.do("send", text=script("ask sure", "say Done"))
    part = next(p for p in done["messages"][-1]["parts"] if p["type"] == "dynamic-tool")
    assert (part["state"], part["input"]["message"], done["finish"]["finishReason"]) == ("approval-requested", "May I?", "tool-calls")
    reloaded = chat.begin("resume", hands=elsewhere).done()
    assert kinds(reloaded["messages"][-1]) == kinds(done["messages"][-1])
    done = chat.do("approve", id=part["approval"]["id"], approved=True)
    assert answer(done) == "Done"
    assert [p["state"] for p in done["messages"][-1]["parts"] if p["type"] == "dynamic-tool"] == ["output-available"]
    assert (len(done["messages"]), chat.task["turn"]) == (2, 1)


@pytest.mark.parametrize(("approved", "says"), [(True, "It says: "), (False, "It says: Error: Not carried out: a person has declined it.")])
def test_approval_of_a_models_call(hands, server, told, approved, says):
    server.apply_agent("careful", **told.record(tools=["files"], needs_approval=["*"]))
    chat = Chat(hands, server, "careful")
    done = chat.do("send", text="call list_files")
    part = next(p for p in done["messages"][-1]["parts"] if p["type"] == "dynamic-tool")
    assert (part["toolName"], part["state"]) == ("list_files", "approval-requested")
    done = chat.do("approve", id=part["approval"]["id"], approved=approved)
    assert answer(done).startswith(says)
    assert next(p for p in done["messages"][-1]["parts"] if p["type"] == "dynamic-tool")["state"] == ("output-available" if approved else "output-error")
    assert done["messages"][-1]["metadata"]["usage"] == {"inputTokens": 10, "outputTokens": 6, "totalTokens": 16}


def test_question_of_a_model(hands, server, told):
    """The reason of an approval is the answer to a question."""
    server.apply_agent("asker", **told.record(tools=["ask_person"]))
    chat = Chat(hands, server, "asker")
    done = chat.do("send", text='call ask_person {"question":"Who?"}')
    part = next(p for p in done["messages"][-1]["parts"] if p["type"] == "dynamic-tool")
    done = chat.do("approve", id=part["approval"]["id"], approved=True, reason="Ann")
    assert answer(done) == "It says: Ann"


def test_tools_of_the_client(hands, server, told, elsewhere):
    """A call of the client's own tool ends the turn; its output goes on by itself, in the same message, which is whole for who comes again."""
    server.apply_agent("told", **told.record())
    tools = [{"name": "paint", "description": "Paints.", "input_schema": {"type": "object", "properties": {"colour": {"type": "string"}}}}]
    chat = Chat(hands, server, "told", client_tools=tools)
    done = chat.do("send", text=script("say Look: ", 'call paint {"colour":"red"}'))
    part = done["messages"][-1]["parts"][-1]
    assert (part["type"], part["state"], part["input"], done["finish"]["finishReason"]) == ("tool-paint", "input-available", {"colour": "red"}, "tool-calls")
    told.hold.clear()
    ask = chat.begin("output", tool="paint", id=part["toolCallId"], output={"is": "red"})
    until(lambda: chat.task["turn"] == 2, "the next turn")
    twice = chat.begin("output", hands=elsewhere, messages=done["messages"], tool="paint", id=part["toolCallId"], output={"is": "red"})
    twice.until(lambda a: a.messages)
    elsewhere.tell(do="forget", chat=chat.id)
    again = chat.begin("resume", hands=elsewhere)
    again.until(lambda a: a.messages)
    told.hold.set()
    done, other = ask.done(), again.done()
    assert (twice.done()["messages"], chat.task["turn"]) == (done["messages"], 2)
    assert answer(done) == answer(other) == 'Look: It says: {"is":"red"}'
    assert len(done["messages"]) == 2
    assert other["messages"][-1]["id"] == done["messages"][-1]["id"] == f"{chat.id}_1"
    assert [p.get("output") for p in other["messages"][-1]["parts"] if p["type"] == "tool-paint"] == ['{"is":"red"}']


def test_output_files(chat):
    """A file that the agent has written is a part of the message."""
    done = chat.do("send", text=script("write sums.csv", "say Written"))
    assert answer(done) == "Written"
    (file,) = [part for part in done["messages"][-1]["parts"] if part["type"] == "file"]
    assert file["mediaType"] == "text/csv"
    with DIRECT.open(file["url"], timeout=30) as content:
        assert content.read() == b"a,b\n1,2\n"


def test_a_lost_attempt(hands, server):
    """A worker is killed in mid-text: what it has said is gone, and the next one's answer is whole."""
    server.apply_agent("lost", lease_seconds=1, retry_started=True)
    chat = Chat(hands, server, "lost")
    ask = chat.begin("send", text="Hi")
    Attempt(server, "lost").say("Half an ans")
    ask.until(lambda a: begun(a) == "Half an ans")
    another = Attempt(server, "lost")  # nobody keeps the lease of the first
    ask.until(lambda a: not said(a.messages[-1]))
    another.say("A whole ")
    another.say("one")
    another.finish("A whole one")
    assert answer(ask.done()) == "A whole one"


def test_plan_and_sub_tasks(hands, server):
    """Plan and sub-tasks are data of the message, each as it is now."""
    server.apply_agent("planner")
    chat = Chat(hands, server, "planner")
    ask = chat.begin("send", text="Hi")
    attempt = Attempt(server, "planner")
    for completed in (False, True):
        attempt.tell("plan_updated", {"tasks": [{"id": "1", "title": "Look", "completed": completed}]})
    below = server.call("POST", "/v1/tasks", {"agent_id": "actor", "parent_execution": chat.id, "input": {"text": "say Found"}})["id"]
    until(lambda: server.task(below)["status"] == "completed", "the sub-task ends")
    attempt.finish("Done")
    done = ask.done()
    assert answer(done) == "Done"
    data = {part["id"]: part["data"] for part in done["messages"][-1]["parts"] if part["type"] == "data-errand"}
    assert data["plan"]["plan"]["tasks"][0]["completed"]
    assert data[f"task-{below}"]["sub_task"]["status"] == "completed"
    assert len(data) == 2


@pytest.mark.parametrize("how", ["kill", "end"])
def test_server_goes(hands, own, how):
    """The server is killed, or shut down, in mid-stream: the client does not take that for an end, and resumes."""
    chat, hold = Chat(hands, own), Hold(own)
    ask = chat.begin("send", text=script("say Hello, ", hold, "say world"))
    ask.until(begun)
    own.process.send_signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
    assert ask.done()["status"] == "error"
    if how == "end":
        hold.go()
    own.process.wait(30)
    own.start()
    if how == "end":
        assert chat.do("resume")["status"] == "ready", "nothing runs any more"
        assert chat.task["result"] == "Hello, world"
        return
    resumed = chat.begin("resume")
    resumed.until(begun)
    hold.go()
    done = resumed.done()
    assert (answer(done), len(done["messages"]), chat.task["turn"]) == ("Hello, world", 2, 1)


def test_server_is_killed_under_a_model(hands, own, told):
    """A model was in the middle of its answer: who comes again has all of it, and nothing of what was cut."""
    own.apply_agent("told", **told.record(lease_seconds=1))
    chat = Chat(hands, own, "told")
    told.hold.clear()
    ask = chat.begin("send", text=script("say Half ", "hold", "say and half"))
    ask.until(begun)
    own.kill()
    assert ask.done()["status"] == "error"
    own.start()
    resumed = chat.begin("resume")
    resumed.until(begun)
    told.hold.set()
    done = resumed.done()
    assert (answer(done), len(done["messages"]), chat.task["turn"]) == ("Half and half", 2, 1)


def ask(server, method, path, body=None, key=None):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}/aisdk/agents/{path}", data, {"content-type": "application/json"}, method=method)
    if key:
        request.add_header("authorization", f"Bearer {key}")
    try:
        with DIRECT.open(request, timeout=30) as got:
            return got.status, got.headers, got.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers, refusal.read().decode()


def test_refused(server, other_key):
    """What cannot be done is said in a sentence, which is all that the client shows, and nothing is begun."""
    chat = secrets.token_hex(8)
    good = {"id": chat, "trigger": "submit-message", "messages": [{"id": "u", "role": "user", "parts": [{"type": "text", "text": "say Hi"}]}]}
    for change, says in [
        ({"id": ""}, "id: must name"),
        ({"messages": []}, "messages: must not be empty"),
        ({"messages": "Hi"}, "messages: must be a list"),
        ({"trigger": "win"}, "trigger: must be submit-message or regenerate-message"),
        ({"messages": [{"id": "a", "role": "assistant", "parts": []}]}, "messages: say nothing new"),
        ({"messages": [{"id": "u", "role": "user", "parts": [{"type": "file", "url": "data:image/png;base64,%%%"}]}]}, "messages.parts.url: is not valid base64"),
        ({"messages": [{"id": "u", "role": "user", "parts": [{"type": "file", "url": "ftp://a/b"}]}]}, "input.files[0]: must be"),
    ]:
        status, headers, text = ask(server, "POST", "actor/chat", good | change, server.key)
        assert (status, text.startswith(says), headers["content-type"]) == (422, True, "text/plain; charset=utf-8"), text
    status, _, text = ask(server, "POST", "actor/chat?on_disconnect=never", good, server.key)
    assert (status, text) == (422, "on_disconnect: must be stop, or be left out")
    assert ask(server, "POST", "actor/chat", b"{", server.key)[0] == 400
    for key in (None, "wrong" * 8):
        assert ask(server, "POST", "actor/chat", good, key)[0] == 401
    assert ask(server, "POST", "nobody/chat", good, server.key)[0] == 404
    assert ask(server, "POST", "actor/chat", good, other_key)[0] == 404, "another organization has no such agent"
    with pytest.raises(AssertionError, match="404"):
        server.task(chat)
    status, headers, text = ask(server, "POST", "actor/chat", good, server.key)
    assert (status, headers["x-vercel-ai-ui-message-stream"], text.endswith("data: [DONE]\n\n")) == (200, "v1", True)
    assert ask(server, "POST", "actor/chat", good, server.key)[2] == text, "a message that is sent twice is asked once"
    assert server.task(chat)["turn"] == 1
    assert ask(server, "GET", f"actor/chat/{chat}/stream", key=server.key)[0] == 204
    assert ask(server, "GET", f"profile/chat/{chat}/stream", key=server.key)[0] == 409
    assert ask(server, "GET", f"actor/chat/{chat}/stream", key=other_key)[0] == 404


def test_page(server, modules, tmp_path):
    """What docs/FRONTS.md shows runs as it stands there."""
    (said,) = shown("AI SDK", modules, tmp_path, server)
    assert "**1 row** in **2 columns**" in said
