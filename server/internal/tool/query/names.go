package query

import (
	"path"
	"strconv"
	"strings"
)

// tableNames are the names of the tables of files: without their extensions, in letters
// that need no quotes, and no two alike.
func tableNames(files []string) []string {
	taken := names{}
	all := make([]string, len(files))
	for i, file := range files {
		all[i] = taken.unique(identifier(withoutExtension(file)))
	}
	return all
}

// withoutExtension is a file's name without what says how it is written and packed:
// sales.csv.gz is sales.
func withoutExtension(file string) string {
	extension := path.Ext(file)
	file = strings.TrimSuffix(file, extension)
	if e := strings.ToLower(extension); e == ".gz" || e == ".zip" {
		switch inner := path.Ext(file); strings.ToLower(inner) {
		case ".csv", ".tsv", ".tab", ".psv", ".json", ".jsonl", ".ndjson", ".geojson", ".txt", ".xlsx", ".parquet":
			return strings.TrimSuffix(file, inner)
		}
	}
	return file
}

// identifier makes a name of letters, digits and underscores.
func identifier(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	})
	name := strings.Join(words, "_")
	if name == "" || name[0] <= '9' || strings.HasPrefix(strings.ToLower(name), "sqlite_") {
		name = strings.TrimRight("t_"+name, "_")
	}
	return name
}

// names are those that are taken. SQLite does not tell capitals from small letters.
type names map[string]bool

// unique is the name, or one that begins like it.
func (n names) unique(name string) string {
	for try, i := name, 2; ; try, i = name+"_"+strconv.Itoa(i), i+1 {
		if key := strings.ToLower(try); !n[key] {
			n[key] = true
			return try
		}
	}
}

// quoted is a name as it stands in SQL.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
