package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/people"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

// publicURL is where the provider sends browsers back; the tests' browser knows which server
// that is.
const publicURL = "http://errand.example"

const clientSecret = "the-client-s-secret-of-the-tests"

// oidcProvider is a real OpenID Connect provider in a process of its own.
type oidcProvider struct {
	port   string
	issuer string
	stop   func()
}

// startProvider starts a provider at a port, "" for any.
func startProvider(t *testing.T, port string) *oidcProvider {
	t.Helper()
	script, err := filepath.Abs("../../../web/test/provider.mjs")
	if err != nil {
		t.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if _, missing := os.Stat(filepath.Join(filepath.Dir(script), "../node_modules/oidc-provider")); err != nil || missing != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs Node and what 'npm ci' installs in web/: %v, %v", err, missing)
		}
		t.Skip("needs Node and what 'npm ci' installs in web/")
	}
	if port == "" {
		port = freePort(t)
	}
	program := exec.Command(node, script, port, publicURL+"/v1/session/oidc/callback") //nolint:noctx // it is ended below
	program.Stderr = t.Output()
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = program.Process.Kill() // else it has ended
		_ = program.Wait()         // killed
	})
	t.Cleanup(stop)
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			t.Fatal("the provider does not start")
		}
		if lines.Text() == "ready" {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return &oidcProvider{port: port, issuer: "http://localhost:" + port, stop: stop}
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close() //nolint:errcheck // nobody has come
	_, port, err := net.SplitHostPort(free.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// server starts a server whose people sign in with the provider.
func (p *oidcProvider) server(t *testing.T, change ...func(*app.Options)) *server {
	t.Helper()
	address := "127.0.0.1:" + freePort(t)
	s := start(t, append([]func(*app.Options){p.with, func(o *app.Options) { o.Addr = address }}, change...)...)
	s.url = "http://" + address // and not publicURL
	return s
}

// with says in a server's options that people sign in with the provider.
func (p *oidcProvider) with(o *app.Options) {
	c := people.Default()
	c.Issuer, c.ClientID, c.ClientSecret, c.Name = p.issuer, "errand", clientSecret, "Example"
	c.Scopes, c.EndSession = append(c.Scopes, "groups"), true
	c.Rules = []people.Rule{
		{Group: "operators", Role: auth.Admin},
		{Owner: "anna@example.com", Role: auth.User},
		{Group: "research", Role: auth.User, Sees: auth.SeesGroup},
	}
	o.OIDC, o.PublicURL = &c, publicURL
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String implements fmt.Stringer.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// visitor is somebody's browser.
type visitor struct {
	t    *testing.T
	http *http.Client
}

func browse(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	return &visitor{t: t, http: &http.Client{Jar: jar, Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// lead is where the answer to a request leads.
func (p *visitor) lead(address string) string {
	p.t.Helper()
	res, err := p.http.Get(address) //nolint:noctx // the client has a limit
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // nothing is read of it
	to, err := res.Location()
	if err != nil {
		p.t.Fatalf("%s: %d, leads nowhere: %v", address, res.StatusCode, err)
	}
	return to.String()
}

// begin asks a server to sign in, and returns where that leads.
func (p *visitor) begin(s *server, next string) string {
	p.t.Helper()
	return p.lead(s.url + "/v1/session/oidc?next=" + url.QueryEscape(next))
}

// identify goes to the provider and says who is there, and returns where that sends it back.
func (p *visitor) identify(to, as string) (back string) {
	p.t.Helper()
	for range 10 {
		if strings.HasPrefix(to, publicURL) {
			return to
		}
		if strings.Contains(to, "/interaction/") {
			to += "?as=" + as
		}
		to = p.lead(to)
	}
	p.t.Fatalf("the provider sends it round and round: %s", to)
	return ""
}

// finish comes back from the provider to a server, and returns the page to which that leads.
func (p *visitor) finish(s *server, back string) string {
	p.t.Helper()
	return strings.TrimPrefix(p.lead(s.url+strings.TrimPrefix(back, publicURL)), s.url)
}

// signIn signs in as somebody, and returns the page to which that leads.
func (p *visitor) signIn(s *server, as, next string) string {
	p.t.Helper()
	return p.finish(s, p.identify(p.begin(s, next), as))
}

// cookie is the session that the browser keeps, nil for none.
func (p *visitor) cookie(s *server) *http.Cookie {
	p.t.Helper()
	at, err := url.Parse(s.url)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range p.http.Jar.Cookies(at) {
		return c
	}
	return nil
}

// mustSignIn signs in, and returns the session.
func (p *visitor) mustSignIn(s *server, as string) *http.Cookie {
	p.t.Helper()
	page := p.signIn(s, as, "/ui/inbox")
	c := p.cookie(s)
	if page != "/ui/inbox" || c == nil {
		p.t.Fatalf("%s is led to %s, with the cookie %v", as, page, c)
	}
	return c
}

// refused checks that a page says why somebody is not signed in, and that they are not.
func (p *visitor) refused(s *server, what, page, why string) {
	p.t.Helper()
	led(p.t, what, page, why)
	if c := p.cookie(s); c != nil {
		p.t.Errorf("%s: signed in with %v", what, c)
	}
}

// led checks that a page says why somebody was not signed in.
func led(t *testing.T, what, page, why string) {
	t.Helper()
	u, err := url.Parse(page)
	if err != nil || u.Path != "/ui/sign-in" || u.Query().Get("problem") != why || u.Query().Get("request") == "" {
		t.Errorf("%s: led to %s, want the problem %s", what, page, why)
	}
}

// A8: somebody signs in with the provider, and acts as the person that it says.
func TestA8PeopleSignIn(t *testing.T) {
	t.Parallel()
	p := startProvider(t, "")
	var said journal
	s := p.server(t, func(o *app.Options) { o.Log = slog.New(slog.NewTextHandler(&said, nil)) })
	ways := s.must(t, 200, call{method: "GET", path: "/v1/session/ways", key: "-"})
	if way := ways["providers"].([]any)[0].(map[string]any); way["name"] != "Example" || way["path"] != "/v1/session/oidc" {
		t.Errorf("the ways to sign in: %v", ways)
	}
	s.agent(t, "agent-1")

	anna := browse(t)
	c := anna.mustSignIn(s, "anna")
	me := s.must(t, 200, with(c, call{method: "GET", path: "/v1/session"}))
	key := me["key"].(map[string]any)
	if key["name"] != "Anna Adams" || key["role"] != "user" || me["user"] != "anna@example.com" || me["sign_out"] != "/v1/session/oidc/end" {
		t.Errorf("who is signed in: %v", me)
	}
	s.must(t, 403, with(c, call{method: "GET", path: "/v1/keys"}))
	made := s.must(t, 201, with(c, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "input": {"text": "hers"}}`}))
	id := made["id"].(string)
	s.ownedBy(t, id, "user:anna@example.com", "")
	s.must(t, 403, with(c, call{method: "POST", path: "/v1/session/links", body: `{}`}))
	s.must(t, 403, with(c, call{method: "GET", path: "/v1/tasks", header: map[string]string{"X-Errand-User": "ben@example.com"}}))

	// Stopping says who.
	s.must(t, 200, with(c, call{method: "POST", path: "/v1/tasks/" + id + "/stop"}))
	if stopped := s.must(t, 200, call{method: "GET", path: "/v1/tasks/" + id}); !strings.Contains(fmt.Sprint(stopped["stop"]), "user anna@example.com") {
		t.Errorf("who has stopped it: %v", stopped["stop"])
	}

	// Groups: ben sees what members of research make, and not what anna has made on her own.
	ben := browse(t).mustSignIn(s, "ben")
	s.must(t, 404, with(ben, call{method: "GET", path: "/v1/tasks/" + id}))
	his := s.must(t, 201, with(ben, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "input": {"text": "his"}}`}))["id"].(string)
	s.ownedBy(t, his, "user:ben@example.com", "research")
	s.must(t, 404, with(c, call{method: "GET", path: "/v1/tasks/" + his}))
	olga := browse(t).mustSignIn(s, "olga")
	s.must(t, 200, with(olga, call{method: "GET", path: "/v1/tasks/" + his}))

	// An admin sees people among the keys, and revokes one.
	for _, k := range s.must(t, 200, with(olga, call{method: "GET", path: "/v1/keys?limit=100"}))["items"].([]any) {
		if k := k.(map[string]any); k["person"] == "anna@example.com" {
			s.must(t, 204, with(olga, call{method: "DELETE", path: "/v1/keys/" + k["id"].(string)}))
		}
	}
	s.must(t, 401, with(c, call{method: "GET", path: "/v1/session"}))
	again := browse(t)
	again.refused(s, "a revoked person", again.signIn(s, "anna", ""), "revoked")

	if log := said.String(); strings.Contains(log, clientSecret) || strings.Contains(log, "eyJ") || !strings.Contains(log, "ben@example.com") {
		t.Errorf("the log: %s", log)
	}
}

// A8: who has no role here is told so, and so is everybody whom the provider does not vouch for.
func TestA8WhoIsRefused(t *testing.T) {
	t.Parallel()
	p := startProvider(t, "")
	s := p.server(t)
	for as, why := range map[string]string{"eve": "unknown", "mallory": "nameless", "nobody": "denied"} {
		b := browse(t)
		b.refused(s, as, b.signIn(s, as, "/ui/inbox"), why)
	}
	refuseAnotherAttempt(t, s)
	refuseACodeTwice(t, s)
	refuseLies(t, p, s)
	leadNowhereElse(t, s)
}

// refuseAnotherAttempt checks that the answer of an attempt that is not the browser's last signs nobody in.
func refuseAnotherAttempt(t *testing.T, s *server) {
	t.Helper()
	b := browse(t)
	back := b.identify(b.begin(s, ""), "ben")
	b.begin(s, "") // the browser's last
	b.refused(s, "another state", b.finish(s, back), "stale")
	other := browse(t) // has begun nothing
	other.refused(s, "no attempt", other.finish(s, back), "stale")
}

// refuseACodeTwice checks that a code signs in once, whoever shows it again.
func refuseACodeTwice(t *testing.T, s *server) {
	t.Helper()
	b := browse(t)
	back := b.identify(b.begin(s, ""), "ben")
	kept := b.http.Jar.Cookies(mustURL(t, s.url+"/v1/session/oidc/callback"))
	if b.finish(s, back) != "/ui/" || len(kept) != 1 {
		t.Fatalf("the first time, with %v", kept)
	}
	led(t, "without what it had kept", b.finish(s, back), "stale")
	thief := browse(t)
	thief.http.Jar.SetCookies(mustURL(t, s.url+"/v1/session/oidc/callback"), kept)
	thief.refused(s, "a code that was used", thief.finish(s, back), "untrue")
}

// refuseLies checks that what an ID token says wrongly signs nobody in, though the provider has signed it.
func refuseLies(t *testing.T, p *oidcProvider, s *server) {
	t.Helper()
	for what, lie := range map[string]string{
		"for another client":  `{"aud": "other"}`,
		"of another provider": `{"iss": "http://127.0.0.1:1"}`,
		"over":                fmt.Sprintf(`{"exp": %d}`, time.Now().Add(-time.Minute).Unix()),
		"of another attempt":  `{"nonce": "another"}`,
		"of another key":      `{"forged": true}`,
		"of somebody else":    `{"sub": "olga"}`,
	} {
		b := browse(t)
		back := b.identify(b.begin(s, ""), "ben")
		res, err := b.http.Get(p.issuer + "/lie?say=" + url.QueryEscape(lie)) //nolint:noctx // the client has a limit
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close() // nothing is read of it
		b.refused(s, what, b.finish(s, back), "untrue")
	}
}

// leadNowhereElse checks that nobody is led elsewhere afterwards.
func leadNowhereElse(t *testing.T, s *server) {
	t.Helper()
	for _, next := range []string{"https://example.com/", "//example.com/", "/ui//example.com", `/ui/\example.com`, "/v1/keys", "/ui/a b", "javascript:alert(1)"} {
		b := browse(t)
		if page := b.signIn(s, "ben", next); page != "/ui/" {
			t.Errorf("%s leads to %s", next, page)
		}
	}
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// ownedBy checks whose a task is, as the database has it.
func (s *server) ownedBy(t *testing.T, id, owner, group string) {
	t.Helper()
	var of, in string
	if err := s.db.QueryRowContext(t.Context(), "SELECT owner, grp FROM tasks WHERE id = $1", id).Scan(&of, &in); err != nil || of != owner || in != group {
		t.Errorf("the task is of %q, in %q (%v), want %q, %q", of, in, err, owner, group)
	}
}

// A8: what a sign-in needs to go on is in the browser: another server takes it from there, or
// the same one after a restart. Signing out ends the session here and leads on to the provider.
func TestA8AnotherServerGoesOn(t *testing.T) {
	t.Parallel()
	p := startProvider(t, "")
	s := p.server(t)
	b := browse(t)
	back := b.identify(b.begin(s, "/ui/agents"), "ben")
	other := p.other(t, s)
	if page := b.finish(other, back); page != "/ui/agents" {
		t.Fatalf("led to %s", page)
	}
	c := b.cookie(other)
	s.must(t, 200, with(c, call{method: "GET", path: "/v1/session"}))
	if got := s.do(t, with(c, call{method: "DELETE", path: "/v1/session"})); got.status != 204 {
		t.Errorf("signing out: %d", got.status)
	}
	s.must(t, 401, with(c, call{method: "GET", path: "/v1/session"}))
	end := b.lead(s.url + "/v1/session/oidc/end")
	u := mustURL(t, end)
	if q := u.Query(); !strings.HasPrefix(end, p.issuer) || q.Get("client_id") != "errand" || q.Get("post_logout_redirect_uri") != publicURL+"/ui/sign-in" {
		t.Errorf("signing out leads to %s", end)
	}
	res, err := b.http.Get(end) //nolint:noctx // the client has a limit
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close() // nothing is read of it
	if res.StatusCode != http.StatusOK {
		t.Errorf("the provider knows no signing out like that: %d", res.StatusCode)
	}
}

// other is a second server of the record on PostgreSQL; SQLite has one, which is started again.
func (p *oidcProvider) other(t *testing.T, s *server) *server {
	t.Helper()
	address := "127.0.0.1:" + freePort(t)
	at := func(o *app.Options) { o.Addr, o.Data, o.DatabaseURL = address, s.dir, teststore.DatabaseURL(t, s.dir) }
	if teststore.DatabaseURL(t, s.dir) == "" {
		s.again(t, p.with, at)
		s.url = "http://" + address
		return s
	}
	o := app.DefaultOptions()
	p.with(&o)
	at(&o)
	a, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
	})
	another := *s
	another.App, another.url = a, "http://"+address
	return &another
}

// A8: a server starts without its provider, says so where people sign in, and needs no restart
// when the provider comes, or comes back with other keys.
func TestA8TheProviderComesAndGoes(t *testing.T) {
	t.Parallel()
	p := &oidcProvider{port: freePort(t)}
	p.issuer = "http://localhost:" + p.port
	s := p.server(t, func(o *app.Options) { o.OIDC.EndSession = false })
	problem := func() string {
		return s.must(t, 200, call{method: "GET", path: "/v1/session/ways", key: "-"})["providers"].([]any)[0].(map[string]any)["problem"].(string)
	}
	b := browse(t)
	b.refused(s, "no provider", strings.TrimPrefix(b.begin(s, "/ui/inbox"), s.url), "absent")
	if problem() == "" {
		t.Error("nobody says that the provider is not there")
	}
	s.must(t, 200, call{method: "GET", path: "/v1/tasks"}) // keys count as ever
	first := startProvider(t, p.port)
	browse(t).mustSignIn(s, "ben")
	if said := problem(); said != "" {
		t.Errorf("the provider is there: %s", said)
	}
	s.must(t, 404, call{method: "GET", path: "/v1/session/oidc/end", key: "-"}) // nobody is to sign out there
	b = browse(t)
	back := b.identify(b.begin(s, ""), "ben")
	first.stop()
	b.refused(s, "the provider has gone", b.finish(s, back), "absent")
	startProvider(t, p.port) // with keys of its own
	browse(t).mustSignIn(s, "ben")
}
