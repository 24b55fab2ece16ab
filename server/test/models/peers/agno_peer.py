"""An Agno agent that does the bench's work each time a line comes: `agno_peer.py BASE_URL KEY`. It answers its seconds, to the first word and in all."""

import sys
import time

from agno.agent import Agent
from agno.models.openai.like import OpenAILike


def list_files() -> str:
    """Lists the names of the files that the task was given."""
    return "The task was given no files."


base, key = sys.argv[1:]
answers, sys.stdout = sys.stdout, sys.stderr  # where its log goes
for line in sys.stdin:
    agent = Agent(model=OpenAILike(id="o4-mini", base_url=base, api_key=key), tools=[list_files], telemetry=False)
    began, first = time.monotonic(), 0.0
    for event in agent.run(line.strip(), stream=True):
        if "That is" in str(getattr(event, "content", "") or "") and not first:
            first = time.monotonic() - began
    print(first, time.monotonic() - began, file=answers, flush=True)
