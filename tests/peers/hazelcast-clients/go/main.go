// Runs the cases whose names begin with one of the arguments, or all, against the members at
// PEER_PORTS of the cluster PEER_CLUSTER. Prints the name and the outcome of each.
package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
)

const (
	// Cases that run at the same time.
	parallel = 4
	// From the start of a case to its end.
	caseMax = 60 * time.Second
)

func isWanted(name string) bool {
	for _, beginning := range os.Args[1:] {
		if strings.HasPrefix(name, beginning) {
			return true
		}
	}
	return len(os.Args) == 1
}

func runCase(name string, client *hazelcast.Client) string {
	it := &testCase{name: name, client: client}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if failure := recover(); failure != nil {
				it.note("ended")
				it.note(failure)
			}
		}()
		cases[name](it)
	}()
	select {
	case <-done:
		it.close()
		return it.outcome()
	case <-time.After(caseMax):
		return "did not end"
	}
}

func main() {
	addMaps()
	addQueries()
	addCollections()
	addShared()
	client := must(hazelcast.StartNewClientWithConfig(ctx, config()))
	queue := make(chan string)
	var workers sync.WaitGroup
	var printing sync.Mutex
	for range parallel {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for name := range queue {
				outcome := runCase(name, client)
				printing.Lock()
				fmt.Printf("%s\t%s\n", name, outcome)
				printing.Unlock()
			}
		}()
	}
	for _, name := range names {
		if isWanted(name) {
			queue <- name
		}
	}
	close(queue)
	workers.Wait()
	fmt.Print("done\t\n")
}
