package list

import (
	"fmt"
	"strings"
)

// ParseText parses one address per line. White space, and comments starting with #, are
// ignored.
func ParseText(text string) List {
	var list List
	text = strings.TrimPrefix(text, "\ufeff")
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			list.add(fmt.Sprintf("line %d", number), strings.ToValidUTF8(line, "?"), nil)
		}
	}
	return list
}
