"""OpenAI's Responses API with its released clients (docs/FRONTS.md)."""

import asyncio
import base64
import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import types
from pathlib import Path

import agents as agents_sdk
import langchain_openai
import openai
import pydantic
import pytest
from conftest import agents, serve
from hands import Attempt
from parts import ROOT, until
from tap import Tap

SCENARIOS = Path(__file__).resolve().with_name("responses.mjs")


@pytest.fixture
def client(server):
    return client_of(server)


def client_of(server, **more):
    return openai.OpenAI(base_url=f"{server.url}/openai/v1", api_key=server.key, **more)


class Hold:
    """A place at which the actor waits until it is let go."""

    def __init__(self, server):
        self.file = server.folder / secrets.token_hex(4)

    def __str__(self):
        return f"wait {self.file.name}"

    def go(self):
        self.file.touch()


def script(*lines):
    return "\n".join(map(str, lines))


def test_create(client, server):
    """An answer, with what the agent did for it, the same whenever it is read, and as /v1 tells it."""
    made = client.responses.create(model="actor", input=script("think Hm.", "tool add", "say Hello, ", "say world"))
    assert (made.status, made.output_text) == ("completed", "Hello, world")
    assert [item.type for item in made.output] == ["reasoning", "mcp_call", "message"]
    assert (made.output[0].summary[0].text, made.output[1].name, made.output[1].output) == ("Hm.", "add", "2")
    assert server.task(made.id.split("_")[1])["result"] == made.output_text
    assert client.responses.retrieve(made.id, include=["reasoning.encrypted_content", "message.output_text.logprobs"]) == made


def test_stream(client, server):
    """The events of a stream, raw and by the helper, live, and the same when it is read again."""
    hold = Hold(server)
    prompt = script("think Hm.", "tool add", "say Hello, ", hold, "say world")
    seen, text = [], ""
    for event in client.responses.create(model="actor", input=prompt, stream=True):
        seen.append(event)
        if event.type == "response.output_text.delta":
            text += event.delta
            hold.go()
    assert text == "Hello, world"
    assert seen[0].type == "response.created"
    assert seen[-1].type == "response.completed"
    assert seen[-1].response.output_text == "Hello, world"
    again = list(client.responses.retrieve(seen[0].response.id, stream=True))
    assert again == seen
    for after in range(0, len(seen), 3):
        rest = list(client.responses.retrieve(seen[0].response.id, stream=True, starting_after=seen[after].sequence_number))
        assert rest == seen[after + 1 :]
    with client.responses.stream(model="actor", input=prompt) as stream:
        whole = stream.get_final_response()
    assert whole.output_text == "Hello, world"
    with client.responses.stream(response_id=whole.id) as stream:
        assert stream.get_final_response().output_text == "Hello, world"


def test_background(client):
    """Polled until its end, stopped, and told of as stopped."""
    made = client.responses.create(model="actor", input="say Done", background=True, metadata={"for": "me"})
    assert made.status in ("queued", "in_progress")
    done = until(lambda: over(client, made.id), "it ends")
    assert (done.status, done.output_text, done.metadata) == ("completed", "Done", {"for": "me"})
    made = client.responses.create(model="actor", input=script("say Half", "wait never"), background=True)
    until(lambda: client.responses.retrieve(made.id).output_text, "it speaks")
    stopped = client.responses.cancel(made.id)
    assert (stopped.status, stopped.output, stopped.error.code) == ("cancelled", [], "server_error")
    assert client.responses.cancel(made.id) == stopped


def over(client, name):
    now = client.responses.retrieve(name)
    return now if now.status not in ("queued", "in_progress") else None


def test_failed(client, server):
    """No half answer passes for success."""
    failed = client.responses.create(model="actor", input=script("say Half", "fail Out of paper"))
    assert (failed.status, failed.output_text) == ("failed", "")
    assert "Out of paper" in failed.error.message
    events = list(client.responses.create(model="actor", input=script("say Half", "fail Out of paper"), stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.output_text == ""
    stopped = list(stopping(client, client.responses.create(model="actor", input=script("say Half", "wait never"), stream=True)))
    assert (stopped[-1].type, stopped[-1].response.status) == ("response.failed", "cancelled")
    with stopping_all(server, STOPPED):
        answer = client.responses.create(model="actor", input=script("say Half", STOPPED))
    assert (answer.status, answer.output_text) == ("failed", "")


STOPPED = "wait to be stopped"


@contextlib.contextmanager
def stopping_all(server, words):
    """Stops each task whose prompt has these words as soon as it speaks."""
    over = threading.Event()

    def stop():
        while not over.wait(0.02):
            for task in server.call("GET", "/v1/tasks?status=executing")["items"]:
                name = f"/openai/v1/responses/resp_{task['id']}_1"
                if words in server.call("GET", f"/v1/tasks/{task['id']}")["input"]["text"] and server.call("GET", name)["output"]:
                    server.call("POST", name + "/cancel")

    stopper = threading.Thread(target=stop)
    stopper.start()
    yield
    over.set()
    stopper.join()


def stopping(client, events):
    """The events, while what they tell of is stopped as soon as it speaks."""
    for event in events:
        yield event
        if event.type == "response.created":
            name = event.response.id
        if event.type == "response.output_text.delta":
            client.responses.cancel(name)


def test_thread(client, server):
    """Turns of a task: what follows, what does not any more, and both as a conversation."""
    first = client.responses.create(model="actor", input="say One")
    second = client.responses.create(model="actor", input="say Two", previous_response_id=first.id)
    assert second.id.split("_")[1] == first.id.split("_")[1]
    assert (second.output_text, second.previous_response_id) == ("Two", first.id)
    with refused(409) as told:
        client.responses.create(model="actor", input="say Three", previous_response_id=first.id)
    assert "not its last" in told.text
    assert client.responses.retrieve(first.id).output_text == "One"
    with refused(409):
        client.responses.delete(first.id)
    hold = Hold(server)
    third = client.responses.create(model="actor", input=str(hold), previous_response_id=second.id, background=True)
    with refused(409):
        client.responses.create(model="actor", input="say Four", previous_response_id=third.id)
    hold.go()
    conversation = client.conversations.create()
    for words in ("Un", "Deux"):
        made = client.responses.create(model="actor", input=f"say {words}", conversation=conversation.id)
        assert (made.output_text, made.conversation.id) == (words, conversation.id)
    words = ["say Un", "Un", "say Deux", "Deux"]
    for limit in range(1, 6):
        for order, said in (("asc", words), ("desc", words[::-1])):
            page = client.conversations.items.list(conversation.id, order=order, limit=limit)
            assert [item.content[0].text for item in page] == said
    with refused(422):
        client.conversations.items.list(conversation.id, after="msg_x_3")
    assert client.conversations.retrieve(conversation.id).id == conversation.id
    assert client.conversations.delete(conversation.id).deleted
    with refused(404):
        client.responses.retrieve(made.id)


def test_conversation_metadata(client, server):
    """What a conversation is described by is its own: it outlives turns, of any client, and is replaced as a whole."""
    conversation = client.conversations.create(items=[]).id
    with refused(404) as told:
        client.conversations.update(conversation, metadata={"too": "early"})
    assert "begins with its first response" in told.text
    client.responses.create(model="actor", input="say One", conversation=conversation, metadata={"of": "the response"})
    assert client.conversations.retrieve(conversation).metadata == {}
    described = {"topic": "tea", "who": "Ann"}
    assert client.conversations.update(conversation, metadata=described).metadata == described
    client.responses.create(model="actor", input="say Two", conversation=conversation)
    task = conversation.removeprefix("conv_")
    server.call("PATCH", f"/v1/tasks/{task}", {"payload_extension": {"mine": 1, "openai": "not ours"}})
    assert client.conversations.retrieve(conversation).metadata == described
    hold = Hold(server)
    running = client.responses.create(model="actor", input=str(hold), conversation=conversation, background=True)
    assert client.conversations.update(conversation, metadata={"topic": "coffee"}).metadata == {"topic": "coffee"}
    hold.go()
    until(lambda: client.responses.retrieve(running.id).status == "completed", "the end of the third turn")
    assert client.conversations.retrieve(conversation).metadata == {"topic": "coffee"}
    for wrong in ({str(n): "" for n in range(17)}, {"n": 1}, {"n" * 65: ""}, {"n": "ä" * 513}):
        with refused(422):
            client.conversations.update(conversation, metadata=wrong)
    with refused(422):  # nothing that would clear it unasked
        client.post(f"/conversations/{conversation}", body={}, cast_to=object)
    assert client.conversations.retrieve(conversation).metadata == {"topic": "coffee"}
    assert client.conversations.update(conversation, metadata=None).metadata == {}
    assert client.conversations.retrieve(conversation).metadata == {}


def test_conversation_items(client):
    """Items are what the log says: each can be read alone, none is put in or taken out."""
    conversation = client.conversations.create().id
    for words in ("One", "Two"):
        client.responses.create(model="actor", input=f"say {words}", conversation=conversation)
    items = list(client.conversations.items.list(conversation))
    assert len(items) == 4
    for item in items:
        assert client.conversations.items.retrieve(item.id, conversation_id=conversation) == item
    for missing in ("in_3_1", "in_1_2", "msg_x_3", "no"):
        with refused(404):
            client.conversations.items.retrieve(missing, conversation_id=conversation)
    said = [{"type": "message", "role": "user", "content": "Three"}]
    for call in (
        lambda: client.conversations.items.create(conversation, items=said),
        lambda: client.conversations.items.delete(items[0].id, conversation_id=conversation),
    ):
        with refused(405):
            call()
    for given in ({"items": said}, {"metadata": {"topic": "tea"}}):
        with refused(422) as told:
            client.conversations.create(**given)
        assert "begins with its first response" in told.text
    assert list(client.conversations.items.list(conversation)) == items


def test_input_items(client):
    """What was asked, page by page; what was said before is told to the agent."""
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Good day."},
        {"role": "assistant", "content": "Good day to you."},
        {"role": "user", "content": [{"type": "input_text", "text": "task additional_context"}]},
    ]
    made = client.responses.create(model="actor", input=talk, instructions="Be kind.")
    assert json.loads(made.output_text).endswith("system: Be brief.\n\nuser: Good day.\n\nassistant: Good day to you.")
    assert made.instructions == "Be kind."
    page = client.responses.input_items.list(made.id, limit=3)
    assert page.has_more
    words = [item.content[0].text for item in page]
    assert words == ["task additional_context", "Good day to you.", "Good day.", "Be brief."]
    assert [item.content[0].text for item in client.responses.input_items.list(made.id, order="asc")] == words[::-1]
    assert client.responses.delete(made.id) is None
    with refused(404):
        client.responses.retrieve(made.id)


def test_files(client):
    """By data URL, by upload, and by URL."""
    content = b"name,sold\napple,12\n"
    kept = client.files.create(file=("fruit.csv", content), purpose="user_data")
    assert (kept.filename, kept.bytes, client.files.content(kept.id).read()) == ("fruit.csv", len(content), content)
    parts = [
        {"type": "input_text", "text": "say Files: "},
        {"type": "input_file", "filename": "data.csv", "file_data": "data:text/csv;base64," + base64.b64encode(content + b"pear,30\n").decode()},
        {"type": "input_file", "file_id": kept.id},
        {"type": "input_file", "file_url": "http://example.com/far.csv"},
        {"type": "input_image", "image_url": "data:image/png;base64,aGVsbG8=", "detail": "auto"},
    ]
    made = client.responses.create(model="actor", input=[{"role": "user", "content": parts}])
    assert made.output_text == "Files: data.csv fruit.csv far.csv file.png"
    asked = next(iter(client.responses.input_items.list(made.id)))
    assert [part.type for part in asked.content] == ["input_text", "input_file", "input_file", "input_file", "input_image"]
    assert client.files.retrieve(asked.content[1].file_id).filename == "data.csv"
    profile = client.responses.create(model="profile", input=[{"role": "user", "content": parts[1:2]}])
    assert "data.csv" in profile.output_text
    assert kept.id in [f.id for f in client.files.list()]


class Size(pydantic.BaseModel):
    size: int


def test_parse(client):
    """A schema that the result follows."""
    made = client.responses.parse(model="actor", input='say {"size": 7}', text_format=Size)
    assert made.output_parsed == Size(size=7)
    wrong = client.responses.create(model="actor", input="say seven", text={"format": {"type": "json_schema", "name": "s", "schema": Size.model_json_schema()}})
    assert wrong.status == "failed"


def test_approval(client):
    """People are asked between two responses of a turn."""
    asked = client.responses.create(model="actor", input=script("say Let me ask. ", "ask mail", "say Sent"))
    request = asked.output[-1]
    assert (asked.status, request.type) == ("completed", "mcp_approval_request")
    answer = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}
    done = client.responses.create(model="actor", input=[answer], previous_response_id=asked.id)
    assert (done.id, done.output_text) == (asked.id + ".1", "Let me ask. Sent")
    assert client.responses.create(model="actor", input=[answer], previous_response_id=asked.id) == done
    with refused(409):
        client.responses.create(model="actor", input=[answer | {"approve": False}])
    assert client.responses.retrieve(asked.id) == asked
    assert [e.type for e in client.responses.retrieve(done.id, stream=True)][-1] == "response.completed"


def test_approvals(client, server):
    """An agent that waits for the first of several answers asks again what nobody has answered."""
    server.apply_agent("several")
    first = client.responses.create(model="several", input="Hm", background=True)
    attempt = Attempt(server, "several")
    names = [attempt.ask(key=key, kind="approval", message="May I?", stay=True) for key in ("mail", "call")]
    attempt.call("wait", approvals=names, any=True)
    asked = until(lambda: over(client, first.id), "it asks").output
    assert [item.id for item in asked] == [f"mcpr_{name}" for name in names]
    server.call("POST", f"/v1/approvals/{names[0]}/answer", {"answer": "approve"})
    attempt = Attempt(server, "several")
    attempt.call("wait", approvals=names[1:], any=True)
    again = until(lambda: over(client, first.id + ".1"), "it asks again").output
    assert again == asked[1:]
    answers = [{"type": "mcp_approval_response", "approval_request_id": item.id, "approve": True} for item in asked]
    done = client.responses.create(model="several", input=answers, background=True)
    Attempt(server, "several").finish("Sent")
    assert until(lambda: over(client, done.id), "it ends").output_text == "Sent"
    assert done.id == first.id + ".2"
    items = client.conversations.items.list("conv_" + first.id.split("_")[1], order="asc").data
    assert [item.id for item in items[1:]] == [item.id for item in asked] + [client.responses.retrieve(done.id).output[0].id]


@contextlib.contextmanager
def refused(status):
    """What a client raises for a status, and its text."""
    told = types.SimpleNamespace()
    with pytest.raises(openai.APIStatusError) as raised:
        yield told
    told.text, told.error = str(raised.value), raised.value
    assert raised.value.status_code == status, told.text


def test_refusals(client, server):
    """What is wrong is told, once: no client repeats what no repeat mends."""
    with Tap(server) as tap:
        tapped = openai.OpenAI(base_url=f"{tap.url}/openai/v1", api_key=server.key)
        for status, words, call in (
            (404, "no-such", lambda: tapped.responses.create(model="no-such", input="Hm")),
            (422, "input: must", lambda: tapped.responses.create(model="actor", input=[])),
            (422, "input[0].content[0].type", lambda: tapped.responses.create(model="actor", input=[{"role": "user", "content": [{"type": "input_audio"}]}])),
            (422, "file_data: must be a data URL", lambda: tapped.responses.create(model="actor", input=file_of("apple"))),
            (422, "is not valid base64", lambda: tapped.responses.create(model="actor", input=file_of("data:text/csv;base64,*"))),
            (422, "tools[0].type", lambda: tapped.responses.create(model="actor", input="Hm", tools=[{"type": "web_search"}])),
            (404, "no response", lambda: tapped.responses.create(model="actor", input="Hm", previous_response_id="resp_none_1")),
            (404, "no response", lambda: tapped.responses.retrieve("resp_none_1")),
            (404, "no response", lambda: tapped.responses.retrieve("resp_x")),
            (404, "there is no", lambda: tapped.chat.completions.create(model="actor", messages=[])),
            (422, "limit", lambda: tapped.responses.input_items.list(tapped.responses.create(model="actor", input="say Hm").id, limit=1000)),
            (401, "key", lambda: tapped.with_options(api_key="wrong").responses.create(model="actor", input="Hm")),
        ):
            with refused(status) as told:
                call()
            assert words in told.text, told.text
            assert told.error.body["message"], told.text
        hold = Hold(server)
        busy = client.responses.create(model="actor", input=str(hold), background=True)
        before = tap.connections()
        with refused(409):
            tapped.responses.create(model="actor", input="say Hm", previous_response_id=busy.id)
        assert tap.connections() - before == 1, "one request for a 409"
        hold.go()


def file_of(data):
    return [{"role": "user", "content": [{"type": "input_file", "filename": "a.csv", "file_data": data}]}]


def test_others(client, other_key):
    """What is of another organization is not there."""
    made = client.responses.create(model="actor", input="say Mine")
    kept = client.files.create(file=("mine.csv", b"a\n1\n"), purpose="user_data")
    other = client.with_options(api_key=other_key)
    for call in (
        lambda: other.responses.retrieve(made.id),
        lambda: other.responses.retrieve(made.id, stream=True),
        lambda: other.responses.cancel(made.id),
        lambda: other.responses.delete(made.id),
        lambda: other.responses.input_items.list(made.id),
        lambda: other.responses.create(model="actor", input="Hm", previous_response_id=made.id),
        lambda: other.conversations.retrieve("conv_" + made.id.split("_")[1]),
        lambda: other.conversations.update("conv_" + made.id.split("_")[1], metadata={}),
        lambda: other.conversations.items.retrieve("in_1_1", conversation_id="conv_" + made.id.split("_")[1]),
        lambda: other.files.retrieve(kept.id),
        lambda: other.files.delete(kept.id),
        lambda: other.models.retrieve("actor"),
    ):
        with refused(404):
            call()
    assert "actor" not in [m.id for m in other.models.list()]
    assert "actor" in [m.id for m in client.models.list()]


def test_stream_cut(client, server):
    """A stream that breaks in the middle raises, and goes on behind what was seen."""
    hold = Hold(server)
    with Tap(server) as tap:
        tapped = client.with_options(base_url=f"{tap.url}/openai/v1")
        seen = []
        with pytest.raises(openai.APIConnectionError):
            for event in tapped.responses.create(model="actor", input=script("say Hello, ", hold, "say world"), stream=True):
                seen.append(event)
                if event.type == "response.output_text.delta":
                    tap.drop()
        assert seen[-1].type == "response.output_text.delta"
        hold.go()
        name, last = seen[0].response.id, seen[-1].sequence_number
        seen += tapped.responses.retrieve(name, stream=True, starting_after=last)
        assert seen[-1].response.output_text == "Hello, world"
        assert seen == list(client.responses.retrieve(name, stream=True))
        assert tap.connections() == 1


def test_javascript_cut(javascript, server):
    """A stream that breaks in the middle raises in JavaScript, too, and goes on."""
    hold, spoken = Hold(server), threading.Event()

    def cut(piece):
        if spoken.is_set():
            return True
        if b"output_text.delta" in piece:
            spoken.set()
            hold.go()
        return False

    with Tap(server) as tap:
        tap.cut = cut
        told = javascript("cut", tap.url, then=server.url, model="actor", input=script("say Hello, ", hold, "say world"))
        assert told["raised"], told
        assert (told["before"], told["text"], told["last"]) == ("Hello, ", "Hello, world", "response.completed")
        assert tap.connections() == 1


def test_on_disconnect(client, server):
    """Who goes away stops nothing, unless the URL says so."""
    for query, status in (({}, "executing"), ({"on_disconnect": "stop"}, "stopped")):
        events = client.responses.create(model="actor", input="wait never", stream=True, extra_query=query)
        task = next(iter(events)).response.id.split("_")[1]
        until(lambda: server.task(task)["status"] == "executing", "it runs")
        events.close()
        if query:
            until(lambda: server.task(task)["status"] == "stopped", "it is stopped")
        assert server.task(task)["status"] == status
        server.call("POST", f"/openai/v1/responses/resp_{task}_1/cancel")
    waiting, words = client.with_options(max_retries=0, timeout=1), "wait for nobody"
    with pytest.raises(openai.APITimeoutError):
        waiting.responses.create(model="actor", input=words, extra_query={"on_disconnect": "stop"})

    def stopped():
        found = server.call("GET", "/v1/tasks?status=stopped")["items"]
        return words in [server.call("GET", f"/v1/tasks/{task['id']}")["input"]["text"] for task in found]

    until(stopped, "it is stopped")
    with refused(422):
        client.responses.create(model="actor", input="say Hm", extra_query={"on_disconnect": "go"})


def test_killed_in_stream(tmp_path):
    """A stream goes on after the server was killed; what the lost attempt has said is no part of the answer."""
    with serve(tmp_path) as server:
        agents(server, lease_seconds=1)
        hold, client, seen = Hold(server), client_of(server), []
        with pytest.raises(openai.APIConnectionError):
            for event in client.responses.create(model="actor", input=script("say Hello, ", hold, "say world"), stream=True):
                seen.append(event)
                if event.type == "response.output_text.delta":
                    server.kill()
        hold.go()
        server.start()
        name = seen[0].response.id
        rest = list(client.responses.retrieve(name, stream=True, starting_after=seen[-1].sequence_number))
        whole = rest[-1].response
        assert (whole.status, whole.output_text, len(whole.output)) == ("completed", "Hello, world", 1)
        half = next(e.item for e in rest if e.type == "response.output_item.done")
        assert (half.status, half.content[0].text) == ("incomplete", "Hello, ")
        assert client.responses.retrieve(name) == whole
        assert list(client.responses.retrieve(name, stream=True)) == seen + rest
        with client.responses.stream(response_id=name, starting_after=0) as events:
            assert events.get_final_response().output_text == "Hello, world"


@pytest.mark.parametrize("how", ["waiting", "stream", "killed", "javascript", "long"])
def test_answer_lost(tmp_path_factory, javascript, how):
    """A create whose answer is lost twice is one task, and its client has the result."""
    with serve(tmp_path_factory.mktemp(how), *(["--keep-alive=100ms"] if how == "long" else [])) as server, Tap(server) as tap:
        agents(server, lease_seconds=1)
        hold, client = Hold(server), client_of(server)
        prompt = script(hold, "say Done")
        other = client.responses.create(model="actor", input=prompt, background=True)  # whose answer has arrived
        tapped = openai.OpenAI(base_url=f"{tap.url}/openai/v1", api_key=server.key)
        if how == "stream":
            tap.cut = lambda piece: piece.startswith(b"HTTP/1.1 200") and tap.connections() < 3
        answer, idle = [], []
        if how == "long":
            tap.cut = lambda piece: idle.append(piece.count(b"1\r\n\n\r\n"))  # cuts nothing

        def ask_once():
            if how == "javascript":
                answer.append(types.SimpleNamespace(**javascript("create", tap.url, server.key, model="actor", input=prompt)))
            else:
                answer.append(ask(tapped, prompt, how == "stream"))

        asking = threading.Thread(target=ask_once)
        asking.start()
        for times in (1, 2):
            until(lambda: tap.connections() == times, f"it asks {times} times")
            until(lambda: len(tasks(server)) == 2, "the task is there")
            until(lambda: how != "long" or sum(idle) >= times, "it is told that it waits")
            if how == "killed" and times == 1:
                server.kill()
                server.start()
            elif how != "stream":
                tap.drop()
        until(lambda: tap.connections() == 3 or how == "killed", "it asks again")
        hold.go()
        asking.join()
        assert "Done" in (answer[0].text if how == "javascript" else answer[0].output_text)
        assert len(tasks(server)) == 2
        assert answer[0].id != other.id


def ask(client, prompt, stream):
    if not stream:
        return client.responses.create(model="actor", input=prompt)
    with client.responses.stream(model="actor", input=prompt) as events:
        return events.get_final_response()


def tasks(server):
    return server.call("GET", "/v1/tasks?per_page=50")["items"]


def test_key(client, server):
    """An idempotency key makes a repeat the same response, also when another turn has followed."""
    key = {"Idempotency-Key": secrets.token_hex(8)}
    made = client.responses.create(model="actor", input="say One", extra_headers=key)
    client.responses.create(model="actor", input="say Two", previous_response_id=made.id)
    assert client.responses.create(model="actor", input="say One", extra_headers=key) == made
    with refused(409):
        client.responses.create(model="actor", input="say Other", extra_headers=key)


@pytest.fixture
def javascript(server, modules):
    """Runs a scenario of responses.mjs."""

    def run(what, url=server.url, key=server.key, **given):
        scenario = {"SCENARIO": json.dumps([url, key, what, given]), "PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(["node", "--input-type=module"], cwd=modules, env=scenario, stdin=SCENARIOS.open(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_javascript(javascript, server):
    """OpenAI's client for JavaScript."""
    prompt = script("think Hm.", "tool add", "say Hello, ", "say world")
    made = javascript("create", model="actor", input=prompt)
    assert (made["status"], made["text"], made["types"]) == ("completed", "Hello, world", ["reasoning", "mcp_call", "message"])
    assert javascript("stream", model="actor", input=prompt) == {"same": True, "rest": True, "text": "Hello, world", "later": "Hello, world"}
    told = javascript("more", model="actor", input=[{"role": "user", "content": "Good day."}, {"role": "user", "content": "say One"}])
    models, refusal = told.pop("models"), told.pop("refusal")
    assert told == {
        "first": "One", "parsed": {"size": 7}, "next": "Two", "items": ["say One", "Good day."], "stopped": "cancelled", "named": "js.csv",
    }  # fmt: skip
    assert {"actor", "profile"} <= set(models)
    assert refusal.startswith("404")
    assert javascript("converse", model="actor", input="say Hello") == {
        "text": "Hello", "metadata": {"topic": "tea"}, "same": True, "said": ["Hello", "say Hello"], "one": "Hello", "refusals": [405, 405], "deleted": True,
    }  # fmt: skip


def test_ai_sdk(javascript, server):
    """The AI SDK by its provider for OpenAI."""
    prompt = script("think Hm.", "tool add", "say Hello, ", "say world")
    assert javascript("generate", model="actor", prompt=prompt) == {"text": "Hello, world", "finish": "stop", "reasoning": "Hm.", "steps": 1}
    told = javascript("streamed", model="actor", prompt=prompt)
    assert (told["text"], told["finish"]) == ("Hello, world", "stop")
    assert {"reasoning-delta", "tool-call", "tool-result", "text-delta"} <= set(told["types"])
    for failing, why in ((script("say Half", "fail Out of paper"), "Out of paper"), (script("say Half", STOPPED), "stopped")):
        with stopping_all(server, STOPPED):
            assert why in javascript("generate", model="actor", prompt=failing)["raised"]
        with stopping_all(server, STOPPED):
            told = javascript("streamed", model="actor", prompt=failing)
        assert told["finish"] != "stop", told
        assert "error" in told["types"] or told["finish"] in ("error", "other"), told


WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}, "strict": False}


def test_callers_tools(client):
    """A response ends with calls of the caller's tools; what came of them begins the next."""
    asked = client.responses.create(model="forecaster", input="How is it in Ely?", tools=[WEATHER])
    (call,) = asked.output
    assert (asked.status, call.type, call.name, json.loads(call.arguments)) == ("completed", "function_call", "weather", {"city": "Ely"})
    assert (asked.usage.input_tokens, asked.usage.total_tokens) == (5, 12)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    done = client.responses.create(model="forecaster", input=[result], previous_response_id=asked.id, tools=[WEATHER])
    assert done.output_text == "They say: rain."
    history = [{"role": "user", "content": "How is it in Ely?"}, call.model_dump(), result]
    with refused(409) as told:  # it was answered before
        client.responses.create(model="forecaster", input=history, tools=[WEATHER])
    assert "not its last" in told.text
    asked = client.responses.create(model="forecaster", input="How is it in Ely?", tools=[WEATHER])
    history[1:] = [asked.output[0].model_dump(), result | {"call_id": asked.output[0].call_id}]
    assert client.responses.create(model="forecaster", input=history, tools=[WEATHER]).output_text == "They say: rain."
    with refused(422) as told:
        client.responses.create(model="forecaster", input=[result | {"call_id": "call_x"}])
    assert "input[0].call_id" in told.text
    with refused(422) as told:
        client.responses.create(model="actor", input="Hm", tools=[WEATHER])
    assert "runtime model" in told.text


def test_ai_sdk_chat(javascript):
    """The AI SDK sends what the agent has said as references."""
    assert "assistant: Good day to you." in javascript("chat")


def test_references(client):
    """Of references to what an agent has said, as many bytes are taken as of the words themselves."""
    made = client.responses.create(model="actor", input=script("say Good day.", "ask mail", "say " + "x" * 100_000))
    answer = {"type": "mcp_approval_response", "approval_request_id": made.output[-1].id, "approve": True}
    long = client.responses.create(model="actor", input=[answer])
    short, long = ({"type": "item_reference", "id": x.output[0].id} for x in (made, long))
    prompt = {"role": "user", "content": "task additional_context"}
    told = client.responses.create(model="actor", input=[short, long, short, prompt]).output_text
    assert [told.count(words) for words in ("Good day.", "assistant: Good day.x", "xxxx" * 20_000)] == [3, 1, 1]
    for status, many in ((413, [long] * 30), (413, [short | {"id": f"msg_x_{n}"} for n in range(1001)]), (404, [short | {"id": "msg_x_1"}])):
        with refused(status) as refusal:
            client.responses.create(model="actor", input=[*many, prompt])
        assert "input" in refusal.text


def test_ai_sdk_tools(javascript):
    told = javascript("generate", model="forecaster", prompt="How is it in Ely?", tool=True)
    assert (told.get("text"), told.get("steps")) == ("They say: rain in Ely.", 2), told


@pytest.fixture
def framework(server, monkeypatch):
    """What the frameworks read of a client's address and key."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/openai/v1")
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")
    return server


def test_agents(framework):
    """openai-agents: an answer, live and not, a tool of its own, a thread, and no half answer."""

    @agents_sdk.function_tool
    def weather(city: str) -> str:
        """Tells the weather."""
        return f"rain in {city}"

    async def all_of_it():
        prompt = script("think Hm.", "tool add", "say Hello, ", "say world")
        actor = agents_sdk.Agent(name="A", model="actor")
        done = await agents_sdk.Runner.run(actor, prompt)
        assert done.final_output == "Hello, world"
        live = agents_sdk.Runner.run_streamed(actor, prompt)
        deltas = [e.data.delta async for e in live.stream_events() if e.type == "raw_response_event" and e.data.type == "response.output_text.delta"]
        assert ("".join(deltas), live.final_output) == ("Hello, world", "Hello, world")
        next_turn = await agents_sdk.Runner.run(actor, "say Two", previous_response_id=done.last_response_id)
        assert next_turn.last_response_id == done.last_response_id.removesuffix("1") + "2"
        with_history = await agents_sdk.Runner.run(actor, [*done.to_input_list(), {"role": "user", "content": "task additional_context"}])
        assert "assistant: Hello, world" in with_history.final_output
        forecaster = agents_sdk.Agent(name="F", model="forecaster", tools=[weather])
        assert (await agents_sdk.Runner.run(forecaster, "How is it in Ely?")).final_output == "They say: rain in Ely."
        for failing in (script("say Half", "fail Out of paper"), script("say Half", STOPPED)):
            with stopping_all(framework, STOPPED), pytest.raises(Exception, match="Out of paper|stopped|failed"):
                print((await agents_sdk.Runner.run(actor, failing)).final_output)
            with stopping_all(framework, STOPPED), pytest.raises(Exception, match="Out of paper|stopped|failed"):
                live = agents_sdk.Runner.run_streamed(actor, failing)
                async for _ in live.stream_events():
                    pass
                print(live.final_output)

    asyncio.run(all_of_it())


def test_langchain(framework):
    """LangChain: an answer, live and not, a tool of its own, a schema, and no half answer."""
    prompt = script("think Hm.", "tool add", "say Hello, ", "say world")
    actor = langchain_openai.ChatOpenAI(model="actor", use_responses_api=True, streaming=False)
    assert actor.invoke(prompt).text == "Hello, world"
    assert "".join(chunk.text for chunk in actor.stream(prompt)) == "Hello, world"
    assert actor.with_structured_output(Size).invoke('say {"size": 7}') == Size(size=7)
    forecaster = langchain_openai.ChatOpenAI(model="forecaster", use_responses_api=True).bind_tools([WEATHER])
    asked = forecaster.invoke("How is it in Ely?")
    (call,) = asked.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Ely"})
    done = forecaster.invoke([("user", "How is it in Ely?"), asked, {"role": "tool", "content": "rain", "tool_call_id": call["id"]}])
    assert done.text == "They say: rain."
    for failing in (script("say Half", "fail Out of paper"), script("say Half", STOPPED)):
        with stopping_all(framework, STOPPED), pytest.raises(Exception, match="Out of paper|stopped"):
            print(actor.invoke(failing))
        with stopping_all(framework, STOPPED), pytest.raises(Exception, match="Out of paper|stopped"):
            print([chunk.text for chunk in actor.stream(failing)])


SECTION = (ROOT / "docs" / "FRONTS.md").read_text().partition("\n## OpenAI Responses\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(("language", "snippet"), re.findall(r"```(python|js)\n(.*?)```", SECTION, re.DOTALL))
def test_document(server, modules, language, snippet):
    """What docs/FRONTS.md shows runs as it stands there."""
    snippet = snippet.replace("http://127.0.0.1:4747", server.url)
    before, command = {"python": ("KEY = ", [sys.executable, "-"]), "js": ("const KEY = ", ["node", "--input-type=module"])}[language]
    done = subprocess.run(
        command, input=f"{before}{json.dumps(server.key)}\n{snippet}", cwd=modules, env={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert any(words in done.stdout for words in ("Data profile", "They say: rain in Ely.", "I have no tools.")), done.stdout
