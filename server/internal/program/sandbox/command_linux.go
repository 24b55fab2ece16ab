package sandbox

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// nobody is whom a program in a box runs as when this process is root: the limit of
// processes does not hold for root, and root may write what the kernel shows in /proc/sys.
const nobody = 65534

// own is how many processes and threads in a box are not the program's.
const own = 24

// maxFile is the largest file that a program in a box may write, maxOpen how many it
// may have open, and scratch how much goes into /tmp and /dev/shm each.
const (
	maxFile = 1 << 30
	maxOpen = 4096
	scratch = 64 << 20
)

// SelfFD is the file descriptor by which this program's own file is reached.
const SelfFD = 5

// system are the folders and files of the machine that a program needs. No more of /etc
// is shown than this: the rest may hold secrets.
func system() []string {
	return []string{
		"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64",
		"/etc/alternatives", "/etc/ca-certificates", "/etc/fonts", "/etc/group", "/etc/host.conf", "/etc/hosts", "/etc/ld.so.cache", "/etc/ld.so.conf",
		"/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/passwd", "/etc/pki", "/etc/protocols",
		"/etc/resolv.conf", "/etc/services", "/etc/ssl", "/etc/timezone",
	}
}

// named is where programs find errand in a box.
const named = "/usr/local/bin/errand"

// Errand is how this program is started in a box: by bubblewrap from an open file, since
// the folder that it lies in may be closed to whom it runs as.
func (b Box) Errand() string {
	if b.Kind == Podman {
		return named
	}
	return "/proc/self/fd/" + strconv.Itoa(SelfFD)
}

// Command is the command line that runs argv in the box. Folder is the attempt's own,
// "" for none, in which it may write; it starts there unless dir says where.
func (b Box) Command(folder, dir string, argv []string) ([]string, error) {
	read, dir, err := b.shown(dir)
	if err != nil {
		return nil, err
	}
	if b.Kind == Podman {
		return b.podman(folder, cmp.Or(dir, folder, "/tmp"), read, argv)
	}
	return b.bwrap(folder, cmp.Or(dir, folder, "/tmp"), read, argv), nil
}

// Shows reports whether a file is in the box anyway: the system's, or in a folder that
// the program may read.
func (b Box) Shows(path, dir string) bool {
	return slices.ContainsFunc(slices.Concat(system(), b.Read, []string{dir}), func(folder string) bool {
		return folder != "" && within(folder, path)
	})
}

// shown are the files and folders that the program may read, and among them the folder
// that it starts in, if that is not its attempt's: without symbolic links.
func (b Box) shown(dir string) (read []string, start string, err error) {
	if read, err = canonical(b.Read); err != nil || dir == "" {
		return read, "", err
	}
	where, err := canonical([]string{dir})
	if err != nil {
		return nil, "", err
	}
	return append(read, where...), where[0], nil
}

// discreet refuses folders in which a program would see what is another's: processes and
// their environments, devices, or the folders of other tasks.
func (b Box) discreet(dir string) error {
	read, _, err := b.shown(dir)
	if err != nil {
		return err
	}
	private, err := canonical([]string{"/proc", "/dev", os.TempDir()})
	if err != nil {
		return err
	}
	for _, path := range read {
		for _, inside := range private {
			if within(path, inside) || within("/proc", path) || within("/dev", path) {
				return fmt.Errorf("sandbox: %s shows what is not the program's (%s): name a folder that has only what it needs", path, inside)
			}
		}
	}
	return nil
}

// within reports whether a path is a folder, or in it.
func within(folder, path string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimRight(folder, "/")+"/")
}

// canonical are the paths without symbolic links.
func canonical(paths []string) ([]string, error) {
	all := make([]string, 0, len(paths))
	for _, path := range paths {
		path, err := filepath.Abs(path)
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			return nil, fmt.Errorf("sandbox: %w", err)
		}
		all = append(all, path)
	}
	return all, nil
}

func (b Box) bwrap(folder, dir string, read, argv []string) []string {
	size := strconv.Itoa(scratch)
	c := []string{
		Bwrap, "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--hostname", "sandbox",
		"--proc", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev", "--size", size, "--perms", "1777", "--tmpfs", "/tmp",
	}
	if b.Network == HostNetwork {
		c = append(c, "--share-net")
	}
	for _, path := range system() {
		c = append(c, "--ro-bind-try", path, path)
	}
	for _, path := range read {
		c = append(c, "--ro-bind", path, path)
	}
	for _, path := range b.hidden() {
		c = append(c, "--perms", "0000", "--size", "4096", "--tmpfs", path)
	}
	path := os.Getenv("PATH")
	if self, err := os.Executable(); err == nil && b.reachable(self) { // for errand step and errand ask
		c = append(c, "--ro-bind", self, "/run/errand/errand")
		path += ":/run/errand"
	}
	if folder != "" {
		c = append(c, "--bind", folder, folder)
	}
	home := cmp.Or(folder, "/tmp")
	c = append(c, "--remount-ro", "/", "--chdir", dir, "--setenv", "HOME", home, "--setenv", "TMPDIR", home,
		"--setenv", "PATH", path, "--")
	return append(c, argv...)
}

// reachable reports whether a file is there, and who runs in the box may come to it.
func (b Box) reachable(path string) bool {
	for ; path != "/"; path = filepath.Dir(path) {
		if info, err := os.Stat(path); err != nil || b.Credential() != nil && info.Mode()&1 == 0 {
			return false
		}
	}
	return true
}

// hidden are the hidden folders that are there, without symbolic links.
func (b Box) hidden() (all []string) {
	for _, path := range b.Hide {
		if there, err := canonical([]string{path}); err == nil {
			all = append(all, there...)
		}
	}
	return all
}

func (b Box) podman(folder, dir string, read, argv []string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("sandbox: find this program: %w", err)
	}
	c := []string{
		Podman, "run", "--rm", "--interactive", "--sig-proxy=false", "--log-driver", "none", "--preserve-fds", "2", "--read-only", "--cap-drop", "all",
		"--security-opt", "no-new-privileges", "--ulimit", ulimit("nofile", unix.RLIMIT_NOFILE), "--ulimit", ulimit("nproc", unix.RLIMIT_NPROC), "--network", cmp.Or(b.Network, NoNetwork),
		"--pids-limit", strconv.Itoa(cmp.Or(b.Processes, defaultProcesses) + own), "--volume", self + ":" + named + ":ro",
	}
	if os.Geteuid() == 0 {
		c = append(c, "--user", fmt.Sprintf("%d:%d", nobody, nobody))
	} else {
		c = append(c, "--userns", "keep-id")
	}
	if b.Memory > 0 {
		bytes := strconv.FormatUint(b.Memory, 10)
		c = append(c, "--memory", bytes, "--memory-swap", bytes)
	}
	for _, path := range read {
		c = append(c, "--volume", path+":"+path+":ro")
	}
	for _, path := range b.hidden() {
		c = append(c, "--tmpfs", path+":ro,mode=0")
	}
	if folder != "" {
		c = append(c, "--volume", folder+":"+folder+":rw")
	}
	for _, variable := range os.Environ() {
		// Their values stay out of the list of processes; PATH is the image's own.
		if name, _, _ := strings.Cut(variable, "="); !slices.Contains([]string{"PATH", "HOME", "XDG_RUNTIME_DIR"}, name) {
			c = append(c, "--env", name)
		}
	}
	c = append(c, "--env", "HOME="+cmp.Or(folder, "/tmp"), "--workdir", dir, "--entrypoint", argv[0], b.Image)
	return append(c, argv[1:]...), nil
}

// ulimit is a limit that podman sets on a container. Its own default is more than it may
// set in many places.
func ulimit(name string, what int) string {
	var has syscall.Rlimit
	most := uint64(maxOpen)
	if syscall.Getrlimit(what, &has) == nil {
		most = min(most, has.Max)
	}
	return fmt.Sprintf("%s=%d:%d", name, most, most)
}

// Credential is whom the box's own program runs as, nil for whom this process does.
func (b Box) Credential() *syscall.Credential {
	if b.Kind != Bwrap || os.Geteuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: nobody, Gid: nobody}
}

// Give makes an attempt's folder the program's own.
func (b Box) Give(folder string) error {
	if os.Geteuid() != 0 || folder == "" {
		return nil
	}
	return filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, nobody, nobody)) //nolint:gosec // nobody else has been in it
	})
}

// try finds out whether this machine can make the box.
func (b Box) try(dir string) error {
	path, err := exec.LookPath(b.Kind)
	if err != nil {
		return fmt.Errorf("sandbox: there is no %s in PATH: install the package %s", b.Kind, map[string]string{Bwrap: "bubblewrap", Podman: "podman"}[b.Kind])
	}
	if err := b.discreet(dir); err != nil || b.Kind == Podman {
		return err
	}
	command, err := b.Command("", dir, []string{"true"})
	if err != nil {
		return err
	}
	c := exec.Command(path, command[1:]...) //nolint:gosec,noctx // it ends at once
	c.SysProcAttr = &syscall.SysProcAttr{Credential: b.Credential()}
	if said, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("sandbox: bwrap cannot confine programs here: %s", bytes.TrimSpace(append(said, err.Error()...)))
	}
	return nil
}

// Lay lays the limits upon this process, which becomes the program next.
func (l Limits) Lay() error {
	for what, most := range l.resources() {
		limit := syscall.Rlimit{Cur: most, Max: most}
		if what == unix.RLIMIT_CPU {
			limit.Max++ // the first second over it brings a signal that says why
		}
		var has syscall.Rlimit
		if err := syscall.Getrlimit(what, &has); err != nil {
			return fmt.Errorf("limit the program: %w", err)
		}
		limit.Cur, limit.Max = min(limit.Cur, has.Max), min(limit.Max, has.Max)
		if err := syscall.Setrlimit(what, &limit); err != nil {
			return fmt.Errorf("limit the program: %w", err)
		}
	}
	return nil
}

// resources are the limits by the kernel's names.
func (l Limits) resources() map[int]uint64 {
	all := map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: maxFile, unix.RLIMIT_NOFILE: maxOpen}
	if l.Processes > 0 {
		all[unix.RLIMIT_NPROC] = uint64(l.Processes) + own
	}
	if l.Memory > 0 {
		all[unix.RLIMIT_DATA] = l.Memory
	}
	if l.CPU > 0 {
		all[unix.RLIMIT_CPU] = uint64(math.Ceil(l.CPU.Seconds()))
	}
	return all
}
