import com.hazelcast.client.config.ClientConfig;
import com.hazelcast.client.config.ClientFlakeIdGeneratorConfig;
import com.hazelcast.crdt.pncounter.PNCounter;
import com.hazelcast.flakeidgen.FlakeIdGenerator;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;

/** Counters and generators of ids. */
final class Numbers {
    private Numbers() {}

    private static PNCounter counter(Case it) {
        return it.client().getPNCounter(it.fresh());
    }

    static void add() {
        Main.add("counter.operations", it -> {
            PNCounter counter = counter(it);
            it.see(counter::get);
            it.see(() -> counter.addAndGet(5));
            it.see(() -> counter.getAndAdd(3));
            it.see(counter::incrementAndGet);
            it.see(counter::getAndIncrement);
            it.see(counter::decrementAndGet);
            it.see(counter::getAndDecrement);
            it.see(() -> counter.subtractAndGet(10));
            it.see(() -> counter.getAndSubtract(-4));
            it.see(() -> counter.addAndGet(0));
            it.see(counter::get);
            it.act(counter::reset);
            it.see(counter::get);
        });
        Main.add("counter.bounds", it -> {
            PNCounter counter = counter(it);
            it.see(() -> counter.addAndGet(Long.MAX_VALUE));
            it.see(() -> counter.addAndGet(1));
            it.see(() -> counter.subtractAndGet(Long.MAX_VALUE));
        });
        Main.add("counter.of-several-clients", it -> {
            PNCounter counter = counter(it);
            PNCounter other = it.another().getPNCounter(it.fresh());
            FutureTask<Object> one = it.start(() -> addMany(counter));
            FutureTask<Object> two = it.start(() -> addMany(other));
            it.seeEnd(one);
            it.seeEnd(two);
            it.await(() -> counter.get() == 200 && other.get() == 200);
        });
        Main.add("counter.destroy-and-use-again", it -> {
            PNCounter counter = counter(it);
            counter.addAndGet(5);
            it.act(counter::destroy);
            it.see(() -> it.another().getPNCounter(it.fresh()).get());
            it.see(() -> it.another().getPNCounter(it.fresh()).addAndGet(1));
        });
        Main.add("ids.are-unique", it -> {
            FlakeIdGenerator ids = it.client().getFlakeIdGenerator(it.fresh());
            Set<Long> seen = ConcurrentHashMap.newKeySet();
            for (int count = 0; count < 500; count++) {
                seen.add(ids.newId());
            }
            it.note(seen.size());
            it.note(seen.stream().allMatch(id -> id > 0));
        });
        Main.add("ids.of-several-clients", it -> {
            Set<Long> seen = ConcurrentHashMap.newKeySet();
            List<FutureTask<Object>> tasks = new ArrayList<>();
            for (int client = 0; client < 3; client++) {
                FlakeIdGenerator ids = it.another().getFlakeIdGenerator(it.fresh());
                tasks.add(it.start(() -> {
                    for (int count = 0; count < 300; count++) {
                        seen.add(ids.newId());
                    }
                    return null;
                }));
            }
            for (FutureTask<Object> task : tasks) {
                task.get(20, TimeUnit.SECONDS);
            }
            it.note(seen.size());
        });
        Main.add("ids.batches", it -> {
            ClientConfig config = Main.config();
            config.addFlakeIdGeneratorConfig(new ClientFlakeIdGeneratorConfig("*").setPrefetchCount(1));
            FlakeIdGenerator one = it.another(config).getFlakeIdGenerator(it.fresh());
            it.note(one.newId() != one.newId());
            config.addFlakeIdGeneratorConfig(new ClientFlakeIdGeneratorConfig("*").setPrefetchCount(100_000));
            FlakeIdGenerator large = it.another(config).getFlakeIdGenerator(it.fresh());
            it.note(large.newId() != large.newId());
        });
        Main.add("ids.destroy-and-use-again", it -> {
            FlakeIdGenerator ids = it.client().getFlakeIdGenerator(it.fresh());
            it.see(() -> ids.newId() > 0);
            it.act(ids::destroy);
            it.see(() -> it.client().getFlakeIdGenerator(it.fresh()).newId() > 0);
        });
    }

    private static Object addMany(PNCounter counter) {
        for (int count = 0; count < 100; count++) {
            counter.incrementAndGet();
        }
        return "added";
    }
}
