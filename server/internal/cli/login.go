package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/errand-dev/errand/server/internal/outbound"
)

type loginCmd struct {
	URL     string `arg:"" help:"The server's URL, for example https://errand.example.com."`
	Profile string `help:"A name for it, for those who have several." default:"default"`
}

// Help says what cannot be said in flags.
func (loginCmd) Help() string {
	return "Reads a key of the server from the terminal, without showing it, or from standard input, checks it, and keeps it in your" +
		" configuration folder. Every other command then talks to that server, unless --server, ERRAND_URL or another --profile says otherwise."
}

// Run keeps a key that the server knows.
func (c *loginCmd) Run(e *env) error {
	target, err := serverURL(c.URL)
	if err != nil {
		return err
	}
	known, err := readProfiles()
	if err != nil {
		return err
	}
	if inClear(target) {
		fmt.Fprintf(e.Err, "%s is not encrypted: whoever is on the way can read the key.\n", target)
	}
	key, err := e.secret("Key for " + target + ": ")
	if err != nil {
		return err
	}
	made := profile{URL: target, Key: key}
	client, err := made.client()
	if err != nil {
		return err
	}
	err = e.interruptible(func(ctx context.Context) error {
		_, err := client.Agents.List(ctx) // every role may
		return err
	})
	if err != nil {
		return err
	}
	known[c.Profile] = made
	if err := known.write(); err != nil {
		return err
	}
	fmt.Fprintf(e.Err, "Logged in to %s (profile %s).\n", target, c.Profile)
	return nil
}

// serverURL checks a URL and writes it in the one way in which it is compared.
func serverURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", misused("write the server's URL like https://errand.example.com or http://127.0.0.1:4747")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// inClear tells whether whoever is on the way to a server can read the key.
func inClear(target string) bool {
	u, err := url.Parse(target)
	return err == nil && u.Scheme == "http" && !outbound.Loopback(u.Hostname())
}

// secret reads one line that is not shown.
func (e *env) secret(prompt string) (string, error) {
	var text string
	var err error
	if f, ok := e.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		text, err = e.hidden(f, prompt)
	} else {
		text, err = await(e, func() (string, error) { return bufio.NewReader(io.LimitReader(e.In, 4096)).ReadString('\n') })
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		return "", err
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", errors.New("no key was given: type it, or give it on standard input")
	}
	return text, nil
}

// hidden reads from a terminal, which shows again what is typed when Ctrl-C
// ends the program instead.
func (e *env) hidden(f *os.File, prompt string) (string, error) {
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	fmt.Fprint(e.Err, prompt)
	defer fmt.Fprintln(e.Err)
	text, err := await(e, func() ([]byte, error) { return term.ReadPassword(fd) })
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return string(text), errors.Join(err, term.Restore(fd, before))
}

type logoutCmd struct {
	Profile string `help:"Which server to forget." default:"default"`
}

// Run forgets a server and its key. The key itself stays good.
func (c *logoutCmd) Run(e *env) error {
	known, err := readProfiles()
	if err != nil {
		return err
	}
	gone, err := known.named(c.Profile)
	if err != nil {
		return err
	}
	delete(known, c.Profile)
	if err := known.write(); err != nil {
		return err
	}
	fmt.Fprintf(e.Err, "Forgot %s and its key, which stays good until it is revoked.\n", gone.URL)
	return nil
}
