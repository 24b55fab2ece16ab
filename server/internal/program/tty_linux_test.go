package program_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/program"
)

// A program that gathers what it writes until somebody looks, as grep does, shows it at
// once on a terminal; what commands a terminal is left out, and stop reaches it.
func TestC2Terminal(t *testing.T) {
	t.Parallel()
	p := shell(`(printf 'a \033[1;31mred\033[0m \033]0;title\007w\303\266rd\r\n'; sleep 1000) | grep --color=always w`)
	p.TTY = true
	s := start(t, p)
	eventually(t, "the line is shown", func() bool { return slices.Contains(s.log.texts(), `chunk "a red wörd\n"`) })
	s.cancel(errTold)
	s.wait(t, patience)
}

func TestC2TerminalOfAProgram(t *testing.T) {
	t.Parallel()
	programs := map[string]program.Program{"free": shell(""), "confined": boxed(t, "")}
	for name, p := range programs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.TTY = true
			p.Run[2] = `cat; echo; [ -t 1 ] && [ ! -t 0 ] && [ ! -t 2 ] && stty size <&1; echo $TERM; echo wrong >/dev/tty; printf '10%%\r20%%\r\033[K30%%\n'; exit 4`
			result, l, err := run(t, p)
			want := "Do it\nFiles: u\n40 120\ndumb\nwrong\n30%\n"
			if text := l.concat(t); text != want || result != "" || err == nil || !strings.Contains(err.Error(), "exit code 4") {
				t.Errorf("C2: it wrote %q, %v", text, err)
			}
		})
	}
}
