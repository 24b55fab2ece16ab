package cli_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var updateTour = flag.Bool("update-tour", false, "write what is shown into docs/TOUR.md") //nolint:gochecknoglobals // how a test gets a flag

// TestTour does what docs/TOUR.md does, each numbered prompt in a terminal of its own,
// and compares what is shown. "go test ./cli -run TestTour -update-tour" writes it.
func TestTour(t *testing.T) {
	t.Parallel()
	const name = "../../../docs/TOUR.md"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	tour := &tour{t: t, dir: t.TempDir(), sits: map[string]*typist{}}
	var written strings.Builder
	for i, part := range strings.Split(string(text), "```") {
		if i > 0 {
			written.WriteString("```")
		}
		session, is := strings.CutPrefix(part, "console\n")
		if !is {
			written.WriteString(part)
			continue
		}
		written.WriteString("console\n" + tour.play(session))
	}
	for terminal, p := range tour.sits {
		t.Errorf("terminal %s still runs %v", terminal, p.c.Args)
	}
	got := written.String()
	if plain(got) == plain(string(text)) {
		return
	}
	if !*updateTour {
		t.Fatalf("%s is not what is shown: run this test with -update-tour\n%s", name, got)
	}
	if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tour plays a session. Terminals that are left in the midst of a command go on.
type tour struct {
	t    *testing.T
	dir  string
	sits map[string]*typist // by the numbers of terminals in which a command runs
	told map[string]int     // how much of what they show is in the transcript
}

// step is a command in a terminal, or Ctrl-C, with the number of lines that follow.
var step = regexp.MustCompile(`(?m)^(\d)(\$ .*|> .*)\n`)

// play returns the session with what is shown in fact. "1$ command" runs a command in
// terminal 1, "1> ^C" presses Ctrl-C there and "1> …" waits for what stands below it. A
// command that shows "…" last goes on.
func (p *tour) play(session string) string {
	var out strings.Builder
	places := step.FindAllStringSubmatchIndex(session, -1)
	for i, at := range places {
		end := len(session)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		terminal, what, below := session[at[2]:at[3]], session[at[4]:at[5]], session[at[1]:end]
		out.WriteString(session[at[0]:at[1]])
		out.WriteString(p.do(terminal, what, below))
	}
	return out.String()
}

func (p *tour) do(terminal, what, below string) string {
	p.t.Helper()
	if p.told == nil {
		p.told = map[string]int{}
	}
	goesOn := strings.HasSuffix(below, "…\n")
	if command, is := strings.CutPrefix(what, "$ "); is {
		if command == "errand serve" {
			command += " --addr 127.0.0.1:0" // whatever else runs on this machine
		}
		p.sits[terminal] = sitAt(p.t, p.dir, []string{"HOME=" + p.dir, "ERRAND_URL=", "ERRAND_API_KEY=", "ERRAND_WORKER_ID=laptop"}, "sh", "-c", "exec "+command)
		p.told[terminal] = 0
	} else if what == "> ^C" {
		p.sits[terminal].types(ctrlC)
	}
	s := p.sits[terminal]
	if goesOn { // until the line above the dots is there
		lines := strings.Split(strings.TrimSuffix(below, "…\n"), "\n")
		last := lines[max(len(lines)-2, 0)]
		eventually(p.t, patience, last+" is shown in terminal "+terminal, func() bool {
			return strings.Contains(plain(s.shown.String()[p.told[terminal]:]), plain(last)) && strings.HasSuffix(s.shown.String(), "\n")
		})
	} else {
		<-s.ended
		<-s.read
		delete(p.sits, terminal)
	}
	shown := strings.ReplaceAll(s.shown.String()[p.told[terminal]:], "\r", "")
	p.told[terminal] = len(s.shown.String())
	shown = strings.Replace(shown, "^C", "", 1)
	shown = forReaders(shown)
	if shown != "" && !strings.HasSuffix(shown, "\n") {
		shown += "\n"
	}
	if goesOn {
		shown += "…\n"
	}
	return shown
}

// What no document needs.
var (
	address = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	secret  = regexp.MustCompile(`(API_KEY=)\S+`)
	trials  = regexp.MustCompile(`(?m)^.* INF task .* agent_id=profile.*\n`) // doctor's
)

// forReaders is what was shown, as a document says it.
func forReaders(shown string) string {
	shown = trials.ReplaceAllString(shown, "")
	return address.ReplaceAllString(secret.ReplaceAllString(shown, "${1}errand_…"), "127.0.0.1:4747")
}

// plain is a text without what is another each time.
func plain(text string) string {
	text = forReaders(text)
	for _, x := range [...]struct{ pattern, with string }{
		{`\r`, ""},
		{`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "ID"},
		{`\b\d\d:\d\d:\d\d\b`, "TIME"},
		{`\d{4}-\d\d-\d\dT?[0-9:.Z]*`, "DATE"},
		{`\d+ (s|min) ago`, "AGO"},
		{`\d+(\.\d+)? (ms|s|KiB|MiB|GiB|MB|bytes)`, "MEASURE"},
		{`(?m)^(ok|warn) +(disk|open files) .*\n( .*\n)?`, ""}, // this machine's
		{` +`, " "},
	} {
		text = regexp.MustCompile(x.pattern).ReplaceAllString(text, x.with)
	}
	return text
}
