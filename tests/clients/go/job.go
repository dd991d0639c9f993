package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"
)

// The main job of a library, repeated while a member is killed.

const (
	host = "127.0.0.1"
	// Before the kill: steps that all succeed, for at least this time.
	stepsBefore = 10
	before      = 2 * time.Second
	// After it: consecutive steps that succeed, for at least this time.
	stepsAfter = 10
	after      = 3 * time.Second
	// From the kill until they have.
	recoveryMax = 60 * time.Second
	// Between two steps, and after one that failed.
	pause           = 10 * time.Millisecond
	pauseAfterError = 100 * time.Millisecond
	// Errors that are printed.
	errorsShown = 20
)

// Addresses of members, the first one first.
func addresses() []string {
	var all []string
	for _, port := range strings.Split(os.Getenv("CONVOKE_PORTS"), ",") {
		all = append(all, host+":"+port)
	}
	return all
}

func isCluster() bool {
	return os.Getenv("CONVOKE_MODE") == "cluster"
}

func must(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, strings.ReplaceAll(err.Error(), "\n", " "))
	os.Exit(1)
}

// Calls step(n) with n = 0, 1, … before, during and after the kill, and then verify(); exits.
func run(step func(n int) error, verify func() error) {
	number, errors, inARow := 0, 0, 0
	var interruption time.Duration
	started := time.Now()
	succeededAt := started
	succeeded := func() {
		now := time.Now()
		if number > 0 && now.Sub(succeededAt) > interruption {
			interruption = now.Sub(succeededAt)
		}
		succeededAt = now
		inARow++
	}
	for number < stepsBefore || time.Since(started) < before {
		must(step(number))
		succeeded()
		number++
		time.Sleep(pause)
	}
	usual := interruption
	killed := make(chan struct{})
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		close(killed)
	}()
	fmt.Println("READY")
	var killedAt time.Time
	for {
		if err := step(number); err != nil {
			errors++
			inARow = 0
			if errors <= errorsShown {
				fmt.Fprintf(os.Stderr, "step %d: %v\n", number, err)
			}
			time.Sleep(pauseAfterError)
		} else {
			succeeded()
			time.Sleep(pause)
		}
		number++
		if killedAt.IsZero() {
			select {
			case <-killed:
				killedAt, inARow = time.Now(), 0
			default:
			}
		} else if inARow >= stepsAfter && time.Since(killedAt) >= after {
			break
		} else if time.Since(killedAt) >= recoveryMax {
			fail(fmt.Errorf("the job has not recovered within %v", recoveryMax))
		}
	}
	if verify != nil {
		must(verify())
	}
	fmt.Fprintf(os.Stderr, "%d steps, %d errors\n", number, errors)
	fmt.Printf("DONE interruption_ms=%d\n", (interruption - usual).Milliseconds())
	os.Exit(0)
}
