"""A handler whose Agno agent uses the model of the agent's record.

Of the client's arguments it takes the model alone: the client's own
instructions are longer than what so small a model can follow.
"""

from agno.agent import Agent
from xpander_sdk import Backend, Task, Tokens, on_task


@on_task
async def handle(task: Task) -> Task:
    model = (await Backend().aget_args(task=task))["model"]
    model.temperature = 0
    answer = await Agent(model=model, instructions="Answer in one short sentence.").arun(input=task.input.text)
    task.result = answer.content
    task.tokens = Tokens(prompt_tokens=answer.metrics.input_tokens, completion_tokens=answer.metrics.output_tokens)
    return task
