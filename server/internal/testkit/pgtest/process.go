package pgtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// logName is the file in a server's folder that its programs write to.
const logName = "log"

// keeper is a shell between this process and a program, in a session of its
// own: what is sent to the test's group does not reach it. It has the program as
// its child, so it need not look for it, and has a pipe from this process, whose
// end the kernel sees to when this process dies. Then it ends the program, by a signal
// that it is told, and removes the folder.
//
// Until PostgreSQL has set itself up it ignores QUIT, as shells make programs in the
// background do. So that is repeated, for as long as there is somebody to hear it.
const keeper = `
folder=$1 last=$2
shift 2
"$@" </dev/null &
exec 3>&-
while read -r order; do
	case $order in
	over) wait $!; exit ;;
	*) kill -s "$order" $! ;;
	esac
done
while kill -s "$last" $!; do sleep 0.1; done 2>/dev/null
wait
rm -rf "$folder"
`

// process is a program of PostgreSQL's, with all that it has started.
type process struct {
	keeper *exec.Cmd
	orders *os.File // lines for the keeper
	life   *os.File // has an end when the last one who could write to it has ended
}

// spawn starts a program. There is no goroutine for it, as tests look for
// forgotten ones.
func spawn(folder string, owner *account, last Mode, program string, args ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(folder, logName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer closeAll(log)
	heard, orders, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer closeAll(heard)
	life, alive, err := os.Pipe()
	if err != nil {
		closeAll(orders)
		return nil, err
	}
	defer closeAll(alive)
	cmd := exec.CommandContext(context.Background(), "sh", append([]string{"-c", keeper, "sh", folder, string(last), program}, args...)...)
	cmd.Dir = folder
	// Variables like PGDATA and PGOPTIONS are the user's own servers'.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TMPDIR=" + folder}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = heard, log, log, []*os.File{alive}
	cmd.SysProcAttr = owner.attributes()
	if err := cmd.Start(); err != nil {
		closeAll(orders, life)
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return &process{keeper: cmd, orders: orders, life: life}, nil
}

// signal sends a signal (TERM, INT, …) to the program.
func (p *process) signal(name string) error {
	_, err := io.WriteString(p.orders, name+"\n")
	return err
}

// over waits for the end of the program and of all that it has started.
func (p *process) over(atMost time.Duration) bool {
	if err := p.life.SetReadDeadline(time.Now().Add(atMost)); err != nil {
		return false
	}
	_, err := io.Copy(io.Discard, p.life)
	return err == nil
}

// wait is over, and returns how the program ended. One that does not is
// abandoned.
func (p *process) wait() error {
	if !p.over(patience) {
		p.abandon()
		return fmt.Errorf("it took more than %s", patience)
	}
	err := p.signal("over")
	p.abandon()
	if ended := p.keeper.Wait(); ended != nil {
		return ended
	}
	return err
}

// abandon leaves the program to its keeper, which ends it.
func (p *process) abandon() {
	closeAll(p.orders, p.life)
}

// closeAll closes what there is nothing left to write to.
func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// releaseMemory frees the System V segment that a killed server left, and
// named in the seventh line of its lock file. Systems have few of them.
func releaseMemory(lockFile string) {
	lock, err := os.ReadFile(lockFile)
	if err != nil {
		return // it cleaned up
	}
	lines := strings.Split(string(lock), "\n")
	if len(lines) < 7 {
		return
	}
	if key := strings.Fields(lines[6]); len(key) == 2 {
		// Where the program is missing little is lost.
		_ = exec.CommandContext(context.Background(), "ipcrm", "-m", key[1]).Run()
	}
}
