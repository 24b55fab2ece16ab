package crash

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// stepsOfATask is how many steps a task of a stepping worker has.
const stepsOfATask = 10

// steppingWorker pays for each step of a task at the till whose URL the task names.
func steppingWorker(ctx context.Context) error {
	c, err := errand.NewClient(errand.WithURL(os.Getenv(helperURL)), errand.WithKey(adminKey))
	if err != nil {
		return err
	}
	w := errand.NewWorker(c, errand.WorkerOptions{ID: os.Getenv(helperWorker), Slots: 1})
	w.Handle(os.Getenv(helperAgent), func(ctx context.Context, a *errand.Attempt) (string, error) {
		var receipts []string
		for i := range stepsOfATask {
			receipt, err := errand.Once(ctx, a, fmt.Sprintf("step %d", i), func(ctx context.Context) (int, error) {
				return pay(ctx, fmt.Sprintf("%s?step=%d", a.Task.Input.Text, i))
			})
			if err != nil {
				return "", err
			}
			receipts = append(receipts, strconv.Itoa(receipt))
		}
		return strings.Join(receipts, " "), nil
	})
	return w.Run(ctx)
}

// pay returns the number of the receipt.
func pay(ctx context.Context, url string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}

// till counts what was paid for. At one step of each agent it kills its worker: before
// the payment, or when it is made and not answered.
type till struct {
	mu       sync.Mutex
	paid     map[string]int // by agent and step
	receipts int
	fates    map[string]deadly // of agents whose worker is still to be killed
}

// deadly is what is to happen to a worker.
type deadly struct {
	worker *process
	step   int
	paid   bool // when the step is paid for
}

func (x *till) arm(agent string, d deadly) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fates[agent] = d
}

func (x *till) times(agent string, step int) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.paid[fmt.Sprintf("%s %d", agent, step)]
}

// ServeHTTP takes a payment.
func (x *till) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	agent, step := strings.TrimPrefix(r.URL.Path, "/"), r.URL.Query().Get("step")
	d, armed := x.fates[agent]
	dies := armed && step == strconv.Itoa(d.step)
	if !dies || d.paid {
		x.paid[agent+" "+step]++
		x.receipts++
	}
	if dies {
		delete(x.fates, agent)
		_ = d.worker.cmd.Process.Kill() // it is there: it asks
		<-d.worker.exited
		panic(http.ErrAbortHandler)
	}
	fmt.Fprint(w, x.receipts)
}

// A worker of ten steps that is killed at any of them: what is committed was paid for
// once, and only what was paid and not committed is paid for again.
func TestKilledWorkerPaysOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client()
	x := &till{paid: map[string]int{}, fates: map[string]deadly{}}
	counter := httptest.NewServer(x)
	t.Cleanup(counter.Close)
	for i := range stepsOfATask {
		for _, paid := range []bool{false, true} {
			if paid && i%4 != 1 { // of these three are enough
				continue
			}
			agent := fmt.Sprintf("dies-at-%d-%v", i, paid)
			t.Run(agent, func(t *testing.T) {
				t.Parallel()
				c.putWorkerAgent(t, agent, 1)
				notes := t.TempDir()
				first := spawnHelper(t, "stepping", filepath.Join(notes, "1"), s.url(), agent, agent+"-1")
				x.arm(agent, deadly{first, i, paid})
				id := c.create(t, obj{"agent_id": agent, "input": obj{"text": counter.URL + "/" + agent}}).ID
				select {
				case <-first.exited:
				case <-time.After(40 * time.Second):
					t.Fatal("the worker was not killed")
				}
				spawnHelper(t, "stepping", filepath.Join(notes, "2"), s.url(), agent, agent+"-2")
				v := c.ends(t, id)
				if v.Status != "completed" || v.Attempt != 2 || v.Result == nil || len(strings.Fields(*v.Result)) != stepsOfATask {
					t.Errorf("it ended as %+v", v)
				}
				for n := range stepsOfATask {
					want := 1
					if paid && n == i {
						want = 2
					}
					if got := x.times(agent, n); got != want {
						t.Errorf("step %d was paid for %d times, want %d", n, got, want)
					}
				}
			})
		}
	}
}
