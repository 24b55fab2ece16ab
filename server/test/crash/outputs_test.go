package crash

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

// A server that is killed while files are being written loses none that it has
// acknowledged, and keeps no bytes of the others for long (O1).
func TestKilledWhileOutputsAreWritten(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client()
	c.putWorkerAgent(t, "writer", 600)
	id := c.create(t, obj{"agent_id": "writer", "input": obj{"text": "x"}}).ID
	token := c.claim(t, "writer", "w").Lease.Token
	acknowledged := map[string]string{}
	content := func(name string) []byte { return bytes.Repeat([]byte(name+"\n"), 20_000) }
	const kills = 8
	for round := range kills {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("%d-%d.txt", round, i)
				r, err := http.NewRequestWithContext(ctx, http.MethodPut, s.url()+"/v1/tasks/"+id+"/outputs/"+name, bytes.NewReader(content(name)))
				if err != nil {
					return
				}
				r.Header.Set("x-api-key", adminKey)
				r.Header.Set("X-Errand-Lease-Token", token)
				res, err := http.DefaultClient.Do(r)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode == http.StatusCreated {
					acknowledged[name] = ""
				}
			}
		}()
		<-time.After(time.Duration(50+rand.IntN(150)) * time.Millisecond)
		s.kill(t)
		cancel()
		<-done
		s.start(t)
	}
	if len(acknowledged) < kills {
		t.Fatalf("only %d files were acknowledged", len(acknowledged))
	}
	kept := 0
	for o, err := range s.sdk(t).Tasks.Outputs(t.Context(), id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		kept++
		delete(acknowledged, o.Name)
		r, err := s.sdk(t).Tasks.OpenOutput(t.Context(), id, o.Name, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		_ = r.Close()
		if err != nil || !bytes.Equal(got, content(o.Name)) {
			t.Errorf("%s has %d bytes, %v", o.Name, len(got), err)
		}
	}
	if len(acknowledged) > 0 {
		t.Errorf("lost: %v", acknowledged)
	}
	s.kill(t)
	s.change(t, "UPDATE transit SET at = 1") // it was an hour ago
	s.start(t)
	limit := time.Now().Add(20 * time.Second)
	for {
		contents, others := 0, []string{}
		err := filepath.WalkDir(filepath.Join(s.data, "files"), func(_ string, d fs.DirEntry, err error) error {
			switch {
			case err != nil || d.IsDir():
			case strings.HasPrefix(d.Name(), "upload-"): // goes a day after it was cut off
			case len(d.Name()) == 64:
				contents++
			default:
				others = append(others, d.Name())
			}
			return err
		})
		if teststore.OnPostgres() {
			contents-- // the mark of the place
		}
		if err == nil && contents == kept && len(others) == 0 {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d contents of %d files, and %v, %v", contents, kept, others, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}
