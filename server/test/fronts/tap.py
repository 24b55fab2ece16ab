"""A proxy between a client and a server that counts requests, and cuts connections when it is told to."""

import contextlib
import socket
import threading

from parts import listen, until


class Tap:
    """Carries connections byte by byte, and waits for a server that is not there.

    `cut` says of each piece of an answer whether both sides are cut before it.
    """

    def __init__(self, server):
        host, _, port = server.url.removeprefix("http://").rpartition(":")
        self.target = (host, int(port))
        self.cut = lambda piece: False
        self.requests: list[bytes] = []
        self.open: list[socket.socket] = []
        self.listener = listen()
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def connections(self, of: bytes = b"POST") -> int:
        return sum(of in piece.split(b"\r\n", 1)[0] for piece in self.requests)

    def drop(self) -> None:
        """Cuts what is open now."""
        sides, self.open = self.open, []
        for side in sides:
            with contextlib.suppress(OSError):  # It has gone.
                side.shutdown(socket.SHUT_RDWR)

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:  # It was closed.
                return
            threading.Thread(target=self.join, args=(client,), daemon=True).start()

    def join(self, client) -> None:
        server = until(self.connect, "the server is there")
        self.open += [client, server]
        for source, to, answer in ((client, server, False), (server, client, True)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.carry, args=(source, to, answer), daemon=True).start()

    def connect(self):
        with contextlib.suppress(OSError):
            return socket.create_connection(self.target)
        return None

    def carry(self, source, to, answer) -> None:
        try:
            while piece := source.recv(65536):
                if not answer:
                    self.requests.append(piece)
                elif self.cut(piece):
                    break
                to.sendall(piece)
        except OSError:
            pass
        for side in (source, to):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.drop()
