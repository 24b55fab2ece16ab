package cli_test

import (
	"strings"
	"testing"
)

// TestReportOnATerminal: a terminal shows a report's Markdown, unless it is wanted as it
// is written, which is how pipes get it.
func TestReportOnATerminal(t *testing.T) {
	t.Parallel()
	const (
		written = "| units | integer | 0 | 29 |"
		shown   = "units          integer         0        29"
	)
	run := []string{"run", "--own", "--agent", "profile", "-f", "../../../examples/data/sales_data.csv", "Analyze"}
	for _, c := range []struct {
		env  string
		args []string
		want string
	}{
		{"TERM=xterm", run, shown},
		{"TERM=xterm", append(run, "--raw"), written},
		{"TERM=dumb", run, written},
	} {
		p := sit(t, []string{c.env}, c.args...)
		if err := <-p.ended; err != nil {
			t.Fatal(err)
		}
		<-p.read
		if got := p.shown.String(); !strings.Contains(got, c.want) || strings.Contains(got, shown) && strings.Contains(got, written) {
			t.Errorf("%s, %v: it shows\n%s\nwant in it\n%s", c.env, c.args, got, c.want)
		}
	}
}
