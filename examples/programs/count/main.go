// Command count is a worker in Go without the client: any program is one. It
// counts the words of its task:
//
//	errand worker --agent counter --env TOOL_SECONDS -- ./count
//
// Each line that it writes is a live event. A stop ends it and its tool.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"strings"
)

func main() {
	prompt, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("attempt %s of %s is process %d\n", os.Getenv("ERRAND_ATTEMPT"), os.Getenv("ERRAND_TASK_ID"), os.Getpid())
	seconds := os.Getenv("TOOL_SECONDS")
	if seconds == "" {
		seconds = "0"
	}
	tool := exec.Command("sleep", seconds) //nolint:gosec,noctx // one that takes a while; it ends with this program's group
	if err := tool.Start(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("its tool is process %d\n", tool.Process.Pid)
	if err := tool.Wait(); err != nil {
		log.Fatal(err)
	}
	answer := fmt.Sprintf("%d words\n", len(strings.Fields(string(prompt))))
	if err := os.WriteFile(os.Getenv("ERRAND_RESULT_FILE"), []byte(answer), 0o600); err != nil { //nolint:gosec // its place is what the variable is for
		log.Fatal(err)
	}
}
