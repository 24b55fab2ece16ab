package cli_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal: what a program writes to its end comes out of the other.
func terminal(t *testing.T) (end *os.File, out io.Reader) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	end, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() }) // nothing of its is kept
	return end, master
}

// opened runs errand on a terminal, with a browser that notes the page that it is to
// open, until a line matches; it answers what matched and what the browser was given.
func opened(t *testing.T, until *regexp.Regexp, home string, args ...string) (found []string, page string) {
	t.Helper()
	bin := t.TempDir()
	seen := filepath.Join(bin, "seen")
	script := fmt.Sprintf("#!/bin/sh\necho \"$*\" >%[1]q.args\ncp \"$1\" %[1]q.new && mv %[1]q.new %[1]q\n", seen)
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	end, out := terminal(t)
	c := exec.CommandContext(ctx, "errand", args...)
	c.Stderr = end
	c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "DISPLAY=:9", "HOME="+home, "XDG_CACHE_HOME=", "TERM=dumb")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // it may be gone
		_ = c.Wait()                          // its end is not what is tested
	})
	if err := end.Close(); err != nil { // the program has its own: with that the terminal ends
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for found == nil && lines.Scan() {
		found = until.FindStringSubmatch(lines.Text())
	}
	if found == nil {
		t.Fatal("the terminal was not told")
	}
	go func() {
		for lines.Scan() { // so that the program can go on
		}
	}()
	for ctx.Err() == nil {
		content, err := os.ReadFile(seen)
		if err == nil {
			given, err := os.ReadFile(seen + ".args")
			if err != nil || strings.Contains(string(given), "code=") {
				t.Errorf("everybody on the machine reads %q, %v", given, err)
			}
			return found, string(content)
		}
	}
	t.Fatal("no browser was opened")
	return nil, ""
}

// link is how a terminal is told of a page.
var link = regexp.MustCompile(`^\s+(http://[\d.:]+)(/ui/sign-in\S*#code=([\w-]{43}))`)

// TestServeOpens: serve --open prints a link that signs in once, opens it, and logs it
// nowhere; what is no terminal is refused.
func TestServeOpens(t *testing.T) {
	t.Parallel()
	home, data := t.TempDir(), t.TempDir()
	found, page := opened(t, link, home, "serve", "--open", "--addr", "127.0.0.1:0", "--data", data, "--log-level", "debug")
	if !strings.Contains(page, found[1]+found[2]) {
		t.Errorf("the browser was given %q, the terminal %q", page, found[0])
	}
	info, err := os.Stat(filepath.Join(home, ".cache", "errand", "open.html"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the page that the browser reads: %v, %v", info, err)
	}
	for _, want := range []int{http.StatusNoContent, http.StatusUnauthorized} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, found[1]+"/v1/session", strings.NewReader(`{"code": "`+found[3]+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode != want {
			t.Errorf("the link: %s, want %d", res.Status, want)
		}
	}
	for _, args := range [][]string{{"serve", "--open"}, {"run", "--open", "x"}} {
		text, err := exec.CommandContext(t.Context(), "errand", args...).CombinedOutput()
		if err == nil || !strings.Contains(string(text), "on a terminal only") {
			t.Errorf("without a terminal: %v, %s", err, text)
		}
	}
}

// TestRunOpens: run --open leads to the page of its task.
func TestRunOpens(t *testing.T) {
	t.Parallel()
	found, page := opened(t, link, t.TempDir(), "run", "--open", "--agent", "profile", "look", "--file", filepath.Join("..", "..", "..", "examples", "data", "sales_data.csv"))
	if !strings.Contains(found[2], "?next=%2Fui%2Ftasks%2F") || !strings.Contains(page, "%2Fui%2Ftasks%2F") {
		t.Errorf("it leads to %q, and the browser to %q", found[2], page)
	}
}
