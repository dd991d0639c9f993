package watch

import (
	"fmt"
	"strings"
	"testing"

	"mode/list"
	"mode/settings"
)

// A fake server, and the log.
type fake struct {
	response      Response
	failure       *Failure
	requestedETag string
	logged        []string
}

func watcher(t *testing.T, server *fake, pairs ...[2]string) *Watcher {
	t.Helper()
	parsed, err := settings.Parse("http://lists.example/members", pairs)
	if err != nil {
		t.Fatal(err)
	}
	return &Watcher{
		Settings: parsed,
		Fetch: func(_ settings.Settings, etag string) (Response, *Failure) {
			server.requestedETag = etag
			return server.response, server.failure
		},
		Log: func(level Level, message string, fields ...string) {
			line := [...]string{Info: "INFO ", Warn: "WARN "}[level] + message
			for at := 0; at+1 < len(fields); at += 2 {
				line += fmt.Sprintf(" %s=%s", fields[at], fields[at+1])
			}
			server.logged = append(server.logged, line)
		},
	}
}

func (server *fake) log() string {
	lines := strings.Join(server.logged, "\n")
	server.logged = nil
	return lines
}

func addresses(entries []list.Entry) string {
	var words []string
	for _, entry := range entries {
		words = append(words, fmt.Sprintf("%s:%d", entry.Address, entry.Port))
	}
	return strings.Join(words, " ")
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("\n  got  %s\n  want %s", got, want)
	}
}

func TestAListIsReadAndItsChangesAreLogged(t *testing.T) {
	server := &fake{response: Response{Status: 200, ETag: `"1"`, Body: []byte("10.0.0.5\n10.0.0.6:6900\n")}}
	watcher := watcher(t, server)

	entries, failure := watcher.Look()
	if failure != nil {
		t.Fatal(failure)
	}
	expect(t, addresses(entries), "10.0.0.5:0 10.0.0.6:6900")
	expect(t, server.log(), "INFO list read count=2")
	expect(t, server.requestedETag, "")

	// Unchanged, according to the server or the content: nothing is logged.
	server.response = Response{Status: 304}
	entries, failure = watcher.Look()
	if failure != nil {
		t.Fatal(failure)
	}
	expect(t, addresses(entries), "10.0.0.5:0 10.0.0.6:6900")
	expect(t, server.requestedETag, `"1"`)
	server.response = Response{Status: 200, ETag: `"2"`, Body: []byte("10.0.0.5\n10.0.0.6:6900\n")}
	if _, failure = watcher.Look(); failure != nil {
		t.Fatal(failure)
	}
	expect(t, server.log(), "")

	server.response = Response{Status: 200, Body: []byte("10.0.0.7\ndb.example\n")}
	entries, failure = watcher.Look()
	if failure != nil {
		t.Fatal(failure)
	}
	expect(t, server.requestedETag, `"2"`)
	expect(t, addresses(entries), "10.0.0.7:0")
	expect(t, server.log(), "INFO list changed count=1 before=2\n"+
		`WARN entry skipped: "db.example" is not an IP address at=line 2`)
}

func TestManyFaultsAreCounted(t *testing.T) {
	server := &fake{response: Response{Status: 200, Body: []byte("10.0.0.5\n" + strings.Repeat("a\n", 11))}}
	if _, failure := watcher(t, server).Look(); failure != nil {
		t.Fatal(failure)
	}
	lines := strings.Split(server.log(), "\n")
	expect(t, fmt.Sprint(len(lines)), "10")
	expect(t, lines[9], "WARN more entries skipped count=3")
}

func TestTheFormatIsDetected(t *testing.T) {
	for _, test := range []struct{ body, contentType, format, want string }{
		{"[fd00::5]:6900", "", "auto", "fd00::5:6900"},
		{"[fd00::5]:6900", "text/plain; charset=utf-8", "auto", "fd00::5:6900"},
		{` [ "10.0.0.5" ]`, "", "auto", "10.0.0.5:0"},
		{` [ {"address": "10.0.0.5"} ]`, "text/plain", "auto", "10.0.0.5:0"},
		{`{"address": "10.0.0.5"}`, "", "auto", "10.0.0.5:0"},
		{`"10.0.0.5"`, "application/x-ndjson", "auto", "10.0.0.5:0"},
		{`"10.0.0.5"`, "text/plain", "json", "10.0.0.5:0"},
		{"10.0.0.5", "application/json", "text", "10.0.0.5:0"},
	} {
		server := &fake{response: Response{Status: 200, ContentType: test.contentType, Body: []byte(test.body)}}
		entries, failure := watcher(t, server, [2]string{"format", test.format}).Look()
		if failure != nil {
			t.Errorf("%+v: %+v", test, failure)
		}
		expect(t, addresses(entries), test.want)
	}
}

func TestEveryResponseWithoutAListIsAFailure(t *testing.T) {
	const url = `"http://lists.example/members" `
	for _, test := range []struct {
		response Response
		want     Failure
	}{
		{Response{Status: 200, Body: []byte("<html>\n")}, Failure{Failed, url + `has no address: line 1: "<html>" is not an IP address`}},
		{Response{Status: 304}, Failure{Failed, url + "returned 304; a list is expected with 200"}},
		{Response{Status: 301, Location: "https://lists.example/"}, Failure{Failed, url +
			`returned 301; set the argument to "https://lists.example/", and grant it`}},
		{Response{Status: 302, Location: "/all"}, Failure{Failed, url +
			`returned 302; set the argument to "http://lists.example/all", and grant it`}},
		{Response{Status: 401}, Failure{Failed, url + "returned 401; the setting authorization is sent as that header"}},
		{Response{Status: 404}, Failure{Temporary, url + "returned 404"}},
		{Response{Status: 418}, Failure{Failed, url + "returned 418; a list is expected with 200"}},
		{Response{Status: 503}, Failure{Temporary, url + "returned 503"}},
	} {
		entries, failure := watcher(t, &fake{response: test.response}).Look()
		if failure == nil || *failure != test.want {
			t.Errorf("%+v:\n  got  %v, %+v\n  want %+v", test.response, entries, failure, test.want)
		}
	}
}

func TestARejectedListIsFetchedWithoutETag(t *testing.T) {
	server := &fake{response: Response{Status: 200, ETag: `"1"`, Body: []byte("10.0.0.5")}}
	watcher := watcher(t, server)
	if _, failure := watcher.Look(); failure != nil {
		t.Fatal(failure)
	}
	server.response = Response{Status: 200, ETag: `"2"`, ContentType: "application/json", Body: []byte("[")}
	_, failure := watcher.Look()
	if failure == nil || failure.Kind != Failed ||
		!strings.HasPrefix(failure.Text, `"http://lists.example/members" is not JSON at byte `) ||
		!strings.HasSuffix(failure.Text, `; for a list with one address a line, set format = "text"`) {
		t.Errorf("half an array: got %+v", failure)
	}
	watcher.Look()
	expect(t, server.requestedETag, "")
}

func TestAFailureToFetchIsReturned(t *testing.T) {
	server := &fake{failure: &Failure{Denied, "no grant"}}
	if entries, failure := watcher(t, server).Look(); failure == nil || *failure != *server.failure {
		t.Errorf("got %v, %+v", entries, failure)
	}
}
