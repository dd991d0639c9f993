// rueidis: commands, a dedicated transaction, a script and client-side caching.
package main

import (
	"context"
	"fmt"
	"time"

	library "github.com/redis/rueidis"
)

func main() {
	ctx := context.Background()
	client, err := library.NewClient(library.ClientOption{
		InitAddress:       addresses(),
		ForceSingleClient: !isCluster(),
	})
	must(err)
	add := library.NewLuaScript("return redis.call('incrby', KEYS[1], ARGV[1])")
	acknowledged := map[string]string{}
	step := func(n int) error {
		key, value := fmt.Sprintf("key:%d", n), fmt.Sprint(n)
		set := client.B().Set().Key(key).Value(value).Build()
		if err := client.Do(ctx, set).Error(); err != nil {
			return err
		}
		acknowledged[key] = value
		for range 2 {
			get := client.B().Get().Key(key).Cache()
			got, err := client.DoCache(ctx, get, time.Minute).ToString()
			if err != nil || got != value {
				return fmt.Errorf("GET through the cache returned %q, %v", got, err)
			}
		}
		err := client.Dedicated(func(one library.DedicatedClient) error {
			hash := fmt.Sprintf("{%d}h", n)
			replies := one.DoMulti(ctx,
				one.B().Multi().Build(),
				one.B().Hset().Key(hash).FieldValue().FieldValue("n", value).Build(),
				one.B().Hget().Key(hash).Field("n").Build(),
				one.B().Exec().Build(),
			)
			got, err := replies[3].ToArray()
			if err != nil {
				return err
			}
			if field, err := got[1].ToString(); err != nil || field != value {
				return fmt.Errorf("a transaction returned %q, %v", field, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		keys := []string{fmt.Sprintf("{%d}sum", n)}
		return add.Exec(ctx, client, keys, []string{value}).Error()
	}
	run(step, func() error {
		for key, value := range acknowledged {
			got, err := client.Do(ctx, client.B().Get().Key(key).Build()).ToString()
			if err != nil || got != value {
				return fmt.Errorf("%s is %q, %v", key, got, err)
			}
		}
		return nil
	})
}
