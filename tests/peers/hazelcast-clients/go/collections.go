package main

import (
	"strings"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
)

func onQueue(name string, what func(it *testCase, q *hazelcast.Queue)) {
	add("queue."+name, func(it *testCase) { what(it, must(it.client.GetQueue(ctx, it.fresh()))) })
}

func onList(name string, what func(it *testCase, l *hazelcast.List)) {
	add("list."+name, func(it *testCase) { what(it, must(it.client.GetList(ctx, it.fresh()))) })
}

func onSet(name string, what func(it *testCase, s *hazelcast.Set)) {
	add("set."+name, func(it *testCase) { what(it, must(it.client.GetSet(ctx, it.fresh()))) })
}

func onMultimap(name string, what func(it *testCase, m *hazelcast.MultiMap)) {
	add("multimap."+name, func(it *testCase) { what(it, must(it.client.GetMultiMap(ctx, it.fresh()))) })
}

func onRingbuffer(name string, what func(it *testCase, r *hazelcast.Ringbuffer)) {
	add("ringbuffer."+name, func(it *testCase) { what(it, must(it.client.GetRingbuffer(ctx, it.fresh()))) })
}

func addCollections() {
	onQueue("offer-and-poll", func(it *testCase, q *hazelcast.Queue) {
		it.see(q.Poll(ctx))
		it.see(q.Peek(ctx))
		it.see(q.Add(ctx, 1))
		it.see(q.AddWithTimeout(ctx, 2, time.Second))
		it.act(q.Put(ctx, 3))
		it.see(q.Size(ctx))
		it.see(q.RemainingCapacity(ctx))
		it.see(q.Peek(ctx))
		it.see(q.Poll(ctx))
		it.see(q.Take(ctx))
		it.see(q.PollWithTimeout(ctx, time.Second))
		it.see(q.GetAll(ctx))
		it.act(q.Clear(ctx))
		it.see(q.PollWithTimeout(ctx, 50*time.Millisecond))
		it.see(q.IsEmpty(ctx))
	})
	onQueue("collections", func(it *testCase, q *hazelcast.Queue) {
		it.see(q.AddAll(ctx, "a", "b", "c", "b"))
		it.see(q.AddAll(ctx))
		it.see(q.Contains(ctx, "b"))
		it.see(q.ContainsAll(ctx, "a", "x"))
		it.see(q.ContainsAll(ctx))
		it.see(q.Remove(ctx, "b"))
		it.see(q.RemoveAll(ctx, "b", "x"))
		it.see(q.RetainAll(ctx, "a"))
		it.see(q.RetainAll(ctx, "a"))
		it.see(q.GetAll(ctx))
	})
	onQueue("drain", func(it *testCase, q *hazelcast.Queue) {
		must(q.AddAll(ctx, 1, 2, 3, 4))
		it.see(q.DrainWithMaxSize(ctx, 2))
		it.see(q.DrainWithMaxSize(ctx, 0))
		it.see(q.Drain(ctx))
		it.see(q.Drain(ctx))
	})
	onQueue("null-arguments", func(it *testCase, q *hazelcast.Queue) {
		it.see(q.Add(ctx, nil))
		it.see(q.AddAll(ctx, 1, nil))
		it.see(q.Contains(ctx, nil))
		it.see(q.Size(ctx))
	})
	onQueue("is-woken-by-another-client", func(it *testCase, q *hazelcast.Queue) {
		other := must(it.another().GetQueue(ctx, it.fresh()))
		polls := start(func() (interface{}, error) { return other.PollWithTimeout(ctx, 10*time.Second) })
		time.Sleep(300 * time.Millisecond)
		it.note(polls.isDone())
		must(q.Add(ctx, "x"))
		it.see(polls.result())
		takes := start(func() (interface{}, error) { return other.Take(ctx) })
		time.Sleep(300 * time.Millisecond)
		must(q.AddAll(ctx, "y", "z"))
		it.see(takes.result())
		it.see(q.Poll(ctx))
	})
	onQueue("listener", func(it *testCase, q *hazelcast.Queue) {
		all := &events{}
		id := must(q.AddItemListener(ctx, true, func(event *hazelcast.QueueItemNotified) {
			all.add(itemKind(event.EventType), event.Value)
		}))
		must(q.Add(ctx, 1))
		must(q.AddAll(ctx, 2, 3))
		must(q.Poll(ctx))
		must(q.Remove(ctx, 3))
		check(q.Clear(ctx))
		it.events(all, 6)
		it.act(q.RemoveListener(ctx, id))
		it.act(q.RemoveListener(ctx, id))
	})
	onQueue("destroy-and-use-again", func(it *testCase, q *hazelcast.Queue) {
		must(q.Add(ctx, 1))
		it.act(q.Destroy(ctx))
		again := must(it.client.GetQueue(ctx, it.fresh()))
		it.see(again.Size(ctx))
		it.see(again.Add(ctx, 2))
	})
	onQueue("items-of-all-kinds", func(it *testCase, q *hazelcast.Queue) {
		it.see(q.AddAll(ctx, "", 1, 1.5, strings.Repeat("x", 1_000_000), compactPerson{Name: "Ann"}))
		it.see(q.Contains(ctx, compactPerson{Name: "Ann"}))
		it.see(q.GetAll(ctx))
	})
	onList("add-and-get", func(it *testCase, l *hazelcast.List) {
		it.see(l.Add(ctx, "a"))
		it.act(l.AddAt(ctx, 0, "first"))
		it.see(l.AddAll(ctx, "b", "a"))
		it.see(l.AddAllAt(ctx, 1, "x", "y"))
		it.see(l.GetAll(ctx))
		it.see(l.Get(ctx, 1))
		it.see(l.Set(ctx, 1, "X"))
		it.see(l.IndexOf(ctx, "a"))
		it.see(l.LastIndexOf(ctx, "a"))
		it.see(l.IndexOf(ctx, "none"))
		it.see(l.RemoveAt(ctx, 0))
		it.see(l.Remove(ctx, "a"))
		it.see(l.Remove(ctx, "none"))
		it.see(l.SubList(ctx, 1, 3))
		it.see(l.Contains(ctx, "y"))
		it.see(l.ContainsAll(ctx, "y", "none"))
		it.see(l.RemoveAll(ctx, "y"))
		it.see(l.RetainAll(ctx, "b"))
		it.see(l.Size(ctx))
		it.act(l.Clear(ctx))
		it.see(l.IsEmpty(ctx))
	})
	onList("bounds", func(it *testCase, l *hazelcast.List) {
		it.see(l.Get(ctx, 0))
		must(l.AddAll(ctx, 1, 2, 3))
		it.see(l.Get(ctx, -1))
		it.see(l.Get(ctx, 3))
		it.act(l.AddAt(ctx, 4, 9))
		it.see(l.Set(ctx, 3, 9))
		it.see(l.RemoveAt(ctx, 3))
		it.see(l.SubList(ctx, 3, 1))
		it.see(l.SubList(ctx, 0, 4))
		it.see(l.SubList(ctx, -1, 2))
		it.see(l.AddAllAt(ctx, 9, 9))
		it.see(l.GetAll(ctx))
	})
	onList("listener", func(it *testCase, l *hazelcast.List) {
		all := &events{}
		id := must(l.AddListener(ctx, true, func(event *hazelcast.ListItemNotified) {
			all.add(itemKind(event.EventType), event.Value)
		}))
		must(l.Add(ctx, "a"))
		must(l.Set(ctx, 0, "b"))
		must(l.AddAll(ctx, "c", "d"))
		check(l.Clear(ctx))
		it.eventsOfKeys(all, 8)
		it.act(l.RemoveListener(ctx, id))
		it.act(l.RemoveListener(ctx, id))
	})
	onSet("operations", func(it *testCase, s *hazelcast.Set) {
		it.see(s.Add(ctx, 1))
		it.see(s.Add(ctx, 1))
		it.see(s.AddAll(ctx, 1, 2))
		it.see(s.AddAll(ctx, 1, 2))
		it.see(s.Contains(ctx, 2))
		it.see(s.ContainsAll(ctx, 1, 3))
		it.seeUnordered(s.GetAll(ctx))
		it.see(s.Remove(ctx, 1))
		it.see(s.Remove(ctx, 1))
		it.see(s.RetainAll(ctx, 2))
		it.see(s.RemoveAll(ctx, 2))
		it.see(s.IsEmpty(ctx))
		it.see(s.Add(ctx, nil))
	})
	onSet("listener", func(it *testCase, s *hazelcast.Set) {
		all := &events{}
		id := must(s.AddItemListener(ctx, true, func(event *hazelcast.SetItemNotified) {
			all.add(itemKind(event.EventType), event.Value)
		}))
		must(s.Add(ctx, "a"))
		must(s.Add(ctx, "a"))
		must(s.Remove(ctx, "a"))
		must(s.AddAll(ctx, "b", "c"))
		check(s.Clear(ctx))
		it.eventsOfKeys(all, 6)
		it.act(s.RemoveListener(ctx, id))
	})
	onMultimap("operations", func(it *testCase, m *hazelcast.MultiMap) {
		it.see(m.Put(ctx, "k", 1))
		it.see(m.Put(ctx, "k", 1))
		it.see(m.Put(ctx, "k", 2))
		it.act(m.PutAll(ctx, "l", 4, 5))
		it.seeUnordered(m.Get(ctx, "k"))
		it.seeUnordered(m.Get(ctx, "none"))
		it.see(m.ValueCount(ctx, "k"))
		it.see(m.Size(ctx))
		it.seeUnordered(m.GetKeySet(ctx))
		it.seeUnordered(m.GetValues(ctx))
		it.seeUnordered(m.GetEntrySet(ctx))
		it.see(m.ContainsKey(ctx, "k"))
		it.see(m.ContainsValue(ctx, 3))
		it.see(m.ContainsEntry(ctx, "k", 3))
		it.see(m.RemoveEntry(ctx, "k", 1))
		it.see(m.RemoveEntry(ctx, "k", 9))
		it.seeUnordered(m.Remove(ctx, "l"))
		it.act(m.Delete(ctx, "k"))
		it.act(m.Clear(ctx))
		it.see(m.Size(ctx))
		it.see(m.Put(ctx, nil, 1))
	})
	onMultimap("locks", func(it *testCase, m *hazelcast.MultiMap) {
		one, two := m.NewLockContext(ctx), m.NewLockContext(ctx)
		check(m.Lock(one, "k"))
		it.see(m.TryLock(two, "k"))
		it.act(m.Unlock(two, "k"))
		it.see(m.IsLocked(two, "k"))
		waiting := start(func() (interface{}, error) { return m.Put(two, "k", 1) })
		time.Sleep(300 * time.Millisecond)
		it.note(waiting.isDone())
		it.act(m.Unlock(one, "k"))
		it.see(waiting.result())
		it.act(m.LockWithLease(one, "k", time.Second))
		it.wait(func() bool { return !must(m.IsLocked(two, "k")) })
	})
	onRingbuffer("operations", func(it *testCase, r *hazelcast.Ringbuffer) {
		it.see(r.Capacity(ctx))
		it.see(r.TailSequence(ctx))
		it.see(r.HeadSequence(ctx))
		it.see(r.Add(ctx, "a", hazelcast.OverflowPolicyOverwrite))
		it.see(r.Add(ctx, "b", hazelcast.OverflowPolicyFail))
		it.see(r.AddAll(ctx, hazelcast.OverflowPolicyOverwrite, "c", "d"))
		it.see(r.ReadOne(ctx, 0))
		it.see(r.ReadOne(ctx, -1))
		it.see(r.ReadOne(ctx, 5))
		it.see(r.Size(ctx))
		it.see(r.RemainingCapacity(ctx))
		readMany(it, r, 0, 1, 10)
		readMany(it, r, 0, 5, 3)
		readMany(it, r, -2, 0, 2)
	})
	onRingbuffer("add-all-of-nothing", func(it *testCase, r *hazelcast.Ringbuffer) {
		it.see(r.AddAll(ctx, hazelcast.OverflowPolicyOverwrite))
	})
	onRingbuffer("read-many-after-the-tail", func(it *testCase, r *hazelcast.Ringbuffer) {
		must(r.Add(ctx, "a", hazelcast.OverflowPolicyOverwrite))
		readMany(it, r, 1, 0, 10)
		readMany(it, r, 9, 0, 10)
	})
	onRingbuffer("is-woken", func(it *testCase, r *hazelcast.Ringbuffer) {
		other := must(it.another().GetRingbuffer(ctx, it.fresh()))
		waiting := start(func() (interface{}, error) { return other.ReadOne(ctx, 0) })
		time.Sleep(300 * time.Millisecond)
		it.note(waiting.isDone())
		must(r.Add(ctx, "x", hazelcast.OverflowPolicyOverwrite))
		it.see(waiting.result())
	})
}

func readMany(it *testCase, r *hazelcast.Ringbuffer, start int64, min, max int32) {
	result, err := r.ReadMany(ctx, start, min, max, nil)
	if err != nil {
		it.note(err)
		return
	}
	all := []interface{}{result.ReadCount(), result.GetNextSequenceToReadFrom()}
	for index := range result.Size() {
		all = append(all, must(result.Get(index)), must(result.GetSequence(index)))
	}
	it.note(all)
}
