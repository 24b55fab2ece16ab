package auth_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// A6: a session lasts 12 hours behind its last use.
func TestA6ASessionLastsWhileItIsUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := auth.NewAuthenticator(&shelf{key: auth.Key{Organization: "o", ID: "k", Role: auth.User}})
		session, err := a.SignIn(t.Context(), "key", "127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			time.Sleep(auth.SessionLength - time.Second) //nolint:forbidigo // of the bubble's clock
			who, err := a.Resume(t.Context(), session)
			if err != nil || who.KeyID != "k" || who.Session == nil {
				t.Fatalf("a used session: %+v, %v", who, err)
			}
			if left := time.Until(who.Session.Until.Time()); left != auth.SessionLength {
				t.Errorf("it lasts for %s more", left)
			}
		}
		time.Sleep(auth.SessionLength + time.Second) //nolint:forbidigo // of the bubble's clock
		if _, err := a.Resume(t.Context(), session); fault.CodeOf(err) != fault.Unauthenticated {
			t.Errorf("a session that nobody has used: %v", err)
		}
	})
}

// A8: a person's session ends 12 hours behind the sign-in, however much it is used.
func TestA8APersonsSessionIsNotProlonged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		a := auth.NewAuthenticator(store)
		session, err := a.Welcome(t.Context(), auth.Person{Organization: "o", User: "anna", Name: "Anna", Role: auth.User, Sees: auth.SeesOwn, Group: "g"})
		if err != nil {
			t.Fatal(err)
		}
		store.key = auth.Key{Organization: "o", ID: "k", Name: "Anna", Role: auth.User, Sees: auth.SeesOwn, Group: "g", Person: "anna"}
		for range 2 {
			who, err := a.Resume(t.Context(), session)
			if err != nil || who.Owner() != "user:anna" || who.By() != "user anna" || who.Group != "g" || !who.Person {
				t.Fatalf("a person: %+v, %v", who, err)
			}
			time.Sleep(auth.SessionLength/2 - time.Second) //nolint:forbidigo // of the bubble's clock
		}
		time.Sleep(2 * time.Second) //nolint:forbidigo // of the bubble's clock
		if _, err := a.Resume(t.Context(), session); fault.CodeOf(err) != fault.Unauthenticated {
			t.Errorf("a session that was used all the time: %v", err)
		}
		for _, p := range []auth.Person{{User: "a\nb"}, {User: strings.Repeat("x", 129)}, {User: "x", Group: "\x00"}} {
			if _, err := a.Welcome(t.Context(), p); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("%+v: %v", p, err)
			}
		}
	})
}

// A6: an address has 10 attempts a minute, and no network of IPv6 has more.
func TestA6AttemptsToSignInAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := auth.NewAuthenticator(&shelf{key: auth.Key{Organization: "o", ID: "k", Role: auth.User}})
		try := func(address string) fault.Code {
			_, err := a.SignIn(t.Context(), "key", address)
			return fault.CodeOf(err)
		}
		for i := range 10 {
			for _, address := range []string{fmt.Sprintf("192.0.2.1:%d", i+1), fmt.Sprintf("[2001:db8::%x]:443", i+1)} {
				if code := try(address); code != "" {
					t.Fatalf("attempt %d of %s: %s", i+1, address, code)
				}
			}
		}
		for address, want := range map[string]fault.Code{
			"192.0.2.1:99": fault.RateLimited, "[2001:db8::ffff]:443": fault.RateLimited, "192.0.2.2:1": "", "[2001:db8:1::]:443": "",
		} {
			if code := try(address); code != want {
				t.Errorf("%s: %q, want %q", address, code, want)
			}
		}
		time.Sleep(6 * time.Second) //nolint:forbidigo // of the bubble's clock
		if code := try("192.0.2.1:1"); code != "" {
			t.Errorf("a while later: %s", code)
		}
		if code := try("192.0.2.1:1"); code != fault.RateLimited {
			t.Errorf("and at once again: %q", code)
		}
	})
}

// A6: a link signs in once, within 10 minutes, and trying counts as signing in does.
func TestA6ALinkSignsInOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{key: auth.Key{Organization: "o", ID: "k", Role: auth.User}}
		a := auth.NewAuthenticator(store)
		link := func() string {
			path, until, err := a.Link(t.Context(), auth.Principal{Organization: "o", KeyID: "k"}, "/ui/tasks/a&b")
			code, led := strings.CutPrefix(path, "/ui/sign-in?next=%2Fui%2Ftasks%2Fa%26b#code=")
			code, of := strings.CutSuffix(code, "&key=k")
			if err != nil || !led || !of || time.Until(until.Time()) != 10*time.Minute || len(code) != 43 {
				t.Fatalf("%q until %v, %v", code, until, err)
			}
			return code
		}
		follow := func(code string, want fault.Code) {
			t.Helper()
			if _, err := a.FollowLink(t.Context(), code, "192.0.2.1:1"); fault.CodeOf(err) != want {
				t.Errorf("answered %v, want %q", err, want)
			}
		}
		once, late, inTime := link(), link(), link()
		follow(once, "")
		follow(once, fault.Unauthenticated)
		time.Sleep(10*time.Minute - time.Second) //nolint:forbidigo // of the bubble's clock
		follow(inTime, "")
		time.Sleep(time.Second) //nolint:forbidigo // of the bubble's clock
		follow(late, fault.Unauthenticated)
		revoked := link()
		store.key.RevokedAt = 1
		follow(revoked, fault.Unauthenticated)
		for range 10 {
			_, _ = a.FollowLink(t.Context(), "x", "192.0.2.1:1")
		}
		follow("x", fault.RateLimited)
		if _, _, err := a.Link(t.Context(), auth.Principal{Organization: "o", KeyID: "k", User: "alice"}, ""); fault.CodeOf(err) != fault.Forbidden {
			t.Errorf("a link in the name of a user: %v", err)
		}
	})
}

// A3: a key ends when it says, also the sessions and passes of it, and its use is noted
// once a minute.
func TestA3AKeyExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{key: auth.Key{Organization: "o", ID: "k", Role: auth.User, ExpiresAt: task.StampOf(time.Now().Add(3*time.Minute + time.Second))}}
		a := auth.NewAuthenticator(store)
		session, err := a.SignIn(t.Context(), "key", "127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		_, token, err := a.Share(t.Context(), auth.Principal{Organization: "o", KeyID: "k"}, "x", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		ways := map[string]func() error{
			"key":     func() error { _, err := a.Authenticate(t.Context(), "key"); return err },
			"session": func() error { _, err := a.Resume(t.Context(), session); return err },
			"token":   func() error { _, err := a.Admit(t.Context(), token); return err },
		}
		for range 181 {
			for name, way := range ways {
				if err := way(); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			time.Sleep(time.Second) //nolint:forbidigo // of the bubble's clock
		}
		for name, way := range ways {
			if err := way(); fault.CodeOf(err) != fault.Unauthenticated {
				t.Errorf("%s of a key that is over: %v", name, err)
			}
		}
		if err := ways["key"](); !strings.Contains(err.Error(), "expired at 2000-01-01T00:03:01Z") {
			t.Errorf("nobody says why: %v", err)
		}
		if store.uses < 3 || store.uses > 4 {
			t.Errorf("%d writes in three minutes", store.uses)
		}
	})
}
