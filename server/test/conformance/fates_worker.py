"""A worker whose handlers do as they are told, so that a check decides when each of them ends.

A handler notes its task's id in the file `begun` of the folder ORDERS, saves
what it is about, notes the id in `saved`, and waits for a file that is named
like its prompt. What that says is how it ends: "fail: WHY" raises, "nothing"
leaves no result, anything else is the result.
"""

import asyncio
import os
import time
from pathlib import Path

from xpander_sdk import Task, Tokens, on_task

ORDERS = Path(os.environ["ORDERS"])


def note(file: str, task: Task) -> None:
    with (ORDERS / file).open("a") as notes:
        notes.write(task.id + "\n")


def begin(task: Task) -> None:
    note("begun", task)
    task.internal_status, task.used_tools, task.duration = "at work", ["hammer"], 1.5


def told(task: Task) -> str | None:
    order = ORDERS / task.input.text
    return order.read_text() if order.exists() else None


def end(task: Task, order: str) -> Task:
    if order.startswith("fail: "):
        raise RuntimeError(order.removeprefix("fail: "))
    if order != "nothing":
        task.result = order
    task.tokens = Tokens(prompt_tokens=3, completion_tokens=5)
    return task


def handle(task: Task) -> Task:
    begin(task)
    task.save()
    note("saved", task)
    while (order := told(task)) is None:
        time.sleep(0.02)
    return end(task, order)


async def ahandle(task: Task) -> Task:
    begin(task)
    await task.asave()
    note("saved", task)
    while (order := told(task)) is None:
        await asyncio.sleep(0.02)
    return end(task, order)


def supervise() -> None:
    """Has the client loaded, and starts a worker again at once when it was killed."""
    while True:
        if (worker := os.fork()) == 0:
            return
        (ORDERS / "worker").write_text(str(worker))
        os.waitpid(worker, 0)


if "SUPERVISED" in os.environ:
    supervise()
on_task(handle if "SYNC" in os.environ else ahandle)
