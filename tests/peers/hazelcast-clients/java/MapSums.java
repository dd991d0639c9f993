import com.hazelcast.aggregation.Aggregator;
import com.hazelcast.aggregation.Aggregators;
import com.hazelcast.map.IMap;
import com.hazelcast.projection.Projection;
import com.hazelcast.projection.Projections;
import com.hazelcast.query.Predicates;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;

/** Aggregations and projections. */
final class MapSums {
    private MapSums() {}

    private static void add(String name, MapBasics.Body body) {
        MapBasics.add("aggregate-" + name, body);
    }

    private static Map<String, Supplier<Aggregator<Map.Entry<Object, Object>, ?>>> ofPeople() {
        Map<String, Supplier<Aggregator<Map.Entry<Object, Object>, ?>>> all = new LinkedHashMap<>();
        all.put("count", () -> Aggregators.count());
        all.put("count-attribute", () -> Aggregators.count("age"));
        all.put("count-missing", () -> Aggregators.count("nothing"));
        all.put("distinct", () -> Aggregators.distinct("age"));
        all.put("distinct-booleans", () -> Aggregators.distinct("active"));
        all.put("integer-sum", () -> Aggregators.integerSum("age"));
        all.put("long-sum-of-integers", () -> Aggregators.longSum("age"));
        all.put("fixed-point-sum", () -> Aggregators.fixedPointSum("age"));
        all.put("floating-point-sum", () -> Aggregators.floatingPointSum("age"));
        all.put("integer-avg", () -> Aggregators.integerAvg("age"));
        all.put("number-avg", () -> Aggregators.numberAvg("age"));
        all.put("integer-max", () -> Aggregators.integerMax("age"));
        all.put("integer-min", () -> Aggregators.integerMin("age"));
        all.put("double-max", () -> Aggregators.doubleMax("height"));
        all.put("double-min", () -> Aggregators.doubleMin("height"));
        all.put("comparable-max", () -> Aggregators.comparableMax("name"));
        all.put("comparable-min", () -> Aggregators.comparableMin("name"));
        all.put("sum-of-texts", () -> Aggregators.integerSum("name"));
        all.put("max-by", () -> Aggregators.maxBy("age"));
        all.put("sum-of-missing", () -> Aggregators.integerSum("nothing"));
        all.put("max-of-missing", () -> Aggregators.comparableMax("nothing"));
        all.put("of-items", () -> Aggregators.fixedPointSum("marks[any]"));
        return all;
    }

    static void add() {
        for (String format : new String[] {"json", "portable", "compact"}) {
            ofPeople().forEach((name, aggregator) -> add(format + "-" + name, (it, map) -> {
                MapQueries.people(map, format);
                it.see(() -> map.aggregate(aggregator.get()));
            }));
            MapBasics.add("project-" + format, (it, map) -> {
                MapQueries.people(map, format);
                project(it, map, Projections.singleAttribute("name"));
                project(it, map, Projections.singleAttribute("age"));
                project(it, map, Projections.singleAttribute("nothing"));
                project(it, map, Projections.singleAttribute("__key"));
                project(it, map, Projections.multiAttribute("name", "active"));
                it.note(Text.sorted(map.project(Projections.singleAttribute("name"),
                        Predicates.greaterThan("age", 30))));
            });
            MapBasics.add("project-items-" + format, (it, map) -> {
                MapQueries.people(map, format);
                project(it, map, Projections.singleAttribute("marks[1]"));
                project(it, map, Projections.singleAttribute("marks[any]"));
                project(it, map, Projections.singleAttribute("marks"));
            });
        }
        add("with-predicate", (it, map) -> {
            MapBasics.fill(map, 10);
            it.see(() -> map.aggregate(Aggregators.integerSum("this"), Predicates.lessThan("this", 5)));
            it.see(() -> map.aggregate(Aggregators.count(), Predicates.alwaysFalse()));
            it.see(() -> map.aggregate(Aggregators.integerMax("this"), Predicates.alwaysFalse()));
            it.see(() -> map.aggregate(Aggregators.integerAvg("this"), Predicates.alwaysFalse()));
        });
        add("of-an-empty-map", (it, map) -> {
            it.see(() -> map.aggregate(Aggregators.count()));
            it.see(() -> map.aggregate(Aggregators.integerSum("this")));
            it.see(() -> map.aggregate(Aggregators.integerAvg("this")));
            it.see(() -> map.aggregate(Aggregators.doubleMax("this")));
            it.see(() -> map.aggregate(Aggregators.distinct("this")));
            it.note(Text.sorted(map.project(Projections.singleAttribute("this"))));
        });
        add("of-longs", (it, map) -> {
            for (long value : new long[] {1, 5, -3}) {
                map.set("k" + value, value);
            }
            it.see(() -> map.aggregate(Aggregators.longSum("this")));
            it.see(() -> map.aggregate(Aggregators.longAvg("this")));
            it.see(() -> map.aggregate(Aggregators.longMax("this")));
            it.see(() -> map.aggregate(Aggregators.longMin("this")));
            it.see(() -> map.aggregate(Aggregators.integerSum("this")));
        });
        add("of-doubles", (it, map) -> {
            for (double value : new double[] {1.5, 5.25, -3}) {
                map.set("k" + value, value);
            }
            it.see(() -> map.aggregate(Aggregators.doubleSum("this")));
            it.see(() -> map.aggregate(Aggregators.doubleAvg("this")));
            it.see(() -> map.aggregate(Aggregators.doubleMax("this")));
            it.see(() -> map.aggregate(Aggregators.floatingPointSum("this")));
            it.see(() -> map.aggregate(Aggregators.fixedPointSum("this")));
        });
        add("overflow", (it, map) -> {
            map.set("a", Long.MAX_VALUE);
            map.set("b", 1L);
            it.see(() -> map.aggregate(Aggregators.longSum("this")));
            it.see(() -> map.aggregate(Aggregators.fixedPointSum("this")));
        });
        add("of-big-decimals", (it, map) -> {
            map.set("a", new BigDecimal("1.5"));
            map.set("b", new BigDecimal("2.25"));
            it.see(() -> map.aggregate(Aggregators.bigDecimalSum("this")));
            it.see(() -> map.aggregate(Aggregators.bigDecimalMax("this")));
            it.see(() -> map.aggregate(Aggregators.bigDecimalAvg("this")));
        });
        add("of-big-integers", (it, map) -> {
            map.set("a", new BigInteger("10"));
            map.set("b", new BigInteger("-3"));
            it.see(() -> map.aggregate(Aggregators.bigIntegerSum("this")));
            it.see(() -> map.aggregate(Aggregators.bigIntegerMin("this")));
        });
        add("of-the-application", (it, map) -> {
            MapBasics.fill(map, 5);
            it.see(() -> map.aggregate(new OwnSum()));
        });
        add("with-paging", (it, map) -> {
            MapBasics.fill(map, 5);
            it.see(() -> map.aggregate(Aggregators.count(), Predicates.pagingPredicate(2)));
        });
        add("null", (it, map) -> {
            it.see(() -> map.aggregate(null));
            it.see(() -> map.project(null));
        });
        MapBasics.add("project-identity", (it, map) -> {
            MapBasics.fill(map, 3);
            project(it, map, Projections.identity());
        });
        MapBasics.add("project-values", (it, map) -> {
            MapBasics.fill(map, 3);
            project(it, map, Projections.singleAttribute("this"));
            project(it, map, Projections.multiAttribute("__key", "this"));
            project(it, map, Projections.singleAttribute(""));
        });
        MapBasics.add("project-of-the-application", (it, map) -> {
            MapBasics.fill(map, 3);
            project(it, map, (Projection<Map.Entry<Object, Object>, Object>) entry -> entry.getKey() + "!");
        });
    }

    /** An aggregator of the application. */
    static final class OwnSum implements Aggregator<Map.Entry<Object, Object>, Integer> {
        private int sum;

        @Override
        public void accumulate(Map.Entry<Object, Object> entry) {
            sum += (Integer) entry.getValue();
        }

        @Override
        @SuppressWarnings("rawtypes")
        public void combine(Aggregator other) {
            sum += ((OwnSum) other).sum;
        }

        @Override
        public Integer aggregate() {
            return sum;
        }
    }

    private static void project(Case it, IMap<Object, Object> map,
            Projection<Map.Entry<Object, Object>, ?> projection) {
        it.see(() -> {
            Collection<?> found = map.project(projection);
            Object[] all = found.toArray();
            Arrays.sort(all, (one, two) -> Text.of(one).compareTo(Text.of(two)));
            return all;
        });
    }
}
