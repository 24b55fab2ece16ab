"""An MCP server on standard input and output that notes each call in a file: `counter.py FILE SECONDS`.

It speaks the revision of 2025 with nothing but the standard library. A call takes so many seconds after its
note. `count` and `slow` are not idempotent, `slow` never answers, `peek` only reads.
"""

import json
import sys
import time

TOOLS = [
    {"name": "count", "description": "Counts.", "inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    {"name": "slow", "description": "Counts, and never ends.", "inputSchema": {"type": "object"}},
    {
        "name": "peek",
        "description": "Looks.",
        "inputSchema": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"},
        "annotations": {"readOnlyHint": True},
    },
]


def answer(method, params):
    if method == "initialize":
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "counter", "version": "1"}}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        with open(sys.argv[1], "a") as notes:
            print(params["name"], params["_meta"]["errand.dev/call"], file=notes, flush=True)
        time.sleep(3600 if params["name"] == "slow" else float(sys.argv[2]))
        return {"content": [{"type": "text", "text": f"{params['name']} {json.dumps(params.get('arguments'))}"}]}
    return None


for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    result = answer(message["method"], message.get("params"))
    reply = {"result": result} if result else {"error": {"code": -32601, "message": "no such method"}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **reply}), flush=True)
