"""A worker as the client's documentation shows it: one decorated handler.

What it does follows from the prompt: "fail: WHY" raises, "wait" works until
the process ends, "promise" is answered with a promise, anything else in capitals.
"""

import asyncio
from datetime import datetime, timezone

from xpander_sdk import Task, on_task
from xpander_sdk.core.xpander_api_client import APIClient


async def push(task: Task, kind: str, **data) -> None:
    call = {"request_id": "r-1", "operation_id": "upper", **data}
    now = datetime.now(timezone.utc).isoformat()
    event = {"type": kind, "task_id": task.id, "organization_id": task.organization_id, "time": now, "data": call}
    path = f"/agent-execution/{task.id}/events/push"
    await APIClient(configuration=task.configuration).make_request(path=path, method="POST", payload=[event])


@on_task
async def handle(task: Task) -> Task:
    text = task.input.text
    task.internal_status = f"working on {text}"
    await task.asave()
    await push(task, "tool_call_request", payload={"text": text})
    if text.startswith("fail: "):
        raise RuntimeError(text.removeprefix("fail: "))
    if text == "wait":
        await asyncio.sleep(3600)
    await push(task, "tool_call_result", result=text.upper())
    task.result = "I will read the file." if text == "promise" else text.upper()
    return task
