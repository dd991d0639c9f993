// redsync: locks that exclude one another, extended and released.
package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

func main() {
	client := redis.NewClient(&redis.Options{Addr: addresses()[0]})
	locks := redsync.New(goredis.NewPool(client))
	run(func(n int) error {
		name := fmt.Sprintf("lock:%d", n)
		one := locks.NewMutex(name, redsync.WithExpiry(10*time.Second))
		if err := one.Lock(); err != nil {
			return err
		}
		if locks.NewMutex(name, redsync.WithTries(1)).Lock() == nil {
			return errors.New("two hold the lock")
		}
		if extended, err := one.Extend(); !extended || err != nil {
			return fmt.Errorf("extend: %v, %w", extended, err)
		}
		if released, err := one.Unlock(); !released || err != nil {
			return fmt.Errorf("unlock: %v, %w", released, err)
		}
		return nil
	}, nil)
}
