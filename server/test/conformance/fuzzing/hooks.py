"""Leads what Schemathesis generates to things that are there, and lets nothing wait for long.

A random id names nothing, and a random token opens nothing: nearly every request would end in "not found". So values
that are good in their place become, by a checksum of themselves, ones that this run knows: the same run always makes
the same requests. Values that are wrong stay wrong.
"""

import contextlib
import json
import os
import re
import threading
import time
import urllib.request
import zlib

import schemathesis

AGENTS = ["fuzz-1", "fuzz-2"]
TASKS = [f"fuzz-task-{n}" for n in range(6)]
SERVER, KEY = os.environ["ERRAND_URL"], os.environ["ERRAND_API_KEY"]
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

streaming = threading.Event()
tokens: dict[str, str] = {}  # of the last claim of each task
keys: list[str] = []  # ids of keys that were made here, and may be revoked


def known(value: object, choice: list[str]) -> object:
    """What stands for a value: itself, if it is not good or by one chance in four."""
    if not choice or not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", value):
        return value
    place = zlib.crc32(value.encode()) % (len(choice) * 4)
    return choice[place // 3] if place < len(choice) * 3 else value


def call(method: str, path: str, body: object = None) -> None:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SERVER + path, data, {"x-api-key": KEY, "content-type": "application/json"}, method=method)
    DIRECT.open(request, timeout=30).read()


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Says what the document says in words only: an optional member that is null counts as left out."""
    schemas = list(raw_schema["components"]["schemas"].values())
    for schema in schemas:  # grows while it is walked over
        properties = schema.get("properties", {})
        schemas += properties.values()
        for name in properties.keys() - set(schema.get("required", ())):
            properties[name] = {"anyOf": [properties[name], {"type": "null"}]}


@schemathesis.hook
def before_call(context, case, kwargs):
    operation, parts, body = case.operation.definition.raw["operationId"], case.path_parameters or {}, case.body
    for name, choice in (("agent_id", AGENTS), ("task_id", TASKS), ("key_id", keys)):
        if name in parts:
            parts[name] = known(parts[name], choice)
    if isinstance(body, dict):
        for name, choice in (("agent_id", AGENTS), ("id", TASKS), ("parent_execution", TASKS[:2])):
            if name in body:
                body[name] = known(body[name], choice)
        if isinstance(body.get("agent_ids"), list):
            body["agent_ids"] = [known(agent, AGENTS) for agent in body["agent_ids"]]
        if isinstance(body.get("lease_token"), str) and (token := tokens.get(parts.get("task_id"))):
            body["lease_token"] = token
        if positive(body.get("wait")):
            body["wait"] = min(body["wait"], 0.05)
    if operation in ("apply-agent", "create-agent") and isinstance(body, dict) and positive(body.get("lease_seconds", 1)):
        body["lease_seconds"] = min(body.get("lease_seconds", 1), 1)  # a stop is awaited for so long, and streams with it
    if operation == "invoke":
        query = case.query = case.query or {}
        if "wait" not in query or str(query["wait"]).isdecimal():
            query["wait"] = 0.02
    if operation == "get-events" and zlib.crc32(repr(case.headers).encode()) % 2:
        case.headers["Accept"] = "text/event-stream"
    if operation in ("get-events", "invoke-stream"):
        streaming.set()


def end_streams() -> None:
    """A stream ends with its task: while one is read, all tasks are stopped, again and again."""
    while streaming.wait():
        with contextlib.suppress(OSError):  # the next one tries again
            call("POST", "/v1/tasks/stop", {"all": True})
        time.sleep(0.02)


threading.Thread(target=end_streams, daemon=True).start()


def positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value


@schemathesis.hook
def after_call(context, case, response):
    operation = case.operation.definition.raw["operationId"]
    streaming.clear()
    if operation == "claim" and response.status_code == 200:
        for claim in response.json()["claims"]:
            tokens[claim["task"]["id"]] = claim["lease"]["token"]
    if operation == "create-key" and response.status_code == 201:
        keys.append(response.json()["id"])
