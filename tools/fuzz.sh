#!/usr/bin/env bash
# Runs every fuzz target of the client, the server and their tests, one after the other, for so long each:
# `make fuzz` (FUZZTIME=30s, FUZZ=a pattern of targets). What breaks one is kept
# as a file in the package's testdata/fuzz: from then on it runs in `go test`,
# so commit it with the repair.
set -euo pipefail
go=$1 time=$2 pattern=$3
cd "$(dirname "${BASH_SOURCE[0]}")/../server/test" # whose workspace has all three

corpus=$("$go" env GOCACHE)/fuzz
targets=$("$go" test -list "^Fuzz.*($pattern)" github.com/errand-dev/errand/... |
    awk '/^Fuzz/ { names[++n] = $1 } /^ok/ { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }')
printf '%-58s %8s %12s %8s\n' target seconds executions corpus
failed=0 log=$(mktemp)
trap 'rm -f "$log"' EXIT
while read -r package name; do
    begun=$SECONDS status=0
    # Minimizing what is merely interesting would eat most of the time.
    "$go" test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 1x -timeout 0 "$package" >"$log" 2>&1 </dev/null || status=$?
    runs=$(sed -nE 's/.*execs: ([0-9]+).*/\1/p' "$log" | tail -n 1)
    mkdir -p "$corpus/$package/$name"
    size=$(find "$corpus/$package/$name" -type f | wc -l)
    printf '%-58s %8d %12s %8d\n' "${package#github.com/errand-dev/errand/}.$name" $((SECONDS - begun)) "${runs:-0}" "$size"
    # The engine sometimes reports the end of its time as a failure.
    if ((status)) && grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then
        status=0
    fi
    if ((status)); then
        failed=1
        cat "$log"
    fi
done <<<"$targets"
exit $failed
