#!/usr/bin/env bash
# github.com/a2aproject/a2a-go/v2 v2.4.0: SendStreamingMessage of its client yields pairs of
# an event and an error, so a loop over it looks as if it heard of every failure. A server that
# refuses a streaming call before the stream begins answers the plain JSON-RPC error that the
# protocol defines, with the status 200, as the SDK for Python does. The client reads that
# body as an event stream, finds no event in it, and the loop ends at once: no event, no error.
# What was refused looks like an agent with nothing to say. Whoever uses it has to take an
# empty stream for a failure, and has to look at the answer's content type to tell which one.
#
# Needs Go and the module proxy. Exits 0 while the behaviour is as described.
set -euo pipefail
tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
cd "$tmp"
export GOWORK=off GOFLAGS=-mod=mod GOMODCACHE="$tmp/cache"
cat >go.mod <<'MOD'
module finding

go 1.25.0

require github.com/a2aproject/a2a-go/v2 v2.4.0
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
)

func main() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			ID json.RawMessage `json:"id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&request)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32005,"message":"this agent reads no such files"}}`, request.ID)
	}))
	defer server.Close()
	client := a2aclient.NewJSONRPCTransport(server.URL, server.Client())
	ask := &a2a.SendMessageRequest{Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart("hello"))}
	events, failures := 0, 0
	for _, err := range client.SendStreamingMessage(context.Background(), nil, ask) {
		if err != nil {
			failures++
		} else {
			events++
		}
	}
	_, err := client.SendMessage(context.Background(), nil, ask)
	fmt.Printf("streamed: %d events, %d errors; not streamed: %v\n", events, failures, err)
	if events != 0 || failures != 0 || err == nil {
		fmt.Fprintln(os.Stderr, "the behaviour has changed")
		os.Exit(1)
	}
}
GO
go run .
