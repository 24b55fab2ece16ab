package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/program"
)

type stepCmd struct {
	ID      string   `arg:"" help:"Names the step in the task's turn: 1 to 128 bytes."`
	Command []string `arg:"" optional:"" passthrough:"" name:"command" help:"The command and its arguments, behind --."`
}

// Help says what cannot be said in flags.
func (stepCmd) Help() string {
	return "For programs behind 'errand worker' or an agent of runtime command: errand step fetch -- curl -s https://example.com." +
		" If an attempt of the task's turn has committed that step, its output is printed again and nothing is run." +
		" Otherwise the command runs, and if it succeeds its standard output, at most about 256 KiB, is committed and then printed." +
		" A command that fails commits nothing; its exit code is that of errand step."
}

// ending is how long a command may take to end when it is told to.
const ending = 5 * time.Second

// Run prints what the step has written, now or in an earlier attempt.
func (c *stepCmd) Run(e *env) error {
	command := c.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	socket := os.Getenv(program.StepSocket)
	switch {
	case len(command) == 0:
		return misused("which command? Write it behind --, for example: errand step fetch -- curl -s https://example.com")
	case socket == "":
		return fmt.Errorf("there is no task here (%s is not set): errand step is for programs that 'errand worker' or an agent of runtime command runs", program.StepSocket)
	}
	return e.interruptible(func(ctx context.Context) error {
		var written []byte
		body, err := program.Step(ctx, socket, c.ID, func(ctx context.Context) (json.RawMessage, error) {
			var err error
			if written, err = c.run(ctx, e, command); err != nil {
				return nil, err
			}
			return outputBody(written)
		})
		if err != nil { // what the command has written is shown all the same
			_, _ = e.Out.Write(written) // the error says more
			return err
		}
		text, err := outputOf(body)
		if err != nil {
			return fmt.Errorf("step %s was not committed by errand step: %w", c.ID, err)
		}
		_, err = e.Out.Write(text)
		return err
	})
}

// run runs the command and returns what it has written.
func (c *stepCmd) run(ctx context.Context, e *env, command []string) ([]byte, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // it is what the program asks for
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.In, &out, e.Err
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = ending
	err := cmd.Run()
	if exit, is := errors.AsType[*exec.ExitError](err); is && exit.ExitCode() > 0 {
		return out.Bytes(), exitCodeError{code: exit.ExitCode()}
	}
	return out.Bytes(), err
}

// binary is the body of a step whose output is no text.
type binary struct {
	Base64 string `json:"base64"`
}

// outputBody is a command's output as JSON: text, and what is none in base64, so that
// it can be printed again byte for byte.
func outputBody(out []byte) (json.RawMessage, error) {
	if utf8.Valid(out) && !bytes.Contains(out, []byte{0}) {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false) // which would make it longer
		err := enc.Encode(string(out))
		return bytes.TrimSpace(text.Bytes()), err
	}
	return json.Marshal(binary{base64.StdEncoding.EncodeToString(out)})
}

// outputOf reads an outputBody.
func outputOf(body json.RawMessage) ([]byte, error) {
	var text string
	if strings.HasPrefix(string(body), `"`) {
		err := json.Unmarshal(body, &text)
		return []byte(text), err
	}
	var other binary
	if err := json.Unmarshal(body, &other); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(other.Base64)
}
