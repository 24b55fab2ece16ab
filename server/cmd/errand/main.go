// Errand is the durable task layer for AI agents: server, worker and client in
// one program.
package main

import (
	"os"

	"github.com/errand-dev/errand/server/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
