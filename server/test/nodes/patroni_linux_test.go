package nodes

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// With Patroni nobody has to promote a standby: it does so itself when the primary's machine
// has gone, or only its server. TestFailover says what is checked. In the end the
// standbys go, too: what is acknowledged meanwhile is none that one machine has alone.
func TestFailoverUnderPatroni(t *testing.T) {
	t.Parallel()
	if os.Getenv("ERRAND_SOAK") == "" {
		t.Skip("it takes minutes: make failover PATRONI=1")
	}
	p := &patroni{pgtest.StartPatroni(t, 3)}
	p.awaitSettled(t)
	l := beginOn(t, p.URL("postgres"))
	var took recovery
	for range 5 {
		for _, kill := range []func(*pgtest.Member) error{(*pgtest.Member).KillServer, (*pgtest.Member).Kill} {
			l.more(t, 50, time.Now())
			took.add(t, l, func() (killed, promoted time.Time) { return p.failOver(t, kill) })
			p.revive(t)
		}
	}
	p.loseStandbys(t, l)
	l.end(t)
	primary, _ := p.split(t)
	l.survived(t, primary.URL("postgres"))
	took.check(t)
}

// patroni is three servers that Patroni looks after.
type patroni struct{ *pgtest.Patroni }

func (p *patroni) awaitSettled(t *testing.T) {
	t.Helper()
	eventually(t, "one server takes writes, and the others follow it", p.Settled)
}

// writable tells whether a member takes writes.
func writable(t *testing.T, m *pgtest.Member) (is bool) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), m.URL("postgres"))
	if err != nil {
		return false
	}
	defer conn.Close(t.Context()) //nolint:errcheck // it was only read
	err = conn.QueryRow(t.Context(), "SELECT NOT pg_is_in_recovery()").Scan(&is)
	return err == nil && is
}

// split returns the member that takes writes, and the others.
func (p *patroni) split(t *testing.T) (primary *pgtest.Member, standbys []*pgtest.Member) {
	t.Helper()
	for _, m := range p.Members {
		if writable(t, m) {
			primary = m
		} else {
			standbys = append(standbys, m)
		}
	}
	if primary == nil || len(standbys) != 2 {
		t.Fatalf("%d standbys, and the primary %v", len(standbys), primary)
	}
	return primary, standbys
}

// failOver kills the primary, and returns when a standby took writes.
func (p *patroni) failOver(t *testing.T, kill func(*pgtest.Member) error) (killed, promoted time.Time) {
	t.Helper()
	primary, standbys := p.split(t)
	killed = time.Now()
	if err := kill(primary); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a standby is promoted", func() bool { return writable(t, standbys[0]) || writable(t, standbys[1]) })
	return killed, time.Now()
}

// revive starts whoever does not run, and waits until all follow the primary.
func (p *patroni) revive(t *testing.T) {
	t.Helper()
	for _, m := range p.Members {
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
	}
	p.awaitSettled(t)
}

// loseStandbys kills the standby that confirms commits, for which the other takes over, and
// then that one: nothing is acknowledged until one of them is back.
func (p *patroni) loseStandbys(t *testing.T, l *load) {
	t.Helper()
	primary, standbys := p.split(t)
	if standbys[1].Confirms() {
		slices.Reverse(standbys)
	}
	killed := time.Now()
	if err := standbys[0].Kill(); err != nil {
		t.Fatal(err)
	}
	t.Logf("writes %v after the standby that confirms them was killed", l.more(t, 1, killed).Sub(killed).Round(time.Millisecond))
	eventually(t, "the other standby confirms", standbys[1].Confirms)
	if err := standbys[1].Kill(); err != nil {
		t.Fatal(err)
	}
	killed = time.Now()
	var waiting int
	eventually(t, "a commit waits", func() bool {
		(&cluster{database: primary.URL("postgres")}).ask(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", &waiting)
		return waiting > 0
	})
	back := time.Now()
	if err := standbys[1].Start(); err != nil {
		t.Fatal(err)
	}
	if at := l.more(t, 1, killed); at.Before(back) {
		t.Errorf("a create was acknowledged %v before a standby was there", back.Sub(at))
	} else {
		t.Logf("writes %v after a standby was started again", at.Sub(back).Round(time.Millisecond))
	}
	p.revive(t)
}
