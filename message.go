package errand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// inlineLimits bound the texts of files in a message, in characters.
type inlineLimits struct{ each, total int }

// inlineFromEnv reads the limits: 8,000 for a file and 24,000 for all unless
// the environment says otherwise.
func inlineFromEnv() inlineLimits {
	limit := func(name string, otherwise int) int {
		n, err := strconv.Atoi(firstOf(os.Getenv("ERRAND_"+name), os.Getenv("XPANDER_"+name)))
		if err != nil {
			return otherwise
		}
		return n
	}
	return inlineLimits{each: limit("MAX_INLINE_TEXT_CHARS", 8000), total: limit("MAX_INLINE_TOTAL_CHARS", 24000)}
}

// cut shortens a file's text to what is left of the budget, and says where the
// rest is.
func (l inlineLimits) cut(text, url string, left int) string {
	most, size := min(l.each, max(0, left)), utf8.RuneCountInString(text)
	if size <= most {
		return text
	}
	return string([]rune(text)[:most]) +
		fmt.Sprintf("\n... [truncated: %s chars total - full file at %s]", thousands(size), url)
}

// thousands writes n with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// What a message says of files that it does not show.
const (
	documentUnread = "No text could be extracted from this attachment, so its contents are NOT included here; " +
		"fetch it via your tools/workspace if you need them"
	noteTooLarge   = "too large to attach inline; fetch it via your tools/workspace using the URL"
	noteNotShown   = "content is NOT included in this message; fetch it via your tools/workspace using the URL"
	noteBadImage   = "could not be read as an image; fetch it via your tools/workspace using the URL"
	noteBadPDF     = "could not be read as a PDF; fetch it via your tools/workspace using the URL"
	noteNoPDF      = "the link did not return a PDF (it may have expired); fetch it via your tools/workspace using the URL"
	noteNoText     = "could not be converted to text; fetch it via your tools/workspace using the URL"
	noteUnreadable = "these attachments cannot be read directly and their content is NOT included; " +
		"do not guess their contents - fetch them via your tools/workspace if you need them: "
)

const (
	// maxImages bounds the pictures of a message.
	maxImages = 20
	// maxNativePDF is up to which size models take PDFs as they are.
	maxNativePDF = 15 << 20
)

// Message is the task as one text for a model: the prompt, the files' URLs,
// what the text files among them hold, notes on files that are not shown, and
// when the task was created. A prompt that is a JSON object or array is
// answered as it is. The error is that of ctx alone: what cannot be read is
// named in the text.
//
// The text is that of the Python client's to_message, byte for byte, with two
// exceptions, for which the standard library has no readers: office documents
// are never turned into text here, and PDFs never either. They are for
// Task.Files.
//
// This program itself reads the files' URLs. It connects to public addresses
// and to the server only; see WithPrivateFiles.
func (t *Task) Message(ctx context.Context) (string, error) {
	if isJSON(t.Input.Text) {
		return t.Input.Text, nil
	}
	text := t.Input.Text
	files := t.attached()
	if len(files) > 0 {
		shown, err := t.describe(ctx, files)
		if err != nil {
			return "", err
		}
		if text != "" {
			text += "\n"
		}
		text += shown
	}
	if open := t.openSteps(); len(open) > 0 && !endsWithQuestion(t.Result) {
		text = t.remind(text, open)
	}
	at := t.CreatedAt
	if at.IsZero() {
		at = time.Now()
	}
	return text + "\n\nMessage timestamp (UTC): " + at.UTC().Format("2006-01-02 15:04"), nil
}

// describe lists the files, shows the texts among them, and says of the others
// why they are not shown.
func (t *Task) describe(ctx context.Context, files []attached) (string, error) {
	texts, err := t.HumanReadableFiles(ctx)
	if err != nil {
		return "", err
	}
	texts = append(texts, t.transcripts(files, texts)...)
	urls := make([]string, 0, len(files))
	for _, f := range files {
		urls = append(urls, f.URL)
	}
	var b strings.Builder
	b.WriteString("Files: " + strings.Join(urls, ", "))
	if len(texts) > 0 {
		b.WriteString("\nFiles contents:")
	}
	for _, f := range texts {
		b.WriteString("\n" + t.line(f))
	}
	notes := t.notes(ctx, files)
	if len(notes) > 0 {
		b.WriteString("\nAttachment notes:")
	}
	for _, n := range notes {
		b.WriteString("\n- " + n)
	}
	return b.String(), ctx.Err()
}

// transcripts are the texts of sounds and films, in what the texts of other
// files have left of the budget.
func (t *Task) transcripts(files []attached, texts []TextFile) []TextFile {
	left := t.client.inline.total
	for _, f := range texts {
		left -= utf8.RuneCountInString(f.Content)
	}
	var said []TextFile
	for _, k := range []kind{kindAudio, kindVideo} {
		for _, f := range files {
			if f.kind != k || strings.TrimSpace(f.Transcript) == "" || t.DisableAttachmentInjection || left <= 0 {
				continue
			}
			text := t.client.inline.cut(f.Transcript, f.URL, left)
			left -= utf8.RuneCountInString(text)
			said = append(said, TextFile{f.URL, text})
		}
	}
	return said
}

// line is a text file as one line of JSON.
func (t *Task) line(f TextFile) string {
	if t.DisableAttachmentInjection {
		return `{"url": ` + quote(f.URL) + `}`
	}
	return `{"url": ` + quote(f.URL) + `, "content": ` + quote(f.Content) + `}`
}

// notes says of each file that is not shown why, kind by kind.
func (t *Task) notes(ctx context.Context, files []attached) []string {
	var notes, unreadable []string
	byKind := map[kind][]attached{}
	overflow := 0
	for _, k := range []kind{kindImage, kindPDF} {
		for _, f := range files {
			switch {
			case f.kind != k:
			case f.Size != nil && *f.Size > maxMediaFile:
				notes = append(notes, f.URL+": "+noteTooLarge)
			case k == kindImage && len(byKind[k]) == maxImages:
				overflow++
			default:
				byKind[k] = append(byKind[k], f)
			}
		}
	}
	for _, f := range files {
		switch f.kind {
		case kindOther:
			unreadable = append(unreadable, f.URL)
		case kindAudio, kindVideo:
			byKind[f.kind] = append(byKind[f.kind], f)
		case kindImage, kindPDF, kindDocument, kindText:
		}
	}
	if len(unreadable) > 0 {
		notes = append(notes, noteUnreadable+strings.Join(unreadable, ", "))
	}
	if overflow > 0 {
		plural := ""
		if overflow != 1 {
			plural = "s"
		}
		notes = append(notes, fmt.Sprintf("%d additional image%s beyond the per-message limit (%d) listed above "+
			"but not attached; fetch via your tools/workspace using the URLs", overflow, plural, maxImages))
	}
	notes = append(notes, t.check(byKind[kindImage], func(url string) string {
		if t.DisableAttachmentInjection {
			return noteNotShown
		}
		if _, _, err := t.client.files.image(ctx, url); err != nil {
			return noteBadImage
		}
		return ""
	})...)
	notes = append(notes, t.check(byKind[kindPDF], func(url string) string {
		content, err := t.client.files.pdf(ctx, url)
		switch {
		case errors.Is(err, errNoPDF):
			return noteNoPDF
		case err != nil:
			return noteBadPDF
		case len(content) > maxNativePDF:
			return noteTooLarge
		}
		return ""
	})...)
	for _, k := range []kind{kindAudio, kindVideo} {
		for _, f := range byKind[k] {
			switch {
			case t.DisableAttachmentInjection:
				notes = append(notes, f.URL+": "+noteNotShown)
			case strings.TrimSpace(f.Transcript) == "":
				notes = append(notes, f.URL+": "+noteNoText)
			}
		}
	}
	return notes
}

// check asks of each file what is wrong with it.
func (t *Task) check(files []attached, wrong func(url string) string) []string {
	found := make([]string, len(files))
	each(len(files), func(i int) { found[i] = wrong(files[i].URL) })
	var notes []string
	for i, note := range found {
		if note != "" {
			notes = append(notes, files[i].URL+": "+note)
		}
	}
	return notes
}

// openSteps are the steps of a plan that has begun which are still to be done.
func (t *Task) openSteps() []PlanItem {
	if t.Plan == nil || !t.Plan.Enabled || !t.Plan.Started {
		return nil
	}
	var open []PlanItem
	for _, step := range t.Plan.Items {
		if !step.Completed {
			open = append(open, step)
		}
	}
	return open
}

// remind puts what is left of a plan behind the message.
func (t *Task) remind(message string, open []PlanItem) string {
	var b strings.Builder
	if message != "" {
		b.WriteString("<task_input>\n" + message + "\n</task_input>\n\n")
	}
	b.WriteString("You stopped before completing all tasks. This is attempt 1. You MUST finish ALL remaining tasks.\n\n" +
		"Current plan status:\n")
	for i, step := range t.Plan.Items {
		if i > 0 {
			b.WriteString("\n")
		}
		mark := "[ ]"
		if step.Completed {
			mark = "[✓]"
		}
		fmt.Fprintf(&b, "  %s %s (ID: %s)", mark, step.Title, step.ID)
	}
	fmt.Fprintf(&b, "\n\nCompleted: %d/%d tasks\n\nYour next task: %s (ID: %s)\n",
		len(t.Plan.Items)-len(open), len(t.Plan.Items), open[0].Title, open[0].ID)
	if strings.Contains(t.AdditionalContext, "<compacted_context>") {
		b.WriteString("\nCRITICAL: Your previous work context (including ALL research data, findings, pricing details, " +
			"and key facts) has been preserved in the system prompt under <compacted_context>. This summary contains " +
			"EVERYTHING you need to continue. Do NOT re-search or re-fetch data that is already in the summary. " +
			"Use the data directly from the summary to complete remaining tasks.\n")
	}
	b.WriteString("\nIMPORTANT: Do NOT stop early. Do NOT re-research completed tasks. Complete each remaining task and " +
		"mark it done using xpcomplete_agent_plan_items with the FULL UUID immediately after finishing it.")
	return b.String()
}

// endsWithQuestion reports whether a text's last line ends with a question,
// behind which only brackets, quotes and a short hint such as (y/n) may stand.
func endsWithQuestion(text string) bool {
	lines := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029", r) })
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 {
		return false
	}
	last := strings.TrimSpace(lines[len(lines)-1])
	i := strings.LastIndex(last, "?")
	if i < 0 {
		return false
	}
	tail := strings.TrimSpace(last[i+1:])
	behind := regexp.MustCompile(`^[)\]}"'”’\s]*(\([^()]{0,14}\))?[)\]}"'”’\s]*$`)
	return tail == "" || utf8.RuneCountInString(tail) <= 16 && behind.MatchString(tail)
}

// quote writes a JSON string in ASCII alone.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == '\b':
			b.WriteString(`\b`)
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// isJSON reports whether a text is a JSON object or array: input for a program
// rather than for a reader. Like the Python client's reader of JSON it also
// takes NaN and the infinities.
func isJSON(text string) bool {
	start := strings.TrimLeft(text, " \t\r\n")
	if start == "" || (start[0] != '{' && start[0] != '[') {
		return false
	}
	return json.Valid([]byte(plainNumbers(start)))
}

// plainNumbers puts 0 in place of numbers that JSON does not have.
func plainNumbers(text string) string {
	if !strings.Contains(text, "NaN") && !strings.Contains(text, "Infinity") {
		return text
	}
	var b strings.Builder
	inString := false
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case inString && text[i] == '\\' && i+1 < len(text):
			b.WriteString(text[i : i+2])
			i++
			continue
		case text[i] == '"':
			inString = !inString
		case !inString:
			number := ""
			for _, n := range []string{"-Infinity", "Infinity", "NaN"} {
				if strings.HasPrefix(rest, n) {
					number = n
					break
				}
			}
			if number != "" {
				b.WriteByte('0')
				i += len(number) - 1
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
