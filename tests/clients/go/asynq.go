// asynq: tasks with results and delays, by a server in this process.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"sync"
	"time"

	"github.com/hibiken/asynq"
)

// For the result of a task.
const resultMax = 15 * time.Second

func main() {
	options := asynq.RedisClientOpt{Addr: addresses()[0]}
	client := asynq.NewClient(options)
	var mutex sync.Mutex
	results := map[string]chan struct{}{}
	server := asynq.NewServer(options, asynq.Config{
		Concurrency:              4,
		DelayedTaskCheckInterval: 100 * time.Millisecond,
		TaskCheckInterval:        50 * time.Millisecond,
	})
	log.SetOutput(io.Discard)
	mux := asynq.NewServeMux()
	mux.HandleFunc("work", func(_ context.Context, task *asynq.Task) error {
		mutex.Lock()
		defer mutex.Unlock()
		// A task may run again after a failure.
		if done := results[string(task.Payload())]; done != nil {
			close(done)
			delete(results, string(task.Payload()))
		}
		_, err := task.ResultWriter().Write(task.Payload())
		return err
	})
	must(server.Start(mux))
	do := func(name string, options ...asynq.Option) error {
		done := make(chan struct{})
		mutex.Lock()
		results[name] = done
		mutex.Unlock()
		if _, err := client.Enqueue(asynq.NewTask("work", []byte(name)), options...); err != nil {
			return err
		}
		select {
		case <-done:
			return nil
		case <-time.After(resultMax):
			return fmt.Errorf("task %s has not run", name)
		}
	}
	run(func(n int) error {
		if err := do(fmt.Sprint(n), asynq.Retention(time.Minute)); err != nil {
			return err
		}
		if n%5 == 0 {
			return do(fmt.Sprintf("later-%d", n), asynq.ProcessIn(100*time.Millisecond))
		}
		unique := []asynq.Option{asynq.Unique(time.Minute), asynq.ProcessIn(time.Hour)}
		task := asynq.NewTask("rare", []byte(fmt.Sprint(n)))
		if _, err := client.Enqueue(task, unique...); err != nil {
			return err
		}
		if _, err := client.Enqueue(task, unique...); !errors.Is(err, asynq.ErrDuplicateTask) {
			return fmt.Errorf("the second unique task: %v", err)
		}
		return nil
	}, nil)
}
