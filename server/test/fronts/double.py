"""A stand-in for a provider of models, by chat completions: it calls the caller's tool `weather` once, and says what came of it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Double(BaseHTTPRequestHandler):
    """Answers each request by what its messages say."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        last = asked["messages"][-1]
        if last["role"] == "tool":
            said = {"content": f"They say: {last['content']}."}
        elif asked.get("tools"):
            call = {"index": 0, "id": "call_w", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ely"}'}}
            said = {"tool_calls": [call]}
        else:
            said = {"content": "I have no tools."}
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        for delta, end in (({"role": "assistant", **said}, None), ({}, "tool_calls" if "tool_calls" in said else "stop")):
            self.send({"choices": [{"index": 0, "delta": delta, "finish_reason": end}]})
        self.send({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def send(self, chunk: dict) -> None:
        chunk |= {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "double"}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

    def log_message(self, *_) -> None:
        pass


def run() -> str:
    """Where it listens, for as long as the process lives."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Double)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"
