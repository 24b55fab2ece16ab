#!/usr/bin/env bash
# Usage: vuln.sh GOVULNCHECK STATUS_FILE
#
# Runs govulncheck over the client, the server and their tests, and writes one line about the outcome to
# STATUS_FILE, so that `make check` can repeat it at its end. The check needs
# the vulnerability database. When that cannot be reached, it is skipped
# loudly, unless VULN_REQUIRED=1 (set it where a release is made). Every other
# failure is a failure.
set -euo pipefail

govulncheck=$1
status=$2
log=$(mktemp)
trap 'rm -f "$log"' EXIT

report() {
    echo "$1" >"$status"
    echo "$1"
}

cd "$(dirname "${BASH_SOURCE[0]}")/../server/test" # whose workspace has all three
if "$govulncheck" github.com/errand-dev/errand/... 2>&1 | tee "$log"; then
    report "vuln: ok"
    exit 0
fi

unreachable='fetching vulnerabilities:.*(dial |lookup |no such host|connection re|connect: |network is unreachable|proxyconnect|timeout|deadline exceeded)'
if grep -Eq "$unreachable" "$log" && [[ ${VULN_REQUIRED:-} != 1 ]]; then
    report "vuln: SKIPPED (vulnerability database unreachable)"
    exit 0
fi
report "vuln: FAILED"
exit 1
