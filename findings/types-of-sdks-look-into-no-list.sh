#!/usr/bin/env bash
# anthropic 0.75.0 and openai 2.9.0 with pydantic 2.14.4: the SDKs publish what a request
# is as TypedDicts (MessageCreateParamsNonStreaming, CompletionCreateParamsNonStreaming),
# and pydantic's TypeAdapter takes them, so they look like a ready check of a recorded
# body. But their lists are declared as Iterable, and pydantic validates an Iterable only
# while somebody iterates: validate_python returns without having looked at any message,
# tool or content block. A body whose messages lack their roles passes. Of a right body
# comes back one whose `messages` is a ValidatorIterator, which has no length and is no
# JSON. Whoever holds requests against these types has to check each element by itself,
# with a TypeAdapter of the element's type, and so on inside of it.
#
# Needs Python 3.10 or newer and PyPI. Exits 0 while the behaviour is as described.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check anthropic==0.75.0 openai==2.9.0 pydantic==2.14.4
cat >"$tmp/seen.py" <<'PY'
import json
import sys

from anthropic.types import MessageParam
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as Anthropic
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as OpenAI
from pydantic import TypeAdapter, ValidationError


def passes(kind, value):
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return None


right = {"role": "user", "content": "How were the sales?"}
wrong = {"content": "Who says this?"}  # no role
as_described = passes(MessageParam, wrong) is None  # by itself it is refused
for name, kind in ("anthropic", Anthropic), ("openai", OpenAI):
    body = {"model": "m", "max_tokens": 10, "messages": [right]}
    got = passes(kind, body)
    unseen = passes(kind, body | {"messages": [wrong]})
    try:
        json.dumps(got)
        encodes = True
    except TypeError:
        encodes = False
    print(f"{name}: messages come back as {type(got['messages']).__name__}; "
          f"as JSON: {encodes}; a message without a role passes: {unseen is not None}")
    as_described &= type(got["messages"]).__name__ == "ValidatorIterator" and not encodes and unseen is not None
if not as_described:
    sys.exit("the behaviour has changed")
PY
"$tmp/venv/bin/python" "$tmp/seen.py"
