"""MCP by frameworks whose client is of before revision 2026-07-28: by tools alone."""

import asyncio
import contextlib

import pytest
from agents.mcp import MCPServerStreamableHttp
from hands import Hold, script
from langchain_mcp_adapters.client import MultiServerMCPClient


def address(server, key=None):
    return {"url": f"{server.url}/mcp", "headers": {"Authorization": f"Bearer {key or server.key}"}}


@contextlib.asynccontextmanager
async def langchain(server, key=None):
    """Calls tools by LangChain."""
    connection = {"transport": "streamable_http", **address(server, key)}
    tools = {tool.name: tool for tool in await MultiServerMCPClient({"errand": connection}).get_tools()}

    async def call(name, **arguments):
        return "".join(part["text"] for part in await tools[name].ainvoke(arguments))

    yield call


@contextlib.asynccontextmanager
async def openai_agents(server, key=None):
    """Calls tools by openai-agents."""
    async with MCPServerStreamableHttp(params=address(server, key)) as client:

        async def call(name, **arguments):
            return "".join(part.text for part in (await client.call_tool(name, arguments)).content)

        yield call


@pytest.fixture(params=[langchain, openai_agents])
def framework(request):
    return request.param


def test_tools(server, other_key, framework):
    """An answer, a question, a stop; what is wrong, and another organization's task, is told to the model."""

    async def talk():
        async with framework(server) as call:
            assert await call("run_agent", agent="actor", prompt="say Hi") == "Hi"
            task = f"asks-{framework.__name__}"
            asked = await call("run_agent", agent="actor", prompt="question which", task_id=task)
            assert "Which one?" in asked
            await call("answer_task", task_id=task, value="blue")
            assert await call("get_task", task_id=task) == "blue"
            assert "no paper" in await call("run_agent", agent="actor", prompt="fail no paper")
            assert "nobody" in await call("run_agent", agent="nobody", prompt="x")
            running = f"stops-{framework.__name__}"
            await call("run_agent", agent="actor", prompt=str(Hold(server)), task_id=running, wait_seconds=0)
            assert "stopped" in await call("stop_task", task_id=running)
        async with framework(server, other_key) as call:
            assert "no task" in await call("get_task", task_id=task)
        with pytest.raises(Exception):  # noqa: B017  each has its own
            async with framework(server, "none"):
                pass

    asyncio.run(talk())


def test_kill(own, framework):
    """A call whose server is killed is over; its task is had afterwards."""
    hold = Hold(own)

    async def begin():
        async with framework(own) as call:
            await call("run_agent", agent="actor", prompt=script(hold, "say Hi"), task_id="kept", wait_seconds=50)

    async def cut():
        waiting = asyncio.create_task(begin())
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(begun):
                await asyncio.sleep(0.05)
            own.kill()
            await asyncio.wait({waiting})
        assert waiting.cancelled() or waiting.exception()

    def begun():
        with contextlib.suppress(AssertionError):  # it is not there yet
            return own.call("GET", "/v1/tasks/kept")["status"] == "executing"
        return False

    async def go_on():
        async with framework(own) as call, asyncio.timeout(60):
            while await call("get_task", task_id="kept") != "Hi":
                pass

    asyncio.run(cut())
    own.start()
    hold.go()
    asyncio.run(go_on())
