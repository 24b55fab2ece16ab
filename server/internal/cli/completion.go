package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/errand-dev/errand"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help says what cannot be said in flags.
func (completionCmd) Help() string {
	return "bash: source <(errand completion bash), in ~/.bashrc. zsh: source <(errand completion zsh), in ~/.zshrc behind compinit." +
		" fish: errand completion fish > ~/.config/fish/completions/errand.fish."
}

// completeArg, as the first argument, asks for what may stand at the end of a
// command line. The scripts of the shells do.
const completeArg = "__complete"

// Run prints the script for a shell. All of them ask errand itself, so they
// stay right when it changes; where it knows nothing, files are offered.
func (c *completionCmd) Run(e *env) error {
	fmt.Fprint(e.Out, map[string]string{
		"bash": `_errand() {
  local IFS=$'\n'
  COMPREPLY=($(errand ` + completeArg + ` "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1))
}
complete -o default -F _errand errand
`,
		"zsh": `#compdef errand
_errand() {
  local -a found
  found=(${(f)"$(errand ` + completeArg + ` "${(@)words[2,CURRENT]}" 2>/dev/null | cut -f 1)"})
  if (( $#found )); then compadd -- $found; else _files; fi
}
compdef _errand errand
`,
		"fish": `function __errand_complete
  set -l words (commandline -opc)
  set -l found (errand ` + completeArg + ` $words[2..] (commandline -ct | string collect -a) 2>/dev/null)
  if set -q found[1]; string join \n $found; else; __fish_complete_path (commandline -ct); end
end
complete -c errand -f -a '(__errand_complete)'
`,
	}[c.Shell])
	return nil
}

// complete prints what may stand in the place of the last word, each with what
// it is for behind a tab.
func complete(w io.Writer, app *kong.Application, words []string) {
	// Bash makes three words of --status=pending.
	words = slices.DeleteFunc(slices.Clone(words), func(word string) bool { return word == "=" })
	if len(words) == 0 {
		words = []string{""}
	}
	if words[0] == "help" {
		words = words[min(1, len(words)-1):]
	}
	last := words[len(words)-1]
	node, open := app.Node, (*kong.Flag)(nil)
	for _, word := range words[:len(words)-1] {
		switch {
		case word == "--":
			return // what follows is another program's
		case open != nil:
			open = nil
		case strings.HasPrefix(word, "-"):
			open = valued(node, word)
		default:
			if child := childOf(node, word); child != nil {
				node = child
			} else if len(node.Children) > 0 {
				return // there is no such command
			}
		}
	}
	before := "" // of the last word, what stands already
	if name, value, is := strings.Cut(last, "="); is && open == nil {
		before, last, open = name+"=", value, valued(node, name)
	}
	offer := func(word, help string) {
		if strings.HasPrefix(word, last) {
			fmt.Fprintf(w, "%s%s\t%s\n", before, word, help)
		}
	}
	switch {
	case open != nil || before != "":
		if open == nil {
			return
		}
		switch open.Name {
		case "agent":
			known(agentsThere, offer)
		case "parent":
			known(tasksThere, offer)
		}
		for _, value := range open.EnumSlice() {
			if value != "" {
				offer(value, "")
			}
		}
	case strings.HasPrefix(last, "-"):
		for _, f := range flagsOf(node) {
			offer("--"+f.Name, f.Help)
		}
	default:
		for _, child := range node.Children {
			if !child.Hidden {
				offer(child.Name, child.Help)
			}
		}
		for _, arg := range node.Positional {
			for _, value := range arg.EnumSlice() {
				if value != "" {
					offer(value, "")
				}
			}
			switch {
			case arg.Name == "id" && node.Parent.Name == "task", arg.Name == "thread":
				known(tasksThere, offer)
			case arg.Name == "id" && node.Parent.Name == "agent":
				known(agentsThere, offer)
			}
		}
	}
}

// completeTime is how long a server may take that is asked what may stand in a command
// line: whoever has pressed a key waits.
const completeTime = time.Second

// known offers what the server has that the other commands find; nothing if it does not say.
func known(list func(context.Context, *errand.Client, func(word, help string)), offer func(word, help string)) {
	at := connection{Server: os.Getenv("ERRAND_URL"), Key: os.Getenv("ERRAND_API_KEY"), Data: cmp.Or(os.Getenv("ERRAND_DATA"), ".errand")}
	client, err := at.client()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeTime)
	defer cancel()
	list(ctx, client, offer)
}

// tasksThere are the newest tasks.
func tasksThere(ctx context.Context, client *errand.Client, offer func(word, help string)) {
	page, err := client.Tasks.Rows(ctx, errand.ListOptions{PerPage: pageSize})
	if err != nil {
		return
	}
	for _, t := range page.Items {
		offer(t.ID, printable(string(t.Status)+" "+fitting(strings.Join(strings.Fields(cmp.Or(t.Title, t.Prompt)), " "), askedLength)))
	}
}

func agentsThere(ctx context.Context, client *errand.Client, offer func(word, help string)) {
	agents, err := client.Agents.List(ctx)
	if err != nil {
		return
	}
	for _, a := range agents {
		offer(a.ID, printable(a.Name))
	}
}

func childOf(n *kong.Node, word string) *kong.Node {
	i := slices.IndexFunc(n.Children, func(child *kong.Node) bool { return child.Name == word || slices.Contains(child.Aliases, word) })
	if i < 0 {
		return nil
	}
	return n.Children[i]
}

// flagsOf are the flags that a command knows, or the one that is meant without its name.
func flagsOf(n *kong.Node) (flags []*kong.Flag) {
	if n.DefaultCmd != nil {
		n = n.DefaultCmd
	}
	for _, group := range n.AllFlags(true) {
		flags = append(flags, group...)
	}
	return flags
}

// valued is the flag that a word names, if the next word is its value.
func valued(n *kong.Node, word string) *kong.Flag {
	for _, f := range flagsOf(n) {
		named := word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short)
		if named && !f.IsBool() {
			return f
		}
	}
	return nil
}
