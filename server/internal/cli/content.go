package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/errand-dev/errand/server/internal/files"
)

// stdin, in the place of a file's name, is standard input.
const stdin = "-"

// contentOf opens what is to be uploaded. A pipe and standard input are read to their end
// first: an upload may have to begin again. Whoever writes there may take as long as the
// context lives.
func contentOf(ctx context.Context, name string) (io.ReadCloser, error) {
	if name != stdin {
		info, err := os.Stat(name)
		if err != nil || info.Mode().IsRegular() {
			return os.Open(name)
		}
	}
	type spooled struct {
		content *spool
		err     error
	}
	came := make(chan spooled, 1)
	go func() {
		content, err := spoolOf(name)
		came <- spooled{content, err}
	}()
	select {
	case got := <-came:
		if got.err != nil {
			return nil, fmt.Errorf("read %s: %w", name, got.err)
		}
		return got.content, nil
	case <-ctx.Done(): // what reads ends with the program
		return nil, context.Cause(ctx)
	}
}

// spool is a file that is gone when it is closed.
type spool struct{ *os.File }

// Close implements io.Closer.
func (s *spool) Close() error { return errors.Join(s.File.Close(), os.Remove(s.Name())) }

// spoolOf copies what is read from a name. Nothing is left behind before there is
// something to copy.
func spoolOf(name string) (*spool, error) {
	from := os.Stdin
	if name != stdin {
		var err error
		if from, err = os.Open(name); err != nil {
			return nil, err
		}
		defer from.Close() //nolint:errcheck // it was only read
	}
	begin := make([]byte, 1)
	n, err := io.ReadFull(from, begin)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	to, err := os.CreateTemp("", "errand-upload-")
	if err != nil {
		return nil, err
	}
	s := &spool{to}
	_, err = to.Write(begin[:n])
	var copied int64
	if err == nil {
		copied, err = io.Copy(to, io.LimitReader(from, files.MaxSize))
	}
	if err == nil && copied+int64(n) > files.MaxSize {
		err = errors.New("a file may have 1 GiB")
	}
	if err == nil {
		_, err = to.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}
