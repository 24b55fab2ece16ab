package httpapi_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/errand-dev/errand/server/internal/app"
)

// packed is a zip archive of one file.
func packed(t *testing.T, name, content string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	if err == nil {
		_, err = f.Write([]byte(content))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A model is given the text of its task's files, whatever they are made of, and is told
// what it was not given.
func TestO2AModelIsGivenText(t *testing.T) {
	t.Parallel()
	p := newProvider(t, says(said("Yes."), ended))
	s := start(t, p.use)
	s.modelAgent(t, "")
	var urls []string
	for name, content := range map[string]string{
		"plan.docx":  packed(t, "word/document.xml", `<w:document><w:body><w:p><w:r><w:t>The plan is good.</w:t></w:r></w:p></w:body></w:document>`),
		"latin1.csv": "name,where\nlunch,a small caf\xe9\n",
		"other.zip":  packed(t, "META-INF/manifest.xml", "y"),
	} {
		urls = append(urls, fmt.Sprintf("%q", s.upload(t, name, content)["url"]))
	}
	s.wonder(t, fmt.Sprintf(`"input": {"text": "Why?", "files": [%s]}`, strings.Join(urls, ", ")))
	s.waitFor(t, "one", "completed")
	asked := fmt.Sprint(p.requests()[0]["messages"])
	for _, want := range []string{
		"<file name=\"plan.docx\">\nThe plan is good.\n\n</file>", "<file name=\"latin1.csv\">\nname,where\nlunch,a small café\n\n</file>",
		"<file name=\"other.zip\">\n(It is a document of a kind that is not read, perhaps OpenDocument. It was not given to you.)\n</file>",
	} {
		if !strings.Contains(asked, want) {
			t.Errorf("O2: it was asked\n%s\nwithout\n%s", asked, want)
		}
	}
}

// filesOf lists the files of task one, as a user sees them.
func (s *server) filesOf(t *testing.T, query string) []map[string]any {
	t.Helper()
	got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/files" + query, key: userKey})
	items := make([]map[string]any, 0)
	for _, x := range got["items"].([]any) {
		items = append(items, x.(map[string]any))
	}
	return items
}

// part is the first thing that was given of a file: the members that are not empty.
func part(file map[string]any) string {
	given, _ := file["given"].([]any)
	if len(given) == 0 {
		return fmt.Sprint(file["name"], " ", file["state"], " ", file["reason"])
	}
	text := fmt.Sprint(file["id"], " ", file["name"], " ", file["size"], " ", file["content_type"], " ", file["state"])
	for _, p := range given {
		p := p.(map[string]any)
		text += fmt.Sprint(" | ", p["as"])
		for _, member := range []string{"name", "chars", "tokens", "pages", "rows", "columns", "width", "height", "why"} {
			if v := p[member]; v != "" && v != 0.0 {
				text += fmt.Sprint(" ", member, "=", v)
			}
		}
	}
	return text
}

func (s *server) workbook(t *testing.T) string {
	t.Helper()
	f := excelize.NewFile()
	for i := range 150 {
		if err := f.SetSheetRow("Sheet1", fmt.Sprint("A", i+1), &[]any{i, `a "b"`}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.NewSheet("Other"); err != nil {
		t.Fatal(err)
	}
	if err := f.SetCellValue("Other", "A1", "alone"); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// O3: what a model was given of each file is listed and can be read, page by page, as
// long as the task is there, by whoever sees it; the files of it are nobody's.
func TestO3WhatAModelWasGivenIsKept(t *testing.T) {
	t.Parallel()
	p := newProvider(t, says(said("Yes."), ended))
	s := start(t, p.use)
	s.modelAgent(t, "")
	long := strings.Repeat("0123456789abcdé\n", 9000)
	var urls []string
	for _, f := range [][2]string{
		{"plan.docx", packed(t, "word/document.xml", `<w:document><w:body><w:p><w:r><w:t>The plan is good.</w:t></w:r></w:p></w:body></w:document>`)},
		{"long.txt", long},
		{"book.xlsx", s.workbook(t)},
		{"other.zip", packed(t, "META-INF/manifest.xml", "y")},
	} {
		urls = append(urls, fmt.Sprintf("%q", s.upload(t, f[0], f[1])["url"]))
	}
	s.wonder(t, fmt.Sprintf(`"input": {"text": "Why?", "files": [%s]}`, strings.Join(urls, ", ")))
	s.waitFor(t, "one", "completed")
	items := s.filesOf(t, "")
	want := []string{
		fmt.Sprintf("1-1 plan.docx %v application/zip given | text chars=18 tokens=4", items[0]["size"]),
		"1-2 long.txt 153000 text/plain; charset=utf-8 given | text chars=144000 tokens=38250",
		fmt.Sprintf("1-3 book.xlsx %v application/zip given | table name=Sheet1 chars=1990 tokens=497 rows=150 columns=2 | table name=Other chars=6 tokens=1 rows=1 columns=1", items[2]["size"]),
		fmt.Sprintf("1-4 other.zip %v application/zip given | nothing why=It is a document of a kind that is not read, perhaps OpenDocument.", items[3]["size"]),
	}
	for i, x := range items {
		if got := part(x); got != want[i] {
			t.Errorf("O3: file %d is\n%s\nwant\n%s", i+1, got, want[i])
		}
	}
	if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/files?limit=3", key: userKey}); got["next_cursor"] == nil {
		t.Error("O3: a part of the list says that it is all")
	} else if rest := s.filesOf(t, "?cursor="+got["next_cursor"].(string)); len(rest) != 1 || rest[0]["id"] != "1-4" {
		t.Errorf("O3: the rest is %v", rest)
	}
	read := func(path string) map[string]any {
		return s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/files/" + path, key: userKey})
	}
	text := ""
	for page, pages := 1, 3; page <= pages; page++ {
		got := read(fmt.Sprintf("1-2/text?page=%d", page))
		if got["pages"] != float64(pages) || got["page"] != float64(page) || got["cut"] != false || len(got["text"].(string)) > 64<<10+3 {
			t.Errorf("O3: page %d: %v of %v, %d bytes", page, got["page"], got["pages"], len(got["text"].(string)))
		}
		text += got["text"].(string)
	}
	if text != long {
		t.Errorf("O3: the pages are %d bytes, want %d", len(text), len(long))
	}
	for path, want := range map[string]string{
		"1-1/text":         "map[cut:false page:1 pages:1 text:The plan is good.\n]",
		"1-3/table?page=2": "Sheet1 2 3 50 [100 a \"b\"]",
		"1-3/table?page=3": "Other 3 3 1 [alone]",
	} {
		got := read(path)
		shown := fmt.Sprint(got)
		if rows, is := got["rows"].([]any); is {
			shown = fmt.Sprint(got["name"], " ", got["page"], " ", got["pages"], " ", len(rows), " ", rows[0])
		}
		if shown != want {
			t.Errorf("O3: %s is %s, want %s", path, shown, want)
		}
	}
	for _, path := range []string{"1-2/table", "1-4/text", "1-1/text?page=2", "1-5/text", "2-1/text", "01-1/text", "x/text", "1-1/picture", "1-3/table?page=4"} {
		s.must(t, 404, call{method: "GET", path: "/v1/tasks/one/files/" + path, key: userKey})
	}
	for _, path := range []string{"1-1/text?page=0", "1-1/picture?page=x", "1-1/table?turn=1"} {
		s.must(t, 422, call{method: "GET", path: "/v1/tasks/one/files/" + path, key: userKey})
	}
	if told := s.told(t, "file_given", "name"); told != "plan.docxlong.txtbook.xlsxother.zip" {
		t.Errorf("O3: the log tells of %q", told)
	}
	if brought := s.must(t, 200, call{method: "GET", path: "/v1/files"}); len(brought["items"].([]any)) != 4 {
		t.Errorf("O3: the files are %v", brought["items"])
	}
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/one"})
	s.must(t, 404, call{method: "GET", path: "/v1/tasks/one/files/1-1/text"})
}

// O3: before an attempt has read a file, and when it cannot be read, its state says so;
// agents that read files themselves are given links.
func TestO3FilesHaveAState(t *testing.T) {
	t.Parallel()
	p := newProvider(t, says(said("Yes."), ended))
	s := start(t, p.use)
	s.modelAgent(t, "")
	url := s.upload(t, "a.txt", "A")["url"]
	s.wonder(t, fmt.Sprintf(`"input": {"text": "Why?", "files": [%q, "http://127.0.0.1:1/b.pdf"]}, "run_at": "2999-01-01T00:00:00Z"`, url))
	for i, want := range []string{"a.txt waiting ", "b.pdf waiting "} {
		if got := part(s.filesOf(t, "")[i]); got != want {
			t.Errorf("O3: a file that waits is %q, want %q", got, want)
		}
	}
	s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/one", body: `{"run_at": "2000-01-01T00:00:00Z"}`})
	s.waitFor(t, "one", "failed")
	files := s.filesOf(t, "")
	if got := part(files[0]); got != "1-1 a.txt 1 text/plain; charset=utf-8 given | text chars=1" {
		t.Errorf("O3: the first one is %q", got)
	}
	if files[1]["state"] != "failed" || !strings.Contains(files[1]["reason"].(string), "private addresses") {
		t.Errorf("O3: what cannot be read is %v", files[1])
	}
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/remote", body: `{"name": "x"}`})
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: fmt.Sprintf(`{"agent_id": "remote", "id": "two", "input": {"files": [%q]}}`, url)})
	got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/two/files"})["items"].([]any)[0].(map[string]any)
	if part(got) != "1-1 a.txt 1 text/plain; charset=utf-8 given | link" {
		t.Errorf("O3: a worker's file is %s", part(got))
	}
}

// O3: disable_attachment_injection: the model is told the names alone.
func TestO3NamesAlone(t *testing.T) {
	t.Parallel()
	p := newProvider(t, says(said("Yes."), ended))
	s := start(t, p.use)
	s.modelAgent(t, "")
	s.wonder(t, fmt.Sprintf(`"input": {"text": "Why?", "files": [%q]}, "disable_attachment_injection": true`, s.upload(t, "a.txt", "secret of A")["url"]))
	s.waitFor(t, "one", "completed")
	if asked := fmt.Sprint(p.requests()[0]["messages"]); strings.Contains(asked, "secret") || !strings.Contains(asked, `<file name="a.txt"/>`) {
		t.Errorf("O2: it was asked %s", asked)
	}
	if got := part(s.filesOf(t, "")[0]); got != "1-1 a.txt 11 text/plain; charset=utf-8 given | nothing why=The task asks for the names of files alone (disable_attachment_injection)." {
		t.Errorf("O3: it is %q", got)
	}
}

// O3: what the profiler has read is kept as tables and texts, too.
func TestO3WhatTheProfilerRead(t *testing.T) {
	t.Parallel()
	s := start(t)
	var urls []string
	rows := "n,word\n" + strings.Repeat("7,seven \"and\" a half\n", 5000)
	for _, f := range [][2]string{{"some.csv", "n,word\n1,one\n2,\n"}, {"many.csv", rows}, {"note.txt", "Hello."}, {"x.bin", "\x00\x01\x02"}} {
		urls = append(urls, fmt.Sprintf("%q", s.upload(t, f[0], f[1])["url"]))
	}
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: fmt.Sprintf(
		`{"agent_id": "profile", "id": "one", "input": {"text": "Why?", "files": [%s]}}`, strings.Join(urls, ", "),
	)})
	s.waitFor(t, "one", "completed")
	for i, want := range []string{
		"1-1 some.csv 16 text/csv; charset=utf-8 given | table rows=2 columns=2",
		"1-2 many.csv 105007 text/csv; charset=utf-8 given | table rows=5000 columns=2 why=All of it was read; the first 2,622 rows are kept.",
		"1-3 note.txt 6 text/plain; charset=utf-8 given | text chars=6",
		"1-4 x.bin 3 application/octet-stream given | nothing why=It is of a kind that is not analysed: application/octet-stream.",
	} {
		if got := part(s.filesOf(t, "")[i]); got != want {
			t.Errorf("O3: file %d is\n%s\nwant\n%s", i+1, got, want)
		}
	}
	got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/files/1-1/table"})
	if fmt.Sprint(got["columns"], " ", got["rows"]) != "[n word] [[1 one] [2 ]]" {
		t.Errorf("O3: its table is %v", got)
	}
}

// O3: what an agent would be given is told before a run, and nothing is kept.
func TestO3Preview(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s := start(t, p.use)
	s.modelAgent(t, "")
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/remote", body: `{"name": "x"}`})
	url := s.upload(t, "a.csv", "n,word\n1,one\n")["url"]
	for who, want := range map[string]string{
		"sage":    " a.csv 13 text/csv; charset=utf-8 given | text chars=13 tokens=3",
		"profile": " a.csv 13 text/csv; charset=utf-8 given | table rows=1 columns=2",
		"remote":  " a.csv 13 text/csv; charset=utf-8 given | link",
	} {
		got := s.must(t, 200, call{method: "POST", path: "/v1/files/preview", key: userKey, body: fmt.Sprintf(`{"url": %q, "agent_id": %q}`, url, who)})
		if part(got) != want {
			t.Errorf("O3: for %s it is\n%q, want\n%q", who, part(got), want)
		}
	}
	got := s.must(t, 200, call{method: "POST", path: "/v1/files/preview", key: userKey, body: `{"url": "http://169.254.169.254/x.csv", "agent_id": "sage"}`})
	if got["state"] != "failed" || !strings.Contains(got["reason"].(string), "private") || got["name"] != "x.csv" {
		t.Errorf("O3: a private address: %v", got)
	}
	for body, field := range map[string]string{
		`{"url": "ftp://x/y", "agent_id": "sage"}`: "url", `{"url": "", "agent_id": "sage"}`: "url", `{"agent_id": "sage"}`: "url", `{"url": "http://x/y"}`: "agent_id",
	} {
		if got := s.must(t, 422, call{method: "POST", path: "/v1/files/preview", body: body}); got["field"] != field {
			t.Errorf("%s: field %v", body, got["field"])
		}
	}
	s.must(t, 404, call{method: "POST", path: "/v1/files/preview", body: `{"url": "http://x/y", "agent_id": "nobody"}`})
}

// O2: a task fetches a URL once, for what its model is given and for all of its tools.
func TestO2AFileIsFetchedOnce(t *testing.T) {
	t.Parallel()
	var fetched atomic.Int32
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "n\n%d\n", fetched.Add(1))
	}))
	t.Cleanup(origin.Close)
	p := newProvider(
		t,
		says(calls([2]string{"read_file", `{"name": "a.csv"}`}, [2]string{"sql", `{"query": "SELECT n FROM a"}`})...),
		says(said("Yes."), ended),
	)
	s := start(t, p.use, func(o *app.Options) { o.AllowPrivate = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	s.modelAgent(t, `, "tools": ["files", "sql"]`)
	s.wonder(t, fmt.Sprintf(`"input": {"text": "Why?", "files": [%q]}`, origin.URL+"/a.csv"))
	s.waitFor(t, "one", "completed")
	if got := fmt.Sprint(results(p.requests()[1])); fetched.Load() != 1 || !strings.Contains(got, "n\n1\n") {
		t.Errorf("O2: fetched %d times; the tools said %s", fetched.Load(), got)
	}
}

// O3: a model that sees is shown the images among its task's files, made smaller where
// they are large, and so is the next attempt; another is told that there is one.
func TestO3PicturesForModels(t *testing.T) {
	t.Parallel()
	var large bytes.Buffer
	if err := png.Encode(&large, image.NewGray(image.Rect(0, 0, 3000, 1500))); err != nil {
		t.Fatal(err)
	}
	for _, sees := range []bool{true, false} {
		t.Run(strconv.FormatBool(sees), func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, says(said("It is black."), ended))
			s := start(t, p.use)
			s.modelAgent(t, fmt.Sprintf(`, "vision": %v`, sees))
			file := s.upload(t, "black.png", large.String())
			s.wonder(t, fmt.Sprintf(`"input": {"text": "What is this?", "files": [%q]}`, file["url"]))
			s.waitFor(t, "one", "completed")
			asked := fmt.Sprint(p.requests()[0]["messages"])
			if _, data, shown := strings.Cut(asked, "data:image/jpeg;base64,"); shown != sees {
				t.Errorf("O3: it is asked %s", clip([]byte(asked)))
			} else if shown {
				data, _, _ = strings.Cut(data, "]")
				content, err := base64.StdEncoding.DecodeString(data)
				if c, kind, err2 := image.DecodeConfig(bytes.NewReader(content)); err != nil || err2 != nil || kind != "jpeg" || c.Width != 1568 || c.Height != 784 {
					t.Errorf("O3: it is shown a %s of %d × %d (%v, %v)", kind, c.Width, c.Height, err, err2)
				}
			}
			given := s.filesOf(t, "")[0]["given"].([]any)[0].(map[string]any)
			if as := map[bool]string{true: "picture", false: "nothing"}[sees]; given["as"] != as {
				t.Errorf("O3: it was given as %v, want %s", given, as)
			}
			if got := s.do(t, call{method: "GET", path: "/v1/tasks/one/files/1-1/picture"}); (got.status == 200) != sees {
				t.Errorf("O3: the picture is answered %d", got.status)
			}
		})
	}
}
