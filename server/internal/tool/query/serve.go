package query

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"

	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/tabular"
)

// serveArg makes this program the process of a query. It is nothing for people.
const serveArg = "query-tables"

// Serve is what a program whose agents query tables calls first, before it looks at its
// arguments (without its own name): if it was started as the process of a query it is
// one, and returns its exit code and true.
func Serve(args []string) (code int, mine bool) {
	if len(args) != 1 || args[0] != serveArg {
		return 0, false
	}
	signal.Ignore(os.Interrupt) // Ctrl-C at a terminal is for the server, which decides
	text, err := serve(bufio.NewReader(os.Stdin))
	r := reply{Text: text}
	if err != nil {
		r.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return 1, true
	}
	return 0, true
}

// serve does what is asked on a stream, and no longer than its other end is there.
func serve(in *bufio.Reader) (string, error) {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return "", fmt.Errorf("read the request: %w", err)
	}
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return "", fmt.Errorf("read the request: %w", err)
	}
	memory := r.Limits.Memory << 20
	tabular.MayBeLost()
	debug.SetMemoryLimit(int64(memory / 2)) //nolint:gosec // of Go's part: SQLite's is its own
	if err := program.LimitMemory(memory); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.Limits.Time)
	defer cancel()
	db, err := open(ctx, r.Limits)
	if err != nil {
		return "", err
	}
	defer db.close()
	for i, name := range tableNames(r.Files) {
		p := &unpieced{from: in}
		if err := db.load(ctx, name, r.Files[i], p); err != nil {
			return "", err
		}
		if _, err := io.Copy(io.Discard, p); err != nil {
			return "", fmt.Errorf("read the file %s: %w", r.Files[i], err)
		}
	}
	go func() {
		_, _ = in.ReadByte() // nothing comes any more but the end
		cancel()
	}()
	if r.SQL == "" {
		return db.list(ctx)
	}
	return db.query(ctx, r.SQL)
}

// unpieced reads a file that comes in pieces.
type unpieced struct {
	from *bufio.Reader
	left int
	over bool
}

func (u *unpieced) Read(p []byte) (int, error) {
	for u.left == 0 && !u.over {
		var size [4]byte
		if _, err := io.ReadFull(u.from, size[:]); err != nil {
			return 0, errors.Join(io.ErrUnexpectedEOF, err)
		}
		u.left = int(binary.BigEndian.Uint32(size[:]))
		u.over = u.left == 0
	}
	if u.over {
		return 0, io.EOF
	}
	n, err := u.from.Read(p[:min(len(p), u.left)])
	u.left -= n
	return n, err
}
