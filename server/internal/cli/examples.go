package cli

import (
	"strings"

	"github.com/alecthomas/kong"
)

// examples are command lines for each command, as --help and the reference show them.
var examples = map[string]string{ //nolint:gochecknoglobals // a constant table
	"serve": `errand serve
errand serve --addr 0.0.0.0:4747 --tls-cert cert.pem --tls-key key.pem
errand serve --agents agents.yaml --retain 30d`,
	"run": `errand run "What is the capital of France?"
errand run -f sales.csv "Analyze the sales data"
errand run "Count these words" -- wc -w
errand run --agent agents.yaml#writer --budget tokens=100000 "Write a haiku"`,
	"status": `errand status
errand status --json | jq .tasks`,
	"chat": `errand chat
errand chat --agent support
echo "Why?" | errand chat 01a228a8`,
	"task create": `errand task create --agent analyst --watch "Analyze the sales data"
errand task create --agent analyst -f sales.csv --tag march --in 10m "Analyze this"
cat prompt.txt | errand task create --agent analyst -`,
	"task import": `errand task import tasks.jsonl
errand task import --agent analyst --idempotency-key monday tasks.jsonl`,
	"task get": `errand task get 01a228a8
errand task get --json 01a228a8 | jq .status`,
	"task list": `errand task list
errand task list --agent analyst --status failed,error --from 24h
errand task list --needs-me`,
	"task search": `errand task search invoices march
errand task search --status failed "connection refused"`,
	"task watch": `errand task watch 01a228a8
errand task watch --json 01a228a8 | jq .type`,
	"task wait": `errand task wait 01a228a8 01a228a9 > results.md`,
	"task events": `errand task events 01a228a8
errand task events --follow --after 17 01a228a8`,
	"task files": `errand task files 01a228a8
errand task files --text sales.csv 01a228a8`,
	"task download": `errand task download 01a228a8
errand task download -o reports 01a228a8 summary.pdf`,
	"task thread": `errand task thread 01a228a8
errand task thread --full --json 01a228a8`,
	"task share": `errand task share --expires-in 24h 01a228a8
errand task share --list 01a228a8`,
	"task stop": `errand task stop 01a228a8
errand task stop --agent analyst --status pending --dry-run
errand task stop --all --yes`,
	"task pause":  `errand task pause 01a228a8`,
	"task resume": `errand task resume 01a228a8`,
	"task retry": `errand task retry --watch 01a228a8
errand task retry 01a228a8 01a228a9`,
	"task update": `errand task update --title "Sales in March" 01a228a8
errand task update --budget tokens=200000 01a228a8
errand task update --status completed --result "Done by hand" 01a228a8`,
	"task rm": `errand task rm 01a228a8 01a228a9`,
	"inbox list": `errand inbox list
errand inbox list --status all --json`,
	"inbox answer": `errand inbox answer 01a228a8
errand inbox answer 01a228a8 '{"size": 3}'
errand inbox answer --decline --note "Not on a Friday" 01a228a8`,
	"agent apply": `errand agent apply analyst --name Analyst --runtime worker
errand agent apply writer --runtime model --model gpt-4o-mini --instructions "You write haikus."
errand agent apply -f agents.yaml`,
	"agent list":     `errand agent list`,
	"agent get":      `errand agent get --version 2 analyst`,
	"agent versions": `errand agent versions analyst`,
	"agent rm":       `errand agent rm analyst`,
	"file put":       `errand file put sales.csv`,
	"file list":      `errand file list --limit 5`,
	"file rm":        `errand file rm 01a228a8-5b37-754e-9907-38e4da866404`,
	"key create": `errand key create website
errand key create --role worker --agent analyst --expires-in 720h "the worker in the cellar"
errand key create --sees own --day tokens=1000000 anna`,
	"key cap":    `errand key cap --day tokens=2000000,cost=20 01a228a8-5b37-754e-9907-38e4da866404`,
	"key list":   `errand key list`,
	"key revoke": `errand key revoke 01a228a8-5b37-754e-9907-38e4da866404`,
	"webhook create": `errand webhook create https://example.com/errand
errand webhook create --type task.completed --type task.failed --agent analyst https://example.com/errand`,
	"webhook list": `errand webhook list`,
	"webhook update": `errand webhook update --enable wh_4xq2rn5vdjc7bmk3ty6hw2plza
errand webhook update --url https://example.com/new --type all wh_4xq2rn5vdjc7bmk3ty6hw2plza`,
	"webhook test":   `errand webhook test wh_4xq2rn5vdjc7bmk3ty6hw2plza`,
	"webhook delete": `errand webhook delete wh_4xq2rn5vdjc7bmk3ty6hw2plza`,
	"usage": `errand usage
errand usage --of agent --day 2026-11-30`,
	"stats": `errand stats
errand stats --last 24h --by model
errand stats --last 1h --agent analyst --json | jq .steps`,
	"worker run": `errand worker --agent analyst -- ./my-agent --fast
errand worker --agent analyst --slots 4 --env OPENAI_API_KEY -- python3 agent.py`,
	"worker list": `errand worker list --agent analyst`,
	"events": `errand events --agent analyst
errand events --status failed --json`,
	"step": `errand step fetch -- curl -s https://example.com`,
	"ask": `errand ask size "How many?"
errand ask --approval --deadline 48h publish "Shall it be published?"`,
	"store copy": `errand store copy --from .errand --to postgres://errand@db/errand`,
	"mcp":        `errand mcp`,
	"backup":     `errand backup --data .errand backups/monday`,
	"doctor": `errand doctor
errand doctor --own`,
	"login": `errand login https://errand.example.com
errand login --profile work https://errand.example.com < key.txt`,
	"logout":     `errand logout --profile work`,
	"completion": `errand completion bash > errand.bash`,
	"version":    `errand version`,
}

// withExamples puts the examples at the end of what --help says of each command.
func withExamples(n *kong.Node) {
	for _, child := range n.Children {
		withExamples(child)
	}
	if lines := examples[words(n)]; lines != "" {
		text := "Examples:\n\n  " + strings.ReplaceAll(lines, "\n", "\n  ")
		n.Detail = strings.TrimSpace(n.Detail + "\n\n" + text)
	}
}

// words are those that name a command, without the program's name.
func words(n *kong.Node) string {
	if n.Parent == nil {
		return ""
	}
	return strings.TrimSpace(words(n.Parent) + " " + n.Name)
}
