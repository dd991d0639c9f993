import static com.hazelcast.query.Predicates.alwaysFalse;
import static com.hazelcast.query.Predicates.alwaysTrue;
import static com.hazelcast.query.Predicates.and;
import static com.hazelcast.query.Predicates.between;
import static com.hazelcast.query.Predicates.equal;
import static com.hazelcast.query.Predicates.greaterEqual;
import static com.hazelcast.query.Predicates.greaterThan;
import static com.hazelcast.query.Predicates.ilike;
import static com.hazelcast.query.Predicates.in;
import static com.hazelcast.query.Predicates.lessEqual;
import static com.hazelcast.query.Predicates.lessThan;
import static com.hazelcast.query.Predicates.like;
import static com.hazelcast.query.Predicates.not;
import static com.hazelcast.query.Predicates.notEqual;
import static com.hazelcast.query.Predicates.or;
import static com.hazelcast.query.Predicates.pagingPredicate;
import static com.hazelcast.query.Predicates.regex;
import static com.hazelcast.query.Predicates.sql;

import com.hazelcast.core.HazelcastJsonValue;
import com.hazelcast.map.IMap;
import com.hazelcast.query.PagingPredicate;
import com.hazelcast.query.Predicate;
import com.hazelcast.query.PredicateBuilder;
import com.hazelcast.query.Predicates;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.function.Supplier;

/** Predicates on JSON, portable and compact objects, and on keys and plain values; pages. */
final class MapQueries {
    private MapQueries() {}

    private static final String[] NAMES = {"Ann", "Bob", "ann", "Cem", "Dörte", ""};
    private static final int[] AGES = {30, 40, 30, 7, -1, 99};

    /** Fills a map with people in one of the formats. */
    static void people(IMap<Object, Object> map, String format) {
        for (int index = 0; index < NAMES.length; index++) {
            String name = NAMES[index];
            int age = AGES[index];
            boolean active = index % 2 == 0;
            double height = 1.5 + index / 8.0;
            map.set(index, switch (format) {
                case "json" -> new HazelcastJsonValue("{\"name\": \"" + name + "\", \"age\": " + age
                        + ", \"active\": " + active + ", \"height\": " + height + ", \"marks\": [" + index
                        + ", 5], \"home\": {\"city\": \"c" + index % 3 + "\"}, \"none\": null}");
                case "portable" -> new Types.PortablePerson(name, age, active, height, index, 5);
                default -> new Types.CompactPerson(name, age, active, height, new long[] {index, 5});
            });
        }
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static Map<String, Supplier<Predicate<Object, Object>>> predicates() {
        Map<String, Supplier<Predicate<Object, Object>>> all = new LinkedHashMap<>();
        all.put("true", () -> alwaysTrue());
        all.put("false", () -> alwaysFalse());
        all.put("equal", () -> equal("name", "Ann"));
        all.put("equal-number", () -> equal("age", 30));
        all.put("equal-long", () -> equal("age", 30L));
        all.put("equal-text-of-a-number", () -> equal("age", "30"));
        all.put("equal-double", () -> equal("height", 1.5));
        all.put("equal-float", () -> equal("height", 1.5f));
        all.put("equal-boolean", () -> equal("active", true));
        all.put("equal-null", () -> equal("name", null));
        all.put("equal-empty", () -> equal("name", ""));
        all.put("equal-missing-attribute", () -> equal("nothing", 1));
        all.put("equal-nested-of-missing", () -> equal("nothing.at.all", 1));
        all.put("equal-item", () -> equal("marks[0]", 2));
        all.put("equal-item-beyond", () -> equal("marks[9]", 2));
        all.put("equal-any-item", () -> equal("marks[any]", 3));
        all.put("not-equal", () -> notEqual("name", "Ann"));
        all.put("not-equal-null", () -> notEqual("name", null));
        all.put("greater", () -> greaterThan("age", 30));
        all.put("greater-equal", () -> greaterEqual("age", 30));
        all.put("less", () -> lessThan("age", 30));
        all.put("less-equal", () -> lessEqual("age", 30));
        all.put("greater-text", () -> greaterThan("name", "B"));
        all.put("less-double", () -> lessThan("height", 1.75));
        all.put("greater-null", () -> greaterThan("age", null));
        all.put("between", () -> between("age", 7, 40));
        all.put("between-reversed", () -> between("age", 40, 7));
        all.put("between-texts", () -> between("name", "A", "C"));
        all.put("in", () -> in("name", "Ann", "Cem", "nobody"));
        all.put("in-numbers", () -> in("age", 7, 99L, "40"));
        all.put("in-nothing", () -> in("age"));
        all.put("like-start", () -> like("name", "A%"));
        all.put("like-one", () -> like("name", "_nn"));
        all.put("like-all", () -> like("name", "%"));
        all.put("like-escaped", () -> like("name", "A\\%"));
        all.put("like-unicode", () -> like("name", "D_rt%"));
        all.put("like-number", () -> like("age", "3%"));
        all.put("ilike", () -> ilike("name", "ANN"));
        all.put("ilike-end", () -> ilike("name", "%N"));
        all.put("regex", () -> regex("name", "[A-C].*"));
        all.put("regex-part", () -> regex("name", "nn"));
        all.put("regex-wrong", () -> regex("name", "("));
        all.put("and", () -> and(equal("age", 30), equal("name", "ann")));
        all.put("and-of-nothing", () -> and());
        all.put("or", () -> or(equal("age", 7), lessThan("age", 0)));
        all.put("or-of-nothing", () -> or());
        all.put("not", () -> not(equal("age", 30)));
        all.put("not-not", () -> not(not(between("age", 0, 10))));
        all.put("key", () -> greaterThan("__key", 3));
        all.put("builder", () -> {
            PredicateBuilder.EntryObject entry = Predicates.newPredicateBuilder().getEntryObject();
            return (Predicate) entry.get("age").greaterThan(7).and(entry.is("active"));
        });
        all.put("builder-key", () -> {
            PredicateBuilder.EntryObject entry = Predicates.newPredicateBuilder().getEntryObject();
            return (Predicate) entry.key().lessThan(2).or(entry.get("age").in(99, 7));
        });
        all.put("sql", () -> sql("age >= 30 and (name like 'A%' or active = false)"));
        all.put("sql-between", () -> sql("age between 7 and 40"));
        all.put("sql-in", () -> sql("name in ('Ann', 'Bob')"));
        all.put("sql-not", () -> sql("not (age > 30) and name != 'Ann'"));
        all.put("sql-key", () -> sql("__key < 2"));
        all.put("sql-ilike-regex", () -> sql("name ilike 'ann' and name regex '[a-z]+'"));
        all.put("sql-wrong", () -> sql("age >>> and"));
        return all;
    }

    /** A comparator of the application. */
    static final class ByValueReversed implements Comparator<Map.Entry<Object, Object>>, Serializable {
        @Override
        @SuppressWarnings({"unchecked", "rawtypes"})
        public int compare(Map.Entry<Object, Object> one, Map.Entry<Object, Object> two) {
            return ((Comparable) two.getValue()).compareTo(one.getValue());
        }
    }

    private static void add(String name, MapBasics.Body body) {
        MapBasics.add("query-" + name, body);
    }

    static void add() {
        for (String format : new String[] {"json", "portable", "compact"}) {
            predicates().forEach((name, predicate) -> add(format + "-" + name, (it, map) -> {
                people(map, format);
                it.see(() -> map.keySet(predicate.get()));
            }));
        }
        add("json-nested", (it, map) -> {
            people(map, "json");
            it.see(() -> map.keySet(equal("home.city", "c1")));
            it.see(() -> map.keySet(equal("home", "c1")));
            it.see(() -> map.keySet(equal("none", null)));
            it.see(() -> map.keySet(equal("home.city.deeper", null)));
        });
        add("json-values-and-entries", (it, map) -> {
            people(map, "json");
            it.note(Text.sorted(map.values(equal("age", 30))));
            it.see(() -> map.entrySet(equal("age", 7)));
        });
        add("json-that-is-no-object", (it, map) -> {
            for (String json : List.of("1", "\"text\"", "[1, 2]", "null", "true", "{}", "{\"a\": 1, \"a\": 2}")) {
                map.set(json, new HazelcastJsonValue(json));
            }
            it.see(() -> map.keySet(equal("a", 1)));
            it.see(() -> map.keySet(equal("[0]", 1)));
            it.see(() -> map.keySet(notEqual("a", 1)));
        });
        add("json-malformed", (it, map) -> {
            map.set("good", new HazelcastJsonValue("{\"a\": 1}"));
            map.set("bad", new HazelcastJsonValue("{\"a\": "));
            it.see(() -> map.keySet(equal("a", 1)));
            it.see(() -> map.get("bad"));
        });
        add("json-numbers", (it, map) -> {
            for (String number : List.of("1", "1.0", "9223372036854775807", "0.1")) {
                map.set(number, new HazelcastJsonValue("{\"a\": " + number + "}"));
            }
            it.see(() -> map.keySet(equal("a", 1)));
            it.see(() -> map.keySet(equal("a", 1.0)));
            it.see(() -> map.keySet(equal("a", 0)));
            it.see(() -> map.keySet(greaterThan("a", 1)));
            it.see(() -> map.keySet(equal("a", Long.MAX_VALUE)));
            it.see(() -> map.keySet(lessThan("a", 0.5)));
        });
        add("json-number-with-exponent", (it, map) -> {
            map.set("k", new HazelcastJsonValue("{\"a\": 1e0}"));
            it.see(() -> map.keySet(equal("a", 1)));
        });
        add("json-number-negative-zero", (it, map) -> {
            map.set("k", new HazelcastJsonValue("{\"a\": -0}"));
            it.see(() -> map.keySet(equal("a", 0)));
        });
        add("json-number-beyond-long", (it, map) -> {
            map.set("k", new HazelcastJsonValue("{\"a\": 9223372036854775808}"));
            it.see(() -> map.keySet(greaterThan("a", 1)));
        });
        add("json-keys", (it, map) -> {
            map.set(new HazelcastJsonValue("{\"id\": 1}"), "one");
            map.set(new HazelcastJsonValue("{\"id\": 2}"), "two");
            it.note(Text.sorted(map.values(equal("__key.id", 2))));
            it.note(Text.sorted(map.values(equal("__key#id", 1))));
        });
        add("portable-keys", (it, map) -> {
            map.set(new Types.PortablePerson("Ann", 1, true, 1), "one");
            map.set(new Types.PortablePerson("Bob", 2, true, 1), "two");
            it.note(Text.sorted(map.values(equal("__key.age", 2))));
            it.note(Text.sorted(map.values(equal("__key#name", "Ann"))));
        });
        add("plain-values", (it, map) -> {
            MapBasics.fill(map, 10);
            it.see(() -> map.keySet(equal("this", 3)));
            it.see(() -> map.keySet(equal("this", 3L)));
            it.see(() -> map.keySet(greaterThan("this", 7)));
            it.see(() -> map.keySet(in("this", 1, 2)));
            it.see(() -> map.keySet(equal("__key", "k4")));
            it.see(() -> map.keySet(like("__key", "k%")).size());
            it.see(() -> map.keySet(sql("this between 2 and 4")));
            it.see(() -> map.keySet(equal("none", 1)));
        });
        add("text-values", (it, map) -> {
            for (String text : List.of("", "a", "A", "ab", "a%b", "ä", "a\nb", "日本")) {
                map.set(text, text);
            }
            it.see(() -> map.keySet(like("this", "a%")));
            it.see(() -> map.keySet(like("this", "a\\%b")));
            it.see(() -> map.keySet(like("this", "_")));
            it.see(() -> map.keySet(ilike("this", "a")));
            it.see(() -> map.keySet(ilike("this", "Ä")));
            it.see(() -> map.keySet(regex("this", "a.*")));
            it.see(() -> map.keySet(regex("this", "\\p{L}+")));
            it.see(() -> map.keySet(greaterThan("this", "a")));
            it.see(() -> map.keySet(equal("this", "")));
        });
        add("values-of-other-types", (it, map) -> {
            UUID id = new UUID(0, 5);
            map.set("uuid", id);
            it.see(() -> map.keySet(equal("this", id)));
            map.clear();
            map.set("date", java.time.LocalDate.of(2024, 1, 2));
            it.see(() -> map.keySet(greaterThan("this", java.time.LocalDate.of(2024, 1, 1))));
            map.clear();
            map.set("big", new java.math.BigDecimal("1.50"));
            it.see(() -> map.keySet(equal("this", new java.math.BigDecimal("1.5"))));
            it.see(() -> map.keySet(lessThan("this", new java.math.BigDecimal("1.6"))));
            map.clear();
            map.set("char", 'x');
            it.see(() -> map.keySet(equal("this", 'x')));
            map.clear();
            map.set("short", (short) 5);
            it.see(() -> map.keySet(equal("this", 5)));
            it.see(() -> map.keySet(lessThan("this", 5.5)));
        });
        add("enum", (it, map) -> {
            map.set("red", Types.Colour.RED);
            map.set("green", Types.Colour.GREEN);
            it.see(() -> map.keySet(equal("this", Types.Colour.RED)));
            it.see(() -> map.keySet(in("this", Types.Colour.RED, Types.Colour.GREEN)));
        });
        add("objects-of-java", (it, map) -> {
            map.set("a", new Types.JavaPoint(1, 2));
            map.set("b", new Types.JavaPoint(3, 4));
            it.see(() -> map.keySet(equal("x", 1)));
        });
        add("instance-of", (it, map) -> {
            map.set("a", 1);
            map.set("b", "text");
            it.see(() -> map.keySet(Predicates.instanceOf(String.class)));
        });
        add("class-of-the-application", (it, map) -> {
            map.set("a", 1);
            map.set("b", 2);
            it.see(() -> map.keySet((Predicate<Object, Object> & Serializable) entry -> entry.getValue().equals(1)));
        });
        add("of-one-partition", (it, map) -> {
            MapBasics.fill(map, 50);
            it.see(() -> map.keySet(Predicates.partitionPredicate("k5", equal("__key", "k5"))));
            it.see(() -> map.keySet(Predicates.partitionPredicate("k5", Predicates.<Object, Object>alwaysTrue()))
                    .contains("k5"));
        });
        add("of-several-partitions", (it, map) -> {
            MapBasics.fill(map, 50);
            it.see(() -> map.keySet(Predicates.multiPartitionPredicate(Set.of("k5", "k6"),
                    in("__key", "k5", "k6", "k7"))).containsAll(Set.of("k5", "k6")));
        });
        add("remove-all", (it, map) -> {
            people(map, "json");
            it.act(() -> map.removeAll(equal("age", 30)));
            it.see(map::keySet);
            it.act(() -> map.removeAll(alwaysFalse()));
            it.act(() -> map.removeAll(alwaysTrue()));
            it.see(map::size);
        });
        add("null-predicate", (it, map) -> {
            it.see(() -> map.keySet(null));
            it.see(() -> map.values((Predicate<Object, Object>) null));
            it.act(() -> map.removeAll(null));
        });
        add("deep", (it, map) -> {
            MapBasics.fill(map, 10);
            it.see(() -> {
                Predicate<Object, Object> predicate = equal("this", 1);
                for (int depth = 0; depth < 50; depth++) {
                    predicate = depth % 2 == 0 ? not(predicate) : or(predicate, equal("this", 2));
                }
                return map.keySet(predicate);
            });
        });
        add("in-many", (it, map) -> {
            MapBasics.fill(map, 20);
            Integer[] values = new Integer[5_000];
            for (int index = 0; index < values.length; index++) {
                values[index] = index * 2;
            }
            it.see(() -> map.keySet(in("this", values)));
        });
        add("large-result", (it, map) -> {
            MapBasics.fill(map, 5_000);
            it.see(() -> map.keySet(greaterEqual("this", 0)).size());
            it.see(() -> map.values(lessThan("this", 2_500)).size());
            it.see(() -> map.entrySet(lessThan("this", 10)));
        });
        pages();
    }

    private static void pages() {
        add("pages-of-keys", (it, map) -> {
            for (int index = 0; index < 25; index++) {
                map.set(index, index * 2);
            }
            PagingPredicate<Object, Object> page = pagingPredicate(10);
            for (int number = 0; number < 4; number++) {
                it.see(() -> new ArrayList<>(map.keySet(page)));
                page.nextPage();
            }
            page.previousPage();
            page.previousPage();
            it.see(() -> new ArrayList<>(map.keySet(page)));
            page.setPage(0);
            it.see(() -> new ArrayList<>(map.keySet(page)));
            page.reset();
            it.note(page.getPage());
        });
        add("pages-of-values", (it, map) -> {
            for (int index = 0; index < 12; index++) {
                map.set(index, 100 - index);
            }
            PagingPredicate<Object, Object> page = pagingPredicate(5);
            for (int number = 0; number < 3; number++) {
                it.see(() -> new ArrayList<>(map.values(page)));
                page.nextPage();
            }
        });
        add("pages-with-predicate", (it, map) -> {
            for (int index = 0; index < 30; index++) {
                map.set("k" + (10 + index), index);
            }
            PagingPredicate<Object, Object> page = pagingPredicate(greaterThan("this", 9), 7);
            for (int number = 0; number < 4; number++) {
                it.see(() -> new ArrayList<>(map.keySet(page)));
                page.nextPage();
            }
            PagingPredicate<Object, Object> far = pagingPredicate(7);
            far.setPage(3);
            it.see(() -> new ArrayList<>(map.keySet(far)));
        });
        add("pages-of-entries", (it, map) -> {
            for (int index = 0; index < 9; index++) {
                map.set(index, "v" + index);
            }
            PagingPredicate<Object, Object> page = pagingPredicate(4);
            it.see(() -> new ArrayList<>(map.entrySet(page)));
            page.nextPage();
            it.see(() -> new ArrayList<>(map.entrySet(page)));
        });
        add("pages-of-compact", (it, map) -> {
            people(map, "compact");
            PagingPredicate<Object, Object> page = pagingPredicate(greaterThan("age", 0), 3);
            it.see(() -> new ArrayList<>(map.keySet(page)));
            page.nextPage();
            it.see(() -> new ArrayList<>(map.keySet(page)));
        });
        add("pages-of-portable-values", (it, map) -> {
            people(map, "portable");
            PagingPredicate<Object, Object> page = pagingPredicate(greaterThan("age", 0), 3);
            it.see(() -> map.values(page).size());
            page.nextPage();
            it.see(() -> map.values(page).size());
        });
        add("pages-of-json-values", (it, map) -> {
            people(map, "json");
            PagingPredicate<Object, Object> page = pagingPredicate(greaterThan("age", 0), 3);
            it.see(() -> new ArrayList<>(map.values(page)));
            it.see(() -> new ArrayList<>(map.keySet(page)));
        });
        add("pages-with-comparator", (it, map) -> {
            MapBasics.fill(map, 10);
            PagingPredicate<Object, Object> page = pagingPredicate(new ByValueReversed(), 4);
            it.see(() -> new ArrayList<>(map.values(page)));
        });
        add("pages-of-an-empty-map", (it, map) -> {
            PagingPredicate<Object, Object> page = pagingPredicate(4);
            it.see(() -> map.keySet(page));
            page.nextPage();
            it.see(() -> map.values(page));
        });
        add("pages-of-size-zero", (it, map) -> it.see(() -> map.keySet(pagingPredicate(0))));
    }
}
