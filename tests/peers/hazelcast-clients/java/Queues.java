import com.hazelcast.collection.IQueue;
import com.hazelcast.collection.ItemEvent;
import com.hazelcast.collection.ItemListener;
import com.hazelcast.core.HazelcastInstance;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;

/** Queues. */
final class Queues {
    private Queues() {}

    private interface Body {
        void run(Case it, IQueue<Object> queue) throws Exception;
    }

    /** Notes the items that are added and removed. */
    static final class All implements ItemListener<Object> {
        final Case.Events events = new Case.Events();

        @Override
        public void itemAdded(ItemEvent<Object> item) {
            events.add(item.getEventType(), item.getItem());
        }

        @Override
        public void itemRemoved(ItemEvent<Object> item) {
            events.add(item.getEventType(), item.getItem());
        }
    }

    private static void add(String name, Body body) {
        Main.add("queue." + name, it -> body.run(it, it.client().getQueue(it.fresh())));
    }

    static void add() {
        add("offer-and-poll", (it, queue) -> {
            it.see(queue::poll);
            it.see(queue::peek);
            it.see(() -> queue.offer(1));
            it.see(() -> queue.add(2));
            it.act(() -> queue.put(3));
            it.see(() -> queue.offer(4, 1, TimeUnit.SECONDS));
            it.see(queue::size);
            it.see(queue::peek);
            it.see(queue::poll);
            it.see(queue::take);
            it.see(queue::remove);
            it.see(queue::element);
            it.see(() -> queue.poll(1, TimeUnit.SECONDS));
            it.see(queue::isEmpty);
        });
        add("empty", (it, queue) -> {
            it.see(queue::element);
            it.see(() -> queue.remove());
            it.see(() -> queue.poll(50, TimeUnit.MILLISECONDS));
            it.see(() -> queue.poll(0, TimeUnit.MILLISECONDS));
            it.see(() -> queue.iterator().hasNext());
            it.see(() -> queue.iterator().next());
            it.see(() -> queue.toArray());
            it.see(() -> queue.contains(1));
            it.act(queue::clear);
        });
        add("poll-with-negative-timeout", (it, queue) -> {
            FutureTask<Object> waiting = it.start(() -> queue.poll(-1, TimeUnit.MILLISECONDS));
            Thread.sleep(1_000);
            it.note(waiting.isDone());
            queue.offer("x");
            it.seeEnd(waiting);
        });
        add("remaining-capacity", (it, queue) -> {
            it.see(queue::remainingCapacity);
            queue.add(1);
            it.see(queue::remainingCapacity);
        });
        add("collections", (it, queue) -> {
            it.see(() -> queue.addAll(List.of("a", "b", "c", "b")));
            it.see(() -> queue.addAll(List.of()));
            it.see(() -> new ArrayList<>(queue));
            it.see(() -> queue.contains("b"));
            it.see(() -> queue.containsAll(List.of("a", "c")));
            it.see(() -> queue.containsAll(List.of("a", "x")));
            it.see(() -> queue.containsAll(List.of()));
            it.see(() -> queue.remove("b"));
            it.see(() -> queue.remove("x"));
            it.see(queue::toArray);
            it.see(() -> queue.removeAll(List.of("b", "x")));
            it.see(() -> queue.retainAll(List.of("a")));
            it.see(() -> queue.retainAll(List.of("a")));
            it.see(queue::toArray);
            it.see(() -> queue.retainAll(List.of()));
            it.see(queue::size);
        });
        add("drain", (it, queue) -> {
            queue.addAll(List.of(1, 2, 3, 4, 5));
            List<Object> target = new ArrayList<>(List.of("first"));
            it.see(() -> queue.drainTo(target, 2));
            it.note(target);
            it.see(() -> queue.drainTo(target, 0));
            it.see(() -> queue.drainTo(target, -1));
            it.note(target);
            it.see(() -> queue.drainTo(target));
            it.see(() -> queue.drainTo(target));
            it.note(target);
            it.see(() -> queue.drainTo(null));
            it.see(() -> queue.drainTo(queue));
        });
        add("null-arguments", (it, queue) -> {
            it.see(() -> queue.offer(null));
            it.see(() -> queue.add(null));
            it.see(() -> queue.contains(null));
            it.see(() -> queue.remove(null));
            it.see(() -> queue.addAll(null));
            it.see(() -> queue.addAll(Arrays.asList(1, null)));
            it.see(() -> queue.containsAll(Arrays.asList(1, null)));
            it.see(queue::size);
        });
        add("poll-is-woken", (it, queue) -> {
            FutureTask<Object> waiting = it.start(() -> queue.poll(10, TimeUnit.SECONDS));
            Thread.sleep(300);
            it.note(waiting.isDone());
            queue.offer("x");
            it.seeEnd(waiting);
            it.see(queue::size);
        });
        add("take-is-woken-by-another-client", (it, queue) -> {
            IQueue<Object> other = it.another().getQueue(it.fresh());
            FutureTask<Object> waiting = it.start(other::take);
            Thread.sleep(300);
            queue.offer("x");
            it.seeEnd(waiting);
            it.see(queue::size);
        });
        add("add-all-wakes-several", (it, queue) -> {
            List<FutureTask<Object>> waiting = new ArrayList<>();
            for (int count = 0; count < 3; count++) {
                waiting.add(it.start(() -> queue.poll(10, TimeUnit.SECONDS)));
            }
            Thread.sleep(300);
            queue.addAll(List.of(1, 2, 3, 4));
            List<Object> got = new ArrayList<>();
            for (FutureTask<Object> one : waiting) {
                got.add(one.get(10, TimeUnit.SECONDS));
            }
            it.note(Text.sorted(got));
            it.see(queue::toArray);
        });
        add("a-client-that-waits-is-closed", (it, queue) -> {
            HazelcastInstance other = it.another();
            IQueue<Object> theirs = other.getQueue(it.fresh());
            FutureTask<Object> waiting = it.start(theirs::take);
            Thread.sleep(300);
            other.shutdown();
            it.await(waiting::isDone);
            Thread.sleep(500);
            queue.offer("x");
            it.see(() -> queue.poll(5, TimeUnit.SECONDS));
        });
        add("producers-and-consumers", (it, queue) -> {
            IQueue<Object> other = it.another().getQueue(it.fresh());
            FutureTask<Integer> one = it.start(() -> consume(queue));
            FutureTask<Integer> two = it.start(() -> consume(other));
            for (int item = 1; item <= 200; item++) {
                (item % 2 == 0 ? queue : other).put(item);
            }
            queue.put(-1);
            queue.put(-1);
            it.note(one.get(10, TimeUnit.SECONDS) + two.get(10, TimeUnit.SECONDS));
            it.see(queue::size);
        });
        add("listener", (it, queue) -> {
            All all = new All();
            UUID id = queue.addItemListener(all, true);
            queue.add(1);
            queue.addAll(List.of(2, 3));
            queue.poll();
            queue.remove(3);
            queue.clear();
            it.events(all.events, 6);
            it.see(() -> queue.removeItemListener(id));
            it.see(() -> queue.removeItemListener(id));
            queue.add(9);
            it.events(all.events, 6);
        });
        add("listener-without-value", (it, queue) -> {
            All all = new All();
            queue.addItemListener(all, false);
            queue.add(1);
            queue.poll();
            it.events(all.events, 2);
        });
        add("listener-of-drain", (it, queue) -> {
            All all = new All();
            queue.addAll(List.of(1, 2, 3));
            queue.addItemListener(all, true);
            queue.drainTo(new ArrayList<>(), 2);
            it.events(all.events, 2);
        });
        add("items-of-all-kinds", (it, queue) -> {
            List<Object> items = List.of("", 1, 1L, "ü日", new byte[0], new Types.JavaPoint(1, 2),
                    new Types.CompactPerson("Ann", 1, true, null, null), new Types.PortablePerson("Bob", 2, true, 1));
            queue.addAll(items);
            it.see(() -> new ArrayList<>(queue));
            it.see(() -> queue.contains(new Types.CompactPerson("Ann", 1, true, null, null)));
            it.see(() -> queue.contains(1L));
            it.see(() -> queue.remove(1));
            it.see(queue::size);
        });
        add("large-item", (it, queue) -> {
            it.see(() -> queue.offer("x".repeat(5_000_000)));
            it.see(queue::poll);
        });
        add("many-items", (it, queue) -> {
            List<Integer> items = new ArrayList<>();
            for (int item = 0; item < 5_000; item++) {
                items.add(item);
            }
            it.see(() -> queue.addAll(items));
            it.see(queue::size);
            it.see(queue::poll);
            it.see(() -> queue.drainTo(new ArrayList<>()));
        });
        add("destroy-and-use-again", (it, queue) -> {
            queue.add(1);
            it.act(queue::destroy);
            it.see(() -> it.client().getQueue(it.fresh()).size());
            it.see(() -> it.client().getQueue(it.fresh()).offer(2));
            it.see(() -> it.client().getQueue(it.fresh()).poll());
        });
    }

    private static int consume(IQueue<Object> queue) throws InterruptedException {
        int sum = 0;
        while (true) {
            int item = (Integer) queue.take();
            if (item < 0) {
                return sum;
            }
            sum += item;
        }
    }
}
