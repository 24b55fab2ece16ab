package fetch

import (
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// plain is the text of an HTML page: its title, its lines, and behind each link where
// it leads.
func plain(page string, base *url.URL) string {
	p := &reader{base: base, tokens: html.NewTokenizer(strings.NewReader(page))}
	for p.tokens.Next() != html.ErrorToken {
		p.take(p.tokens.Token())
	}
	return strings.TrimSpace(p.text.String())
}

// reader reads a page token by token: no page, however it is nested, takes more than
// its own length.
type reader struct {
	base   *url.URL
	tokens *html.Tokenizer
	text   strings.Builder
	hidden atom.Atom // within this element nothing shows, 0 for none
	space  string    // what stands before the next word
	links  []string  // of the elements a that are open
}

func (p *reader) take(t html.Token) {
	switch {
	case p.hidden != 0:
		if t.Type == html.EndTagToken && t.DataAtom == p.hidden {
			p.hidden = 0
		}
	case t.Type == html.TextToken:
		p.words(t.Data)
	case t.Type == html.StartTagToken && hides(t.DataAtom):
		p.hidden = t.DataAtom
	case t.DataAtom == atom.A && t.Type == html.StartTagToken:
		p.links = append(p.links, p.target(t))
	case t.DataAtom == atom.A && t.Type == html.EndTagToken && len(p.links) > 0:
		if to := p.links[len(p.links)-1]; to != "" {
			p.words(" (" + to + ")")
		}
		p.links = p.links[:len(p.links)-1]
	case breaks(t.DataAtom):
		p.space = "\n"
		if t.DataAtom == atom.Li && t.Type == html.StartTagToken {
			p.words("- ")
		}
	}
}

// words writes a text, each run of white space as one space.
func (p *reader) words(text string) {
	words := strings.Fields(text)
	if len(words) == 0 {
		if p.space == "" && text != "" {
			p.space = " "
		}
		return
	}
	if p.space == "" && strings.TrimLeft(text, " \t\r\n") != text {
		p.space = " "
	}
	if p.text.Len() > 0 {
		p.text.WriteString(p.space)
	}
	p.text.WriteString(strings.Join(words, " "))
	p.space = ""
	if strings.TrimRight(text, " \t\r\n") != text {
		p.space = " "
	}
}

// target is where a link leads, "" for nowhere else.
func (p *reader) target(t html.Token) string {
	for _, a := range t.Attr {
		if a.Key != "href" || strings.HasPrefix(a.Val, "#") {
			continue
		}
		if to, err := p.base.Parse(strings.TrimSpace(a.Val)); err == nil && (to.Scheme == "http" || to.Scheme == "https") {
			return to.String()
		}
	}
	return ""
}

// hides reports whether what stands in an element is nothing to read.
func hides(a atom.Atom) bool {
	switch a { //nolint:exhaustive // the others are read
	case atom.Script, atom.Style, atom.Template, atom.Svg, atom.Noscript, atom.Iframe, atom.Object:
		return true
	default:
		return false
	}
}

// breaks reports whether an element begins a line.
func breaks(a atom.Atom) bool {
	switch a { //nolint:exhaustive // the others go on in the line
	case atom.Address, atom.Article, atom.Aside, atom.Blockquote, atom.Br, atom.Dd, atom.Div, atom.Dl, atom.Dt, atom.Fieldset,
		atom.Figcaption, atom.Figure, atom.Footer, atom.Form, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Header,
		atom.Hr, atom.Li, atom.Main, atom.Nav, atom.Ol, atom.Option, atom.P, atom.Pre, atom.Section, atom.Table, atom.Td, atom.Th,
		atom.Title, atom.Tr, atom.Ul:
		return true
	default:
		return false
	}
}
