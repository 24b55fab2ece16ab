module github.com/errand-dev/errand

go 1.25
