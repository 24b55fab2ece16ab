// Package markdown shows Markdown on a terminal: as lines with headings, lists, code and
// tables whose columns line up. It takes text without control characters, and makes none
// but those of its own styles.
package markdown

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	tables "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// Lines is a text in lines of a width. What cannot be broken, such as code, may be wider.
// Without styles, words that would have one keep the marks of Markdown.
func Lines(markdown string, width int, styled bool) []string {
	p := page{source: []byte(markdown), styled: styled}
	var lines []string
	for _, l := range p.blocks(parse(p.source), max(width, 20)) {
		if styled {
			lines = append(lines, l.String())
		} else {
			lines = append(lines, l.plain())
		}
	}
	return lines
}

// Closed is how much of the beginning of a text stays what it is, whatever follows: all
// blocks but the last.
func Closed(markdown string) int {
	last := parse([]byte(markdown)).LastChild()
	if last == nil || last.Pos() < 0 {
		return 0
	}
	return strings.LastIndexByte(markdown[:last.Pos()], '\n') + 1
}

func parse(source []byte) ast.Node {
	return goldmark.New(goldmark.WithExtensions(extension.Table)).Parser().Parse(text.NewReader(source))
}

// page makes lines of the blocks of one text.
type page struct {
	source []byte
	styled bool
}

// blocks are the lines of the blocks in a node, with an empty line between two.
func (p *page) blocks(n ast.Node, width int) (lines []line) {
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		block := p.block(child, width)
		if len(lines) > 0 && len(block) > 0 && !tight(n) {
			lines = append(lines, nil)
		}
		lines = append(lines, block...)
	}
	return lines
}

// tight reports whether no empty lines stand between the blocks of a node.
func tight(n ast.Node) bool {
	if n.Kind() == ast.KindListItem {
		n = n.Parent()
	}
	list, is := n.(*ast.List)
	return is && list.IsTight
}

func (p *page) block(n ast.Node, width int) []line {
	switch n := n.(type) {
	case *ast.Heading:
		title := p.inline(n, bold)
		if !p.styled {
			title = append(words(strings.Repeat("#", n.Level)+" ", 0), title...)
		}
		return wrapped(title, width)
	case *ast.ThematicBreak:
		return []line{words(strings.Repeat("─", min(width, 40)), dim)}
	case *ast.CodeBlock, *ast.FencedCodeBlock:
		return prefixed(p.verbatim(n, code), "    ", "    ", 0)
	case *ast.HTMLBlock:
		return p.verbatim(n, 0)
	case *ast.Blockquote:
		return prefixed(p.blocks(n, width-2), "│ ", "│ ", dim)
	case *ast.List:
		return p.list(n, width)
	case *tables.Table:
		return p.table(n, width)
	default:
		return wrapped(p.inline(n, 0), width)
	}
}

// verbatim are the lines of a block as they are written.
func (p *page) verbatim(n ast.Node, s style) (lines []line) {
	for _, segment := range n.Lines().Sliced(0, n.Lines().Len()) {
		lines = append(lines, words(strings.TrimRight(string(segment.Value(p.source)), "\n"), s))
	}
	return lines
}

func (p *page) list(n *ast.List, width int) (lines []line) {
	number := n.Start
	for item := n.FirstChild(); item != nil; item = item.NextSibling() {
		mark := "• "
		if n.IsOrdered() {
			mark = fmt.Sprintf("%d%c ", number, n.Marker)
			number++
		}
		if len(lines) > 0 && !n.IsTight {
			lines = append(lines, nil)
		}
		margin := strings.Repeat(" ", Width(mark))
		lines = append(lines, prefixed(p.blocks(item, width-len(margin)), mark, margin, 0)...)
	}
	return lines
}

// inline is the text in a node as one line, in which newlines are letters.
func (p *page) inline(n ast.Node, s style) (l line) {
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		switch child := child.(type) {
		case *ast.Text:
			l = append(l, p.indent(child)...)
			l = append(l, words(plainText(child.Value(p.source), s), s)...)
			if child.SoftLineBreak() || child.HardLineBreak() {
				l = append(l, letter{r: '\n'})
			}
		case *ast.CodeSpan:
			l = append(l, p.marked("`", words(strings.ReplaceAll(p.raw(child), "\n", " "), s|code))...)
		case *ast.Emphasis:
			with := italic
			if child.Level > 1 {
				with = bold
			}
			l = append(l, p.marked(strings.Repeat("*", child.Level), p.inline(child, s|with))...)
		case *ast.Link:
			l = append(l, p.linked(child, s, child.Destination)...)
		case *ast.Image:
			l = append(l, p.linked(child, s, child.Destination)...)
		case *ast.AutoLink:
			l = append(l, words(string(child.Label(p.source)), s)...)
		case *ast.RawHTML:
			for _, segment := range child.Segments.Sliced(0, child.Segments.Len()) {
				l = append(l, words(string(segment.Value(p.source)), s)...)
			}
		default:
			l = append(l, p.inline(child, s)...)
		}
	}
	return l
}

// indent is what stands in front of the lines of a paragraph: programs that know no
// Markdown line up columns so.
func (p *page) indent(t *ast.Text) line {
	start := t.Segment.Start
	for start > 0 && p.source[start-1] == ' ' {
		start--
	}
	if t.Parent().Kind() != ast.KindParagraph || t.Parent().Parent().Kind() != ast.KindDocument || start > 0 && p.source[start-1] != '\n' {
		return nil
	}
	return words(string(p.source[start:t.Segment.Start]), 0)
}

// marked is what a style shows, or marks where there are no styles.
func (p *page) marked(mark string, l line) line {
	if p.styled {
		return l
	}
	return append(append(words(mark, 0), l...), words(mark, 0)...)
}

// linked is the text of a link with its target, which whoever follows it has to see.
func (p *page) linked(n ast.Node, s style, target []byte) line {
	l := p.inline(n, s)
	if to := string(target); to != "" && to != l.plain() {
		l = append(l, words(" ("+to+")", dim)...)
	}
	return l
}

// raw is the text of a node as it is written.
func (p *page) raw(n ast.Node) string {
	var b bytes.Buffer
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		if t, is := child.(*ast.Text); is {
			b.Write(t.Value(p.source))
		}
	}
	return b.String()
}

// named are the characters that Markdown cannot have but by a name. Those that are named
// by their numbers stay as they are written: some command a terminal.
var named = strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#39;", "'", "&nbsp;", " ") //nolint:gochecknoglobals // a constant

func plainText(source []byte, s style) string {
	if s&code != 0 {
		return string(source)
	}
	return named.Replace(string(util.UnescapePunctuations(source)))
}
