// hazelcast-go-client: maps with listeners and locks, queues, lists, sets, multimaps, replicated
// maps, topics, counters and ids.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/logger"
	"github.com/hazelcast/hazelcast-go-client/types"
)

func main() {
	config := hazelcast.Config{}
	config.Cluster.Name = os.Getenv("CONVOKE_CLUSTER")
	config.Cluster.Network.SetAddresses(addresses()...)
	config.Cluster.Unisocket = os.Getenv("CONVOKE_MODE") == "one"
	config.Cluster.RedoOperation = true
	config.Cluster.InvocationTimeout = types.Duration(20 * time.Second)
	config.Logger.Level = logger.ErrorLevel
	ctx := context.Background()
	client, err := hazelcast.StartNewClientWithConfig(ctx, config)
	must(err)
	entries, err := client.GetMap(ctx, "entries")
	must(err)
	locks, err := client.GetMap(ctx, "locks")
	must(err)
	queue, err := client.GetQueue(ctx, "queue")
	must(err)
	list, err := client.GetList(ctx, "list")
	must(err)
	set, err := client.GetSet(ctx, "set")
	must(err)
	multi, err := client.GetMultiMap(ctx, "multi")
	must(err)
	replicated, err := client.GetReplicatedMap(ctx, "replicated")
	must(err)
	topic, err := client.GetTopic(ctx, "news")
	must(err)
	counter, err := client.GetPNCounter(ctx, "counter")
	must(err)
	ids, err := client.GetFlakeIDGenerator(ctx, "ids")
	must(err)
	var received sync.Map
	_, err = topic.AddMessageListener(ctx, func(event *hazelcast.MessagePublished) {
		received.Store(event.Value, true)
	})
	must(err)
	acknowledged := map[string]int64{}
	seen := map[int64]bool{}
	run(func(step int) error {
		n, key := int64(step), fmt.Sprintf("key-%d", step)
		if err := entries.SetWithTTL(ctx, key, n, 10*time.Minute); err != nil {
			return err
		}
		acknowledged[key] = n
		if got, err := entries.Get(ctx, key); err != nil || got != n {
			return fmt.Errorf("get of %s: %v, %w", key, got, err)
		}
		name, held := fmt.Sprintf("lock-%d", n%7), locks.NewLockContext(ctx)
		locked, err := locks.TryLockWithLeaseAndTimeout(held, name, 10*time.Second, 10*time.Second)
		if err != nil || !locked {
			return fmt.Errorf("a free lock is refused: %w", err)
		}
		if err := locks.Unlock(held, name); err != nil {
			return err
		}
		if _, err := queue.Add(ctx, n); err != nil {
			return err
		}
		if got, err := queue.PollWithTimeout(ctx, 5*time.Second); err != nil || got == nil {
			return fmt.Errorf("the queue is empty: %w", err)
		}
		if _, err := list.Add(ctx, n); err != nil {
			return err
		}
		if _, err := set.Add(ctx, n%10); err != nil {
			return err
		}
		if _, err := multi.Put(ctx, n%10, n); err != nil {
			return err
		}
		if _, err := replicated.Put(ctx, n%10, n); err != nil {
			return err
		}
		if _, err := counter.AddAndGet(ctx, 1); err != nil {
			return err
		}
		id, err := ids.NewID(ctx)
		if err != nil {
			return err
		}
		if seen[id] {
			return errors.New("an id was handed out twice")
		}
		seen[id] = true
		if err := topic.Publish(ctx, n); err != nil {
			return err
		}
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if _, is := received.Load(n); is {
				return nil
			}
			if time.Now().After(end) {
				return errors.New("no message within 5 s")
			}
		}
	}, func() error {
		for key, value := range acknowledged {
			if got, err := entries.Get(ctx, key); err != nil || got != value {
				return fmt.Errorf("%s is %v, not %d: %w", key, got, value, err)
			}
		}
		return nil
	})
}
