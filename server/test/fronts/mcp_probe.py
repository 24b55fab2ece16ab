"""A client of MCP for the conformance kit: a model of ours that calls a tool of the kit's server.

`mcp_probe.py SERVER KEY AGENT URL`; the kit adds the URL, and names the scenario in the environment.
"""

import json
import os
import sys
import urllib.request

SERVER, KEY, AGENT, URL = sys.argv[1:]
# What the scenarios want of a client, beside reading the list of tools.
CALLS = {
    "tools_call": 'call kit_add_numbers {"a": 5, "b": 3}',
    "http-standard-headers": "call kit_test_headers",
    "sse-retry": "call kit_test_reconnection",
}

kit = {"name": "kit", "url": URL.replace("localhost", "127.0.0.1")}
task = {"input": {"text": CALLS.get(os.environ["MCP_CONFORMANCE_SCENARIO"], "say Hello")}, "mcp_servers": [kit]}
headers = {"x-api-key": KEY, "content-type": "application/json"}
request = urllib.request.Request(f"{SERVER}/v1/agents/{AGENT}/invoke?wait=60", json.dumps(task).encode(), headers)
with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=90) as answer:
    print(json.load(answer))
