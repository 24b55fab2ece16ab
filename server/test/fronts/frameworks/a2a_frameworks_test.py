"""A2A by frameworks whose agents may be remote, and by a command line."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from a2a.client import A2ACardResolver
from a2a.client.errors import AgentCardResolutionError
from agent_framework_a2a import A2AAgent
from google.adk.agents.remote_a2a_agent import RemoteA2aAgent
from google.adk.runners import InMemoryRunner
from google.genai import types
from hands import Hold, script

HANDLER = Path(sys.executable).with_name("handler")


@contextlib.asynccontextmanager
async def adk(server):
    """A conversation of ADK's: what it shows of the answer to a message, as (whether it is a piece, text)."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {server.key}"}, timeout=60) as http:
        card = f"{server.url}/a2a/actor/.well-known/agent-card.json"
        runner = InMemoryRunner(RemoteA2aAgent("actor", card, httpx_client=http), app_name="test")
        session = await runner.session_service.create_session(app_name="test", user_id="user")

        async def ask(words):
            message, shown = types.Content(role="user", parts=[types.Part(text=words)]), []
            async for event in runner.run_async(user_id="user", session_id=session.id, new_message=message):
                if event.error_message:
                    shown.append((None, event.error_message))
                for part in event.content.parts if event.content else []:
                    if part.function_call:
                        shown.append((None, part.function_call.args["auth_required"]))
                    elif part.text and not part.thought:
                        shown.append((event.partial or False, part.text))
            return shown

        yield ask


@contextlib.asynccontextmanager
async def agent_framework(server, key=None):
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key or server.key}"}, timeout=60) as http:
        card = await A2ACardResolver(http, f"{server.url}/a2a/actor").get_agent_card()
        async with A2AAgent(agent_card=card, http_client=http) as agent:
            yield agent


def handler(server, folder, *words, key=None):
    """What the command line `handler` prints, and its exit code."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "KEY": key or server.key, "NO_PROXY": "127.0.0.1"}
    at = ("--url", f"{server.url}/a2a/actor", "--bearer-env", "KEY")
    done = subprocess.run([HANDLER, "--output", "json", *words, *at], env=env, capture_output=True, text=True, timeout=60)
    return (json.loads(done.stdout) if done.returncode == 0 else done.stdout + done.stderr), done.returncode


def text(task):
    return "".join(part.get("text", "") for artifact in task.get("artifacts", ()) for part in artifact["parts"])


def test_adk(server):
    """Pieces and then the whole; an approval; a failure is told in words."""

    async def talk():
        async with adk(server) as ask:
            assert await ask("say Hello\nsay , you") == [(True, "Hello"), (True, ", you"), (False, "Hello, you")]
            assert await ask("ask it\nsay There") == [(None, "May I?")]
            assert (await ask("yes"))[-1] == (False, "There")
            assert "no paper" in (await ask("fail no paper"))[-1][1]

    asyncio.run(talk())


def test_agent_framework(server, other_key):
    """An answer, live and not, a question, and no word of the user's for the answer of an agent that has failed or was stopped."""

    async def talk():
        async with agent_framework(server) as agent:
            session = agent.create_session()
            assert (await agent.run("say Hello", session=session)).text == "Hello"
            pieces = [update.text async for update in agent.run("say Hello\nsay , you", stream=True, session=session)]
            assert pieces == ["Hello", ", you", "Hello, you"]
            (asked,) = (await agent.run("question which", session=session)).user_input_requests
            assert asked.text.startswith("Which one?")
            assert (await agent.run("blue", session=session)).text == "blue"
            assert "no paper" in (await agent.run("fail no paper")).text
            running = (await agent.run(str(Hold(server)), background=True)).continuation_token
            task = running["context_id"]
            server.call("POST", f"/v1/tasks/{task}/stop")
            assert (await agent.poll_task(running)).text == "stopped"
        for key in (other_key, "none"):
            with pytest.raises(AgentCardResolutionError):
                async with agent_framework(server, key):
                    pass

    asyncio.run(talk())


def test_handler(server, other_key, tmp_path):
    """A command line: hello, a stream, a question and its answer, lists, cancelling, and who may not."""
    card, _ = handler(server, tmp_path, "card", "validate")
    assert card["valid"]
    first, _ = handler(server, tmp_path, "message", "send", "--text", "say Hello", "--stream")
    assert (first["status"]["state"], text(first)) == ("TASK_STATE_COMPLETED", "Hello")
    asked, _ = handler(server, tmp_path, "message", "send", "--text", "question which")
    assert asked["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    answered, _ = handler(server, tmp_path, "message", "send", "--text", "blue", "--continue")
    assert (answered["id"], text(answered)) == (asked["id"], "blue")
    running, _ = handler(server, tmp_path, "message", "send", "--text", str(Hold(server)), "--no-wait")
    handler(server, tmp_path, "task", "cancel", running["id"])
    listed, _ = handler(server, tmp_path, "task", "list", "--page-size", "1", "--context-id", running["contextId"])
    assert [(task["id"], task["status"]["state"]) for task in listed["tasks"]] == [(running["id"], "TASK_STATE_CANCELED")]
    for key in (other_key, "none"):
        assert handler(server, tmp_path, "task", "get", running["id"], key=key)[1] != 0


def test_kill(own, tmp_path):
    """What was begun before the server was killed is had after it, and conversations go on."""

    async def talk(server):
        hold = Hold(server)
        async with adk(server) as ask, agent_framework(server) as agent:
            assert await ask("say Hello") == [(True, "Hello"), (False, "Hello")]
            begun = (await agent.run(script("say Hello", hold, "say , you"), background=True)).continuation_token
            running, _ = handler(server, tmp_path, "message", "send", "--text", script("say Hi", hold, "say , you"), "--no-wait")
            server.kill()
            server.start()
            hold.go()
            assert (await agent.run(continuation_token=begun)).text.endswith("Hello, you")
            handler(server, tmp_path, "task", "resubscribe", running["id"])
            task, _ = handler(server, tmp_path, "task", "get", running["id"])
            assert text(task) == "Hi, you"
            assert await ask("say Again") == [(True, "Again"), (False, "Again")]

    asyncio.run(talk(own))
