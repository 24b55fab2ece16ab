"""What the checks share, and the record of their results (see report.py)."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

import environment
from parts import HERE, ROOT, Oracle, Server

RECORD = pytest.StashKey[dict]()


# --- the record --------------------------------------------------------------


def pytest_addoption(parser):
    parser.addoption("--record", metavar="FILE", help="where to write the result of every check")


def pytest_configure(config):
    config.stash[RECORD] = {}


def pytest_collection_modifyitems(items):
    nameless = [item.nodeid for item in items if not item.get_closest_marker("check")]
    if nameless:
        raise pytest.UsageError(f"tests without @pytest.mark.check: {nameless}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    record = item.config.stash[RECORD]
    what, call = item.get_closest_marker("check").args
    if report.failed:
        record[item.nodeid] = (what, call, "**fails**")
    elif report.passed and report.when == "call":
        record[item.nodeid] = (what, call, dict(report.user_properties).get("result", "works"))
    return report


def pytest_sessionfinish(session):
    if path := session.config.getoption("--record"):
        Path(path).write_text(json.dumps(list(session.config.stash[RECORD].values())))


# --- servers -----------------------------------------------------------------


@pytest.fixture(scope="session")
def binary(tmp_path_factory):
    if given := os.environ.get("ERRAND_BIN"):
        return given
    built = str(tmp_path_factory.mktemp("bin") / "errand")
    subprocess.run(["go", "build", "-o", built, "./server/cmd/errand"], cwd=ROOT, check=True)
    return built


@pytest.fixture(scope="session")
def server(binary, tmp_path_factory):
    """The server that most checks share."""
    with Server(binary, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def own_server(binary, tmp_path):
    """A server with nothing in it, for one check alone."""
    with Server(binary, tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def oracle(tmp_path_factory):
    with Oracle(environment.node(HERE / "oracle"), tmp_path_factory.mktemp("oracle")) as running:
        yield running


# --- clients -----------------------------------------------------------------


@pytest.fixture(scope="session")
def client(server):
    """Runs one scenario of client.py in a process of its own."""

    def run(scenario: str, environment: dict | None = None, /, **arguments):
        done = server.run(str(HERE / "client.py"), scenario, json.dumps(arguments), **(environment or {}))
        assert done.returncode == 0, f"{scenario} failed:\n{done.stderr}\nserver:\n{server.log()[-4000:]}"
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def agent(server):
    """A new agent for remote workers, without any worker."""
    agent_id = f"agent-{secrets.token_hex(4)}"
    server.apply_agent(agent_id, name="Remote")
    return agent_id


@pytest.fixture(scope="session")
def csv_url(server):
    return server.upload("sales.csv", (HERE / "files" / "data.csv").read_bytes())


@pytest.fixture(scope="session")
def newest():
    """Whether this is the newest release, rather than the older one."""
    return os.environ.get("ERRAND_RELEASE", "newest") == "newest"
