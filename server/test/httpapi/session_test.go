package httpapi_test

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/errand-dev/errand/server/internal/app"
)

// signIn signs a browser in and returns its cookie.
func (s *server) signIn(t *testing.T, key string) *http.Cookie {
	t.Helper()
	got := s.do(t, call{method: "POST", path: "/v1/session", key: "-", body: fmt.Sprintf(`{"key": %q}`, key), header: inJSON()})
	cookies := (&http.Response{Header: got.header}).Cookies()
	if got.status != 204 || len(cookies) != 1 {
		t.Fatalf("signing in: %d, %v: %s", got.status, cookies, clip(got.body))
	}
	return cookies[0]
}

func inJSON() map[string]string { return map[string]string{"Content-Type": "application/json"} }

// with makes a call as a page does that holds a cookie.
func with(c *http.Cookie, x call) call {
	x.key = "-"
	header := map[string]string{"Cookie": c.Name + "=" + c.Value, "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
	maps.Copy(header, x.header)
	x.header = header
	return x
}

// A6: a browser signs in once, and its cookie stands for the key on /v1, and nowhere else.
func TestA6ASessionStandsForItsKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.signIn(t, userKey)
	if !strings.HasPrefix(c.Name, "errand_") || len(c.Name) != len("errand_")+8 || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure || len(c.Value) < 40 {
		t.Errorf("the cookie: %v", c)
	}
	me := s.must(t, 200, with(c, call{method: "GET", path: "/v1/session"}))
	if key := me["key"].(map[string]any); key["name"] != "user" || key["role"] != "user" || me["organization_id"] != organization || me["expires_at"] == nil {
		t.Errorf("who is signed in: %v", me)
	}
	s.must(t, 200, with(c, call{method: "GET", path: "/v1/tasks"}))
	s.must(t, 403, with(c, call{method: "GET", path: "/v1/keys"}))
	for _, path := range []string{"/agents/list", "/metrics", "/agent-execution/x/status"} {
		s.must(t, 401, with(c, call{method: "GET", path: path}))
	}
	// A key goes before it, also a wrong one.
	admin := with(c, call{method: "GET", path: "/v1/session", key: adminKey})
	admin.key = adminKey
	if me := s.must(t, 200, admin); me["key"].(map[string]any)["role"] != "admin" || me["expires_at"] != nil {
		t.Errorf("with a key beside it: %v", me)
	}
	admin.key = wrongKey
	s.must(t, 401, admin)
	// Of two nobody knows who has set which.
	twice := with(c, call{method: "GET", path: "/v1/session"})
	twice.header["Cookie"] += "; " + c.Name + "=other"
	s.must(t, 422, twice)
}

// A6: a session ends when its browser signs out, and with its key; a restart does not end it.
func TestA6ASessionEnds(t *testing.T) {
	t.Parallel()
	s := start(t)
	id, text := s.key(t, `{"name": "of a person", "role": "user"}`)
	mine, other, revoked := s.signIn(t, userKey), s.signIn(t, userKey), s.signIn(t, text)
	list := call{method: "GET", path: "/v1/tasks"}
	for _, c := range []*http.Cookie{mine, other, revoked} {
		s.must(t, 200, with(c, list))
	}
	out := s.do(t, with(mine, call{method: "DELETE", path: "/v1/session"}))
	if gone := (&http.Response{Header: out.header}).Cookies(); out.status != 204 || len(gone) != 1 || gone[0].MaxAge >= 0 {
		t.Errorf("signing out: %d, %v", out.status, gone)
	}
	s.must(t, 204, call{method: "DELETE", path: "/v1/keys/" + id})
	s.must(t, 401, with(mine, list))
	s.must(t, 401, with(revoked, list))
	s.must(t, 200, with(other, list))

	s.again(t)
	s.must(t, 401, with(mine, list))
	s.must(t, 401, with(revoked, list))
	s.must(t, 200, with(other, list))
}

// A6: nobody signs in with what is no key; ten attempts a minute come from one address.
func TestA6SigningInIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	try := func(status int, body string, header map[string]string) answer {
		t.Helper()
		got := s.do(t, call{method: "POST", path: "/v1/session", key: "-", body: body, header: header})
		if got.status != status || got.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: answered %d with cookie %q, want %d: %s", body, got.status, got.header.Get("Set-Cookie"), status, clip(got.body))
		}
		return got
	}
	good := fmt.Sprintf(`{"key": %q}`, userKey)
	try(422, `{}`, inJSON())
	try(422, good, nil)
	try(422, good, map[string]string{"Content-Type": "text/plain"})
	try(403, good, map[string]string{"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"})
	try(403, good, map[string]string{"Content-Type": "application/json", "Origin": "https://example.com"})
	for range 10 {
		try(401, fmt.Sprintf(`{"key": %q}`, wrongKey), inJSON())
	}
	if got := try(429, good, inJSON()); got.header.Get("Retry-After") == "" {
		t.Error("nobody says when to come again")
	}
}

// A6: what a page of another site makes a browser send does nothing.
func TestA6AnotherSitesPage(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	c := s.signIn(t, userKey)
	before := s.stored(t)
	for _, forged := range []map[string]string{{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "", "Origin": "https://example.com"}} {
		s.must(t, 403, with(c, call{method: "POST", path: "/v1/tasks/one/stop", header: forged}))
		s.must(t, 403, with(c, call{method: "POST", path: "/v1/files?name=a.txt", body: "x", header: forged}))
		s.must(t, 403, with(c, call{method: "DELETE", path: "/v1/session", header: forged}))
	}
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""} {
		s.must(t, 422, with(c, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "input": {}}`, header: map[string]string{"Content-Type": kind}}))
	}
	if after := s.stored(t); after != before {
		t.Errorf("something was stored\nbefore: %s\nafter:  %s", before, after)
	}
	s.must(t, 200, with(c, call{method: "POST", path: "/v1/tasks/one/stop"}))
	s.must(t, 201, with(c, call{method: "POST", path: "/v1/files?name=a.txt", body: "x", header: map[string]string{"Content-Type": "application/octet-stream"}}))
}

// A6: where the server is reached by TLS, the cookie goes no other way.
func TestA6TheCookieIsSecure(t *testing.T) {
	t.Parallel()
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	s := start(t, func(o *app.Options) { o.Addr, o.PublicURL = address, "https://errand.example.com/x" })
	s.url = "http://" + address
	if c := s.signIn(t, userKey); !c.Secure {
		t.Errorf("the cookie: %v", c)
	}
	// A proxy passes the page's origin on, and its own address.
	s.must(t, 204, call{method: "POST", path: "/v1/session", key: "-", body: fmt.Sprintf(`{"key": %q}`, userKey), header: map[string]string{
		"Content-Type": "application/json", "Origin": "https://errand.example.com",
	}})
}

// A6: a link signs one browser in, once, as the key that has made it.
func TestA6ALinkSignsInOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	id, text := s.key(t, `{"name": "of a person", "role": "user"}`)
	link := func(key string) string {
		made := s.must(t, 201, call{method: "POST", path: "/v1/session/links", key: key, body: `{"next": "/ui/tasks/x"}`})
		code, led := strings.CutPrefix(made["path"].(string), "/ui/sign-in?next=%2Fui%2Ftasks%2Fx#code=")
		code, of, _ := strings.Cut(code, "&key=")
		if !led || len(code) != 43 || of == "" || made["expires_at"] == nil {
			t.Fatalf("the link: %v", made)
		}
		return code
	}
	follow := func(status int, code string) []*http.Cookie {
		t.Helper()
		got := s.do(t, call{method: "POST", path: "/v1/session", key: "-", body: fmt.Sprintf(`{"code": %q}`, code), header: inJSON()})
		if got.status != status {
			t.Fatalf("following a link: %d: %s", got.status, clip(got.body))
		}
		return (&http.Response{Header: got.header}).Cookies()
	}
	code := link(text)
	cookies := follow(204, code)
	if me := s.must(t, 200, with(cookies[0], call{method: "GET", path: "/v1/session"})); me["key"].(map[string]any)["id"] != id {
		t.Errorf("who is signed in: %v", me)
	}
	follow(401, code)
	// It is no key, no session and no cookie, and whoever has signed in can pass it on.
	fresh := link(text)
	s.must(t, 401, call{method: "GET", path: "/v1/tasks", key: fresh})
	s.must(t, 401, with(&http.Cookie{Name: cookies[0].Name, Value: fresh}, call{method: "GET", path: "/v1/tasks"}))
	s.must(t, 201, with(cookies[0], call{method: "POST", path: "/v1/session/links", body: `{}`}))
	// Of many who follow it at once one gets in.
	var got sync.Map
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			x := s.do(t, call{method: "POST", path: "/v1/session", key: "-", body: fmt.Sprintf(`{"code": %q}`, fresh), header: inJSON()})
			got.Store(i, x.status)
		})
	}
	all.Wait()
	let := 0
	got.Range(func(_, status any) bool {
		if status == 204 {
			let++
		}
		return true
	})
	if let != 1 {
		t.Errorf("%d of those who followed one link are signed in", let)
	}
	last := link(text)
	s.must(t, 204, call{method: "DELETE", path: "/v1/keys/" + id})
	follow(401, last)
	for _, body := range []string{`{}`, fmt.Sprintf(`{"key": %q, "code": "x"}`, userKey), `{"code": ""}`} {
		s.must(t, 422, call{method: "POST", path: "/v1/session", key: "-", body: body, header: inJSON()})
	}
	for _, next := range []string{"https://example.com/", "//example.com/", "/v1/tasks"} {
		s.must(t, 422, call{method: "POST", path: "/v1/session/links", body: fmt.Sprintf(`{"next": %q}`, next)})
	}
	_, trusted := s.key(t, `{"name": "gateway", "role": "user", "trusted": true}`)
	s.must(t, 403, call{method: "POST", path: "/v1/session/links", key: trusted, body: `{}`, header: map[string]string{"X-Errand-User": "alice"}})
}
