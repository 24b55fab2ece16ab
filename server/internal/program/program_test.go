//go:build unix

package program_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/task"
)

func unquote(t *testing.T, data json.RawMessage) string {
	t.Helper()
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestC1ProgramGetsItsTask(t *testing.T) {
	t.Setenv("ERRAND_API_KEY", "not for programs")
	t.Setenv("LET_THROUGH", "yes")
	p := shell(`cat; echo; cat "$ERRAND_TASK_FILE"; echo; ls -l "$ERRAND_TASK_FILE"; ls -ld "$(dirname "$ERRAND_TASK_FILE")"
		echo "$ERRAND_TASK_ID $ERRAND_ATTEMPT"; env | sed 's/=.*//' | sort | tr '\n' ' '; dirname "$ERRAND_TASK_FILE"`)
	p.Env = []string{"LET_THROUGH", "NOT_THERE"}
	result, _, err := run(t, p)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(result), "\n")
	if len(lines) != 7 {
		t.Fatalf("C1: it said\n%s", result)
	}
	if lines[0] != "Do it" || lines[1] != "Files: u" || lines[2] != `{"id":"task-1","answers":{}}` || lines[5] != "task-1 2" {
		t.Errorf("C1: it was given\n%s", result)
	}
	if !strings.HasPrefix(lines[3], "-rw-------") || !strings.HasPrefix(lines[4], "drwx------") {
		t.Errorf("C1: others may read it: %s, %s", lines[3], lines[4])
	}
	var foreign []string
	names := strings.Fields(lines[6])
	for _, name := range names[:len(names)-1] {
		switch name {
		case "PATH", "HOME", "LANG", "TZ", "LET_THROUGH", "ERRAND_TASK_FILE", "ERRAND_TASK_ID", "ERRAND_ATTEMPT", "ERRAND_RESULT_FILE", "PYTHONUNBUFFERED":
		case "PWD", "OLDPWD", "SHLVL", "_": // the shell's own
		default:
			foreign = append(foreign, name)
		}
	}
	if len(foreign) > 0 || !slices.Contains(names, "LET_THROUGH") {
		t.Errorf("C1: its environment has %v, among them %v", names, foreign)
	}
	if _, err := os.Stat(names[len(names)-1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("C1: its folder is still there: %v", err)
	}
}

func TestC2LinesAreChunks(t *testing.T) {
	t.Parallel()
	result, l, err := run(t, shell(`printf 'one\n\n<two>\r\nno end'`))
	if err != nil || result != "one\n\n<two>\r\nno end" {
		t.Errorf("C2: %q, %v", result, err)
	}
	want := []string{`chunk "one\n"`, `chunk "\n"`, `chunk "\u003ctwo\u003e\r\n"`, `chunk "no end"`}
	if diff := cmp.Diff(want, l.texts()); diff != "" {
		t.Errorf("C2 (-want +got):\n%s", diff)
	}
}

func TestC2OddOutput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, script, want string }{
		{"nothing", `true`, ""},
		{"invalid text", `printf 'a\377\0b\303\n\303'`, "a\uFFFD\uFFFDb\uFFFD\n\uFFFD"},
		{"a long line", `i=0; while [ $i -lt 3000 ]; do printf '%0300d€' 7; i=$((i+1)); done`, strings.Repeat(strings.Repeat("0", 299)+"7€", 3000)},
		{"wide characters", `awk 'BEGIN { for (i = 0; i < 300000; i++) printf "€" }'`, strings.Repeat("€", 300000)},
		{"quotes only", `head -c 300000 /dev/zero | tr '\0' '"'; echo`, strings.Repeat(`"`, 300000) + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			result, l, err := run(t, shell(c.script))
			if err != nil || result != c.want {
				t.Errorf("C2: %d bytes, want %d, %v", len(result), len(c.want), err)
			}
			if text := l.concat(t); text != c.want {
				t.Errorf("C2: the chunks have %d bytes, want %d", len(text), len(c.want))
			}
			for _, e := range l.events {
				if len(e.Data) > task.MaxEvent {
					t.Errorf("C2: a chunk of %d bytes", len(e.Data))
				}
			}
		})
	}
}

func TestC2FastOutputIsBatchedAndInOrder(t *testing.T) {
	t.Parallel()
	const lines = 50_000
	result, l, err := run(t, shell(`seq 1 `+strconv.Itoa(lines)))
	if err != nil || len(l.events) < lines { // a line that comes in two pieces on a busy machine is two chunks
		t.Fatalf("C2: %d events, %v", len(l.events), err)
	}
	if text := l.concat(t); text != result || !strings.HasSuffix(result, "\n49999\n50000\n") {
		t.Error("C2: the chunks are not what was written")
	}
	if l.batches > lines/10 {
		t.Errorf("C2: %d batches for %d lines", l.batches, lines)
	}
}

func TestC2SlowLogHoldsUpTheProgram(t *testing.T) {
	t.Parallel()
	count := filepath.Join(t.TempDir(), "count")
	release := make(chan struct{})
	p := shell(`i=0; while [ $i -lt 100000 ]; do i=$((i+1)); printf '%01000d\n' $i; echo $i > ` + count + `; done`)
	ctx, cancel := context.WithCancelCause(t.Context())
	a := attempt(&log{})
	a.Emit = func(context.Context, []program.Event) error { <-release; return nil }
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = p.Execute(ctx, a) // it is cancelled
	}()
	last, since := "", time.Now()
	eventually(t, "C2: the program waits", func() bool {
		now, _ := os.ReadFile(count)
		if string(now) != last || last == "" {
			last, since = string(now), time.Now()
		}
		return time.Since(since) > 300*time.Millisecond
	})
	if n, err := strconv.Atoi(strings.TrimSpace(last)); err != nil || n > 5_000 {
		t.Errorf("C2: it wrote %s lines that nobody took", last)
	}
	cancel(errTold)
	close(release)
	<-ended
}

func TestC2LinesOfJSONAreEvents(t *testing.T) {
	t.Parallel()
	p := shell(`echo '{"type": "think", "data": {"a": 1}}'; echo ' {"type":"step"} '; echo '{"type":"task_finished","data":1}'
		echo '{"type":"chunk","data":"said"}'; echo '{"type":"chunk","data":1}'; echo '{"a":1}'; echo '{"type":"think"'; echo plain $ERRAND_EVENTS`)
	p.Events = true
	result, l, err := run(t, p)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`think {"a": 1}`, `step null`, `chunk "{\"type\":\"task_finished\",\"data\":1}\n"`, `chunk "said"`,
		`chunk "{\"type\":\"chunk\",\"data\":1}\n"`, `chunk "{\"a\":1}\n"`, `chunk "{\"type\":\"think\"\n"`, `chunk "plain json\n"`,
	}
	if diff := cmp.Diff(want, l.texts()); diff != "" {
		t.Errorf("C2 (-want +got):\n%s", diff)
	}
	// What was an event is no part of the text that it has said.
	if want := "{\"type\":\"task_finished\",\"data\":1}\nsaid{\"type\":\"chunk\",\"data\":1}\n{\"a\":1}\n{\"type\":\"think\"\nplain json\n"; result != want {
		t.Errorf("C2: result %q", result)
	}
	p.Events = false
	if _, l, _ = run(t, p); l.events[0].Type != task.Chunk {
		t.Error("C2: nobody has asked for events")
	}
}

func TestC2Result(t *testing.T) {
	t.Parallel()
	const flood = `head -c 17000000 /dev/zero | tr '\0' 'x'; echo; `
	for _, c := range []struct{ name, script, want, err string }{
		{"the file wins", `echo out; printf 'left \377' > "$ERRAND_RESULT_FILE"`, "left \uFFFD", ""},
		{"an empty file does not", `echo out; : > "$ERRAND_RESULT_FILE"`, "out\n", ""},
		{"too much output", flood, "", "more than 16777216 bytes to standard output"},
		{"much output and a file", flood + `echo short > "$ERRAND_RESULT_FILE"`, "short\n", ""},
		{"too large a file", `head -c 17000000 /dev/zero > "$ERRAND_RESULT_FILE"`, "", "more than 16777216 bytes in ERRAND_RESULT_FILE"},
		{"no file at all", `mkdir "$ERRAND_RESULT_FILE"`, "", "no regular file"},
		{"a pipe", `mkfifo "$ERRAND_RESULT_FILE"`, "", "no regular file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			result, _, err := run(t, shell(c.script))
			if result != c.want {
				t.Errorf("C2: result %.60q, want %q", result, c.want)
			}
			says(t, err, c.err)
		})
	}
}

// says checks an error's text; "" is no error.
func says(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error %v", err)
	case want != "" && (err == nil || !regexp.MustCompile(want).MatchString(err.Error())):
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestC3Failure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, script, err string }{
		{"code", `echo out; echo why >&2; exit 3`, "^the program ended with exit code 3: why$"},
		{"silence", `exit 1`, "exit code 1 and said nothing"},
		{"signal", `echo ouch >&2; kill -9 $$`, "ended by the signal KILL.*: ouch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := run(t, shell(c.script))
			says(t, err, c.err)
			if _, ok := errors.AsType[*program.ExitError](err); !ok {
				t.Errorf("C3: %T", err)
			}
		})
	}
	t.Run("the last 4 KiB", func(t *testing.T) {
		t.Parallel()
		_, _, err := run(t, shell(`seq 1 100000 >&2; exit 1`))
		exit, ok := errors.AsType[*program.ExitError](err)
		if !ok || len(exit.Stderr) != 4096 || !strings.HasSuffix(exit.Stderr, "\n99999\n100000\n") {
			t.Errorf("C3: %v", err)
		}
	})
	t.Run("no such program", func(t *testing.T) {
		t.Parallel()
		_, _, err := run(t, program.Program{Run: []string{"there-is-no-such-program"}})
		says(t, err, `start the program: .*not found`)
	})
	t.Run("no such folder", func(t *testing.T) {
		t.Parallel()
		p := shell("true")
		p.Dir = "/nowhere/at/all"
		_, _, err := run(t, p)
		says(t, err, `start the program: .*no such file`)
	})
	t.Run("its output was refused", func(t *testing.T) {
		t.Parallel()
		a, refused := attempt(&log{}), errors.New("refused")
		a.Emit = func(context.Context, []program.Event) error { return refused }
		if _, err := shell(`echo x; exec sleep 100`).Execute(t.Context(), a); !errors.Is(err, refused) {
			t.Errorf("%v", err)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		t.Parallel()
		p := shell(`exec sleep 100`)
		p.Timeout = 50 * time.Millisecond
		_, _, err := run(t, p)
		says(t, err, "longer than its timeout of 50ms")
	})
}

func TestMessage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ task, want string }{
		{`{"input":{"text":"Do it","files":[]}}`, "Do it"},
		{`{"input":{"text":null,"files":null,"attachments":null}}`, ""},
		{`{"input":{"text":"Do it","files":["a","b"],"attachments":[{"url":"c","name":"x"}]}}`, "Do it\nFiles: a, b, c"},
	} {
		if got, err := program.Message(json.RawMessage(c.task)); err != nil || got != c.want {
			t.Errorf("%s: %q, %v", c.task, got, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p   program.Program
		err string
	}{
		{program.Program{Run: []string{"sh"}, Env: []string{"A_B"}, Dir: "/"}, ""},
		{program.Program{Run: []string{"./true"}, Dir: "/bin"}, ""},
		{program.Program{Run: []string{"./missing.sh"}}, `^run: there is no program "./missing.sh" that can be executed`},
		{program.Program{Run: []string{"./program_test.go"}}, "that can be executed"},
		{program.Program{}, "^run: name a program"},
		{program.Program{Run: []string{"there-is-no-such-program"}}, `^run: there is no program "there-is`},
		{program.Program{Run: []string{"sh"}, Dir: "/etc/passwd"}, "^dir: /etc/passwd is no folder"},
		{program.Program{Run: []string{"sh"}, Env: []string{"A=b"}}, `^env: "A=b" is not the name`},
		{program.Program{Run: []string{"sh"}, Grace: -1}, "must not be negative"},
	} {
		says(t, c.p.Check(), c.err)
	}
}
