package probe

import "time"

// Report is what a probe found out. It holds nothing that is secret: see [Secret].
type Report struct {
	System    System    `json:"system"`
	Questions []*Answer `json:"questions"`
	// Removed are the labels of throwaway jobs that an earlier probe left.
	Removed []string `json:"removed_leftovers"`
	// Left are the labels of throwaway jobs that are perhaps still loaded.
	Left []string `json:"left"`
	// Problems are files that could not be removed.
	Problems []string `json:"problems"`
	Took     float64  `json:"took_ms"`
}

// System is where a probe ran.
type System struct {
	OS      string `json:"os"`      // "macOS 26.4 (25E100)"
	Arch    string `json:"arch"`    // of this program, as Go names it
	Go      string `json:"go"`      // "go1.26.8"
	Release string `json:"release"` // of hermes-gw
	Launchd string `json:"launchd"` // as it names itself
	Through string `json:"through"` // "libxpc" or "a socket"
	Caller  string `json:"caller"`  // "user" or "root"
	Sudo    bool   `json:"sudo"`
	SSH     bool   `json:"ssh"`
	Domain  string `json:"domain"` // of the throwaway jobs: "gui", "user" or "system"
}

// Status is whether a question has its answer.
type Status string

// The values of Status.
const (
	Answered Status = "answered"
	NotAsked Status = "not asked" // Verdict says why
	Failed   Status = "failed"    // Verdict says why; what was answered until then stands in Raw
)

// Answer is a question and its answer.
type Answer struct {
	ID       string  `json:"id"`
	Question string  `json:"question"`
	Status   Status  `json:"status"`
	Verdict  string  `json:"verdict"` // in words
	Raw      []Raw   `json:"raw"`     // in the order of the requests
	Text     string  `json:"text,omitempty"`
	Took     float64 `json:"took_ms"`
}

// Raw is one request and its bare answer, or one thing that was looked at.
type Raw struct {
	Asked   string  `json:"asked"`
	Routine uint64  `json:"routine,omitempty"`
	Code    *int32  `json:"code,omitempty"` // 0 for a reply without an error; absent if there is no answer
	Words   string  `json:"words,omitempty"`
	Reply   string  `json:"reply,omitempty"`
	Took    float64 `json:"took_ms,omitempty"`
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// Complete reports whether every question was answered or could not be asked, and nothing
// is left.
func (r *Report) Complete() bool { return r.Clean() && r.Unanswered() == 0 }

// Clean reports whether everything was undone.
func (r *Report) Clean() bool { return len(r.Left) == 0 && len(r.Problems) == 0 }

// Unanswered counts the questions that failed.
func (r *Report) Unanswered() (n int) {
	for _, a := range r.Questions {
		if a.Status == Failed {
			n++
		}
	}
	return n
}
