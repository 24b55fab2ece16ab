"""A program behind an agent that does what its prompt says, line by line: `actor.py FOLDER`.

`say WORDS`, `think WORDS`, `tool NAME`, `fail WORDS`, `wait NAME` until FOLDER has a file of that name, `ask KEY`
as a yes or no of a person's, `question KEY`, whose answer it says, `files` for the names of the files, `write NAME` an output file, `task MEMBER` for a member
of the task's JSON.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(sys.argv[1])


def tell(kind: str, data: object) -> None:
    print(json.dumps({"type": kind, "data": data}), flush=True)


for number, line in enumerate(sys.stdin.read().splitlines()):
    verb, _, words = line.partition(" ")
    if verb == "say":
        tell("chunk", words)
    elif verb == "think":
        tell("think", {"title": "Thinking", "thought": words})
    elif verb == "tool":
        call = {"request_id": f"call-{number}", "operation_id": words, "tool_name": words, "payload": {"n": 1}}
        tell("tool_call_request", call)
        tell("tool_call_result", call | {"result": "2", "is_error": False})
    elif verb == "fail":
        sys.exit(words)
    elif verb == "wait":
        while not (FOLDER / words).exists():
            time.sleep(0.01)
    elif verb == "ask":
        subprocess.run([os.environ["ERRAND_BIN"], "ask", words, "May I?", "--approval"], check=False)
    elif verb == "question":
        answered = subprocess.run([os.environ["ERRAND_BIN"], "ask", words, "Which one?"], stdout=subprocess.PIPE, text=True, check=False)
        if answered.returncode == 0:
            tell("chunk", answered.stdout.strip())
    elif verb == "write":
        Path(os.environ["ERRAND_OUT"], words).write_text("a,b\n1,2\n")
    elif verb == "task":
        tell("chunk", json.dumps(json.loads(Path(os.environ["ERRAND_TASK_FILE"]).read_text())[words]))
    elif verb == "Files:":
        tell("chunk", " ".join(re.findall(r"/([^/?,\s]+)(?=[?,\s]|$)", words)))
