package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/durable"
)

// profile is a server that the user has logged in to. Its key goes to its URL
// and nowhere else.
type profile struct {
	URL string `json:"url"`
	Key string `json:"key"`
}

func (p profile) client() (*errand.Client, error) {
	return errand.NewClient(errand.WithURL(p.URL), errand.WithKey(p.Key))
}

// profiles are those of the user, by name.
type profiles map[string]profile

// defaultProfile is the one that is used when none is named.
const defaultProfile = "default"

// profilesFile is where they are kept; "" where the user has no folder for such.
func profilesFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "errand", "profiles.json")
}

// readProfiles reads the user's profiles; there may be none.
func readProfiles() (profiles, error) {
	p, name := profiles{}, profilesFile()
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) { // as is ""
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the profiles: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s holds keys and others may read it: chmod 600 %s", name, name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the profiles: %w", err)
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("%s is not as errand login writes it (%w): delete it and log in again", name, err)
	}
	return p, nil
}

// write keeps the profiles where only the user may read them.
func (p profiles) write() error {
	name := profilesFile()
	if name == "" {
		return errors.New("there is no folder for a user's configuration here: set HOME")
	}
	if len(p) == 0 {
		return os.Remove(name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("keep the profile: %w", err)
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the profiles: %w", err)
	}
	if err := durable.WriteFile(name, append(text, '\n')); err != nil {
		return fmt.Errorf("keep the profile: %w", err)
	}
	return nil
}

// named returns a profile that must be there.
func (p profiles) named(name string) (profile, error) {
	found, ok := p[name]
	if ok {
		return found, nil
	}
	known := "there are none"
	if len(p) > 0 {
		known = "only " + strings.Join(slices.Sorted(maps.Keys(p)), ", ")
	}
	return profile{}, fmt.Errorf("--profile %s: no such profile, %s: errand login URL --profile %s", name, known, name)
}

// keyFor returns the key of a profile of that URL, "" if there is none.
func (p profiles) keyFor(url string) string {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if p[name].URL == url {
			return p[name].Key
		}
	}
	return ""
}
