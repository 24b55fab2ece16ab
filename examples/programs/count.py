#!/usr/bin/env python3
"""Any program is a worker. This one counts the words of its task:

errand worker --agent counter --env TOOL_SECONDS -- examples/programs/count.py

Each line that it writes is a live event. A stop ends it and its tool.
"""

import os
import pathlib
import subprocess
import sys

prompt = sys.stdin.read()
print(f"attempt {os.environ['ERRAND_ATTEMPT']} of {os.environ['ERRAND_TASK_ID']} is process {os.getpid()}", flush=True)
tool = subprocess.Popen(["sleep", os.environ.get("TOOL_SECONDS", "0")])  # one that takes a while
print(f"its tool is process {tool.pid}", flush=True)
if tool.wait() != 0:
    sys.exit("the tool failed")
pathlib.Path(os.environ["ERRAND_RESULT_FILE"]).write_text(f"{len(prompt.split())} words\n")
