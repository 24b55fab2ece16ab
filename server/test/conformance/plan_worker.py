"""A worker whose agent plans: it does what a model would with the plan tools.

The prompt says how. "rounds": makes a plan of two items and starts it, then
completes one in each further call of the handler. "at once": completes all in
the first call. "unstarted": makes a plan and leaves it. "question": starts it
and ends with a question. "tools": shows what became of a few tool calls. "agno":
lets agno do it, with a model. Every result begins with the number of times that
the handler was called for the task.
"""

import json
from collections import Counter

from agno.agent import Agent
from xpander_sdk import Agents, Backend, Task, on_task, register_tool

CALLS = Counter()


@register_tool(add_to_graph=True)
def add_up(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@on_task
async def handle(task: Task) -> Task:
    CALLS[task.id] += 1
    agent = await Agents().aget(task.agent_id)

    async def call(tool, **arguments):
        payload = arguments if tool == "add_up" else {"body_params": arguments}
        return await agent.tools.get_tool_by_id(tool).ainvoke(
            agent_id=agent.id, agent_version=agent.version, payload=payload, task_id=task.id
        )

    async def plan(tool, **arguments):
        answer = await call(tool, **arguments)
        assert answer.is_success, f"{tool}: {answer.result}"
        return answer.result

    steps = [{"title": "Read"}, {"title": "Write"}]
    said = "did it."
    match task.input.text:
        case "rounds" if CALLS[task.id] == 1:
            await plan("xpcreate_agent_plan", tasks=steps, auto_start=True)
        case "rounds":
            items = (await plan("xpget_agent_plan"))["tasks"]
            open_items = [item["id"] for item in items if not item["completed"]]
            await plan("xpcomplete_agent_plan_items", ids=open_items[:1])
        case "at once":
            items = (await plan("xpcreate_agent_plan", tasks=steps))["tasks"]
            await plan("xpstart_execution_plan")
            await plan("xpcomplete_agent_plan_items", ids=[item["id"] for item in items])
        case "unstarted":
            await plan("xpcreate_agent_plan", tasks=steps)
        case "question":
            await plan("xpcreate_agent_plan", tasks=steps, auto_start=True)
            said = "stopped: which file do you mean?"
        case "agno":
            args = await Backend(configuration=task.configuration).aget_args(task=task)
            args.pop("_xpander_hidden_mcp_toolkits", None)  # agno does not know it
            said = (await Agent(**args).arun(input=task.to_message())).content
        case "tools":
            sum_of = await call("add_up", a=1, b=2)
            unknown = await call("xpcomplete_agent_plan_items", ids=["nope"])
            empty = await call("xpadd_new_agent_plan_item", title=" ")
            log = await task.aget_activity_log()
            said = json.dumps({
                "sum": [sum_of.is_success, sum_of.result],
                "unknown": [unknown.is_error, unknown.status_code, unknown.result],
                "empty": [empty.is_error, empty.status_code, empty.result],
                "activity": [
                    [m.tool_name, m.payload, m.result, m.is_error] for m in log.messages if hasattr(m, "tool_name")
                ],
                "schemas": {
                    t.id: t.schema.model_json_schema() for t in agent.tools.list if t.id.startswith("xp")
                },
            })
    task.result = f"{CALLS[task.id]} {said}"
    return task
