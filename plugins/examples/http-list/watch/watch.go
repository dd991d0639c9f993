// Package watch looks at a list again and again. How the list is fetched, and where
// lines are logged, is given to it.
package watch

import (
	"bytes"
	"fmt"
	"strings"

	"mode/list"
	"mode/settings"
)

// Response is what a server answered.
type Response struct {
	Status      int
	ContentType string
	ETag        string
	// Where a redirection leads.
	Location string
	Body     []byte
}

// Kind is what is to be done about a failure.
type Kind int

const (
	// Temporary may pass.
	Temporary Kind = iota
	// Failed takes somebody to look at the server.
	Failed
	// Denied takes a grant.
	Denied
)

// Failure is why a look found nothing out. Its text starts with the URL.
type Failure struct {
	Kind Kind
	Text string
}

// Level is who should read a line.
type Level int

const (
	// Info is the story.
	Info Level = iota
	// Warn is something to be mended.
	Warn
)

// Of net/http, which would add half to the size of the component.
const (
	statusOK              = 200
	statusNotModified     = 304
	statusUnauthorized    = 401
	statusForbidden       = 403
	statusNotFound        = 404
	statusTooManyRequests = 429
	statusServerErrors    = 500
)

// faultsMax is how many malformed entries are named; the others are counted.
const faultsMax = 8

// Watcher looks at one list.
type Watcher struct {
	Settings settings.Settings
	// Fetch asks the server. With an ETag, the answer may be 304.
	Fetch func(settings settings.Settings, etag string) (Response, *Failure)
	// Log writes a line with fields, a key and a value in turn.
	Log func(level Level, message string, fields ...string)

	// What was read last, and whether anything was.
	body   []byte
	etag   string
	known  list.List
	isRead bool
}

// Look asks the server once, and gives every entry of its list.
func (watcher *Watcher) Look() ([]list.Entry, *Failure) {
	response, failure := watcher.Fetch(watcher.Settings, watcher.etag)
	if failure != nil {
		return nil, failure
	}
	switch {
	case response.Status == statusNotModified && watcher.isRead:
	case response.Status == statusOK:
		if failure := watcher.read(response); failure != nil {
			// An answer of 304 must not stand for what was refused.
			watcher.etag = ""
			return nil, failure
		}
	default:
		return nil, watcher.refusal(response)
	}
	if len(watcher.known.Entries) == 0 && len(watcher.known.Faults) > 0 {
		fault := watcher.known.Faults[0]
		return nil, watcher.fail(Failed, "has no address: %s: %s", fault.Where, fault.What)
	}
	return watcher.known.Entries, nil
}

// Faults gives the parts of the list that was read last that are no places.
func (watcher *Watcher) Faults() []list.Fault {
	return watcher.known.Faults
}

// read takes over a list, and tells of it when it differs from what is known.
func (watcher *Watcher) read(response Response) *Failure {
	if watcher.isRead && bytes.Equal(response.Body, watcher.body) {
		watcher.etag = response.ETag
		return nil
	}
	var parsed list.List
	if watcher.isJSON(response) {
		var err error
		if parsed, err = list.ParseJSON(response.Body); err != nil {
			return watcher.fail(Failed, "%s; for a list with one address a line, set format = \"text\"", err)
		}
	} else {
		parsed = list.ParseText(string(response.Body))
	}
	message, fields := "list read", []string{"count", fmt.Sprint(len(parsed.Entries))}
	if watcher.isRead {
		message, fields = "list changed", append(fields, "before", fmt.Sprint(len(watcher.known.Entries)))
	}
	watcher.Log(Info, message, fields...)
	for at, fault := range parsed.Faults {
		if at == faultsMax {
			watcher.Log(Warn, "more entries skipped", "count", fmt.Sprint(len(parsed.Faults)-faultsMax))
			break
		}
		watcher.Log(Warn, "entry skipped: "+fault.What, "at", fault.Where)
	}
	watcher.body, watcher.etag, watcher.known, watcher.isRead = response.Body, response.ETag, parsed, true
	return nil
}

// isJSON tells how the list is written. An IPv6 address in brackets is no array.
func (watcher *Watcher) isJSON(response Response) bool {
	switch watcher.Settings.Format {
	case settings.JSON:
		return true
	case settings.Text:
		return false
	}
	if strings.Contains(strings.ToLower(response.ContentType), "json") {
		return true
	}
	beginning := bytes.TrimSpace(response.Body)
	if inner, isArray := bytes.CutPrefix(beginning, []byte("[")); isArray {
		inner = bytes.TrimSpace(inner)
		return len(inner) > 0 && strings.ContainsRune(`{"]`, rune(inner[0]))
	}
	return bytes.HasPrefix(beginning, []byte("{"))
}

// refusal says what an answer without a list means.
func (watcher *Watcher) refusal(response Response) *Failure {
	answered := fmt.Sprintf("answered %d", response.Status)
	switch {
	case response.Status == statusUnauthorized || response.Status == statusForbidden:
		return watcher.fail(Failed, "%s; the setting authorization is sent as that header", answered)
	case response.Location != "":
		location := response.Location
		if resolved, err := watcher.Settings.URL.Parse(location); err == nil {
			location = resolved.String()
		}
		return watcher.fail(Failed, "%s; give %q as the argument, and grant it", answered, location)
	case response.Status == statusNotFound, response.Status == statusTooManyRequests,
		response.Status >= statusServerErrors:
		return watcher.fail(Temporary, "%s", answered)
	default:
		return watcher.fail(Failed, "%s; a list is expected with 200", answered)
	}
}

func (watcher *Watcher) fail(kind Kind, format string, values ...any) *Failure {
	text := fmt.Sprintf("%q %s", watcher.Settings.URL, fmt.Sprintf(format, values...))
	return &Failure{kind, text}
}
