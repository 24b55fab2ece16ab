"""Workers that a check holds in its hands, and what may come between them and the server."""

import json
import os
import re
import secrets
import signal
import socket
import threading
from pathlib import Path

from parts import HERE, Server, Worker, listen, until

# On a machine that is busy with other things the client takes its time to load.
START = 300
SLOTS = 6


class Hand(Worker):
    """A process with fates_worker.py: its handlers begin, and end as they are told."""

    def __init__(self, server: Server, folder: Path, agent: str = "", **more: str):
        self.server = server
        self.agent = agent or new_agent(server)
        self.orders = folder / f"orders-{secrets.token_hex(4)}"
        self.orders.mkdir()
        super().__init__(server, folder, self.agent, HERE / "fates_worker.py", ORDERS=str(self.orders), **more)

    def ids(self) -> list[str]:
        """Under which ids it has been registered, the newest last."""
        return re.findall(r"Worker registered – id=(\S+)", self.log())

    def registered(self, times: int = 1) -> str:
        """Waits until it has been registered so often, and answers the newest id."""
        return until(lambda: len(ids := self.ids()) >= times and ids, f"{self.log_path.name} is registered", START)[-1]

    def create(self, prompt: str, **more: object) -> str:
        body = {"agent_id": self.agent, "input": {"text": prompt}, **more}
        return self.server.call("POST", "/v1/tasks", body)["id"]

    def begun(self, task_id: str) -> int:
        """How often a handler was called for a task."""
        return self.noted("begun").count(task_id)

    def noted(self, file: str) -> list[str]:
        notes = self.orders / file
        return notes.read_text().split() if notes.exists() else []

    def start(self, prompt: str, **more: object) -> str:
        """Creates a task, and waits until its handler is at work and has said so."""
        task_id = self.create(prompt, **more)
        until(lambda: task_id in self.noted("saved"), f"the handler of {task_id} has saved", START)
        return task_id

    def begins(self, task_id: str, times: int = 1) -> None:
        until(lambda: self.begun(task_id) == times, f"the handler of {task_id} is called", START)

    def tell(self, prompt: str, order: str) -> None:
        """Lets the handlers with a prompt end."""
        (self.orders / "order").write_text(order)
        (self.orders / "order").rename(self.orders / prompt)

    def ends(self, task_id: str, seconds: float = 30) -> dict:
        return ended(self.server, task_id, seconds)

    def has_slots(self, count: int = SLOTS) -> None:
        """Holds it to take so many tasks at once."""
        prompt = secrets.token_hex(4)
        tasks = [self.create(prompt) for _ in range(count)]
        for task_id in tasks:
            self.begins(task_id)
        self.tell(prompt, "done")
        for task_id in tasks:
            assert self.ends(task_id)["result"] == "done"

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill_worker(self) -> None:
        """Kills a supervised worker; its supervisor lives on and starts another."""
        os.kill(int((self.orders / "worker").read_text()), signal.SIGKILL)

    def __exit__(self, *_):
        # What it was put through decides how it ends, so that is no check's matter.
        if self.process.poll() is None:
            self.kill()
        worker = self.orders / "worker"
        if worker.exists():
            os.kill(int(worker.read_text()), signal.SIGKILL)


def new_agent(server: Server, **record: object) -> str:
    agent_id = f"agent-{secrets.token_hex(4)}"
    server.apply_agent(agent_id, **record)
    return agent_id


def ended(server: Server, task_id: str, seconds: float = 30) -> dict:
    """Waits until a task has ended, and answers it."""

    def look() -> dict | None:
        task = server.task(task_id)
        return task if task["end_reason"] else None

    return until(look, f"task {task_id} ends", seconds)


def log(server: Server, task_id: str) -> list[str]:
    """The types of a task's events."""
    return [event["type"] for event in server.events(task_id)]


class Gate:
    """Carries requests to a server, of which it can lose some, and can cut those that are open."""

    def __init__(self, server: Server):
        self.target = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        self.listener = listen()
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.loses = lambda line, body: False
        self.open: list[socket.socket] = []
        self.requests: list[tuple[str, dict]] = []  # those that were let through, the line and the body of each
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:  # It is closed.
                return
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client: socket.socket) -> None:
        """Carries one request and its answer: the client makes a connection for each."""
        with client:
            data = b""
            while b"\r\n\r\n" not in data:
                if not (more := client.recv(65536)):
                    return
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            while len(body) < (int(length[1]) if length else 0):
                body += client.recv(65536)
            line = head.split(b"\r\n")[0].decode()
            parsed = json.loads(body) if body else {}
            if self.loses(line, parsed):
                return
            with socket.create_connection(self.target) as server:
                self.open += [client, server]
                server.sendall(head + b"\r\n\r\n" + body)
                self.requests.append((line, parsed))
                threading.Thread(target=pump, args=(client, server), daemon=True).start()
                pump(server, client)
                self.open.remove(client)
                self.open.remove(server)

    def cut(self) -> None:
        """Cuts every open connection, on both sides."""
        for side in list(self.open):
            hang_up(side)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass  # The other side has hung up.
    hang_up(sink)


def hang_up(side: socket.socket) -> None:
    try:
        side.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It has been hung up already.
