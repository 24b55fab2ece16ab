"""A worker whose handler is a real Agno agent with a tool and a structured answer.

The agent's model, its address and its key come from the agent's record in Errand.
"""

from agno.agent import Agent
from pydantic import BaseModel
from xpander_sdk import Backend, Task, Tokens, on_task


class Sales(BaseModel):
    region: str
    total: float


def total_sales(region: str) -> float:
    """The sum of a region's sales."""
    return {"North": 1200.5}[region]


@on_task
async def handle(task: Task) -> Task:
    arguments = await Backend().aget_args(task=task, tools=[total_sales])
    arguments = {name: value for name, value in arguments.items() if not name.startswith("_")}
    # JSON mode puts the schema into the prompt: release 2.0.537 sends a model
    # that has tools no schema in any other way.
    arguments |= {"output_schema": Sales, "use_json_mode": True}
    answer = await Agent(**arguments).arun(input=task.to_message())
    if not isinstance(answer.content, Sales):
        raise TypeError(f"no structured answer: {answer.content}")
    task.result = answer.content.model_dump_json()
    task.tokens = Tokens(prompt_tokens=answer.metrics.input_tokens, completion_tokens=answer.metrics.output_tokens)
    return task
