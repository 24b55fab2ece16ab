package profile

import (
	"strings"

	"github.com/errand-dev/errand/server/internal/runtime"
)

// maxPrompt is how many characters of the prompt are shown.
const maxPrompt = 300

// intro is the start of the report.
func intro(a *runtime.Attempt) string {
	var md markdown
	md.heading(1, "Data profile")
	if prompt := inline(a.Prompt(), maxPrompt); prompt != "" {
		md.para("> “" + prompt + "”")
	}
	md.para("These figures were computed from " + plural(len(a.Files), "file") +
		". No model was used, so the prompt was not interpreted.")
	return md.String()
}

// outro tells how to read the figures.
func outro() string {
	var md markdown
	md.heading(2, "How to read this")
	md.list([]string{
		"Missing: empty cells and the usual words for nothing, such as NA, N/A, NaN, null, none and ?.",
		"A dash in place of a mean or a sum: codes, years, places and percentages do not add up.",
		"Sums and means are computed exactly from the decimal values and rounded only to be shown.",
		"Share, next to top values: of the rows that have a value.",
		"Q1, median and Q3 interpolate linearly between the two nearest values.",
	})
	return strings.TrimSuffix(md.String(), "\n")
}

// unopenedSection is the section of a file that could not be opened.
func unopenedSection(name string, err *openError) string {
	var md markdown
	md.heading(2, inline(name, maxCell*2))
	md.para("Not analysed: the file could not be opened: " + inline(reason(err.cause), maxCell*2) + ".")
	return md.String()
}
