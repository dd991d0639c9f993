import com.hazelcast.ringbuffer.OverflowPolicy;
import com.hazelcast.ringbuffer.ReadResultSet;
import com.hazelcast.ringbuffer.Ringbuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;

/** Ringbuffers. */
final class Ringbuffers {
    private Ringbuffers() {}

    private interface Body {
        void run(Case it, Ringbuffer<Object> ring) throws Exception;
    }

    private static void add(String name, Body body) {
        Main.add("ringbuffer." + name, it -> body.run(it, it.client().getRingbuffer(it.fresh())));
    }

    private static void see(Case it, ReadResultSet<Object> result) {
        List<Object> items = new ArrayList<>();
        for (int index = 0; index < result.size(); index++) {
            items.add(result.get(index));
        }
        it.note(items);
        it.note(result.readCount());
        it.note(result.getNextSequenceToReadFrom());
        it.note(result.size() == 0 ? null : result.getSequence(result.size() - 1));
    }

    private static ReadResultSet<Object> read(Ringbuffer<Object> ring, long start, int min, int max) throws Exception {
        return ring.readManyAsync(start, min, max, null).toCompletableFuture().get(15, TimeUnit.SECONDS);
    }

    static void add() {
        add("new", (it, ring) -> {
            it.see(ring::capacity);
            it.see(ring::size);
            it.see(ring::headSequence);
            it.see(ring::tailSequence);
            it.see(ring::remainingCapacity);
        });
        add("add-and-read", (it, ring) -> {
            it.see(() -> ring.add("a"));
            it.see(() -> ring.add("b"));
            it.see(() -> ring.readOne(0));
            it.see(() -> ring.readOne(1));
            it.see(ring::size);
            it.see(ring::headSequence);
            it.see(ring::tailSequence);
            it.see(ring::remainingCapacity);
            it.see(() -> ring.readOne(-1));
            it.see(() -> ring.readOne(3));
        });
        add("add-with-policy", (it, ring) -> {
            it.see(() -> ring.addAsync("a", OverflowPolicy.FAIL).toCompletableFuture().get());
            it.see(() -> ring.addAsync("b", OverflowPolicy.OVERWRITE).toCompletableFuture().get());
            it.see(() -> ring.addAllAsync(List.of("c", "d"), OverflowPolicy.FAIL).toCompletableFuture().get());
            it.see(() -> ring.addAllAsync(List.of(), OverflowPolicy.FAIL).toCompletableFuture().get());
            it.see(() -> ring.addAsync(null, OverflowPolicy.FAIL).toCompletableFuture().get());
            it.see(ring::size);
        });
        add("read-many", (it, ring) -> {
            ring.addAllAsync(List.of(0, 1, 2, 3, 4, 5), OverflowPolicy.OVERWRITE).toCompletableFuture().get();
            see(it, read(ring, 0, 1, 10));
            see(it, read(ring, 2, 0, 3));
            see(it, read(ring, -3, 0, 2));
            it.see(() -> read(ring, 0, 5, 3));
            it.see(() -> read(ring, 0, -1, 3));
            it.see(() -> read(ring, 0, 0, 20_000));
            it.see(() -> read(ring, 8, 0, 1).size());
        });
        add("read-many-after-the-tail", (it, ring) -> {
            ring.add(1);
            see(it, read(ring, 1, 0, 3));
        });
        add("read-with-filter", (it, ring) -> {
            ring.add(1);
            it.see(() -> ring.readManyAsync(0, 0, 5, item -> item.equals(1)).toCompletableFuture().get().size());
        });
        add("a-reader-is-woken", (it, ring) -> {
            FutureTask<Object> waiting = it.start(() -> ring.readOne(0));
            Thread.sleep(300);
            it.note(waiting.isDone());
            ring.add("x");
            it.seeEnd(waiting);
        });
        add("a-reader-of-several-is-woken", (it, ring) -> {
            Ringbuffer<Object> other = it.another().getRingbuffer(it.fresh());
            FutureTask<Object> waiting = it.start(() -> read(other, 0, 3, 5).readCount());
            ring.add(1);
            ring.add(2);
            Thread.sleep(300);
            it.note(waiting.isDone());
            ring.add(3);
            it.seeEnd(waiting);
        });
        add("overwrites-the-oldest", (it, ring) -> {
            for (int part = 0; part < 12; part++) {
                List<Object> items = new ArrayList<>();
                for (int item = 0; item < 1_000; item++) {
                    items.add(part * 1_000 + item);
                }
                ring.addAllAsync(items, OverflowPolicy.OVERWRITE).toCompletableFuture().get();
            }
            it.see(ring::size);
            it.see(ring::headSequence);
            it.see(ring::tailSequence);
            it.see(() -> ring.readOne(0));
            it.see(() -> ring.readOne(2_000));
            it.see(() -> ring.readOne(11_999));
            see(it, read(ring, 0, 1, 2));
            it.see(() -> ring.addAsync("more", OverflowPolicy.FAIL).toCompletableFuture().get());
        });
        add("items-of-all-kinds", (it, ring) -> {
            ring.addAllAsync(List.of("", 1L, new Types.JavaPoint(1, 2), new byte[0],
                    new Types.CompactPerson("Ann", 1, true, null, null)), OverflowPolicy.OVERWRITE)
                    .toCompletableFuture().get();
            see(it, read(ring, 0, 5, 5));
        });
        add("destroy-and-use-again", (it, ring) -> {
            ring.add(1);
            it.act(ring::destroy);
            it.see(() -> it.client().getRingbuffer(it.fresh()).tailSequence());
            it.see(() -> it.client().getRingbuffer(it.fresh()).add(1));
        });
    }
}
