package program

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"time"
)

// report is what a supervisor tells its parent, in lines of JSON: first the
// process group, at last how the program ended.
type report struct {
	Group  int    `json:"group,omitempty"`
	Done   bool   `json:"done,omitempty"`
	Exit   int    `json:"exit,omitempty"`
	Signal string `json:"signal,omitempty"`
	Error  string `json:"error,omitempty"` // why it could not start
}

// group is a running program with its supervisor.
type group struct {
	supervisor     *exec.Cmd
	control        *os.File // its end is the supervisor's word to kill
	stdout, stderr *lingering
	ended          chan struct{} // closed when nothing of the group runs any more
	last           report        // what the supervisor said; read after ended
}

// watch follows the supervisor's reports until the group has ended.
func (g *group) watch(reports *os.File) {
	defer close(g.ended)
	pgid := 0
	for lines := json.NewDecoder(reports); !g.last.Done && g.last.Error == ""; {
		var r report
		if lines.Decode(&r) != nil { // somebody has killed the supervisor itself
			killGroup(pgid)
			r = report{Error: "the program's supervisor was killed"}
		}
		pgid, g.last = cmp.Or(pgid, r.Group), r
	}
	_ = g.supervisor.Wait() // what matters it has reported
	_ = g.control.Close()   // it may be closed already
	_ = reports.Close()     // it was only read
	g.stdout.linger()
	g.stderr.linger()
}

// stop tells the group to end and kills what is left of it after grace; with
// no grace it is killed at once.
func (g *group) stop(grace time.Duration) {
	if grace > 0 {
		if _, err := g.control.WriteString(grace.String() + "\n"); err == nil {
			return
		}
	}
	_ = g.control.Close() // it may be closed already
}

// wait waits for the group's end and returns how the program ended.
func (g *group) wait() report {
	<-g.ended
	return g.last
}

// lingerFor is how long output is awaited after a group has ended: only what
// has escaped the group can still hold a pipe open.
const lingerFor = time.Second

// lingering is a pipe from a group. Once the group has ended, a read that
// finds nothing ends it.
type lingering struct {
	pipe *os.File
	over chan struct{}
}

func (l *lingering) linger() {
	close(l.over)
	_ = l.pipe.SetReadDeadline(time.Now().Add(lingerFor)) // it may be closed already
}

// Read implements io.Reader.
func (l *lingering) Read(b []byte) (int, error) {
	select {
	case <-l.over:
		_ = l.pipe.SetReadDeadline(time.Now().Add(lingerFor)) // a reader that was slow misses nothing
	default:
	}
	n, err := l.pipe.Read(b)
	if err != nil {
		_ = l.pipe.Close() // it was only read
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = io.EOF
		}
	}
	return n, err
}
