package cli

import (
	"context"
	"errors"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/errand-dev/errand/server/internal/durable"
)

// errOpen: a link that signs in is shown to a person and to nobody else.
var errOpen = errors.New("--open shows a link that signs in, and does so on a terminal only")

// open prints a link that signs in, which only a terminal gets to see, and opens it in
// the person's browser if there is one.
func open(e *env, link string) {
	fmt.Fprintf(e.Err, "\nThe web UI (this link signs in once, within 10 minutes):\n\n  %s\n\n", link)
	_ = browse(e.ctx, link) // the person has the link
}

// browse opens a link in the person's browser. What a command line holds everybody on
// the machine can read, so that names a file which only the person can. There is one
// such file, and soon its link is good no more.
func browse(ctx context.Context, link string) error {
	name, args := opener()
	if name == "" {
		return errors.New("no browser")
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	page := filepath.Join(dir, "errand", "open.html")
	if err := os.MkdirAll(filepath.Dir(page), 0o700); err != nil {
		return err
	}
	if err := durable.WriteFile(page, fmt.Appendf(nil, leading, html.EscapeString(link))); err != nil {
		return err
	}
	c := exec.CommandContext(context.WithoutCancel(ctx), name, append(args, page)...) //nolint:gosec // a name of our own
	if err := c.Start(); err != nil {
		return err
	}
	go func() { _ = c.Wait() }() // so that no process is left; its output goes nowhere
	return nil
}

// leading is a page that leads to another.
const leading = `<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url=%s">`

// opener is the program that opens a file as the person likes to, "" where there is no
// screen.
func opener() (name string, args []string) {
	switch runtime.GOOS {
	case "darwin":
		return "open", nil
	case "windows":
		return "rundll32", []string{"url.dll,FileProtocolHandler"}
	}
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return "", nil
	}
	return "xdg-open", nil
}
