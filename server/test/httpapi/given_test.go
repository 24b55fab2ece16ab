package httpapi_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"strings"
	"testing"
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
		"other.zip":  packed(t, "x", "y"),
	} {
		urls = append(urls, fmt.Sprintf("%q", s.upload(t, name, content)["url"]))
	}
	s.wonder(t, fmt.Sprintf(`"input": {"text": "Why?", "files": [%s]}`, strings.Join(urls, ", ")))
	s.waitFor(t, "one", "completed")
	asked := fmt.Sprint(p.requests()[0]["messages"])
	for _, want := range []string{
		"<file name=\"plan.docx\">\nThe plan is good.\n\n</file>", "<file name=\"latin1.csv\">\nname,where\nlunch,a small café\n\n</file>",
		"<file name=\"other.zip\">\n(It is an archive, which is not unpacked. It was not given to you.)\n</file>",
	} {
		if !strings.Contains(asked, want) {
			t.Errorf("O2: it was asked\n%s\nwithout\n%s", asked, want)
		}
	}
}
