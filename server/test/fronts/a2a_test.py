"""A2A 1.0 with its released clients (docs/FRONTS.md)."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import snippets
from a2a.client import A2AClientError, ClientCallContext, ClientConfig, create_client
from a2a.types import a2a_pb2 as a2a
from a2a.utils import errors
from google.protobuf import json_format
from conftest import HERE
from hands import Hold, script, shown

SEQUENCE = "urn:errand:a2a:sequence:1"
State = a2a.TaskState


@contextlib.asynccontextmanager
async def client_of(server, binding="JSONRPC", agent="actor", key=None, **config):
    """The client as it is by default, with a key."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key or server.key}"}) as http:
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding], use_client_preference=True, **config)
        async with await create_client(f"{server.url}/a2a/{agent}", config) as client:
            yield client


def message(words, number=None, **more):
    return a2a.SendMessageRequest(
        message=a2a.Message(message_id=number or f"m-{time.monotonic_ns()}", role=a2a.Role.ROLE_USER, parts=[a2a.Part(text=words)], **more)
    )


def told(update):
    """An update in a few words."""
    match update.WhichOneof("payload"):
        case "task":
            return State.Name(update.task.status.state)
        case "status_update":
            return State.Name(update.status_update.status.state)
        case "artifact_update":
            x = update.artifact_update
            return ("+" if x.append else "") + "".join(part.text for part in x.artifact.parts)


def number(update):
    """The number of an update by the extension."""
    return getattr(update, update.WhichOneof("payload")).metadata[SEQUENCE]["seq"]


async def all_of(updates):
    return [update async for update in updates]


def text(task):
    return "".join(part.text for artifact in task.artifacts for part in artifact.parts)


@pytest.fixture(params=["JSONRPC", "HTTP+JSON"])
def binding(request):
    return request.param


def test_hello(server, binding):
    """A message is answered by its task, and the same message by the same task."""

    async def talk():
        async with client_of(server, binding, streaming=False) as client:
            asked = message("say Hello", context_id=f"hello-{binding[:4]}")
            (first,) = await all_of(client.send_message(asked))
            assert (told(first), text(first.task), first.task.context_id) == ("TASK_STATE_COMPLETED", "Hello", asked.message.context_id)
            assert await all_of(client.send_message(asked)) == [first]
            assert await client.get_task(a2a.GetTaskRequest(id=first.task.id)) == first.task
            (second,) = await all_of(client.send_message(message("fail No", context_id=first.task.context_id)))
            assert (told(second), second.task.context_id) == ("TASK_STATE_FAILED", first.task.context_id)
            assert "No" in second.task.status.message.parts[0].text
            pages, token = [], ""
            while not pages or token:
                page = await client.list_tasks(a2a.ListTasksRequest(context_id=first.task.context_id, page_size=1, page_token=token))
                pages.append([task.id for task in page.tasks])
                token = page.next_page_token
            assert pages == [[second.task.id], [first.task.id]]

    asyncio.run(talk())


def test_stream(server, binding):
    """A stream is live, and goes on behind each of its updates, also when its task has ended."""

    async def talk():
        async with client_of(server, binding) as client:
            hold, seen = Hold(server), []
            async for update in client.send_message(message(script("say Hello, ", hold, "say world"))):
                seen.append(update)
                if told(update) == "Hello, ":
                    hold.go()
            assert [told(u) for u in seen] == [
                "TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "Hello, ", "+world", "Hello, world", "TASK_STATE_COMPLETED",
            ]  # fmt: skip
            again = a2a.SubscribeToTaskRequest(id=seen[0].task.id)
            for i, update in enumerate(seen):
                context = ClientCallContext(service_parameters={"A2A-Extensions": SEQUENCE, "Last-Event-ID": number(update)})
                assert await all_of(client.subscribe(again, context=context)) == seen[i + 1 :]
            with pytest.raises(errors.UnsupportedOperationError):
                await all_of(client.subscribe(again))

    asyncio.run(talk())


def test_silence(server):
    """Clients that give up after 5 s of silence do not: neither a stream nor an answer that is waited for is silent."""

    async def send(binding, streaming, hold):
        async with client_of(server, binding, streaming=streaming) as client:
            return [told(u) for u in await all_of(client.send_message(message(script(hold, "say Late"))))][-1]

    async def talk():
        hold = Hold(server)
        ends = asyncio.gather(*(send(b, s, hold) for b in ("JSONRPC", "HTTP+JSON") for s in (True, False)))
        await asyncio.sleep(6)  # longer than the clients' patience
        hold.go()
        assert await ends == ["TASK_STATE_COMPLETED"] * 4

    asyncio.run(talk())


def test_question(server, binding):
    """What the agent asks is answered by a message of the same task."""

    async def talk():
        async with client_of(server, binding) as client:
            asked = await all_of(client.send_message(message(script("ask pay", "say Paid"))))
            assert told(asked[-1]) == "TASK_STATE_AUTH_REQUIRED"
            task = asked[0].task
            rest = await all_of(client.send_message(message("yes", task_id=task.id, context_id=task.context_id)))
            assert told(rest[0]) in ("TASK_STATE_WORKING", "TASK_STATE_COMPLETED")
            assert told(rest[-1]) == "TASK_STATE_COMPLETED"
            assert text(await client.get_task(a2a.GetTaskRequest(id=task.id))) == "Paid"

    asyncio.run(talk())


def test_files(server):
    """Bytes in a message are a file of the task."""

    async def talk():
        async with client_of(server, agent="profile") as client:
            asked = message("What is in it?")
            asked.message.parts.append(a2a.Part(raw=b"name,sold\napple,12\n", filename="sales.csv", media_type="text/csv"))
            last = (await all_of(client.send_message(asked)))[-1]
            assert told(last) == "TASK_STATE_COMPLETED"
            task = await client.get_task(a2a.GetTaskRequest(id=last.status_update.task_id))
            assert "sales.csv" in text(task)
            assert "sold" in text(task)

    asyncio.run(talk())


def test_cancel(server, binding):
    """A stop is one for all who look at the task."""

    async def talk():
        async with client_of(server, binding) as client:
            states, task = [], None
            async for update in client.send_message(message(str(Hold(server)))):
                task = task or update.task
                states.append(told(update))
                if states[-1] == "TASK_STATE_WORKING":
                    assert (await client.cancel_task(a2a.CancelTaskRequest(id=task.id))).status.state == State.TASK_STATE_CANCELED
            assert states == ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "TASK_STATE_CANCELED"]
            with pytest.raises(errors.TaskNotCancelableError):
                await client.cancel_task(a2a.CancelTaskRequest(id=task.id))

    asyncio.run(talk())


def test_refusals(server, binding):
    """What is refused is an error of the right kind, also to one who wants a stream."""

    async def talk():
        async with client_of(server, binding) as client:
            with pytest.raises(errors.TaskNotFoundError):
                await client.get_task(a2a.GetTaskRequest(id="nobody~1"))
            with pytest.raises(errors.TaskNotFoundError):
                await all_of(client.subscribe(a2a.SubscribeToTaskRequest(id="nobody~1")))
            with pytest.raises(errors.InvalidParamsError):
                await all_of(client.send_message(message("x", context_id="no id")))
            with pytest.raises(errors.TaskNotFoundError):
                await client.create_task_push_notification_config(a2a.TaskPushNotificationConfig(task_id="nobody~1", url="http://127.0.0.1:1"))
        with pytest.raises(A2AClientError):
            async with client_of(server, binding, key="none"):
                pass

    asyncio.run(talk())


def test_kill(own, binding):
    """A server that is killed in mid-stream and in mid-answer: the same message again finds its task, and nothing is lost."""

    async def talk(server):
        hold = Hold(server)
        streamed, waited = message(script("say Hello, ", hold, "say world"), "streamed"), message(str(hold), "waited")
        seen = []
        async with client_of(server, binding) as client, client_of(server, binding, streaming=False) as patient:
            answer = asyncio.ensure_future(all_of(patient.send_message(waited)))
            with pytest.raises(Exception):  # noqa: B017  each transport has its own
                async for update in client.send_message(streamed):
                    seen.append(update)
                    if told(update) == "Hello, ":
                        while len((await patient.list_tasks(a2a.ListTasksRequest())).tasks) < 2:
                            await asyncio.sleep(0.02)
                        server.kill()
            with pytest.raises(Exception):  # noqa: B017
                await answer
            server.start()
            hold.go()
            context = ClientCallContext(service_parameters={"A2A-Extensions": SEQUENCE, "Last-Event-ID": number(seen[-1])})
            seen += await all_of(client.subscribe(a2a.SubscribeToTaskRequest(id=seen[0].task.id), context=context))
            assert [told(u) for u in seen if u.WhichOneof("payload") == "artifact_update"][-2:] == ["+world", "Hello, world"]
            numbers = [float(number(u)) for u in seen]
            assert numbers == sorted(set(numbers))
            (again,) = await all_of(patient.send_message(waited))
            assert told(again) == "TASK_STATE_COMPLETED"
            assert len((await client.list_tasks(a2a.ListTasksRequest())).tasks) == 2

    asyncio.run(talk(own))


@contextlib.contextmanager
def receiver(refuses):
    """An address that is posted to, which refuses at first, and what was taken there."""
    taken = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            nonlocal refuses
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            shown = [self.headers[name] for name in ("authorization", "x-a2a-notification-token", "a2a-notification-token")]
            taken_now = refuses == 0 and shown == ["Bearer secret", "token", "token"]
            refuses = max(0, refuses - 1)
            if taken_now:
                taken.append(json_format.ParseDict(body, a2a.StreamResponse()))
            self.send_response(204 if taken_now else 503)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_port}/", taken
        listener.shutdown()


def test_push(server, binding):
    """What is posted is the stream, each update once it is taken."""

    async def talk(url, taken):
        async with client_of(server, binding) as client:
            asked = message("say Hello")
            config = a2a.TaskPushNotificationConfig(id="hook", url=url, token="token")
            config.authentication.MergeFrom(a2a.AuthenticationInfo(scheme="Bearer", credentials="secret"))
            asked.configuration.task_push_notification_config.CopyFrom(config)
            stream = await all_of(client.send_message(asked))
            task = stream[0].task
            async with asyncio.timeout(60):
                while len(taken) < len(stream):
                    await asyncio.sleep(0.05)
            assert taken == stream
            named = {"task_id": task.id, "id": "hook"}
            kept = await client.get_task_push_notification_config(a2a.GetTaskPushNotificationConfigRequest(**named))
            assert kept == a2a.TaskPushNotificationConfig(url=url, **named)
            listing = a2a.ListTaskPushNotificationConfigsRequest(task_id=task.id)
            assert list((await client.list_task_push_notification_configs(listing)).configs) == [kept]
            await client.delete_task_push_notification_config(a2a.DeleteTaskPushNotificationConfigRequest(**named))
            assert not (await client.list_task_push_notification_configs(listing)).configs
            later = a2a.TaskPushNotificationConfig(url="http://10.0.0.1/", task_id=task.id)
            with pytest.raises(errors.InvalidParamsError):
                await client.create_task_push_notification_config(later)

    with receiver(refuses=3) as (url, taken):
        asyncio.run(talk(url, taken))


def test_javascript(own, modules, tmp_path, binding):
    """The client for JavaScript, also over a kill in mid-stream."""
    (tmp_path / "node_modules").symlink_to(modules / "node_modules")
    shutil.copy(HERE / "a2a.mjs", tmp_path)
    never, hold = Hold(own), Hold(own)
    command = ["node", tmp_path / "a2a.mjs", f"{own.url}/a2a/actor/", own.key, binding]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]}) as client:

        def says(*what):
            assert json.loads(client.stdout.readline()) == list(what)

        def give(*lines):
            client.stdin.write("|".join(map(str, lines)) + "\n")
            client.stdin.flush()

        says("hello", "TASK_STATE_COMPLETED", "Hello")
        says("stream", "TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "Hello", "+, you", "Hello, you", "TASK_STATE_COMPLETED")
        says("question", "TASK_STATE_INPUT_REQUIRED")
        says("answer", "TASK_STATE_COMPLETED", "blue")
        give(never)
        says("cancel", "TASK_STATE_CANCELED")
        says("again", "TaskNotCancelableError")
        says("nobody", "TaskNotFoundError")
        says("list", 1, 1, True)
        give("say Hello", hold, "say , you")
        says("kill")
        own.kill()
        says("broken")
        own.start()
        hold.go()
        give("")
        says("rest", "TASK_STATE_COMPLETED")
        says("end", "TASK_STATE_COMPLETED", "Hello, you")


def test_directory(server):
    """The directory has the card that each agent has at its own address."""
    with httpx.Client(headers={"x-api-key": server.key}) as http:
        cards = http.get(f"{server.url}/a2a").json()["agents"]
        for card in cards:
            assert http.get(card["supportedInterfaces"][0]["url"] + "/.well-known/agent-card.json").json() == card
        assert "actor" in [card["skills"][0]["id"] for card in cards]


def test_page(server, modules, tmp_path, capsys):
    """The page's own programs work."""
    (python,) = snippets.of("A2A", "python")
    exec(snippets.meant_for(server, python), {})
    (javascript,) = shown("A2A", modules, tmp_path, server)
    assert "TASK_STATE_COMPLETED" in capsys.readouterr().out
    assert javascript.count("Hello") >= 2
