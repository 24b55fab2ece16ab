package responses

// response is the object of that name. Of a turn that waits for people there are several:
// one until each time that it waits, and one for what follows.
type response struct {
	ID                 string            `json:"id"`
	Object             string            `json:"object"`
	CreatedAt          int64             `json:"created_at"`
	Status             string            `json:"status"`
	Background         bool              `json:"background"`
	Error              *failure          `json:"error"`
	IncompleteDetails  *incomplete       `json:"incomplete_details"`
	Instructions       *string           `json:"instructions"`
	Metadata           map[string]string `json:"metadata"`
	Model              string            `json:"model"`
	Output             []any             `json:"output"`
	ParallelToolCalls  bool              `json:"parallel_tool_calls"`
	PreviousResponseID *string           `json:"previous_response_id"`
	Conversation       *named            `json:"conversation"`
	Temperature        *float64          `json:"temperature"`
	TopP               *float64          `json:"top_p"`
	ToolChoice         string            `json:"tool_choice"`
	Tools              []any             `json:"tools"`
	Usage              *usage            `json:"usage"`
}

// failure is why a response has no answer.
type failure struct {
	Type    string `json:"type"` // one client takes no other for an answer
	Code    string `json:"code"`
	Message string `json:"message"`
}

const serverError = "server_error"

func failedBy(why string) *failure { return &failure{serverError, serverError, why} }

type incomplete struct {
	Reason string `json:"reason"`
}

// named stands for an object by its id.
type named struct {
	ID string `json:"id"`
}

type usage struct {
	Input  int64 `json:"input_tokens"`
	Cached struct {
		Read    int64 `json:"cached_tokens"`
		Written int64 `json:"cache_write_tokens"`
	} `json:"input_tokens_details"`
	Output  int64 `json:"output_tokens"`
	Thought struct {
		Tokens int64 `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	Total int64 `json:"total_tokens"`
}

// The statuses of responses and of what they hold.
const (
	queued     = "queued"
	inProgress = "in_progress"
	completed  = "completed"
	unfinished = "incomplete"
	failed     = "failed"
	cancelled  = "cancelled"
)

// head is what all items of an output have.
type head struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	Status string `json:"status,omitempty"`
}

func (h *head) common() *head { return h }

// item is a member of an output.
type item interface{ common() *head }

// message is what the agent answers.
type message struct {
	head
	Role    string `json:"role"`
	Content []text `json:"content"`
}

// text is a piece of a message.
type text struct {
	Type        string `json:"type"`
	Text        string `json:"text"`
	Annotations []any  `json:"annotations"`
}

func outputText(words string) text { return text{"output_text", words, []any{}} }

// reasoning is what the agent thinks, in parts.
type reasoning struct {
	head
	Summary []summary `json:"summary"`
}

type summary struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

func summaryText(words string) summary { return summary{"summary_text", words} }

// toolCall is a call of a tool of the agent's own. As a function_call it would be one that
// the caller is to carry out.
type toolCall struct {
	head
	Server    string     `json:"server_label"`
	Name      string     `json:"name"`
	Arguments string     `json:"arguments"`
	Output    *string    `json:"output"`
	Error     *toolError `json:"error"`
}

type toolError struct {
	Type    string `json:"type"`
	Content []any  `json:"content"`
}

// functionCall is a call of a tool of the caller's.
type functionCall struct {
	head
	CallID    string `json:"call_id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// approvalRequest is what a person is asked.
type approvalRequest struct {
	head
	Server    string `json:"server_label"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// label is the name of the server that runs the agent's tools.
const label = "errand"

// frame is an event of a stream.
type frame struct {
	Type         string    `json:"type"`
	Number       int       `json:"sequence_number"`
	Response     *response `json:"response,omitempty"`
	ItemID       string    `json:"item_id,omitempty"`
	OutputIndex  *int      `json:"output_index,omitempty"`
	ContentIndex *int      `json:"content_index,omitempty"`
	SummaryIndex *int      `json:"summary_index,omitempty"`
	Item         item      `json:"item,omitempty"`
	Part         any       `json:"part,omitempty"`
	Delta        *string   `json:"delta,omitempty"`
	Text         *string   `json:"text,omitempty"`
	Name         string    `json:"name,omitempty"`
	Arguments    *string   `json:"arguments,omitempty"`
	Logprobs     *[]any    `json:"logprobs,omitempty"`
}
