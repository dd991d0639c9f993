package main

import (
	"fmt"
	"math"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/nearcache"
	"github.com/hazelcast/hazelcast-go-client/predicate"
	"github.com/hazelcast/hazelcast-go-client/serialization"
	"github.com/hazelcast/hazelcast-go-client/types"
)

type mapBody func(it *testCase, m *hazelcast.Map)

// Declares a case with a fresh map.
func onMap(name string, what mapBody) {
	add("map."+name, func(it *testCase) { what(it, must(it.client.GetMap(ctx, it.fresh()))) })
}

func entriesOf(count int) []types.Entry {
	entries := make([]types.Entry, count)
	for n := range entries {
		entries[n] = types.NewEntry(fmt.Sprintf("k%d", n), int64(n))
	}
	return entries
}

func ttl(it *testCase, m *hazelcast.Map, key string) {
	view, err := m.GetEntryView(ctx, key)
	if err != nil || view == nil {
		it.note(err)
		return
	}
	it.note(view.TTL)
	it.note(view.MaxIdle)
}

func addMaps() {
	onMap("put-get-remove", func(it *testCase, m *hazelcast.Map) {
		it.see(m.Put(ctx, "k", 1))
		it.see(m.Put(ctx, "k", 2))
		it.see(m.Get(ctx, "k"))
		it.see(m.ContainsKey(ctx, "k"))
		it.see(m.Remove(ctx, "k"))
		it.see(m.Remove(ctx, "k"))
		it.see(m.Get(ctx, "k"))
		it.see(m.Size(ctx))
		it.see(m.IsEmpty(ctx))
	})
	onMap("conditions", func(it *testCase, m *hazelcast.Map) {
		it.see(m.PutIfAbsent(ctx, "k", 1))
		it.see(m.PutIfAbsent(ctx, "k", 2))
		it.see(m.Replace(ctx, "k", 3))
		it.see(m.Replace(ctx, "none", 3))
		it.see(m.ReplaceIfSame(ctx, "k", 9, 4))
		it.see(m.ReplaceIfSame(ctx, "k", 3, 4))
		it.see(m.RemoveIfSame(ctx, "k", 9))
		it.see(m.RemoveIfSame(ctx, "k", 4))
		it.act(m.Set(ctx, "k", 5))
		it.act(m.Delete(ctx, "k"))
		it.act(m.Delete(ctx, "k"))
	})
	onMap("try-and-transient", func(it *testCase, m *hazelcast.Map) {
		it.see(m.TryPutWithTimeout(ctx, "k", 1, time.Second))
		it.see(m.TryPut(ctx, "k", 2))
		it.see(m.Get(ctx, "k"))
		it.see(m.TryRemoveWithTimeout(ctx, "k", time.Second))
		it.see(m.TryRemove(ctx, "k"))
		it.act(m.PutTransient(ctx, "k", 1))
		it.act(m.PutTransientWithTTLAndMaxIdle(ctx, "k", 2, 100*time.Second, 50*time.Second))
		ttl(it, m, "k")
	})
	onMap("all-entries", func(it *testCase, m *hazelcast.Map) {
		it.act(m.PutAll(ctx, entriesOf(200)...))
		it.see(m.Size(ctx))
		it.see(m.GetAll(ctx, "k1", "k2", "none"))
		it.see(m.GetAll(ctx))
		it.seeUnordered(m.GetKeySet(ctx))
		it.seeUnordered(m.GetValues(ctx))
		it.seeUnordered(m.GetEntrySet(ctx))
		it.see(m.ContainsValue(ctx, int64(5)))
		it.see(m.ContainsValue(ctx, int64(500)))
		it.act(m.Clear(ctx))
		it.see(m.Size(ctx))
		it.act(m.PutAll(ctx))
	})
	onMap("evict", func(it *testCase, m *hazelcast.Map) {
		check(m.PutAll(ctx, entriesOf(2)...))
		it.see(m.Evict(ctx, "k0"))
		it.see(m.Evict(ctx, "k0"))
		it.act(m.EvictAll(ctx))
		it.see(m.Size(ctx))
	})
	onMap("null-arguments", func(it *testCase, m *hazelcast.Map) {
		it.see(m.Put(ctx, nil, 1))
		it.see(m.Put(ctx, "k", nil))
		it.see(m.Get(ctx, nil))
		it.see(m.ContainsValue(ctx, nil))
		it.see(m.ReplaceIfSame(ctx, "k", nil, 1))
		it.act(m.Lock(m.NewLockContext(ctx), nil))
		it.see(m.Size(ctx))
	})
	onMap("entry-view", func(it *testCase, m *hazelcast.Map) {
		view, err := m.GetEntryView(ctx, "k")
		it.see(view == nil, err)
		must(m.PutWithTTLAndMaxIdle(ctx, "k", 1, 100*time.Second, 50*time.Second))
		must(m.Get(ctx, "k"))
		view = must(m.GetEntryView(ctx, "k"))
		it.note([]interface{}{view.Key, view.Value, view.TTL, view.MaxIdle, view.LastUpdateTime > 0})
	})
	onMap("entry-view-statistics", func(it *testCase, m *hazelcast.Map) {
		must(m.Put(ctx, "k", 1))
		must(m.Get(ctx, "k"))
		view := must(m.GetEntryView(ctx, "k"))
		it.note([]interface{}{view.Hits, view.CreationTime > 0, view.LastAccessTime > 0})
	})
	onMap("entry-view-version", func(it *testCase, m *hazelcast.Map) {
		must(m.Put(ctx, "k", 1))
		it.note(must(m.GetEntryView(ctx, "k")).Version)
	})
	onMap("destroy-and-use-again", func(it *testCase, m *hazelcast.Map) {
		must(m.Put(ctx, "k", 1))
		it.act(m.Destroy(ctx))
		again := must(it.client.GetMap(ctx, it.fresh()))
		it.see(again.Get(ctx, "k"))
		it.see(again.Put(ctx, "k", 2))
	})
	onMap("of-another-client", func(it *testCase, m *hazelcast.Map) {
		other := must(it.another().GetMap(ctx, it.fresh()))
		check(m.Set(ctx, "k", 1))
		it.see(other.Get(ctx, "k"))
		it.see(other.ReplaceIfSame(ctx, "k", 1, 2))
		it.see(m.Get(ctx, "k"))
	})
	onMap("flush-load-index", func(it *testCase, m *hazelcast.Map) {
		it.act(m.Flush(ctx))
		it.act(m.LoadAllReplacing(ctx))
		it.act(m.LoadAllWithoutReplacing(ctx, "k"))
		it.act(m.AddIndex(ctx, types.IndexConfig{Type: types.IndexTypeSorted, Attributes: []string{"this"}}))
		it.act(m.AddIndex(ctx, types.IndexConfig{Type: types.IndexTypeHash, Attributes: []string{"a", "b"}}))
	})
	onMap("expiry-of-all-forms", func(it *testCase, m *hazelcast.Map) {
		must(m.PutWithTTL(ctx, "put", 1, 3*time.Second))
		check(m.SetWithTTL(ctx, "set", 1, 3*time.Second))
		must(m.PutIfAbsentWithTTL(ctx, "absent", 1, 3*time.Second))
		check(m.PutTransientWithTTL(ctx, "transient", 1, 3*time.Second))
		must(m.PutWithMaxIdle(ctx, "idle", 1, 3*time.Second))
		check(m.SetWithTTL(ctx, "stays", 1, 100*time.Second))
		it.seeUnordered(m.GetKeySet(ctx))
		time.Sleep(4500 * time.Millisecond)
		it.seeUnordered(m.GetKeySet(ctx))
		it.see(m.Get(ctx, "put"))
		it.see(m.Get(ctx, "idle"))
	})
	onMap("expiry-set-ttl", func(it *testCase, m *hazelcast.Map) {
		it.see(m.SetTTLAffected(ctx, "k", 5*time.Second))
		must(m.Put(ctx, "k", 1))
		it.see(m.SetTTLAffected(ctx, "k", 100*time.Second))
		ttl(it, m, "k")
		it.act(m.SetTTL(ctx, "k", time.Second))
		it.wait(func() bool { return must(m.Get(ctx, "k")) == nil })
	})
	onMap("expiry-zero-and-negative", func(it *testCase, m *hazelcast.Map) {
		it.see(m.PutWithTTL(ctx, "zero", 1, 0))
		it.see(m.PutWithTTL(ctx, "negative", 1, -time.Second))
		it.see(m.PutWithMaxIdle(ctx, "idle", 1, -time.Second))
		ttl(it, m, "zero")
		ttl(it, m, "negative")
		ttl(it, m, "idle")
	})
	onMap("lock", func(it *testCase, m *hazelcast.Map) {
		one, two := m.NewLockContext(ctx), m.NewLockContext(ctx)
		must(m.Put(ctx, "k", 1))
		it.act(m.Lock(one, "k"))
		it.act(m.Lock(one, "k"))
		it.see(m.IsLocked(one, "k"))
		it.see(m.TryLock(two, "k"))
		it.see(m.TryLockWithTimeout(two, "k", 100*time.Millisecond))
		it.see(m.TryPutWithTimeout(two, "k", 2, 100*time.Millisecond))
		it.act(m.Unlock(two, "k"))
		it.see(m.Get(two, "k"))
		it.see(m.Put(one, "k", 3))
		it.act(m.Unlock(one, "k"))
		it.act(m.Unlock(one, "k"))
		it.act(m.Unlock(one, "k"))
		it.see(m.IsLocked(one, "k"))
	})
	onMap("lock-lease", func(it *testCase, m *hazelcast.Map) {
		one, two := m.NewLockContext(ctx), m.NewLockContext(ctx)
		it.act(m.LockWithLease(one, "k", time.Second))
		it.wait(func() bool { return !must(m.IsLocked(one, "k")) })
		it.act(m.Unlock(one, "k"))
		it.see(m.TryLockWithLeaseAndTimeout(one, "k", time.Second, time.Second))
		it.see(m.TryLockWithTimeout(two, "k", 5*time.Second))
	})
	onMap("lock-wakes-another-client", func(it *testCase, m *hazelcast.Map) {
		other := must(it.another().GetMap(ctx, it.fresh()))
		one := m.NewLockContext(ctx)
		check(m.Lock(one, "k"))
		waiting := start(func() (interface{}, error) { return other.Put(ctx, "k", 5) })
		time.Sleep(300 * time.Millisecond)
		it.note(waiting.isDone())
		check(m.Unlock(one, "k"))
		it.see(waiting.result())
		it.see(m.Get(ctx, "k"))
	})
	onMap("lock-ends-with-its-client", func(it *testCase, m *hazelcast.Map) {
		client := it.another()
		other := must(client.GetMap(ctx, it.fresh()))
		check(other.Lock(other.NewLockContext(ctx), "k"))
		it.see(m.IsLocked(ctx, "k"))
		check(client.Shutdown(ctx))
		it.wait(func() bool { return !must(m.IsLocked(ctx, "k")) })
	})
	onMap("force-unlock", func(it *testCase, m *hazelcast.Map) {
		check(m.Lock(m.NewLockContext(ctx), "k"))
		it.act(m.ForceUnlock(m.NewLockContext(ctx), "k"))
		it.see(m.IsLocked(ctx, "k"))
	})
	for _, hasValue := range []bool{true, false} {
		name := "listener-without-value"
		if hasValue {
			name = "listener-with-value"
		}
		onMap(name, func(it *testCase, m *hazelcast.Map) {
			all := &events{}
			must(m.AddListener(ctx, listener(all), hasValue))
			must(m.Put(ctx, "k", 1))
			must(m.Put(ctx, "k", 2))
			check(m.Set(ctx, "k", 3))
			must(m.Replace(ctx, "k", 4))
			must(m.ReplaceIfSame(ctx, "k", 4, 5))
			must(m.Remove(ctx, "k"))
			must(m.PutIfAbsent(ctx, "k", 6))
			must(m.Remove(ctx, "k"))
			must(m.TryPut(ctx, "k", 7))
			must(m.Evict(ctx, "k"))
			check(m.PutTransient(ctx, "k", 8))
			must(m.RemoveIfSame(ctx, "k", 8))
			it.events(all, 12)
		})
	}
	onMap("listener-of-delete", func(it *testCase, m *hazelcast.Map) {
		all := &events{}
		must(m.AddListener(ctx, listener(all), true))
		must(m.Put(ctx, "k", 1))
		check(m.Delete(ctx, "k"))
		it.events(all, 2)
	})
	onMap("listener-of-the-map", func(it *testCase, m *hazelcast.Map) {
		all := &events{}
		id := must(m.AddListener(ctx, listener(all), true))
		check(m.PutAll(ctx, entriesOf(2)...))
		it.eventsOfKeys(all, 2)
		check(m.Clear(ctx))
		it.eventsOfKeys(all, 3)
		must(m.Put(ctx, "c", 1))
		check(m.EvictAll(ctx))
		it.eventsOfKeys(all, 5)
		it.act(m.RemoveListener(ctx, id))
		it.act(m.RemoveListener(ctx, id))
		must(m.Put(ctx, "d", 1))
		it.eventsOfKeys(all, 5)
	})
	onMap("listener-of-a-key-and-predicate", func(it *testCase, m *hazelcast.Map) {
		ofKey, ofPredicate, ofBoth := &events{}, &events{}, &events{}
		large := predicate.Greater("this", int32(5))
		must(m.AddListenerWithKey(ctx, listener(ofKey), "a", true))
		must(m.AddListenerWithPredicate(ctx, listener(ofPredicate), large, true))
		must(m.AddListenerWithPredicateAndKey(ctx, listener(ofBoth), large, "a", true))
		must(m.Put(ctx, "a", int32(1)))
		must(m.Put(ctx, "a", int32(10)))
		must(m.Put(ctx, "b", int32(20)))
		must(m.Put(ctx, "b", int32(2)))
		must(m.Remove(ctx, "a"))
		it.events(ofKey, 3)
		it.eventsOfKeys(ofPredicate, 3)
		it.events(ofBoth, 2)
	})
	onMap("listener-of-expiry", func(it *testCase, m *hazelcast.Map) {
		all := &events{}
		must(m.AddListener(ctx, listener(all), true))
		must(m.PutWithTTL(ctx, "k", 1, time.Second))
		it.wait(func() bool { return must(m.Get(ctx, "k")) == nil })
		it.events(all, 2)
	})
	onMap("near-cache", func(it *testCase, m *hazelcast.Map) {
		config := config()
		near := nearcache.Config{Name: it.fresh()}
		near.SetInvalidateOnChange(true)
		config.AddNearCache(near)
		cached := must(it.anotherWith(config).GetMap(ctx, it.fresh()))
		must(m.Put(ctx, "k", int64(1)))
		it.see(cached.Get(ctx, "k"))
		it.see(cached.Get(ctx, "k"))
		must(m.Put(ctx, "k", int64(2)))
		it.wait(func() bool { return must(cached.Get(ctx, "k")) == int64(2) })
		must(m.Remove(ctx, "k"))
		it.wait(func() bool { return must(cached.Get(ctx, "k")) == nil })
		check(m.PutAll(ctx, types.NewEntry("k", int64(3))))
		it.wait(func() bool { return must(cached.Get(ctx, "k")) == int64(3) })
		check(m.Clear(ctx))
		it.wait(func() bool { return must(cached.Get(ctx, "k")) == nil })
	})
	onMap("refused", func(it *testCase, m *hazelcast.Map) {
		processor := compactPerson{Name: "none"}
		it.see(m.ExecuteOnKey(ctx, processor, "k"))
		it.see(m.ExecuteOnKeys(ctx, processor, "k"))
		it.see(m.ExecuteOnEntries(ctx, processor))
		it.see(m.ExecuteOnEntriesWithPredicate(ctx, processor, predicate.True()))
		it.see(m.AddInterceptor(ctx, processor))
		it.see(m.Put(ctx, "k", 1))
	})
	for name, value := range values() {
		add("types."+name, func(it *testCase) { ofType(it, name, value) })
	}
}

func listener(all *events) hazelcast.MapListener {
	return hazelcast.MapListener{
		EntryAdded: all.entry, EntryRemoved: all.entry, EntryUpdated: all.entry, EntryEvicted: all.entry,
		EntryExpired: all.entry, MapEvicted: all.entry, MapCleared: all.entry,
	}
}

func values() map[string]interface{} {
	height := 1.5
	large := make([]byte, 3_000_000)
	return map[string]interface{}{
		"bool": true, "int8": int8(-7), "byte": byte(7), "int16": int16(-300), "uint16": uint16(228),
		"int32": int32(math.MinInt32), "int64": int64(math.MaxInt64), "int": -5, "float32": float32(1.5),
		"float64": -0.5, "float64-nan": math.NaN(), "float64-infinite": math.Inf(-1),
		"string": "grüße, 日本, \U0001F600", "string-empty": "", "string-with-zero": "a\x00b",
		"bytes": []byte{0, 1, 255}, "bytes-empty": []byte{}, "bools": []bool{true, false},
		"int32s": []int32{1, -1}, "int64s": []int64{1, -1}, "float64s": []float64{1, -1},
		"strings": []string{"a", ""}, "uuid": types.NewUUIDWith(1, 2),
		"json":     serialization.JSON(`{"a": [1, null]}`),
		"decimal":  types.NewDecimal(must(bigInt("-12345678901234567890500")), 3),
		"portable": &portablePerson{name: "Ann", age: 30, active: true, height: 1.5},
		"compact":  compactPerson{Name: "Bob", Age: 40, Height: &height},
		"date":     types.LocalDate(time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)),
		"large":    large,
	}
}

func ofType(it *testCase, name string, value interface{}) {
	m := must(it.client.GetMap(ctx, it.fresh()))
	it.see(m.Put(ctx, "k", value))
	it.see(m.Get(ctx, "k"))
	it.see(m.ContainsValue(ctx, value))
	it.see(m.ReplaceIfSame(ctx, "k", value, value))
	it.see(m.RemoveIfSame(ctx, "k", value))
	if name == "large" {
		return
	}
	it.see(m.Put(ctx, value, 1))
	it.see(m.Get(ctx, value))
	it.seeUnordered(m.GetKeySet(ctx))
	it.see(m.Remove(ctx, value))
	it.see(m.Size(ctx))
}
