// Package web sends requests through wasi:http. Host resources are released explicitly, not by
// the garbage collector.
package web

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	clock "mode/bindings/wasi_clocks_monotonic_clock"
	outgoing "mode/bindings/wasi_http_outgoing_handler"
	http "mode/bindings/wasi_http_types"
	poll "mode/bindings/wasi_io_poll"
	streams "mode/bindings/wasi_io_streams"
	wit "mode/bindings/wit/types"
	"mode/settings"
	"mode/watch"
)

const (
	// Can be parsed well within the second of computing time of a call.
	bodyMax = 1 << 20
	// Bytes read at a time.
	readBytes = 64 << 10
)

// Get fetches the list. With an ETag, the response may be 304.
func Get(settings settings.Settings, etag string) (watch.Response, *watch.Failure) {
	request := request{settings.URL, settings.Timeout}
	return request.send(headers(settings, etag))
}

type request struct {
	url     *url.URL
	timeout time.Duration
}

func headers(settings settings.Settings, etag string) []wit.Tuple2[string, []byte] {
	headers := []wit.Tuple2[string, []byte]{
		header("accept", "application/json, text/plain;q=0.9, */*;q=0.5"),
		header("user-agent", "convoke-http-list"),
	}
	if settings.Authorization != "" {
		headers = append(headers, header("authorization", settings.Authorization))
	}
	if etag != "" {
		headers = append(headers, header("if-none-match", etag))
	}
	return headers
}

func header(name, value string) wit.Tuple2[string, []byte] {
	return wit.Tuple2[string, []byte]{F0: name, F1: []byte(value)}
}

func (request request) send(headers []wit.Tuple2[string, []byte]) (watch.Response, *watch.Failure) {
	fields := http.FieldsFromList(headers)
	if fields.IsErr() {
		return watch.Response{}, request.fail(watch.Failed, "cannot be requested: a header of the request is malformed")
	}
	sent := http.MakeOutgoingRequest(fields.Ok())
	scheme := http.MakeSchemeHttp()
	if request.url.Scheme == "https" {
		scheme = http.MakeSchemeHttps()
	}
	if sent.SetScheme(wit.Some(scheme)).IsErr() ||
		sent.SetAuthority(wit.Some(request.url.Host)).IsErr() ||
		sent.SetPathWithQuery(wit.Some(request.url.RequestURI())).IsErr() {
		sent.Drop()
		return watch.Response{}, request.fail(watch.Failed, "cannot be requested: the URL is malformed")
	}
	handled := outgoing.Handle(sent, wit.None[*http.RequestOptions]())
	if handled.IsErr() {
		return watch.Response{}, request.failWith(handled.Err())
	}
	future := handled.Ok()
	defer future.Drop()
	// One timeout for the whole response; request-options would limit only its parts.
	deadline := clock.SubscribeDuration(uint64(request.timeout.Nanoseconds()))
	defer deadline.Drop()
	if !wait(future.Subscribe(), deadline) {
		return watch.Response{}, request.tooLate()
	}
	answer := future.Get().Some().Ok()
	if answer.IsErr() {
		return watch.Response{}, request.failWith(answer.Err())
	}
	response := answer.Ok()
	defer response.Drop()
	return request.read(response, deadline)
}

// wait waits for something and drops it; false if the deadline passed first.
func wait(something, deadline *poll.Pollable) bool {
	defer something.Drop()
	return slices.Contains(poll.Poll([]*poll.Pollable{something, deadline}), 0)
}

func (request request) read(incoming *http.IncomingResponse, deadline *poll.Pollable) (watch.Response, *watch.Failure) {
	fields := incoming.Headers()
	response := watch.Response{
		Status:      int(incoming.Status()),
		ContentType: first(fields, "content-type"),
		ETag:        first(fields, "etag"),
		Location:    first(fields, "location"),
	}
	fields.Drop()
	consumed := incoming.Consume()
	if consumed.IsErr() {
		return watch.Response{}, request.fail(watch.Failed, "returned no body")
	}
	body := consumed.Ok()
	defer body.Drop()
	opened := body.Stream()
	if opened.IsErr() {
		return watch.Response{}, request.fail(watch.Failed, "returned no body")
	}
	stream := opened.Ok()
	defer stream.Drop()
	for {
		if !wait(stream.Subscribe(), deadline) {
			return watch.Response{}, request.tooLate()
		}
		part := stream.Read(readBytes)
		if part.IsErr() {
			err := part.Err()
			if err.Tag() == streams.StreamError_Closed {
				return response, nil
			}
			failed := err.LastOperationFailed()
			defer failed.Drop()
			// The host's error may contain several lines of details.
			why, _, _ := strings.Cut(failed.ToDebugString(), "\n")
			return watch.Response{}, request.fail(watch.Temporary, "closed the connection before the end of the response: %s", why)
		}
		response.Body = append(response.Body, part.Ok()...)
		if len(response.Body) > bodyMax {
			return watch.Response{}, request.fail(watch.Failed, "returned more than %d MiB", bodyMax>>20)
		}
	}
}

func (request request) tooLate() *watch.Failure {
	return request.fail(watch.Temporary, "did not respond within %d ms", request.timeout.Milliseconds())
}

func first(fields *http.Fields, name string) string {
	if values := fields.Get(name); len(values) > 0 {
		return string(values[0])
	}
	return ""
}

func (request request) failWith(code http.ErrorCode) *watch.Failure {
	switch code.Tag() {
	case http.ErrorCode_HttpRequestDenied:
		return request.fail(watch.Denied, "is not granted; grant = { http = [%q] }",
			request.url.Scheme+"://"+request.url.Host)
	case http.ErrorCode_DnsTimeout, http.ErrorCode_DnsError, http.ErrorCode_DestinationNotFound:
		return request.fail(watch.Temporary, "cannot be requested: its name does not resolve")
	case http.ErrorCode_ConnectionRefused:
		return request.fail(watch.Temporary, "cannot be requested: nothing listens on that port")
	case http.ErrorCode_ConnectionTimeout, http.ErrorCode_HttpResponseTimeout,
		http.ErrorCode_ConnectionReadTimeout, http.ErrorCode_ConnectionWriteTimeout:
		return request.tooLate()
	case http.ErrorCode_TlsProtocolError, http.ErrorCode_TlsCertificateError, http.ErrorCode_TlsAlertReceived:
		return request.fail(watch.Failed, "is not trusted: its TLS certificate or version is not accepted")
	case http.ErrorCode_InternalError:
		return request.fail(watch.Temporary, "cannot be requested: %s", code.InternalError().SomeOr("the host reports no reason"))
	default:
		return request.fail(watch.Temporary, "cannot be requested: error %d of wasi:http", code.Tag())
	}
}

func (request request) fail(kind watch.Kind, format string, values ...any) *watch.Failure {
	return &watch.Failure{Kind: kind, Text: fmt.Sprintf("%q %s", request.url, fmt.Sprintf(format, values...))}
}
