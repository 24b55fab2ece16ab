"""What all checks of fronts share: one server, with an agent that does what its prompt says."""

import contextlib
import hashlib
import json
import os
import secrets
import sqlite3
import sys
from pathlib import Path

import double
import environment
import pytest
from hands import Hands, Model
from parts import Server

HERE = Path(__file__).resolve().parent
BINARY = os.environ["ERRAND_BIN"]
PROVIDER = double.run()


def serve(folder: Path, *flags: str) -> Server:
    """A server that knows what `actor` runs, and has an account at the stand-in for a provider (double.py)."""
    config = folder / "errand.yaml"
    actor = {"run": [sys.executable, str(HERE / "actor.py"), str(folder)], "events": "json", "env": ["ERRAND_BIN"]}
    config.write_text(json.dumps({"commands": {"actor": actor}, "allow-private": ["127.0.0.0/8"]}))
    account = {"OPENAI_API_KEY": "secret", "OPENAI_BASE_URL": f"http://{PROVIDER}/v1"}
    env = {"ERRAND_BIN": BINARY, "NO_PROXY": "127.0.0.1", **account}
    return Server(BINARY, folder, "--config", str(config), "--allow-model-host", PROVIDER, *flags, env=env)


def agents(server: Server, **more: object) -> None:
    """The agents `actor`, which does what its prompt says (actor.py), `profile` and, with a model, `forecaster`."""
    server.apply_agent("actor", runtime="command", command="actor", retry_started=True, **more)
    server.apply_agent("profile", runtime="profile")
    server.apply_agent("forecaster", runtime="model", model_provider="openai", model_name="double")


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("server"), "--mcp-agent-tools") as running:
        agents(running)
        yield running


@pytest.fixture(scope="session")
def modules() -> Path:
    """The folder of the clients in JavaScript."""
    return environment.node(HERE / "node")


def stranger(server: Server) -> str:
    """An admin key of another organization, which no command makes."""
    key = secrets.token_hex(24)
    with contextlib.closing(sqlite3.connect(server.folder / "data" / "errand.db")) as db, db:
        db.row_factory = sqlite3.Row
        row = dict(db.execute("SELECT * FROM keys LIMIT 1").fetchone())
        row |= {"org": "other", "id": key[:8], "hash": hashlib.sha256(key.encode()).digest()}
        db.execute("INSERT INTO organizations (id, name, created_at) VALUES ('other', 'Other', 0)")
        db.execute(f"INSERT INTO keys ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
    return key


@pytest.fixture(scope="session")
def other_key(server):
    return stranger(server)


@pytest.fixture
def own(tmp_path):
    """A server that is killed."""
    with serve(tmp_path) as running:
        agents(running, lease_seconds=1)
        yield running


@pytest.fixture(scope="session")
def hands(modules, tmp_path_factory):
    """The clients of user interfaces."""
    hands = Hands(modules, tmp_path_factory.mktemp("hands"))
    yield hands
    hands.close()


@pytest.fixture(scope="session")
def elsewhere(modules, tmp_path_factory):
    """The same clients in another process."""
    hands = Hands(modules, tmp_path_factory.mktemp("elsewhere"))
    yield hands
    hands.close()


@pytest.fixture(scope="session")
def told():
    """A model that does what it is told."""
    model = Model()
    yield model
    model.close()
