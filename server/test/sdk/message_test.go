package sdk_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand"
)

type obj = map[string]any

// messageCase is a task, of which "{files}" stands for the file server's URL.
type messageCase struct {
	name string
	task obj
}

func input(text any, files ...string) obj { return obj{"input": obj{"text": text, "files": files}} }

// with adds members to a task.
func with(task, more obj) obj {
	maps.Copy(task, more)
	return task
}

func many(n int, pattern string) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(pattern, i))
	}
	return all
}

const f = "{files}"

func plan(more obj, items ...obj) obj {
	return with(obj{"enabled": true, "started": true, "tasks": items}, more)
}

func messageCases() []messageCase {
	step := func(id, title string, done bool) obj { return obj{"id": id, "title": title, "completed": done} }
	attached := func(list ...obj) obj {
		return obj{"input": obj{"text": "see", "files": []string{}, "attachments": list}}
	}
	return []messageCase{
		{"a plain prompt", input("Analyze the sales data")},
		{"empty text", input("")},
		{"null text", input(nil)},
		{"null files", obj{"input": obj{"text": "x", "files": nil}}},
		{"empty input", obj{"input": obj{}}},
		{"spaces only", input("  \n\t ")},
		{"non-ASCII", input("Grüße, 你好, שלום")},
		{"emoji", input("👩‍🚀 and 🇫🇷", f+"/emoji.txt")},
		{"quotes and backslashes", input(`say "hi" \ 'so'`, f+"/quotes.csv")},
		{"control characters", input("a\x00b\x1bc\x7f", f+"/controls.txt")},
		{"HTML", input("<b>&amp;</b>", f+"/page.html")},
		{"separators", input("x", f+"/separators.txt")},
		{"a file without text", input("", f+"/a.csv")},
		{"a file with null text", input(nil, f+"/a.csv")},
		{"capital suffix", input("x", f+"/a.CSV")},
		{"query and fragment", input("x", f+"/a.csv?token=a.png&x=1#part.pdf")},
		{"path parameters", input("x", f+"/a.csv;v=2.png")},
		{"dots in the path", input("x", f+"/.csv", f+"/v1.2/data", f+"/..csv", f+"/a.tar.gz")},
		{"empty file", input("x", f+"/empty.txt")},
		{"same file twice", input("x", f+"/a.csv", f+"/a.csv")},
		{"a missing file", input("x", f+"/missing.txt")},
		{"a server's error", input("x", f+"/500.json")},
		{"nobody listens", input("x", "http://127.0.0.1:1/a.txt")},
		{"an unknown host", input("x", "http://nowhere.invalid/a.txt")},
		{"a link-local address", input("x", "http://169.254.169.254/latest/meta-data.txt")},
		{"a redirect", input("x", f+"/redirect/1/a.csv")},
		{"five redirects", input("x", f+"/redirect/5/a.csv")},
		{"six redirects", input("x", f+"/redirect/6/a.csv")},
		{"a redirect to a link-local address", input("x", f+"/to-metadata.txt")},
		{"a redirect without a target", input("x", f+"/nowhere.txt")},
		{"broken UTF-8", input("x", f+"/broken.txt")},
		{"a byte order mark", input("x", f+"/bom.txt")},
		{"latin-1", input("x", f+"/latin1.txt")},
		{"windows-1252", input("x", f+"/cp1252.txt")},
		{"UTF-16", input("x", f+"/utf16.txt")},
		{"an unknown charset", input("x", f+"/klingon.txt")},
		{"compressed", input("x", f+"/gzip.txt")},
		{"as long as allowed", input("x", f+"/long/8000.txt")},
		{"one too long", input("x", f+"/long/8001.txt")},
		{"long emoji", input("x", f+"/longemoji.txt")},
		{"many long files", input("x", many(6, f+"/long/700%d.txt")...)},
		{"budget spent to the letter", input("x", f+"/long/8000.txt", f+"/long/8000.md", f+"/long/8000.csv", f+"/a.csv", f+"/empty.txt")},
		{"many files", input("x", many(60, f+"/n/%d.txt")...)},
		{"injection off", with(input("x", f+"/a.csv", f+"/dot.png", f+"/missing.png", f+"/paper.pdf", f+"/song.mp3", f+"/film.mp4", f+"/report.docx", f+"/a.zip"), obj{"disable_attachment_injection": true})},
		{"images", input("x", f+"/dot.png", f+"/photo.JPEG", f+"/anim.gif", f+"/new.webp")},
		{"images that are none", input("x", f+"/missing.png", f+"/html.png", f+"/text.png", f+"/huge.png")},
		{"an image without a type", input("x", f+"/untyped.png")},
		{"too many images", input("x", many(23, f+"/dot.png?%d")...)},
		{"one image too many", input("x", many(21, f+"/dot.png?%d")...)},
		{"a scanned PDF", input("x", f+"/paper.pdf")},
		{"PDFs that are none", input("x", f+"/missing.pdf", f+"/html.pdf")},
		{"unknown formats", input("x", f+"/a.zip", f+"/mail.msg", f+"/plain")},
		{"sound and film", input("x", f+"/song.mp3", f+"/film.MP4")},
		{"everything", input("x", f+"/a.zip", f+"/film.mp4", f+"/paper.pdf", f+"/missing.png", f+"/a.csv", f+"/song.mp3", f+"/code.go")},
		{"a JSON prompt", input(`{"a": 1}`, f+"/a.csv")},
		{"a JSON array", input(" [1, NaN, -Infinity]\n", f+"/missing.csv")},
		{"nearly JSON", input(`{"a": 1} x`, f+"/a.csv")},
		{"JSON behind a hard space", input("\u00a0[1]")},
		{"NaN in a string", input(`["NaN", "\"Infinity"]`, f+"/a.csv")},
		{"a number is text", input("12")},
		{"no scheme of the web", input("x", "ftp://example.invalid/a.txt", "data.csv")},
		{"attachments by kind", attached(
			obj{"url": f + "/a", "kind": "text"}, obj{"url": f + "/film.png", "kind": "video"}, obj{"url": f + "/b.csv", "kind": "archive"},
			obj{"url": f + "/dot", "kind": "image"}, obj{"url": f + "/a.csv", "kind": "unknown"})},
		{"attachments by type", attached(
			obj{"url": f + "/a", "mime": "Text/Plain; charset=x"}, obj{"url": f + "/dot", "mime": "image/png"}, obj{"url": f + "/a.csv", "mime": "image/svg+xml"},
			obj{"url": f + "/paper", "mime": "application/pdf"}, obj{"url": f + "/v", "mime": "video/mp4"}, obj{"url": f + "/n/1.txt", "mime": "chemical/x"})},
		{"huge attachments", attached(obj{"url": f + "/x.png", "size": 99 << 20}, obj{"url": f + "/x.pdf", "size": 99 << 20}, obj{"url": f + "/y.png", "size": 5})},
		{"transcripts", attached(obj{"url": f + "/film.mp4", "transcript": "he says hello"}, obj{"url": f + "/song.mp3", "transcript": "la la"}, obj{"url": f + "/b.mp3", "transcript": "  "})},
		{"a long transcript", attached(obj{"url": f + "/long/8000.txt"}, obj{"url": f + "/long/8000.md"}, obj{"url": f + "/a.mp3", "transcript": strings.Repeat("é", 9000)}, obj{"url": f + "/b.mp3", "transcript": "more"})},
		{"a plan under way", with(input("do it", f+"/a.csv"), obj{"deep_planning": plan(nil, step("1", "Réad", true), step("2", "Write", false), step("3", "Send", false))})},
		{"a plan that is done", with(input("do it"), obj{"deep_planning": plan(nil, step("1", "Read", true))})},
		{"a plan that has not begun", with(input("do it"), obj{"deep_planning": plan(obj{"started": false}, step("1", "Read", false))})},
		{"a plan that waits for an answer", with(input("do it"), obj{"result": "Done.\nWhich one? (y/n)\n", "deep_planning": plan(nil, step("1", "Read", false))})},
		{"a plan and an old question", with(input("do it"), obj{"result": "Which one?\nI took the first.", "deep_planning": plan(nil, step("1", "Read", false))})},
		{"a plan with compacted context", with(input(""), obj{"additional_context": "<compacted_context>x", "deep_planning": plan(nil, step("1", "Read", false))})},
	}
}

// text answers a text file.
func text(w http.ResponseWriter, contentType, content string) {
	w.Header()["Content-Type"] = nil
	if contentType != "" {
		w.Header().Set("Content-Type", contentType)
	}
	_, _ = w.Write([]byte(content))
}

// fileServer serves the files of the cases.
func fileServer(t *testing.T) *httptest.Server {
	t.Helper()
	var dot bytes.Buffer
	if err := png.Encode(&dot, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	huge := bytes.Clone(dot.Bytes())
	copy(huge[16:24], []byte{0, 0, 0x1f, 0x40, 0, 0, 0x1f, 0x40}) // 8000 times 8000 pixels
	const utf8Text = "text/plain; charset=utf-8"
	files := map[string][2]string{
		"/a.csv": {"text/csv", "region,amount\nNorth,10.50\n"}, "/a.CSV": {"text/csv", "REGION\r\n"}, "/a.csv;v=2.png": {"text/csv", "p"},
		"/a": {"", "no suffix"}, "/empty.txt": {utf8Text, ""}, "/emoji.txt": {utf8Text, "👩‍🚀 🇫🇷 \U0010ffff"},
		"/quotes.csv": {"text/csv", `a,"b ""c""",'d',\e/` + "\n"}, "/controls.txt": {utf8Text, "\x00\x01\b\f\n\r\t\x1f\x7f\u0080"},
		"/page.html": {"text/html", "<script>&'\"</script>"}, "/separators.txt": {utf8Text, "a\u2028b\u2029c\u0085d"},
		"/broken.txt": {utf8Text, "a\xff\xfeb\xe2\x82c\xf0\x9f\x98d\xed\xa0\x80e\xc0\xaff\xf4\x90\x80\x80g\xe2\x82"},
		"/bom.txt":    {utf8Text, "\xef\xbb\xbfa"}, "/latin1.txt": {"text/plain; charset=ISO-8859-1", "caf\xe9 \x80"},
		"/cp1252.txt":  {`text/plain; charset="windows-1252"`, "\x80 \x93x\x94 \x81"},
		"/utf16.txt":   {"text/plain; charset=utf-16", "\xff\xfeh\x00i\x00=\xd8\x00\xde"},
		"/klingon.txt": {"text/plain; charset=klingon", "x"}, "/longemoji.txt": {utf8Text, strings.Repeat("😀", 8100)},
		"/dot.png": {"image/png", dot.String()}, "/dot": {"image/png", dot.String()}, "/untyped.png": {"", dot.String()}, "/y.png": {"image/png", dot.String()},
		"/photo.JPEG": {"image/jpeg", "\xff\xd8\xff\xe0 not whole"}, "/anim.gif": {"application/octet-stream", "GIF89a...."},
		"/new.webp": {"image/webp", "RIFF\x04\x00\x00\x00WEBPVP8 "}, "/html.png": {"text/html", "<p>"}, "/text.png": {"image/png", "hello"},
		"/huge.png": {"image/png", string(huge)}, "/paper.pdf": {"application/pdf", scannedPDF}, "/paper": {"application/pdf", scannedPDF},
		"/html.pdf": {"text/html", "<p>expired</p>"}, "/code.go": {"text/plain", "package main\n"},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if file, ok := files[path]; ok {
			text(w, file[0], file[1])
			return
		}
		folder, name := filepath.Split(path)
		switch {
		case folder == "/long/":
			n, _ := strconv.Atoi(strings.TrimSuffix(name, filepath.Ext(name)))
			text(w, utf8Text, strings.Repeat("x", n))
		case folder == "/n/":
			text(w, utf8Text, "number "+name)
		case strings.HasPrefix(path, "/redirect/"):
			n, _ := strconv.Atoi(strings.Split(path, "/")[2])
			to := "/a.csv"
			if n > 1 {
				to = fmt.Sprintf("/redirect/%d/a.csv", n-1)
			}
			http.Redirect(w, r, to, []int{301, 302, 303, 307, 308}[n%5])
		case path == "/to-metadata.txt":
			http.Redirect(w, r, "http://169.254.169.254/x.txt", http.StatusFound)
		case path == "/nowhere.txt":
			w.WriteHeader(http.StatusFound)
			_, _ = w.Write([]byte("moved, but where?"))
		case path == "/gzip.txt":
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", utf8Text)
			_, _ = w.Write(gzipped("squeezed"))
		case path == "/500.json":
			http.Error(w, "no", http.StatusInternalServerError)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

// scannedPDF has one page without any text.
const scannedPDF = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" +
	"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\nxref\n0 4\n0000000000 65535 f \n0000000009 00000 n \n" +
	"0000000052 00000 n \n0000000101 00000 n \ntrailer<</Size 4/Root 1 0 R>>\nstartxref\n161\n%%EOF\n"

// The Go client's message is the Python client's, byte for byte.
func TestMessageEqualsPython(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs the Python client")
	}
	python := pythonClient(t)
	files := fileServer(t)
	cases := messageCases()
	tasks := make([]json.RawMessage, len(cases))
	for i, c := range cases {
		tasks[i] = whole(t, i, c.task, files.URL)
	}
	// Both clients read the tasks from here; Python once more in the middle
	// of a message, when a plan has begun.
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var i int
		for _, form := range []string{"/v1/tasks/case-%d", "/agent-execution/case-%d/status"} {
			if _, err := fmt.Sscanf(r.URL.Path, form, &i); err == nil {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write(tasks[i])
				return
			}
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(api.Close)

	want := pythonMessages(t, python, api.URL, tasks)
	client, err := errand.NewClient(errand.WithURL(api.URL), errand.WithKey("k"), errand.WithPrivateFiles("127.0.0.0/8"))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		task, err := client.Tasks.Get(t.Context(), fmt.Sprintf("case-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		got, err := task.Message(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want[i] == nil {
			t.Errorf("%s: Python has no message", c.name)
		} else if diff := cmp.Diff(*want[i], got); diff != "" {
			t.Errorf("%s (-Python +Go):\n%s", c.name, diff)
		}
	}
}

// whole makes a whole task of a case.
func whole(t *testing.T, i int, task obj, files string) json.RawMessage {
	t.Helper()
	encoded, err := json.Marshal(with(obj{
		"id": fmt.Sprintf("case-%d", i), "agent_id": "a", "organization_id": "o", "created_at": "2026-03-09T23:59:59.999Z", "status": "pending",
		"expected_output": nil, "mcp_servers": []any{}, "triggering_agent_id": nil, "title": nil, "source": "sdk",
	}, task))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(encoded, []byte("{files}"), []byte(files))
}

// pythonClient returns the interpreter of an environment with the released
// Python client.
func pythonClient(t *testing.T) string {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join("..", "*", "environment.py")) // of the suite that tests that client
	if err != nil || len(scripts) != 1 {
		t.Fatalf("%q make environments, not one: %v", scripts, err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", scripts[0], "newest")
	cmd.Stderr = os.Stderr
	venv, err := cmd.Output()
	if err != nil {
		t.Fatalf("the Python client's environment: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(venv)), "bin", "python")
}

func pythonMessages(t *testing.T, python, api string, tasks []json.RawMessage) []*string {
	t.Helper()
	in, err := json.Marshal(tasks)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "to_message.py"))
	cmd.Stdin = bytes.NewReader(in)
	cmd.Env = append(os.Environ(), "XPANDER_BASE_URL="+api, "XPANDER_API_KEY=k", "XPANDER_ORGANIZATION_ID=o",
		"XPANDER_INTERNAL_FETCH_ALLOWLIST=127.0.0.1", "NO_PROXY=*", "PYTHONDONTWRITEBYTECODE=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("Python: %v\n%s", err, stderr.String())
	}
	var messages []*string
	if err := json.Unmarshal(out, &messages); err != nil {
		t.Fatal(err)
	}
	if len(messages) != len(tasks) {
		t.Fatalf("%d messages of %d\n%s", len(messages), len(tasks), stderr.String())
	}
	t.Logf("compared %d messages; Python said: %s", len(tasks), stderr.String())
	return messages
}
