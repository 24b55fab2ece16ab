#!/usr/bin/env bash
# Usage: tidy.sh GO [write]
#
# Tells in which go.mod and go.sum of the repository `go mod tidy` would change
# something, or changes it. The modules name each other in a version that nobody
# has published: they get each other from a proxy made of this checkout, and what
# go.sum would say of that version is left out, for it changes with every commit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
go=$1 write=${2:-}

tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
(cd server/test && "$go" run ./modproxy ../.. "$tmp/proxy" . server)

# A module cache that outlives the run would hand out the sources of today again.
# What others have published comes from the usual one, where it is there.
export GOWORK=off GONOSUMDB=github.com/errand-dev GOMODCACHE=$tmp/cache
GOPROXY="file://$tmp/proxy,file://$(GOMODCACHE='' "$go" env GOMODCACHE)/cache/download,$("$go" env GOPROXY)"
export GOPROXY

untidy=0
for module in . server server/test server/test/peers examples/eino tools; do
    cp "$module/go.mod" "$tmp/go.mod"
    cat "$module/go.sum" >"$tmp/go.sum" 2>/dev/null || true
    (cd "$module" && "$go" mod tidy -modfile "$tmp/go.mod")
    sed -i '\|^github.com/errand-dev/errand|d' "$tmp/go.sum"
    [[ -s $tmp/go.sum ]] || rm "$tmp/go.sum"
    for file in go.mod go.sum; do
        [[ -e $module/$file || -e $tmp/$file ]] || continue # the client has no go.sum
        if [[ -n $write ]]; then
            cp "$tmp/$file" "$module/$file" 2>/dev/null || rm -f "$module/$file"
        else
            diff -uN "$module/$file" "$tmp/$file" || untidy=1
        fi
    done
    rm -f "$tmp/go.mod" "$tmp/go.sum"
done
exit $untidy
