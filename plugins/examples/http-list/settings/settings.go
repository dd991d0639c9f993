// Package settings parses the configuration of the mode.
package settings

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Format is the format of a list.
type Format int

const (
	// Auto uses the server's content type, and the beginning of the list.
	Auto Format = iota
	// Text has one address per line.
	Text
	// JSON has an array of candidates, or one value per line.
	JSON
)

// Settings is the parsed configuration.
type Settings struct {
	// The URL of the list, with the scheme http or https.
	URL *url.URL
	// The Authorization header of the request; empty for none.
	Authorization string
	Format        Format
	// The interval between two calls.
	LookAgain time.Duration
	// The timeout for the whole response.
	Timeout time.Duration
}

const (
	lookAgainDefault = 5 * time.Second
	lookAgainMin     = 500 * time.Millisecond
	lookAgainMax     = time.Hour
	timeoutDefault   = 3 * time.Second
	timeoutMin       = 100 * time.Millisecond
	// The host ends a call after ten seconds.
	timeoutMax = 8 * time.Second
)

// Parse parses the argument, a URL, and the settings as pairs of key and value. An error
// contains the offending value and what was expected.
func Parse(argument string, pairs [][2]string) (Settings, error) {
	settings := Settings{LookAgain: lookAgainDefault, Timeout: timeoutDefault}
	var err error
	if settings.URL, err = parseURL(strings.TrimSpace(argument)); err != nil {
		return Settings{}, err
	}
	for _, pair := range pairs {
		if err := settings.set(pair[0], pair[1]); err != nil {
			return Settings{}, err
		}
	}
	return settings, nil
}

func parseURL(text string) (*url.URL, error) {
	const expected = "expected a URL such as http://10.0.0.2:8080/members"
	if text == "" {
		return nil, fmt.Errorf("the argument is empty; %s", expected)
	}
	parsed, err := url.Parse(text)
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Hostname() == "" {
		return nil, fmt.Errorf("%q is not an HTTP URL; %s", text, expected)
	}
	if parsed.User != nil {
		return nil, fmt.Errorf("%q holds a user; use the setting authorization", parsed.Redacted())
	}
	return parsed, nil
}

func (settings *Settings) set(key, value string) (err error) {
	switch key {
	case "authorization":
		if strings.ContainsFunc(value, func(char rune) bool { return char < ' ' || char == 0x7f }) {
			return fmt.Errorf("%s has a character that is not allowed in a header", key)
		}
		settings.Authorization = value
	case "format":
		formats := map[string]Format{"auto": Auto, "text": Text, "json": JSON}
		format, isKnown := formats[value]
		if !isKnown {
			return fmt.Errorf("%s = %q is not auto, text or json", key, value)
		}
		settings.Format = format
	case "look-again-ms":
		settings.LookAgain, err = parseMs(key, value, lookAgainMin, lookAgainMax)
	case "timeout-ms":
		settings.Timeout, err = parseMs(key, value, timeoutMin, timeoutMax)
	default:
		return fmt.Errorf("%q is not a setting of this mode; it has authorization, format, "+
			"look-again-ms and timeout-ms", key)
	}
	return err
}

func parseMs(key, value string, min, max time.Duration) (time.Duration, error) {
	number, err := strconv.ParseUint(value, 10, 32)
	duration := time.Duration(number) * time.Millisecond
	if err != nil || duration < min || duration > max {
		return 0, fmt.Errorf("%s = %q is not a number of milliseconds from %d to %d",
			key, value, min.Milliseconds(), max.Milliseconds())
	}
	return duration, nil
}
