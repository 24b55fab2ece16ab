// Package sandbox confines a program: it turns a program's command line into one that
// runs it in a box, by bubblewrap or by podman. In a box a program sees the system's
// folders, its attempt's own folder and what an operator lets it read: no data folder,
// no other task's folder, no other process, and no network unless it is allowed.
package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The kinds of boxes.
const (
	None   = "none"
	Bwrap  = "bwrap"
	Podman = "podman"
)

// The networks that a program in a box may have.
const (
	NoNetwork   = "none"
	HostNetwork = "host"
)

// defaultProcesses is how many processes and threads a program in a box may have when
// its definition does not say.
const defaultProcesses = 256

// Box is how a program is confined. The zero value is not at all.
type Box struct {
	// Kind is None, Bwrap or Podman; "" is None.
	Kind string `json:"kind,omitempty"`
	// Image is what podman runs.
	Image string `json:"image,omitempty"`
	// Network is NoNetwork or HostNetwork; "" is NoNetwork.
	Network string `json:"network,omitempty"`
	// Memory bounds the memory in bytes, Processes the processes and threads, CPU the
	// processor time of each process; 0 is no bound, for Processes a default one.
	Memory    uint64        `json:"memory,omitempty"`
	Processes int           `json:"processes,omitempty"`
	CPU       time.Duration `json:"cpu,omitempty"`
	// Read are files and folders that it may read beside the system's own.
	Read []string `json:"read,omitempty"`
	// Hide are folders that it does not see wherever they lie: the data folder.
	Hide []string `json:"hide,omitempty"`
}

// Confines reports whether there is a box at all.
func (b Box) Confines() bool { return b.Kind != "" && b.Kind != None }

// Check says what is wrong with a box in which a program starts in dir, "" for its
// attempt's folder, and whether this machine can make it.
func (b Box) Check(dir string) error {
	switch {
	case !b.Confines() && (b.Network != "" || b.Image != "" || b.Memory != 0 || b.Processes != 0 || b.CPU != 0 || len(b.Read) > 0):
		return errors.New("sandbox: network, image, memory, processes, cpu and read are of a sandbox: name bwrap or podman")
	case !b.Confines():
		return nil
	case b.Kind != Bwrap && b.Kind != Podman:
		return errors.New("sandbox: must be none, bwrap or podman")
	case b.Network != "" && b.Network != NoNetwork && b.Network != HostNetwork:
		return errors.New("network: must be none or host")
	case b.Processes < 0 || b.CPU < 0:
		return errors.New("processes and cpu: must not be negative")
	case b.Kind == Podman && b.Image == "":
		return errors.New("image: name the image that podman is to run")
	case b.Kind != Podman && b.Image != "":
		return errors.New("image: is for podman alone")
	}
	return b.try(dir)
}

// Limits are what a process lays upon itself before it becomes the program.
type Limits struct {
	Memory    uint64        `json:"memory,omitempty"`
	Processes int           `json:"processes,omitempty"`
	CPU       time.Duration `json:"cpu,omitempty"`
}

// Limits are those that the program lays upon itself. Podman sees to the memory and the
// processes of a container by itself.
func (b Box) Limits() Limits {
	if b.Kind == Podman {
		return Limits{CPU: b.CPU}
	}
	return Limits{Memory: b.Memory, Processes: cmp.Or(b.Processes, defaultProcesses), CPU: b.CPU}
}

// Told names the limits for people.
func (b Box) Told() string {
	said := []string{fmt.Sprintf("%d processes", cmp.Or(b.Processes, defaultProcesses))}
	if b.Memory > 0 {
		said = append(said, FormatSize(b.Memory)+" of memory")
	}
	if b.CPU > 0 {
		said = append(said, b.CPU.String()+" of processor time")
	}
	return strings.Join(said, ", ")
}

// unit is one in which sizes are written.
type unit struct {
	name  string
	bytes uint64
}

// units are those of sizes, the largest first.
func units() []unit { return []unit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} }

// FormatSize writes a size in the largest unit that it is a whole number of.
func FormatSize(bytes uint64) string {
	for _, u := range units() {
		if bytes%u.bytes == 0 {
			return strconv.FormatUint(bytes/u.bytes, 10) + " " + u.name
		}
	}
	return strconv.FormatUint(bytes, 10) + " bytes"
}

// ParseSize reads a size such as 512MiB or 2GiB.
func ParseSize(text string) (uint64, error) {
	for _, u := range units() {
		number, is := strings.CutSuffix(text, u.name)
		if !is {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 32)
		if err == nil && n > 0 {
			return n * u.bytes, nil
		}
	}
	return 0, fmt.Errorf("%q is no size: write for example 512MiB or 2GiB", text)
}
