#!/bin/sh
# A program that asks a person before it does something:
#
#   errand worker --agent refunds -- examples/programs/refund.sh
#   errand task create --agent refunds 'Ann, order 17: the cup was broken'
#   errand inbox
#
# While nobody has answered, the task waits without a slot and this program does not
# run. It begins anew with the answer, so what must not be done twice is a step.
set -eu
letter=$(cat)
draft=$(errand step draft -- sh -c 'echo "We are sorry. Your letter: $0"' "$letter")

euros=$(errand ask amount "How much do we give back? $letter" \
  --schema '{"type": "number", "minimum": 0, "maximum": 500}' --deadline 72h --default 0)
if errand ask send "Refund $euros EUR and write: $draft" --approval >/dev/null; then
  errand step pay -- echo "paid $euros EUR"
else
  echo "nothing was paid"
fi
