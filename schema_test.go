package hermesgw_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const schemaFile = "schema/report.schema.json"

// schema is the schema of the JSON output, and what of it was seen in real output.
type schema struct {
	compiled *jsonschema.Schema
	text     map[string]any

	mu   sync.Mutex
	seen map[string]bool
}

// reportSchema is read once, so that all tests add to what was seen.
var reportSchema = sync.OnceValues(func() (*schema, error) {
	file, err := os.Open(schemaFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(schemaFile, text); err != nil {
		return nil, err
	}
	compiled, err := compiler.Compile(schemaFile)
	if err != nil {
		return nil, err
	}
	return &schema{compiled: compiled, text: text.(map[string]any), seen: map[string]bool{}}, nil
})

func theSchema(t *testing.T) *schema {
	t.Helper()
	s, err := reportSchema()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// conforms checks an output against the schema: one JSON object, and nothing else.
func conforms(t *testing.T, output string) map[string]any {
	t.Helper()
	s := theSchema(t)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(output))
	if err != nil {
		t.Fatalf("%v: %q", err, output)
	}
	if err := s.compiled.Validate(value); err != nil {
		t.Errorf("%v:\n%s", err, output)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(s.text, "", value)
	return value.(map[string]any)
}

// note marks the properties and the words of enumerations that a value has.
func (s *schema) note(node map[string]any, name string, value any) {
	if ref, ok := node["$ref"].(string); ok {
		def := strings.TrimPrefix(ref, "#/$defs/")
		s.note(s.text["$defs"].(map[string]any)[def].(map[string]any), def, value)
	}
	if list, ok := node["enum"].([]any); ok && slices.Contains(list, value) {
		s.seen[fmt.Sprint(name, "=", value)] = true
	}
	if condition, ok := node["if"].(map[string]any); ok {
		branch, _ := node["else"].(map[string]any)
		if applies(condition, value) {
			branch, _ = node["then"].(map[string]any)
		}
		s.note(branch, name, value)
	}
	all, _ := node["allOf"].([]any)
	for _, one := range all {
		s.note(one.(map[string]any), name, value)
	}
	if items, ok := node["items"].(map[string]any); ok {
		list, _ := value.([]any)
		for _, one := range list {
			s.note(items, name, one)
		}
	}
	properties, _ := node["properties"].(map[string]any)
	object, _ := value.(map[string]any)
	for key, property := range properties {
		if inner, ok := object[key]; ok {
			s.seen[name+"."+key] = true
			if sub, ok := property.(map[string]any); ok {
				s.note(sub, name+"."+key, inner)
			}
		}
	}
}

// applies evaluates the conditions that the schema has.
func applies(condition map[string]any, value any) bool {
	object, _ := value.(map[string]any)
	required, _ := condition["required"].([]any)
	for _, key := range required {
		if _, ok := object[key.(string)]; !ok {
			return false
		}
	}
	properties, _ := condition["properties"].(map[string]any)
	for key, p := range properties {
		want := p.(map[string]any)
		if is, ok := want["const"]; ok && is != object[key] {
			return false
		}
		if list, ok := want["enum"].([]any); ok && !slices.Contains(list, object[key]) {
			return false
		}
		if not, ok := want["not"].(map[string]any); ok && not["const"] == object[key] {
			return false
		}
	}
	return true
}

// declared are the properties and the words that the schema has for real output.
func (s *schema) declared() (names []string) {
	var walk func(node map[string]any, name string)
	walk = func(node map[string]any, name string) {
		list, _ := node["enum"].([]any)
		for _, word := range list {
			names = append(names, fmt.Sprint(name, "=", word))
		}
		if items, ok := node["items"].(map[string]any); ok {
			walk(items, name)
		}
		properties, _ := node["properties"].(map[string]any)
		for key, property := range properties {
			if sub, ok := property.(map[string]any); ok {
				names = append(names, name+"."+key)
				walk(sub, name+"."+key)
			}
		}
	}
	for def, node := range s.text["$defs"].(map[string]any) {
		walk(node.(map[string]any), def)
	}
	slices.Sort(names)
	return names
}

// Every part of the schema says what it is, closes its objects, and is used.
func TestSchemaDescribed(t *testing.T) {
	s := theSchema(t)
	defs := s.text["$defs"].(map[string]any)
	used := map[string]bool{}
	var walk func(node any, path string, declares bool)
	walk = func(node any, path string, declares bool) {
		switch node := node.(type) {
		case []any:
			for i, one := range node {
				walk(one, fmt.Sprint(path, "/", i), false)
			}
		case map[string]any:
			if ref, ok := node["$ref"].(string); ok {
				def := strings.TrimPrefix(ref, "#/$defs/")
				used[def] = true
				if defs[def] == nil {
					t.Errorf("%s: there is no %s", path, ref)
				}
			}
			if declares {
				if text, _ := node["description"].(string); text == "" && node["$ref"] == nil {
					t.Errorf("%s has no description", path)
				}
			}
			if properties, ok := node["properties"].(map[string]any); ok && node["type"] == "object" {
				if node["additionalProperties"] != false {
					t.Errorf("%s is open to other properties", path)
				}
				required, _ := node["required"].([]any)
				for _, key := range required {
					if properties[key.(string)] == nil {
						t.Errorf("%s requires %s, which it does not have", path, key)
					}
				}
			}
			for key, inner := range node {
				if key == "properties" || key == "$defs" {
					for name, one := range inner.(map[string]any) {
						// Those of a condition repeat properties.
						walk(one, path+"/"+name, key == "$defs" || node["type"] == "object")
					}
					continue
				}
				walk(inner, path+"/"+key, false)
			}
		}
	}
	walk(s.text, "", true)
	for def := range defs {
		if !used[def] {
			t.Errorf("nothing refers to %s", def)
		}
	}
	for key, want := range map[string]any{"$schema": "https://json-schema.org/draft/2020-12/schema"} {
		if s.text[key] != want {
			t.Errorf("%s is %v", key, s.text[key])
		}
	}
	if v := defs["version"].(map[string]any)["const"]; fmt.Sprint(v) != fmt.Sprint(hermesgw.SchemaVersion) {
		t.Errorf("the schema is of version %v, the output of %d", v, hermesgw.SchemaVersion)
	}
}

// validated is what the schema has against an output.
func validated(t *testing.T, doc map[string]any) error {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return theSchema(t).compiled.Validate(value)
}

// The validation can fail: each of these outputs has one thing that the schema does not
// allow.
func TestSchemaRefuses(t *testing.T) {
	good := func() map[string]any {
		return map[string]any{
			"version": 1, "command": "restart", "exit_code": 0,
			"results": []any{map[string]any{
				"target": "gui/501/a", "state": "restarted", "old_pid": 1, "new_pid": 2, "method": "kickstart",
				"phases_ms": map[string]any{"resolve": 0.1, "request": 2, "total": 3}, "warnings": []any{},
			}},
		}
	}
	validate := func(change func(doc, job map[string]any)) error {
		doc := good()
		change(doc, doc["results"].([]any)[0].(map[string]any))
		return validated(t, doc)
	}
	if err := validate(func(_, _ map[string]any) {}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(doc, job map[string]any){
		"another field":            func(doc, _ map[string]any) { doc["argv"] = []any{} },
		"another field of a job":   func(_, job map[string]any) { job["argv"] = []any{} },
		"another field of a phase": func(_, job map[string]any) { job["phases_ms"].(map[string]any)["stop"] = 1 },
		"another state":            func(_, job map[string]any) { job["state"] = "stopped" },
		"no new process":           func(_, job map[string]any) { job["new_pid"] = nil },
		"a failure without error":  func(_, job map[string]any) { job["state"] = "failed" },
		"a success with an error":  func(_, job map[string]any) { job["error"] = map[string]any{"code": "failed", "message": "x"} },
		"a plan without steps":     func(_, job map[string]any) { job["state"], job["new_pid"] = "planned", nil; delete(job, "method") },
		"pid 0":                    func(_, job map[string]any) { job["old_pid"] = 0 },
		"another version":          func(doc, _ map[string]any) { doc["version"] = 2 },
		"another exit code":        func(doc, _ map[string]any) { doc["exit_code"] = 9 },
		"another verb's result":    func(doc, _ map[string]any) { doc["command"] = "start" },
		"another verb's field":     func(doc, _ map[string]any) { doc["command"], doc["results"], doc["dry_run"] = "stop", []any{}, true },
		"an error with results":    func(doc, _ map[string]any) { doc["error"] = map[string]any{"code": "failed", "message": "x"} },
		"no version":               func(doc, _ map[string]any) { delete(doc, "version") },
	} {
		if validate(change) == nil {
			t.Errorf("%s is allowed", name)
		}
	}
}

// The same of a probe's output, in each of its objects.
func TestSchemaRefusesOfProbe(t *testing.T) {
	type object = map[string]any
	validate := func(change func(doc, found, system, question, raw object)) error {
		raw := object{"asked": "start", "routine": 702, "code": 0, "reply": "empty", "took_ms": 0.1}
		question := object{"id": "unthrottle", "question": "Is it?", "status": "answered", "verdict": "Yes.", "raw": []any{raw}, "took_ms": 1}
		system := object{"os": "linux", "arch": "amd64", "go": "go1.26", "release": "(devel)", "launchd": "a name", "through": "a socket", "caller": "user", "sudo": false, "ssh": false, "domain": "gui"}
		found := object{"system": system, "questions": []any{question}, "removed_leftovers": []any{"hermes-gw.probe.0123abcd"}, "left": []any{}, "problems": []any{}, "took_ms": 2}
		doc := object{"version": 1, "command": "probe", "exit_code": 0, "results": []any{}, "probe": found}
		change(doc, found, system, question, raw)
		return validated(t, doc)
	}
	if err := validate(func(_, _, _, _, _ object) {}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(doc, found, system, question, raw object){
		"another field of the probe":   func(_, found, _, _, _ object) { found["host"] = "a" },
		"another field of the system":  func(_, _, system, _, _ object) { system["user"] = "a" },
		"another field of a question":  func(_, _, _, question, _ object) { question["asked"] = true },
		"another field of a request":   func(_, _, _, _, raw object) { raw["pid"] = 1 },
		"another question":             func(_, _, _, question, _ object) { question["id"] = "throttle" },
		"another status":               func(_, _, _, question, _ object) { question["status"] = "asked" },
		"another way":                  func(_, _, system, _, _ object) { system["through"] = "mach" },
		"another domain":               func(_, _, system, _, _ object) { system["domain"] = "gui/501" },
		"another job's label":          func(_, found, _, _, _ object) { found["left"] = []any{"ai.hermes.gateway"} },
		"a question without an answer": func(_, _, _, question, _ object) { delete(question, "verdict") },
		"a reply without a number":     func(_, _, _, _, raw object) { delete(raw, "code") },
		"a number without a request":   func(_, _, _, _, raw object) { delete(raw, "routine") },
		"a time in words":              func(_, _, _, question, _ object) { question["took_ms"] = "1 ms" },
		"no list of what is left":      func(_, found, _, _, _ object) { delete(found, "left") },
		"no questions":                 func(_, found, _, _, _ object) { found["questions"] = []any{} },
		"no probe":                     func(doc, _, _, _, _ object) { delete(doc, "probe") },
		"the probe of another verb":    func(doc, _, _, _, _ object) { doc["command"] = "status" },
		"results beside a probe's":     func(doc, _, _, _, _ object) { doc["results"] = []any{object{}} },
	} {
		if validate(change) == nil {
			t.Errorf("%s is allowed", name)
		}
	}
}

// unseen are what no output of the tests has, each with the reason.
var unseen = map[string]string{
	"probed.domain=system":        "of root without a domain of his own, which no embedded launchd has",
	"probed.through=libxpc":       "of macOS: the live tests of package probe",
	"problem.code=already-loaded": "a load that somebody else was faster with: a start goes on with the job",
	"problem.code=stopping":       "an answer that is waited out; when the time is up then, another request may be under way, which is unknown-outcome",
	"swept.outcome=gone":          "a process that exits between the plan and the signal: TestRun of package sweep",
	"swept.outcome=refused":       "a process that launchd's user may not signal: other users' are spared before",
	"reload.state=protected":      "launchd's answer to the worker, which the worker turns into a failure",
}

// covered fails if the schema tells of anything that was not seen in real output.
func (s *schema) covered(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	declared := s.declared()
	unseen := maps.Clone(unseen)
	unseen["probed.caller="+map[bool]string{true: "user", false: "root"}[os.Geteuid() == 0]] = "who runs these tests is the other one"
	for _, name := range declared {
		if !s.seen[name] && unseen[name] == "" {
			t.Errorf("%s is in the schema, and no output of these tests has it", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unseen)) {
		if s.seen[name] {
			t.Errorf("%s was seen: it is no exception any more", name)
		} else if !slices.Contains(declared, name) {
			t.Errorf("%s is an exception, and not in the schema", name)
		}
	}
}
