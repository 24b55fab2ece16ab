"""One turn, seen at once through every protocol: cut at each event and taken up again, all of them say the same."""

import http.client
import json
import secrets
import threading
from urllib.parse import urlsplit

import pytest
from hands import Hold, script
from parts import until


class Stream:
    """The events of a stream, as (id, data)."""

    def __init__(self, server, method, path, body=None, **headers):
        address = urlsplit(server.url)
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        headers = {"Authorization": f"Bearer {server.key}", "Accept": "text/event-stream", "Content-Type": "application/json"} | headers
        self.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, self.answer.read()

    def __iter__(self):
        number = None
        for line in self.answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                number = value
            elif name == "data" and value != "[DONE]":
                yield number, json.loads(value)

    def close(self):
        self.connection.close()


class V1:
    """The log itself."""

    def __init__(self, server, task):
        self.server, self.path = server, f"/v1/tasks/{task}/events"

    def open(self, after=()):
        return Stream(self.server, "GET", self.path, **({"Last-Event-ID": after[-1][0]} if after else {}))

    def joined(self, seen, more):
        return seen + more

    def text(self, events):
        return "".join(e["data"] for _, e in events if e["type"] == "chunk")

    def end(self, events):
        return next(e["data"]["status"] for _, e in events if e["type"] == "task_finished")


class Replays:
    """A protocol without cursors: who comes again is told all of it."""

    def joined(self, seen, more):
        before, again = ([e for e in part if e[1].get("type") != "MESSAGES_SNAPSHOT"] for part in (seen, more))
        assert again[: len(before)] == before, "it is told otherwise"
        return again


class Python(Replays):
    """The Python client's wire."""

    def __init__(self, server, task):
        self.server, self.path = server, f"/agent-execution/{task}/events"

    def open(self, after=()):
        return Stream(self.server, "GET", self.path, **{"x-api-key": self.server.key})

    def text(self, events):
        return "".join(e["data"] for _, e in events if e["type"] == "chunk")

    def end(self, events):
        return events[-1][1]["data"]["status"]


class AGUI(Replays):
    def __init__(self, server, task, agent="actor", *, run, message):
        self.server, self.path = server, f"/agui/agents/{agent}"
        self.body = {"threadId": task, "runId": run, "protocolVersion": "1.0", "state": {}, "messages": [message], "tools": [], "context": [], "forwardedProps": {}}

    def open(self, after=()):
        return Stream(self.server, "POST", self.path, self.body)

    def text(self, events):
        return "".join(e["delta"] for _, e in events if e["type"] == "TEXT_MESSAGE_CONTENT")

    def end(self, events):
        assert [e["type"] for _, e in events if e["type"].startswith("RUN_")] == ["RUN_STARTED", "RUN_FINISHED"]
        return {"success": "completed", "cancelled": "stopped"}[events[-1][1]["outcome"]["type"]]


class AISDK(Replays):
    def __init__(self, server, task, agent="actor"):
        self.server, self.path = server, f"/aisdk/agents/{agent}/chat/{task}/stream"

    def open(self, after=()):
        return Stream(self.server, "GET", self.path)

    def text(self, events):
        return "".join(e["delta"] for _, e in events if e["type"] == "text-delta")

    def end(self, events):
        assert [e["type"] for _, e in events if e["type"] in ("start", "finish")] == ["start", "finish"]
        return events[-1][1]["messageMetadata"]["status"]


class Responses:
    def __init__(self, server, task):
        self.server, self.path = server, f"/openai/v1/responses/resp_{task}_1?stream=true"

    def open(self, after=()):
        return Stream(self.server, "GET", self.path + (f"&starting_after={after[-1][1]['sequence_number']}" if after else ""))

    def joined(self, seen, more):
        return seen + more

    def text(self, events):
        return "".join(e["delta"] for _, e in events if e["type"] == "response.output_text.delta")

    def end(self, events):
        return events[-1][1]["response"]["status"]


class A2A:
    SEQUENCE = "urn:errand:a2a:sequence:1"

    def __init__(self, server, task, agent="actor"):
        self.server, self.path, self.task = server, f"/a2a/{agent}", f"{task}~1"

    def open(self, after=()):
        call = {"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": self.task}}
        return Stream(
            self.server, "POST", self.path, call,
            **{"A2A-Version": "1.0", "A2A-Extensions": self.SEQUENCE, "Last-Event-ID": after[-1][0] if after else "0"},
        )  # fmt: skip

    def joined(self, seen, more):
        return seen + more

    def text(self, events):
        pieces = []
        for _, event in events:
            update = event["result"].get("artifactUpdate")
            if update and update["artifact"]["artifactId"] == "result":
                words = "".join(part.get("text", "") for part in update["artifact"]["parts"])
                pieces = [*pieces, words] if update.get("append") else [words]
        return "".join(pieces)

    def end(self, events):
        return events[-1][1]["result"]["statusUpdate"]["status"]["state"].removeprefix("TASK_STATE_").lower()


def told_by_mcp(server, task):
    """What the MCP server says of it."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_task", "arguments": {"task_id": task}}}
    accept = "application/json, text/event-stream"
    answer = Stream(server, "POST", "/mcp", call, **{"Accept": accept, "MCP-Protocol-Version": "2025-06-18"}).answer.read().decode()
    assert '"isError":true' not in answer
    return answer


class Viewer(threading.Thread):
    """Sees some events, is cut, and sees the rest."""

    def __init__(self, face, cut):
        super().__init__(daemon=True)
        self.face, self.cut, self.whole, self.error = face, cut, None, None
        self.here = threading.Event()

    def run(self):
        try:
            seen = []
            if self.cut:
                stream = self.face.open()
                for event in stream:
                    seen.append(event)
                    if len(seen) == self.cut:
                        break
                stream.close()
            stream = self.face.open(seen)
            self.here.set()
            self.whole = self.face.joined(seen, list(stream))
        except BaseException as error:  # noqa: BLE001
            self.error = error
        self.here.set()


@pytest.mark.parametrize("stopped", [False, True])
def test_the_same_everywhere(server, stopped):
    hold, task = Hold(server), secrets.token_hex(8)
    prompt = script("think Hm.", "tool add", "say Hello, ", "say dear ", hold, "say world", "say !")
    message = {"id": "m1", "role": "user", "content": prompt}
    first = AGUI(server, task, run="r1", message=message)
    begun = first.open()
    until(lambda: sum(e["type"] == "chunk" for e in server.events(task)) == 2, "half of it is said")
    faces = [V1(server, task), Python(server, task), first, AISDK(server, task), Responses(server, task), A2A(server, task)]
    viewers = []
    for face in faces:
        half, stream = 0, face.open()
        for _, event in stream:  # what there is until the actor waits
            half += 1
            if "dear " in json.dumps(event):
                break
        stream.close()
        viewers += [Viewer(face, cut) for cut in range(half + 1)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        assert viewer.here.wait(60)
    if stopped:
        server.call("POST", f"/v1/tasks/{task}/stop")
    hold.go()
    for viewer in viewers:
        viewer.join(60)
        assert viewer.error is None, f"{type(viewer.face).__name__} cut at {viewer.cut}: {viewer.error!r}"
    result = "Hello, dear " if stopped else server.task(task)["result"]
    for face in faces:
        mine = [v for v in viewers if v.face is face]
        assert all(v.whole == mine[0].whole for v in mine), f"{type(face).__name__}: not the same after a cut"
        assert (face.text(mine[0].whole), face.end(mine[0].whole)) in [
            (result, "stopped" if stopped else "completed"),
            (result, "canceled" if stopped else "completed"),
            (result, "cancelled" if stopped else "completed"),
        ], type(face).__name__
    assert first.joined([], list(begun)) == next(v.whole for v in viewers if v.face is first)
    assert server.task(task)["turn"] == 1
    assert stopped or result in told_by_mcp(server, task)
