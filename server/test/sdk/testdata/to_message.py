"""Prints what the Python client's to_message makes of tasks.

Reads a JSON array of tasks and writes a JSON array of messages. A task that
the client cannot turn into a message gives null.
"""

import json
import sys

from loguru import logger
from xpander_sdk.models.configuration import Configuration
from xpander_sdk.modules.tasks.sub_modules.task import Task


def message(task: dict) -> str | None:
    try:
        return Task(**task, configuration=Configuration()).to_message()
    except Exception as e:  # noqa: BLE001 - told to the test, which fails
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return None


logger.remove()
json.dump([message(task) for task in json.load(sys.stdin)], sys.stdout)
