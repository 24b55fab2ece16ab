package cli

import (
	"path/filepath"
	"time"

	"github.com/errand-dev/errand/server/internal/program/sandbox"
)

// confinement has the flags that say how a program is confined.
type confinement struct {
	Sandbox   string        `help:"What confines the program: none, bwrap or podman; see docs/OPERATIONS.md." enum:"none,bwrap,podman" default:"none"`
	Network   string        `name:"sandbox-network" help:"The network of a confined program: none, or host for all of this machine's." enum:",none,host" default:"" placeholder:"host"`
	Image     string        `name:"sandbox-image" help:"The image in which podman runs it." placeholder:"IMAGE"`
	Read      []string      `name:"sandbox-read" help:"A file or folder that a confined program may read beside the system's and --dir; may be repeated." placeholder:"PATH" sep:"none"`
	Memory    string        `help:"The most memory of a confined program, for example 512MiB." placeholder:"SIZE"`
	Processes int           `help:"The most processes and threads of a confined program; 256 when left out." placeholder:"N"`
	CPU       time.Duration `name:"cpu" help:"The most processor time of each process of a confined program, for example 1m." placeholder:"DURATION"`
}

// box is what confines the program; it hides the data folder, and the keys that 'errand
// login' has kept.
func (c confinement) box(data string) (sandbox.Box, error) {
	b := sandbox.Box{Kind: c.Sandbox, Image: c.Image, Network: c.Network, Processes: c.Processes, CPU: c.CPU, Read: c.Read, Hide: []string{data}}
	if kept := profilesFile(); kept != "" {
		b.Hide = append(b.Hide, filepath.Dir(kept))
	}
	if c.Memory == "" {
		return b, nil
	}
	var err error
	b.Memory, err = sandbox.ParseSize(c.Memory)
	return b, err
}
