// Modproxy writes modules of a checkout as a module proxy in the file system, so
// that Go commands take them as if they had been published as v0.0.0:
//
//	modproxy ROOT DEST [FOLDER…]
//
// The folders are of modules, below the root; DEST is then an entry of GOPROXY,
// as file://DEST. What is in a module's zip is what the go command would put
// there: its files, but not those of modules below it.
package main

import (
	"archive/zip"
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// version is the one that the go.mod files of the project name.
const version = "v0.0.0"

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: modproxy ROOT DEST FOLDER…")
		os.Exit(2)
	}
	for _, folder := range os.Args[3:] {
		if err := publish(filepath.Join(os.Args[1], folder), os.Args[2]); err != nil {
			fmt.Fprintf(os.Stderr, "modproxy: %s: %v\n", folder, err)
			os.Exit(1)
		}
	}
}

// publish adds the module in a folder to a proxy.
func publish(folder, proxy string) error {
	mod, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(mod), "\n")
	path, ok := strings.CutPrefix(first, "module ")
	if !ok || strings.ToLower(path) != path { // others are written in another way
		return fmt.Errorf("%q is not the name of a module", first)
	}
	to := filepath.Join(proxy, filepath.FromSlash(path), "@v")
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"list":            version + "\n",
		version + ".info": `{"Version": "` + version + `"}`,
		version + ".mod":  string(mod),
	} {
		if err := os.WriteFile(filepath.Join(to, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return pack(folder, path+"@"+version+"/", filepath.Join(to, version+".zip"))
}

// pack writes the files of a module into a zip, below a prefix.
func pack(folder, prefix, to string) (err error) {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buffered := bufio.NewWriter(out)
	files := zip.NewWriter(buffered)
	err = filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(folder, name)
		if err != nil || inside == "." {
			return err
		}
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(name, "go.mod"))
			if nested == nil || strings.HasPrefix(d.Name(), ".") || inside == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		return add(files, prefix+filepath.ToSlash(inside), name)
	})
	return errors.Join(err, files.Close(), buffered.Flush())
}

func add(files *zip.Writer, as, name string) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	entry, err := files.Create(as)
	if err != nil {
		return err
	}
	_, err = io.Copy(entry, in)
	return err
}
