"""What a user's script does with the released client: one function per scenario.

The tests run each in a process of its own, as
`python client.py SCENARIO '{"argument": "value"}'`, with nothing but the
client's own environment variables. The outcome is printed as one line of JSON.
"""

import asyncio
import itertools
import json
import sys

from xpander_sdk import Agents, Backend, Tasks, User
from xpander_sdk.exceptions.module_exception import ModuleException
from xpander_sdk.modules.tasks.models.task import AgentExecutionStatus as Status
from xpander_sdk.modules.tasks.sub_modules.task import Task


def show(task):
    """The part of a task that the tests look at. (A Task cannot be printed: its repr recurses for ever.)"""
    return {
        "id": task.id,
        "agent_id": task.agent_id,
        "organization_id": task.organization_id,
        "text": task.input.text,
        "files": task.input.files,
        "user_id": task.input.user.id if task.input.user else None,
        "status": task.status.value,
        "internal_status": task.internal_status,
        "result": task.result,
        "title": task.title,
        "source": task.source,
        "is_manually_stopped": task.is_manually_stopped,
        "created_at": task.created_at.isoformat(),
        "finished": task.finished_at is not None,
    }


def show_event(event):
    data = event.data
    if isinstance(data, Task):
        data = {"task": show(data)}
    return {"type": event.type.value, "task_id": event.task_id, "time": event.time.isoformat(), "data": data}


def refused(call):
    """Calls, expects the client's own exception, and tells what it said."""
    try:
        answer = call()
    except ModuleException as refusal:
        return {"status_code": refusal.status_code, "description": refusal.description}
    return {"status_code": None, "description": f"not refused: {type(answer).__name__}"}


# --- scenarios ---------------------------------------------------------------


def create(agent_id):
    user = User(id="u-1", email="ann@example.com", first_name="Ann")
    return show(Tasks().create(agent_id=agent_id, prompt="Grüße, 世界 🚀", title="A title", user_details=user))


async def create_async(agent_id):
    return show(await Tasks().acreate(agent_id=agent_id, prompt="hello"))


def get(task_id):
    task = Tasks().get(task_id)
    return {"get": show(task), "async": show(asyncio.run(Tasks().aget(task_id))), "load": show(Task.load(task_id))}


def follow(agent_id, prompt, file_urls):
    """Creates a task, follows it to its end, then looks at it as a late viewer does."""
    task = Tasks().create(agent_id=agent_id, prompt=prompt, file_urls=file_urls, events_streaming=True)
    live = [show_event(event) for event in task.events()]
    late = [show_event(event) for event in Tasks().get(task.id).events()]
    return {"created": show(task), "live": live, "late": late, "final": show(Tasks().get(task.id))}


async def follow_async(agent_id, prompt, file_urls):
    task = await Tasks().acreate(agent_id=agent_id, prompt=prompt, file_urls=file_urls, events_streaming=True)
    created = show(task)
    live = [show_event(event) async for event in task.aevents()]
    late = [show_event(event) async for event in (await Tasks().aget(task.id)).aevents()]
    await task.areload()
    return {"created": created, "live": live, "late": late, "final": show(task)}


def attach(agent_id, url):
    """The newer way to hand over a file: its description, and no entry in file_urls."""
    from xpander_sdk.modules.tasks.models.task import AttachmentRef

    attachment = AttachmentRef(url=url, name="sales.csv", mime="text/csv", kind="text")
    task = Tasks().create(agent_id=agent_id, prompt="Analyze", attachments=[attachment], events_streaming=True)
    list(task.events())
    final = Tasks().get(task.id)
    return {"attachments": [a.model_dump(mode="json") for a in final.input.attachments], "final": show(final)}


def stop(agent_id):
    tasks = Tasks()
    first = tasks.create(agent_id=agent_id, prompt="stop me")
    second = tasks.create(agent_id=agent_id, prompt="stop me too")
    second.stop()
    return {
        "by_id": show(tasks.stop(first.id)),
        "by_task": show(second),
        "again": show(tasks.stop(first.id)),
        "stored": show(tasks.get(first.id)),
    }


def stop_then_update(agent_id):
    tasks = Tasks()
    task = tasks.create(agent_id=agent_id, prompt="stop, then complete")
    stopped = tasks.stop(task.id)
    updated = tasks.update(task.id, status=Status.Completed, result="Done by hand")
    return {"stopped": show(stopped), "updated": show(updated), "stored": show(tasks.get(task.id))}


def list_tasks(agent_id):
    tasks = Tasks()
    pending = tasks.create(agent_id=agent_id, prompt="one")
    stopped = tasks.stop(tasks.create(agent_id=agent_id, prompt="two", title="Second").id)
    every = tasks.list(agent_id)
    by_status = tasks.list(agent_id, filters={"status": Status.Stopped})
    return {
        "pending": pending.id,
        "stopped": stopped.id,
        "all": {item.id: [item.status.value, item.agent_id, item.title] for item in every},
        "by_status": [item.id for item in by_status],
        "loaded": show(by_status[0].load()) if by_status else None,
    }


def save(agent_id):
    tasks = Tasks()
    task = tasks.create(agent_id=agent_id, prompt="work on me")
    task.internal_status = "Reading the file"
    task.title = "Renamed"
    task.save()
    saved = show(tasks.get(task.id))
    task.set_status(Status.Executing)
    executing = show(task)
    task.internal_status = "🚀" * 255
    task.save()
    longest = show(tasks.get(task.id))
    task.set_status(Status.Completed, "All done")
    return {"saved": saved, "executing": executing, "longest": longest, "completed": show(tasks.get(task.id))}


def save_too_long(agent_id):
    tasks = Tasks()
    task = tasks.create(agent_id=agent_id, prompt="x")
    task.internal_status = "fits"
    task.save()
    task.internal_status = "é" * 256
    refusal = refused(task.save)
    return {"refusal": refusal, "stored": show(tasks.get(task.id))}


def continue_task(agent_id, file_urls):
    """A second turn of an ended task: same id, new input, a stream of its own."""
    tasks = Tasks()
    first = tasks.create(agent_id=agent_id, prompt="first", file_urls=file_urls, events_streaming=True)
    list(first.events())
    ended = show(tasks.get(first.id))
    second = tasks.create(
        agent_id=agent_id, existing_task_id=first.id, prompt="second", file_urls=file_urls, events_streaming=True
    )
    events = [show_event(event) for event in second.events()]
    return {"ended": ended, "second": show(second), "events": events, "final": show(tasks.get(first.id))}


def refusals(agent_id, missing):
    tasks = Tasks()
    return {
        "get": refused(lambda: tasks.get(missing)),
        "update": refused(lambda: tasks.update(missing, status=Status.Completed)),
        "stop": refused(lambda: tasks.stop(missing)),
        "create": refused(lambda: tasks.create(agent_id=missing, prompt="x")),
        "list": refused(lambda: tasks.list(agent_id, filters={"status": "nonsense"})),
        "file": refused(lambda: tasks.create(agent_id=agent_id, prompt="x", file_urls=["ftp://example.com/a.csv"])),
    }


def wrong_key(task_id):
    return refused(lambda: Tasks().get(task_id))


def read_files(agent_id, file_urls):
    task = Tasks().create(agent_id=agent_id, prompt="Read this", file_urls=file_urls)
    return {"files": task.get_human_readable_files(), "message": task.to_message()}


def get_args(agent_id):
    task = Tasks().create(agent_id=agent_id, prompt="x")
    args = Backend().get_args(agent_id=agent_id, task=task)
    return {"id": args["id"], "name": args["name"], "model": type(args["model"]).__name__}


def run_on_worker(agent_id, prompt, additional_context=None):
    task = Tasks().create(
        agent_id=agent_id, prompt=prompt, additional_context=additional_context, events_streaming=True
    )
    events = [show_event(event) for event in task.events()]
    return {"created": show(task), "events": events, "final": show(Tasks().get(task.id))}


async def stop_running(agent_id, prompt):
    """Stops a task as soon as its handler says that it is at work."""
    task = await Tasks().acreate(agent_id=agent_id, prompt=prompt, events_streaming=True)
    stopped = None
    events = []
    async for event in task.aevents():
        events.append(show_event(event))
        if stopped is None and event.type.value == "tool_call_request":
            stopped = show(await Tasks().astop(task.id))
    return {"stopped": stopped, "events": events, "final": show(await Tasks().aget(task.id))}


async def create_many(agent_id, count):
    tasks = Tasks()
    created = await asyncio.gather(*(tasks.acreate(agent_id=agent_id, prompt=f"task {n}") for n in range(count)))
    listed = await tasks.alist(agent_id)
    return {
        "created": {task.id: task.input.text for task in created},
        "listed": [[item.id, item.created_at.isoformat()] for item in listed],
    }


async def watch(agent_id):
    """Creates a task and follows it, then does what it is told line by line: "watch" again, or "get"."""
    task = await Tasks().acreate(agent_id=agent_id, prompt="wait", events_streaming=True)
    say(task.id)
    for order in itertools.chain(["watch\n"], sys.stdin):
        try:
            if order == "get\n":
                say((await Tasks().aget(task.id)).status.value)
                continue
            async for event in task.aevents():
                say(event.type.value)
            say("end of the stream")
        except Exception as failure:
            say(f"{type(failure).__name__} {getattr(failure, 'status_code', '')}".strip())


def create_with_everything(agent_id):
    """Every argument of both ways to create a task, each given: what of it the server then answers otherwise."""
    from fields import check_created, created_with

    tasks = Tasks()
    task = tasks.create(agent_id=agent_id, **created_with(tasks.acreate, "one"))
    by_agent = Agents().get(agent_id=agent_id)
    other = by_agent.create_task(**created_with(by_agent.acreate_task, "two"))
    return {
        "Tasks.create": check_created(tasks.acreate, tasks.get(task.id), "one"),
        "Agent.create_task": check_created(by_agent.acreate_task, tasks.get(other.id), "two"),
    }


def save_everything(agent_id):
    """Every field of a task, each changed and saved: those that the server then answers otherwise."""
    from fields import change_all, lost

    task = Tasks().create(agent_id=agent_id, prompt="work on me")
    want = change_all(task)
    task.save(with_deep_plan_update=True)
    return {"saved": lost(want, task), "read": lost(want, Tasks().get(task.id))}


def say(line):
    print(line, flush=True)


def main():
    scenario, arguments = globals()[sys.argv[1]], json.loads(sys.argv[2])
    outcome = scenario(**arguments)
    if asyncio.iscoroutine(outcome):
        outcome = asyncio.run(outcome)
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
