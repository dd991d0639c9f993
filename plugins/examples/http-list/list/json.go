package list

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A candidate as an object: `{"address": "10.0.0.5", "port": 6900}`, or a group in the format
// of Prometheus: `{"targets": ["10.0.0.5:6900"], "labels": {"zone": "b"}}`.
type object struct {
	Address string            `json:"address"`
	Port    *int              `json:"port"`
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// ParseJSON parses an array of candidates, or one value after another. A candidate is a string
// as in the text format, an object, or a group. The error is for invalid JSON.
func ParseJSON(text []byte) (List, error) {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	decoder := json.NewDecoder(bytes.NewReader(text))
	isArray := bytes.HasPrefix(text, []byte("["))
	if isArray {
		if _, err := decoder.Token(); err != nil {
			return List{}, notJSON(decoder, err)
		}
	}
	var list List
	for number := 1; decoder.More(); number++ {
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return List{}, notJSON(decoder, err)
		}
		list.addValue(fmt.Sprintf("entry %d", number), value)
	}
	if isArray {
		if _, err := decoder.Token(); err != nil {
			return List{}, notJSON(decoder, err)
		}
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			return List{}, notJSON(decoder, errors.New("more after the array"))
		}
	}
	return list, nil
}

func notJSON(decoder *json.Decoder, err error) error {
	return fmt.Errorf("is not JSON at byte %d: %w", decoder.InputOffset(), err)
}

func (list *List) addValue(where string, value json.RawMessage) {
	var text string
	var object object
	switch {
	case value[0] == '"' && json.Unmarshal(value, &text) == nil:
		list.add(where, text, nil)
		return
	case value[0] == '{' && json.Unmarshal(value, &object) == nil:
	default:
		list.Faults = append(list.Faults, Fault{where, shorten(value) + " is not an address"})
		return
	}
	attributes := sorted(object.Labels)
	switch {
	case object.Address == "" && object.Targets == nil:
		list.Faults = append(list.Faults, Fault{where, shorten(value) + " has neither address nor targets"})
	case object.Address != "" && object.Port != nil:
		list.add(where, join(object.Address, *object.Port), attributes)
	case object.Address != "":
		list.add(where, object.Address, attributes)
	}
	for _, target := range object.Targets {
		list.add(where, target, attributes)
	}
}

func join(address string, port int) string {
	if strings.Contains(address, ":") {
		return fmt.Sprintf("[%s]:%d", address, port)
	}
	return fmt.Sprintf("%s:%d", address, port)
}

func sorted(labels map[string]string) [][2]string {
	var pairs [][2]string
	for key, value := range labels {
		pairs = append(pairs, [2]string{key, value})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return pairs
}

func shorten(value []byte) string {
	const most = 60
	if len(value) > most {
		value = append(slices.Clone(value[:most]), "..."...)
	}
	return strings.ToValidUTF8(string(value), "?")
}
