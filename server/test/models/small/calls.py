"""Needle, which says nothing but calls tools, as an OpenAI endpoint: `calls.py PORT`.

To what a user says it answers with calls, and to their results with these as a text.
"""

import http.server
import json
import sys

import needle


def answer(request):
    """What the model says next, as the message of an answer and why it ends."""
    told = [m["content"] for m in request["messages"] if m["role"] == "tool"]
    if told:
        return {"content": "\n".join(told)}, "stop"
    tools = [tool["function"] for tool in request["tools"]]
    # Without the date, which it is told else, the same words have the same calls.
    calls = needle.Needle(tools=tools, auto_date=False, stateless=True).complete(request["messages"][-1]["content"])["function_calls"]
    made = [
        {"index": i, "id": f"call_{i}", "type": "function", "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])}}
        for i, c in enumerate(calls)
    ]  # fmt: skip
    return {"tool_calls": made}, "tool_calls"


class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # whether it is there
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        message, why = answer(request)
        whole = {"id": "a", "object": "chat.completion.chunk", "created": 0, "model": request["model"]}
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for more in (
            {"choices": [{"index": 0, "delta": {"role": "assistant", **message}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": why}]},
            {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
        ):
            self.wfile.write(f"data: {json.dumps(whole | more)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Endpoint).serve_forever()
