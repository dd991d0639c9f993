// Package watch fetches a list repeatedly. The functions to fetch it and to log are passed to
// it.
package watch

import (
	"bytes"
	"fmt"
	"strings"

	"mode/list"
	"mode/settings"
)

// Response is the response of a server.
type Response struct {
	Status      int
	ContentType string
	ETag        string
	// The target of a redirect.
	Location string
	Body     []byte
}

// Kind classifies a failure by how the host should react.
type Kind int

const (
	// Temporary failures may disappear.
	Temporary Kind = iota
	// Failed means that the server has to be fixed.
	Failed
	// Denied means that a grant is missing.
	Denied
)

// Failure is why a call failed. Its text starts with the URL.
type Failure struct {
	Kind Kind
	Text string
}

// Level is the level of a log line.
type Level int

const (
	// Info is for significant events.
	Info Level = iota
	// Warn is for something that has to be fixed.
	Warn
)

// Copied from net/http, which would add half to the size of the component.
const (
	statusOK              = 200
	statusNotModified     = 304
	statusUnauthorized    = 401
	statusForbidden       = 403
	statusNotFound        = 404
	statusTooManyRequests = 429
	statusServerErrors    = 500
)

// faultsMax is the number of malformed entries that are logged; further ones are counted.
const faultsMax = 8

// Watcher fetches one list.
type Watcher struct {
	Settings settings.Settings
	// Fetch sends a request. With an ETag, the response may be 304.
	Fetch func(settings settings.Settings, etag string) (Response, *Failure)
	// Log writes a line with fields, as alternating keys and values.
	Log func(level Level, message string, fields ...string)

	// The list that was read last, and whether there is one.
	body   []byte
	etag   string
	known  list.List
	isRead bool
}

// Look fetches the list once, and returns all its entries.
func (watcher *Watcher) Look() ([]list.Entry, *Failure) {
	response, failure := watcher.Fetch(watcher.Settings, watcher.etag)
	if failure != nil {
		return nil, failure
	}
	switch {
	case response.Status == statusNotModified && watcher.isRead:
	case response.Status == statusOK:
		if failure := watcher.read(response); failure != nil {
			// A later 304 must not confirm a list that was rejected.
			watcher.etag = ""
			return nil, failure
		}
	default:
		return nil, watcher.statusFailure(response)
	}
	if len(watcher.known.Entries) == 0 && len(watcher.known.Faults) > 0 {
		fault := watcher.known.Faults[0]
		return nil, watcher.fail(Failed, "has no address: %s: %s", fault.Where, fault.What)
	}
	return watcher.known.Entries, nil
}

// Faults returns the malformed entries of the list that was read last.
func (watcher *Watcher) Faults() []list.Fault {
	return watcher.known.Faults
}

// read parses a list, and logs changes.
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

// isJSON determines the format of the list. An IPv6 address in brackets is not an array.
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

// statusFailure converts a response without a list to a failure.
func (watcher *Watcher) statusFailure(response Response) *Failure {
	returned := fmt.Sprintf("returned %d", response.Status)
	switch {
	case response.Status == statusUnauthorized || response.Status == statusForbidden:
		return watcher.fail(Failed, "%s; the setting authorization is sent as that header", returned)
	case response.Location != "":
		location := response.Location
		if resolved, err := watcher.Settings.URL.Parse(location); err == nil {
			location = resolved.String()
		}
		return watcher.fail(Failed, "%s; set the argument to %q, and grant it", returned, location)
	case response.Status == statusNotFound, response.Status == statusTooManyRequests,
		response.Status >= statusServerErrors:
		return watcher.fail(Temporary, "%s", returned)
	default:
		return watcher.fail(Failed, "%s; a list is expected with 200", returned)
	}
}

func (watcher *Watcher) fail(kind Kind, format string, values ...any) *Failure {
	text := fmt.Sprintf("%q %s", watcher.Settings.URL, fmt.Sprintf(format, values...))
	return &Failure{kind, text}
}
