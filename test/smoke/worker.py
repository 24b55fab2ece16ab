"""A worker as the client's documentation shows it: one decorated handler.

What it does follows from the prompt: "fail: WHY" raises, "wait" works until
the process ends, "promise" is answered with a promise, anything else in capitals.
"""

import asyncio

from xpander_sdk import Task, on_task
from xpander_sdk.modules.backend.utils.tool_call_events import report_tool_call_request, report_tool_call_result


@on_task
async def handle(task: Task) -> Task:
    text = task.input.text
    task.internal_status = f"working on {text}"
    await task.asave()
    await report_tool_call_request(task, request_id="r-1", operation_id="upper", payload={"text": text})
    if text.startswith("fail: "):
        raise RuntimeError(text.removeprefix("fail: "))
    if text == "wait":
        await asyncio.sleep(3600)
    await report_tool_call_result(task, request_id="r-1", operation_id="upper", result=text.upper())
    task.result = "I will read the file." if text == "promise" else text.upper()
    return task
