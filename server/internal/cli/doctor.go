package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/config"
	"github.com/errand-dev/errand/server/internal/durable"
	"github.com/errand-dev/errand/server/internal/program"
)

type doctorCmd struct {
	remote
	Own    bool   `help:"Examine an own server in a temporary folder, even if there is another."`
	Config string `help:"The server's configuration file: how its programs are confined is examined, too." env:"ERRAND_CONFIG" placeholder:"FILE"`
}

// Help says what cannot be said in flags.
func (doctorCmd) Help() string {
	return "Runs a few small tasks on the server, and deletes them. Without a server it starts one of its own." +
		" Exit code: 0 all is well, or only warnings; 1 something must be fixed."
}

// Verdicts of a check.
const (
	verdictOK   = "ok"
	verdictWarn = "warn"
	verdictFail = "fail"
)

// check is something that was looked at.
type check struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	Found   string `json:"found"`
	Fix     string `json:"fix,omitempty"`
}

// examination is what doctor has found out.
type examination struct {
	Server    string               `json:"server"`
	From      string               `json:"from"` // where the server was named
	OK        bool                 `json:"ok"`
	Checks    []check              `json:"checks"`
	Latencies map[string]latencies `json:"latencies,omitempty"`
}

func (x *examination) ok(name, found string, args ...any) {
	x.Checks = append(x.Checks, check{Name: name, Verdict: verdictOK, Found: fmt.Sprintf(found, args...)})
}

func (x *examination) warn(name, fix, found string, args ...any) {
	x.Checks = append(x.Checks, check{name, verdictWarn, fmt.Sprintf(found, args...), fix})
}

func (x *examination) fail(name, fix, found string, args ...any) {
	x.OK = false
	x.Checks = append(x.Checks, check{name, verdictFail, fmt.Sprintf(found, args...), fix})
}

// doctorPatience bounds how long doctor waits for anything.
const doctorPatience = 30 * time.Second

// Run examines a server and says what to fix.
func (c *doctorCmd) Run(e *env) (err error) {
	at, folder, findErr := c.patient()
	x := &examination{Server: at.URL, From: at.from, OK: true}
	switch {
	case c.Own || errors.Is(findErr, errNoServer):
		own, startErr := startOwn(e.ctx, func(*app.Options) {})
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, own.stop()) }()
		at, folder = place{profile{own.URL(), own.FirstStart().Key}, "an own server"}, own.dir
		x.Server, x.From = at.URL, "one of its own, in a temporary folder"
	case findErr != nil:
		return findErr
	}
	err = e.interruptible(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*doctorPatience)
		defer cancel()
		return errors.Join(x.examine(ctx, at, folder), x.programs(c.Config))
	})
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(e.Out, x)
	} else {
		x.show(e)
	}
	if err == nil && !x.OK {
		err = exitCodeError{code: exitError}
	}
	return err
}

// patient finds the server that is to be examined, and its data folder if that
// is at hand.
func (c *doctorCmd) patient() (at place, folder string, err error) {
	if c.Own {
		return place{}, "", nil
	}
	if at, err = c.find(); err != nil {
		return place{}, "", err
	}
	if local, err := c.local(); err == nil && local == at.URL {
		folder = c.Data
	}
	return at, folder, nil
}

// examine looks at one thing after the other. What cannot be looked at because
// of what was found before is left out.
func (x *examination) examine(ctx context.Context, at place, folder string) error {
	line := &cuttable{next: http.DefaultTransport}
	client, err := errand.NewClient(errand.WithURL(at.URL), errand.WithKey(at.Key), errand.WithHTTPClient(&http.Client{
		Transport:     line,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}))
	if err != nil {
		return err
	}
	if x.reach(ctx, client, at, line) {
		t := &trial{client: client, line: line, x: x}
		t.run(ctx)
		x.growth(ctx, client)
		x.people(ctx, at, line)
	}
	if folder != "" {
		x.folder(folder)
		x.machine(folder)
	}
	return ctx.Err()
}

// reach looks whether the server answers and takes the key.
func (x *examination) reach(ctx context.Context, client *errand.Client, at place, line *cuttable) bool {
	began := time.Now()
	_, err := client.Agents.List(ctx)
	took := time.Since(began)
	switch {
	case errors.Is(err, errand.ErrUnauthenticated):
		x.ok("server", "answers in %s", brieflyTook(took))
		x.fail("key", "make one with 'errand key create NAME' on the server's machine, and set ERRAND_API_KEY or 'errand login "+at.URL+"'",
			"it is not valid there")
		return false
	case err != nil:
		x.fail("server", "start it with 'errand serve', or set ERRAND_URL to where it is", "%v", unreachable(err))
		return false
	}
	x.ok("server", "answers in %s", brieflyTook(took))
	theirs, err := line.version(ctx, at)
	switch ours := version(); {
	case err != nil:
		x.warn("version", "is it an Errand server, and not a proxy's page?", "the server does not tell: %v", err)
	case theirs != ours:
		x.warn("version", "update the older one", "the server is %s, this program is %s", theirs, ours)
	default:
		x.ok("version", "%s, the server and this program", ours)
	}
	return true
}

// growth tells how much there is, as far as the API tells.
func (x *examination) growth(ctx context.Context, client *errand.Client) {
	count := func(o errand.ListOptions) string {
		o.PerPage = 1
		page, err := client.Tasks.List(ctx, o)
		switch {
		case err != nil:
			return "?"
		case page.TotalIsCapped:
			return fmt.Sprintf("more than %d", page.Total)
		default:
			return strconv.Itoa(page.Total)
		}
	}
	x.ok("tasks", "%s stored, %s of them new in the last 24 h, %s waiting", count(errand.ListOptions{}),
		count(errand.ListOptions{From: time.Now().Add(-24 * time.Hour)}), count(errand.ListOptions{Status: errand.Pending}))
}

// people looks whether people can sign in with the provider, if there is one.
func (x *examination) people(ctx context.Context, at place, line *cuttable) {
	var ways struct {
		Providers []struct {
			Name    string `json:"name"`
			Problem string `json:"problem"`
		} `json:"providers"`
	}
	if err := line.read(ctx, at, "/v1/session/ways", &ways); err != nil {
		return // an older server
	}
	for _, p := range ways.Providers {
		if p.Problem != "" {
			x.fail("sign-in", "compare oidc.issuer with what ISSUER/.well-known/openid-configuration calls itself", "with %s: %s", p.Name, p.Problem)
			continue
		}
		x.ok("sign-in", "with %s is possible", p.Name)
	}
}

// folder looks at who may read a data folder, and how large it is.
func (x *examination) folder(dir string) {
	var open []string
	for _, name := range []string{dir, app.KeyFile(dir), filepath.Join(dir, "secret.key")} {
		if info, err := os.Stat(name); err == nil && othersMay(info) {
			open = append(open, name)
		}
	}
	if len(open) > 0 {
		x.fail("folder", "chmod -R go-rwx "+dir, "others may read %s", strings.Join(open, ", "))
		return
	}
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	if err != nil {
		x.warn("folder", "run this as the user who runs the server", "%v", err)
		return
	}
	x.ok("folder", "%s holds %s, for its owner alone", dir, bytesBriefly(size))
}

// fewFiles is the fewest open files with which a server is not in trouble soon.
const fewFiles = 4096

// machine looks at what a server on this machine may use.
func (x *examination) machine(dir string) {
	free, err := durable.Free(dir)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		x.warn("disk", "look at the file system of "+dir, "%v", err)
	case free < durable.TooLittle:
		x.fail("disk", "make room: a server that cannot write accepts nothing", "only %s free", bytesBriefly(free))
	case free < durable.Little:
		x.warn("disk", "make room soon", "%s free", bytesBriefly(free))
	default:
		x.ok("disk", "%s free", bytesBriefly(free))
	}
	if files, err := openFileLimit(); err == nil && files < fewFiles {
		x.warn("open files", "ulimit -n 65536, or LimitNOFILE= in its systemd unit; each viewer of a stream needs one", "at most %d for a process of this shell", files)
	} else if err == nil {
		x.ok("open files", "at most %d for a process of this shell", files)
	}
}

// programs looks at how the programs of a configuration file are confined.
func (x *examination) programs(name string) error {
	if name == "" {
		return nil
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	f, err := config.Parse(name, content)
	if err != nil { // a sandbox that cannot be made is among the reasons
		x.fail("programs", "correct the file, or install what it needs: a server does not start with it", "%v", err)
		return nil
	}
	var free []string
	for _, programs := range []map[string]program.Program{f.Commands, f.Servers} {
		for name, p := range programs {
			if !p.Box.Confines() {
				free = append(free, name)
			}
		}
	}
	slices.Sort(free)
	switch {
	case len(free) > 0:
		x.warn("programs", "sandbox: bwrap, unless you trust them and what steers them; see docs/OPERATIONS.md",
			"not confined, so they may read what this server may: %s", strings.Join(free, ", "))
	case len(f.Commands)+len(f.Servers) > 0:
		x.ok("programs", "all confined: %d commands, %d MCP servers", len(f.Commands), len(f.Servers))
	}
	return nil
}

// show prints the examination for a person.
func (x *examination) show(e *env) {
	fmt.Fprintf(e.Out, "%s (%s)\n\n", printable(x.Server), printable(x.From))
	w := newTable(e.Out)
	for _, c := range x.Checks {
		w.row(c.Verdict, c.Name, c.Found)
		if c.Fix != "" {
			w.row("", "", "→ "+c.Fix)
		}
	}
	w.end()
	if len(x.Latencies) == 0 {
		return
	}
	fmt.Fprintln(e.Out)
	w = newTable(e.Out, "", "MEDIAN", "SLOWEST", "OF")
	for _, name := range []string{latencyCreate, latencyStart, latencyAppend, latencyFirst} {
		if l, measured := x.Latencies[name]; measured {
			w.row(name, milliseconds(l.Median), milliseconds(l.Slowest), strconv.Itoa(l.Of))
		}
	}
	w.end()
}

// othersMay tells whether anybody but its owner may use a file.
func othersMay(info os.FileInfo) bool {
	return runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0
}
