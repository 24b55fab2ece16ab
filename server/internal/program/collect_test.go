//go:build unix

package program_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/task"
)

// collects runs a program and returns the files that it leaves, and what the log says
// of those that are not taken.
func collects(t *testing.T, script string, refuse func(name string) error) (files map[string]string, told string, err error) {
	t.Helper()
	l, files := &log{}, map[string]string{}
	a := attempt(l)
	a.Output = func(_ context.Context, name string, content io.ReadSeeker) error {
		if refuse != nil {
			if err := refuse(name); err != nil {
				return err
			}
		}
		all, err := io.ReadAll(content)
		files[name] = string(all)
		return err
	}
	_, err = shell(script).Execute(t.Context(), a)
	for _, e := range l.events {
		if e.Type == task.AgentMessage {
			told += string(e.Data)
		}
	}
	return files, told, err
}

func TestO1WhatAProgramLeavesIsCollected(t *testing.T) {
	t.Parallel()
	files, told, err := collects(t, `cd "$ERRAND_OUT" && echo a >a.txt && mkdir -p b/c && echo b >"b/c/ü 1.txt" && : >empty`, nil)
	want := map[string]string{"a.txt": "a\n", "b_c_ü 1.txt": "b\n", "empty": ""}
	if diff := cmp.Diff(want, files); diff != "" || told != "" || err != nil {
		t.Errorf("O1: %s %v (-want +got):\n%s", told, err, diff)
	}
	files, _, err = collects(t, `echo a >"$ERRAND_OUT/a.txt"; exit 3`, nil)
	if _, is := errors.AsType[*program.ExitError](err); !is || files["a.txt"] == "" {
		t.Errorf("O1: one that fails leaves %v, %v", files, err)
	}
	files, _, err = collects(t, `rm -r "$ERRAND_OUT"`, nil)
	if err != nil || len(files) > 0 {
		t.Errorf("O1: without the folder: %v, %v", files, err)
	}
}

// Nothing is read that is not a file of the folder, and the log says so.
func TestO1WhatLeavesTheFolderIsRefused(t *testing.T) {
	t.Parallel()
	files, told, err := collects(t, `cd "$ERRAND_OUT" && ln -s /etc/passwd link && ln -s .. up && mkfifo pipe && mkdir d && ln -s ../../task.json d/task &&
		echo 1 >d_x && echo 2 >d/x && echo ok >ok && echo no >no`, func(name string) error {
		if name == "no" {
			return &program.RefusedError{Reason: "it is too large"}
		}
		return nil
	})
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, []string{"d_x", "ok"}) || err != nil {
		t.Errorf("O1: taken %v, %v", got, err)
	}
	for _, want := range []string{
		`\"link\" was not taken as an output: it is a symbolic link`, `\"up\" was not taken as an output: it is a symbolic link`,
		`\"pipe\" was not taken as an output: it is no plain file`, `\"d/task\" was not taken as an output: it is a symbolic link`,
		`\"d_x\" was not taken as an output: d/x has its name, d_x`, `\"no\" was not taken as an output: it is too large`,
	} {
		if !strings.Contains(told, want) {
			t.Errorf("O1: the log says\n%s\nand not\n%s", told, want)
		}
	}
	files, _, err = collects(t, `rm -r "$ERRAND_OUT"; ln -s / "$ERRAND_OUT"`, nil)
	if err == nil || !strings.Contains(err.Error(), "ERRAND_OUT is no folder any more") || len(files) > 0 {
		t.Errorf("O1: the folder is a link: %v, %v", files, err)
	}
}

// A file that cannot be kept, for no fault of its own, is an error of the attempt:
// what the program has made would be lost.
func TestO1AFileThatCannotBeKept(t *testing.T) {
	t.Parallel()
	_, _, err := collects(t, `echo x >"$ERRAND_OUT/x"`, func(string) error { return errors.New("no room") })
	if err == nil || err.Error() != "keep the output x: no room" {
		t.Errorf("O1: %v", err)
	}
	files, told, err := collects(t, fmt.Sprintf(`cd "$ERRAND_OUT" && seq %d | xargs touch`, task.MaxOutputs+25), nil)
	if len(files) != task.MaxOutputs || err != nil || !strings.Contains(told, "there are more than 1000 files") || !strings.Contains(told, "and 5 more") {
		t.Errorf("O1: %d files, %v: %s", len(files), err, told)
	}
}
