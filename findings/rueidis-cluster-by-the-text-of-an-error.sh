#!/usr/bin/env bash
# rueidis connects to a standalone server only if the text of an error has the word "cluster".
#
# `rueidis.NewClient` sends CLUSTER SLOTS to every server. Redis without cluster mode replies
# "ERR This instance has cluster support disabled", and rueidis falls back to a client for a
# single server. It decides by the text: "cluster" anywhere in it, in any case, or exactly
# "command is not allowed". With a server or proxy that replies "ERR unknown command", without
# the name of the command, NewClient fails. With two addresses in InitAddress it fails for any
# reply. Seen with github.com/redis/rueidis v1.0.79, against a small RESP server.
#
# `ForceSingleClient: true` skips the check. A server should name the command in the error.
set -euo pipefail

if ! command -v go > /dev/null; then
    echo "SKIPPED: there is no go"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/go.mod" <<'MOD'
module modes

go 1.24

require github.com/redis/rueidis v1.0.79
MOD
cat > "$work/main.go" <<'GO'
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/redis/rueidis"
)

const hello = "%3\r\n+server\r\n+redis\r\n+version\r\n+7.4.0\r\n+proto\r\n:3\r\n"

// Answers commands of RESP until the client is gone: each argument is a line of its own,
// after one with its length.
func serve(client net.Conn, refusal string) {
	lines := bufio.NewScanner(client)
	for lines.Scan() {
		var count int
		fmt.Sscanf(lines.Text(), "*%d", &count)
		var words []string
		for range count {
			lines.Scan()
			lines.Scan()
			words = append(words, strings.ToUpper(lines.Text()))
		}
		switch words[0] {
		case "HELLO":
			fmt.Fprint(client, hello)
		case "CLUSTER":
			fmt.Fprintf(client, "-%s\r\n", refusal)
		case "GET":
			fmt.Fprint(client, "+value\r\n")
		default:
			fmt.Fprint(client, "+OK\r\n")
		}
	}
}

func listen(refusal string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(client, refusal)
		}
	}()
	return listener.Addr().String()
}

func try(label string, option rueidis.ClientOption) {
	client, err := rueidis.NewClient(option)
	if err != nil {
		fmt.Printf("%s: NewClient fails: %v\n", label, err)
		return
	}
	defer client.Close()
	value, err := client.Do(context.Background(), client.B().Get().Key("key").Build()).ToString()
	if err != nil {
		value = err.Error()
	}
	fmt.Printf("%s: %s, GET gives %q\n", label, client.Mode(), value)
}

func main() {
	for _, refusal := range []string{
		"ERR This instance has cluster support disabled",
		"ERR unknown command 'CLUSTER'",
		"ERR command is not allowed",
		"ERR unknown command",
		"ERR not supported here",
	} {
		try(refusal, rueidis.ClientOption{InitAddress: []string{listen(refusal)}})
	}
	refusal := "ERR unknown command"
	try(refusal+", ForceSingleClient", rueidis.ClientOption{
		InitAddress: []string{listen(refusal)}, ForceSingleClient: true})
	refusal = "ERR This instance has cluster support disabled"
	try(refusal+", two addresses", rueidis.ClientOption{
		InitAddress: []string{listen(refusal), listen(refusal)}})
}
GO
echo "rueidis v1.0.79, $(go env GOVERSION)"
printed=$(cd "$work" && GOFLAGS=-mod=mod go run . 2> "$work/log") || { cat "$work/log"; exit 1; }
echo "$printed"
seen="ERR This instance has cluster support disabled: standalone, GET gives \"value\"
ERR unknown command 'CLUSTER': standalone, GET gives \"value\"
ERR command is not allowed: standalone, GET gives \"value\"
ERR unknown command: NewClient fails: unknown command
ERR not supported here: NewClient fails: not supported here
ERR unknown command, ForceSingleClient: standalone, GET gives \"value\"
ERR This instance has cluster support disabled, two addresses: NewClient fails: This instance has cluster support disabled"
if [ "$printed" != "$seen" ]; then
    printf 'this has changed: expected\n%s\n' "$seen"
    exit 1
fi
echo "only an error with the word \"cluster\" makes a client of one server"
