#!/bin/sh
# Any program is a worker. This one counts the words of its task:
#
#   errand worker --agent counter --env TOOL_SECONDS -- examples/programs/count.sh
#
# Each line that it writes is a live event. A stop ends it and its tool.
set -eu
prompt=$(cat)
echo "attempt $ERRAND_ATTEMPT of $ERRAND_TASK_ID is process $$"
sleep "${TOOL_SECONDS:-0}" & # a tool that takes a while
echo "its tool is process $!"
wait $!
printf %s "$prompt" | wc -w | xargs printf '%s words\n' > "$ERRAND_RESULT_FILE"
