import java.util.concurrent.atomic.AtomicInteger;
import org.springframework.cache.CacheManager;
import org.springframework.cache.annotation.CacheEvict;
import org.springframework.cache.annotation.Cacheable;
import org.springframework.cache.annotation.EnableCaching;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.data.redis.cache.RedisCacheManager;
import org.springframework.data.redis.connection.RedisConnectionFactory;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

/** Spring Cache: a method whose results are cached and evicted. */
public final class SpringCache {
    /** For a write that the cache sends without waiting for it. */
    private static final long WRITTEN_MAX = 5_000;

    private SpringCache() {}

    /** Counts the calls that the cache does not spare. */
    public static class Prices {
        final AtomicInteger calls = new AtomicInteger();

        @Cacheable("prices")
        public Integer of(int n) {
            calls.incrementAndGet();
            return n * 2;
        }

        @CacheEvict("prices")
        public void change(int n) {}

        public int calls() {
            return calls.get();
        }
    }

    /** The beans of an application. */
    @Configuration
    @EnableCaching
    public static class Application {
        @Bean
        public LettuceConnectionFactory factory() {
            return new LettuceConnectionFactory(Job.HOST, Job.ports().get(0));
        }

        @Bean
        public CacheManager cacheManager(RedisConnectionFactory factory) {
            return RedisCacheManager.create(factory);
        }

        @Bean
        public Prices prices() {
            return new Prices();
        }
    }

    public static void main(String[] arguments) {
        Prices prices = new AnnotationConfigApplicationContext(Application.class).getBean(Prices.class);
        Job.run(n -> {
            Job.check(prices.of(n) == n * 2, "the first call");
            Job.waitFor("value in the cache", WRITTEN_MAX, () -> {
                int before = prices.calls();
                Job.check(prices.of(n) == n * 2, "a later call");
                return prices.calls() == before;
            });
            prices.change(n);
            Job.waitFor("eviction", WRITTEN_MAX, () -> {
                int before = prices.calls();
                Job.check(prices.of(n) == n * 2, "a call after the eviction");
                return prices.calls() > before;
            });
        }, null);
    }
}
