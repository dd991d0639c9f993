// go-redis: commands, transactions and a script.
package main

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

func main() {
	ctx := context.Background()
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs:         addresses(),
		IsClusterMode: isCluster(),
	})
	add := redis.NewScript("return redis.call('incrby', KEYS[1], ARGV[1])")
	acknowledged := map[string]string{}
	step := func(n int) error {
		key, value := fmt.Sprintf("key:%d", n), fmt.Sprint(n)
		if err := client.Set(ctx, key, value, 0).Err(); err != nil {
			return err
		}
		acknowledged[key] = value
		if got, err := client.Get(ctx, key).Result(); err != nil || got != value {
			return fmt.Errorf("GET returned %q, %v", got, err)
		}
		var got *redis.StringCmd
		_, err := client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.HSet(ctx, fmt.Sprintf("{%d}h", n), "n", value)
			got = pipe.HGet(ctx, fmt.Sprintf("{%d}h", n), "n")
			return nil
		})
		if err != nil || got.Val() != value {
			return fmt.Errorf("a transaction returned %q, %w", got.Val(), err)
		}
		return add.Run(ctx, client, []string{fmt.Sprintf("{%d}sum", n)}, n).Err()
	}
	run(step, func() error {
		for key, value := range acknowledged {
			if got, err := client.Get(ctx, key).Result(); err != nil || got != value {
				return fmt.Errorf("%s is %q, %v", key, got, err)
			}
		}
		return nil
	})
}
