package main

import (
	"context"
	"sort"
	"strings"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/cluster"
	"github.com/hazelcast/hazelcast-go-client/predicate"
	"github.com/hazelcast/hazelcast-go-client/types"
)

func onReplicated(name string, what func(it *testCase, m *hazelcast.ReplicatedMap)) {
	add("replicated."+name, func(it *testCase) { what(it, must(it.client.GetReplicatedMap(ctx, it.fresh()))) })
}

func addShared() {
	onReplicated("operations", func(it *testCase, m *hazelcast.ReplicatedMap) {
		it.see(m.Get(ctx, "k"))
		it.see(m.Put(ctx, "k", 1))
		it.see(m.Put(ctx, "k", 2))
		it.act(m.PutAll(ctx, types.NewEntry("a", 1), types.NewEntry("b", 2)))
		it.wait(func() bool { return must(m.Size(ctx)) == 3 })
		it.see(m.Get(ctx, "k"))
		it.seeUnordered(m.GetKeySet(ctx))
		it.seeUnordered(m.GetValues(ctx))
		it.seeUnordered(m.GetEntrySet(ctx))
		it.see(m.ContainsKey(ctx, "a"))
		it.see(m.ContainsValue(ctx, 2))
		it.see(m.Remove(ctx, "a"))
		it.see(m.Remove(ctx, "a"))
		it.act(m.Clear(ctx))
		it.wait(func() bool { return must(m.IsEmpty(ctx)) })
		it.see(m.Put(ctx, nil, 1))
	})
	onReplicated("listener", func(it *testCase, m *hazelcast.ReplicatedMap) {
		all, ofPredicate, ofKey := &events{}, &events{}, &events{}
		id := must(m.AddEntryListener(ctx, all.entry))
		must(m.AddEntryListenerWithPredicate(ctx, predicate.Greater("this", int32(1)), ofPredicate.entry))
		must(m.AddEntryListenerToKey(ctx, "l", ofKey.entry))
		must(m.Put(ctx, "k", int32(1)))
		must(m.Put(ctx, "k", int32(2)))
		must(m.Remove(ctx, "k"))
		it.events(all, 3)
		it.events(ofPredicate, 2)
		it.events(ofKey, 0)
		check(m.Clear(ctx))
		it.events(all, 4)
		it.act(m.RemoveEntryListener(ctx, id))
		it.act(m.RemoveEntryListener(ctx, id))
	})
	add("topic.publish", func(it *testCase) {
		topic := must(it.client.GetTopic(ctx, it.fresh()))
		all := &events{}
		id := must(topic.AddMessageListener(ctx, func(event *hazelcast.MessagePublished) {
			all.add("message", event.Value, event.TopicName == it.fresh())
		}))
		it.act(topic.Publish(ctx, "a"))
		it.act(topic.PublishAll(ctx, 1, 2))
		it.eventsOfKeys(all, 3)
		it.act(topic.RemoveListener(ctx, id))
		it.act(topic.RemoveListener(ctx, id))
		check(topic.Publish(ctx, "b"))
		it.eventsOfKeys(all, 3)
		it.act(topic.Publish(ctx, nil))
	})
	add("topic.several-clients-and-order", func(it *testCase) {
		topic := must(it.client.GetTopic(ctx, it.fresh()))
		other := must(it.another().GetTopic(ctx, it.fresh()))
		all := &events{}
		must(other.AddMessageListener(ctx, func(event *hazelcast.MessagePublished) { all.add("message", event.Value) }))
		for n := range 50 {
			check(topic.Publish(ctx, n))
		}
		it.events(all, 50)
	})
	add("counter.operations", func(it *testCase) {
		counter := must(it.client.GetPNCounter(ctx, it.fresh()))
		it.see(counter.Get(ctx))
		it.see(counter.AddAndGet(ctx, 5))
		it.see(counter.GetAndAdd(ctx, 3))
		it.see(counter.IncrementAndGet(ctx))
		it.see(counter.GetAndIncrement(ctx))
		it.see(counter.DecrementAndGet(ctx))
		it.see(counter.GetAndDecrement(ctx))
		it.see(counter.SubtractAndGet(ctx, 10))
		it.see(counter.GetAndSubtract(ctx, -4))
		counter.Reset()
		it.see(counter.Get(ctx))
	})
	add("ids.are-unique", func(it *testCase) {
		ids := must(it.client.GetFlakeIDGenerator(ctx, it.fresh()))
		others := must(it.another().GetFlakeIDGenerator(ctx, it.fresh()))
		seen := map[int64]bool{}
		for range 200 {
			seen[must(ids.NewID(ctx))] = true
			seen[must(others.NewID(ctx))] = true
		}
		it.note(len(seen))
	})
	add("client.wrong-cluster-name", func(it *testCase) {
		config := config()
		config.Cluster.Name = "wrong"
		config.Cluster.ConnectionStrategy.Timeout = types.Duration(1500 * time.Millisecond)
		within, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		_, err := hazelcast.StartNewClientWithConfig(within, config)
		it.act(err)
	})
	add("client.password-without-need", func(it *testCase) {
		config := config()
		config.Cluster.Security.Credentials.Username = "someone"
		config.Cluster.Security.Credentials.Password = "secret"
		config.Cluster.ConnectionStrategy.Timeout = types.Duration(1500 * time.Millisecond)
		client, err := hazelcast.StartNewClientWithConfig(ctx, config)
		it.act(err)
		if err == nil {
			it.others = append(it.others, client)
			it.see(must(client.GetMap(ctx, it.fresh())).Put(ctx, "k", 1))
		}
	})
	add("client.one-address-only", func(it *testCase) {
		config := config()
		config.Cluster.Unisocket = true
		m := must(it.anotherWith(config).GetMap(ctx, it.fresh()))
		it.see(m.Put(ctx, "k", 1))
		it.see(m.Get(ctx, "k"))
	})
	add("client.lifecycle", func(it *testCase) {
		all := &events{}
		config := config()
		config.AddLifecycleListener(func(event hazelcast.LifecycleStateChanged) { all.add(event.State.String()) })
		client := must(hazelcast.StartNewClientWithConfig(ctx, config))
		it.note(client.Running())
		m := must(client.GetMap(ctx, it.fresh()))
		it.act(client.Shutdown(ctx))
		it.note(client.Running())
		it.see(m.Get(ctx, "k"))
		it.events(all, 5)
	})
	add("client.members", func(it *testCase) {
		all := &events{}
		config := config()
		config.AddMembershipListener(func(event cluster.MembershipStateChanged) {
			all.add("member", event.State == cluster.MembershipStateAdded, event.Member.LiteMember)
		})
		it.anotherWith(config)
		it.eventsOfKeys(all, 1)
	})
	add("client.distributed-objects", func(it *testCase) {
		must(must(it.client.GetMap(ctx, it.fresh("-map"))).Put(ctx, "k", 1))
		must(must(it.client.GetQueue(ctx, it.fresh("-queue"))).Add(ctx, 1))
		own := it.fresh()
		var found []string
		for _, info := range must(it.another().GetDistributedObjectsInfo(ctx)) {
			if strings.HasPrefix(info.Name, own) {
				found = append(found, info.ServiceName+strings.TrimPrefix(info.Name, own))
			}
		}
		sort.Strings(found)
		it.note(strings.Join(found, " "))
	})
	add("client.distributed-object-listener", func(it *testCase) {
		all := &events{}
		other := it.another()
		id := must(other.AddDistributedObjectListener(ctx, func(event hazelcast.DistributedObjectNotified) {
			if event.ObjectName == it.fresh() {
				all.add(string(event.EventType), event.ServiceName)
			}
		}))
		m := must(it.client.GetMap(ctx, it.fresh()))
		it.events(all, 1)
		check(m.Destroy(ctx))
		it.events(all, 2)
		it.act(other.RemoveDistributedObjectListener(ctx, id))
		it.act(other.RemoveDistributedObjectListener(ctx, id))
	})
	add("client.refused", func(it *testCase) {
		_, err := it.client.SQL().Execute(ctx, "SELECT 1")
		it.act(err)
		counter, err := it.client.CPSubsystem().GetAtomicLong(ctx, "a")
		it.act(err)
		if err == nil {
			it.see(counter.IncrementAndGet(ctx))
		}
		it.see(must(it.client.GetMap(ctx, it.fresh())).Put(ctx, "k", 1))
	})
}
