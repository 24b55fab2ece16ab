"""Runs A2A's kit against a server: `ERRAND_BIN=… python a2a_kit.py FOLDER`, with a checkout of the kit and its own Python.

The kit fetches the card at the root of the host and without a key, and sends messages without `returnImmediately`, which
its tasks of 6 s would make wait. A door in front of the server says for it what it leaves out. Each of its tests of pushes
listens at the same port and looks at the first that comes, which may be meant for the test before: between the message and
that look it lists the pushes, and the door takes its time with that.
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))

from parts import Process, Server  # noqa: E402

AGENT = "/a2a/slow"
CARD = "/.well-known/agent-card.json"


@contextlib.contextmanager
def door(server):
    """The URL of the agent, by the door."""
    ours = server.url.removeprefix("http://")

    class Door(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            if b'"ListTaskPushNotificationConfigs"' in body:
                time.sleep(1)
            self.carry(hurried(body))

        def do_GET(self):
            self.carry(None)

        do_DELETE = do_GET

        def carry(self, body):
            """Passes a request on, and its answer as it comes: it may be a stream."""
            path, headers = self.path, dict(self.headers.items())
            headers.pop("Content-Length", None)
            if path.endswith(CARD):
                path, headers["x-api-key"] = AGENT + CARD, server.key
            with contextlib.closing(http.client.HTTPConnection(ours)) as onward:
                onward.request(self.command, path, body, headers)
                answer = onward.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):  # the kit has gone
                    while piece := answer.read1():
                        self.wfile.write(piece)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("localhost", 0), Door) as listener:
        listener.daemon_threads = True
        serving = threading.Thread(target=listener.serve_forever)
        serving.start()
        try:
            yield f"http://localhost:{listener.server_port}{AGENT}"
        finally:
            listener.shutdown()
            serving.join()


def hurried(body):
    """A message that does not wait for its task; anything else as it is."""
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):  # the kit sends what is wrong, too
        request = json.loads(body)
        if request["method"] == "SendMessage":
            request["params"].setdefault("configuration", {})["returnImmediately"] = True
            return json.dumps(request).encode()
    return body


def main() -> int:
    kit, binary = Path(sys.argv[1]).resolve(), str(Path(os.environ["ERRAND_BIN"]).resolve())
    python = kit / ".venv" / "bin" / "python"
    with tempfile.TemporaryDirectory() as folder, Server(binary, Path(folder), "--allow-private", "127.0.0.0/8") as server:
        server.apply_agent("slow")
        env = {"ERRAND_URL": server.url, "ERRAND_API_KEY": server.key, "PATH": os.environ["PATH"], "HOME": folder}
        with Process(Path(folder) / "worker.log") as worker, door(server) as url:
            work = 'printf "Hello "; sleep 6; printf there'
            worker.spawn(binary, "worker", "--agent", "slow", "--slots", "64", "--", "sh", "-c", work, env=env)
            asked = ("--sut-url", url, "--category", "all", "--transports", "jsonrpc")
            auth = {"A2A_AUTH_TYPE": "bearer", "A2A_AUTH_TOKEN": server.key, "NO_PROXY": "localhost,127.0.0.1"}
            return subprocess.run([python, "run_tck.py", *asked], cwd=kit, env=os.environ | auth).returncode


if __name__ == "__main__":
    sys.exit(main())
