import com.hazelcast.config.SerializationConfig;
import com.hazelcast.core.HazelcastJsonValue;
import com.hazelcast.map.IMap;
import com.hazelcast.nio.serialization.Portable;
import com.hazelcast.nio.serialization.PortableReader;
import com.hazelcast.nio.serialization.PortableWriter;
import com.hazelcast.nio.serialization.compact.CompactReader;
import com.hazelcast.nio.serialization.compact.CompactSerializer;
import com.hazelcast.nio.serialization.compact.CompactWriter;
import java.io.IOException;
import java.io.Serializable;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.UUID;

/** The types of keys and values: those that Java's client serializes, and objects of the application. */
final class Types {
    private static final int FACTORY = 1;
    private static final int PERSON = 1;

    private Types() {}

    /** A person, as a portable object. */
    static final class PortablePerson implements Portable, Comparable<PortablePerson> {
        String name;
        int age;
        boolean active;
        double height;
        long[] marks;

        PortablePerson() {}

        PortablePerson(String name, int age, boolean active, double height, long... marks) {
            this.name = name;
            this.age = age;
            this.active = active;
            this.height = height;
            this.marks = marks;
        }

        @Override
        public int getFactoryId() {
            return FACTORY;
        }

        @Override
        public int getClassId() {
            return PERSON;
        }

        @Override
        public void writePortable(PortableWriter writer) throws IOException {
            writer.writeString("name", name);
            writer.writeInt("age", age);
            writer.writeBoolean("active", active);
            writer.writeDouble("height", height);
            writer.writeLongArray("marks", marks);
        }

        @Override
        public void readPortable(PortableReader reader) throws IOException {
            name = reader.readString("name");
            age = reader.readInt("age");
            active = reader.readBoolean("active");
            height = reader.readDouble("height");
            marks = reader.readLongArray("marks");
        }

        @Override
        public int compareTo(PortablePerson other) {
            return Integer.compare(age, other.age);
        }

        @Override
        public String toString() {
            return "portable " + name + " " + age;
        }
    }

    /** A person, as a compact record. */
    record CompactPerson(String name, int age, boolean active, Double height, long[] marks) {
        @Override
        public String toString() {
            return "compact " + name + " " + age;
        }
    }

    /** Its serializer. */
    static final class PersonSerializer implements CompactSerializer<CompactPerson> {
        @Override
        public CompactPerson read(CompactReader reader) {
            return new CompactPerson(reader.readString("name"), reader.readInt32("age"),
                    reader.readBoolean("active"), reader.readNullableFloat64("height"),
                    reader.readArrayOfInt64("marks"));
        }

        @Override
        public void write(CompactWriter writer, CompactPerson person) {
            writer.writeString("name", person.name());
            writer.writeInt32("age", person.age());
            writer.writeBoolean("active", person.active());
            writer.writeNullableFloat64("height", person.height());
            writer.writeArrayOfInt64("marks", person.marks());
        }

        @Override
        public String getTypeName() {
            return "person";
        }

        @Override
        public Class<CompactPerson> getCompactClass() {
            return CompactPerson.class;
        }
    }

    /** An object in Java's own serialization. */
    record JavaPoint(int x, int y) implements Serializable {}

    /** An enumeration, which is a compact record by default. */
    enum Colour { RED, GREEN }

    static void configure(SerializationConfig config) {
        config.addPortableFactory(FACTORY, kind -> kind == PERSON ? new PortablePerson() : null);
        config.getCompactSerializationConfig().addSerializer(new PersonSerializer());
    }

    /** One value of each type. */
    private static Map<String, Object> values() {
        Map<String, Object> values = new LinkedHashMap<>();
        values.put("boolean", true);
        values.put("byte", (byte) -7);
        values.put("char", 'ä');
        values.put("short", (short) -300);
        values.put("int", Integer.MIN_VALUE);
        values.put("long", Long.MAX_VALUE);
        values.put("float", 1.5f);
        values.put("float-nan", Float.NaN);
        values.put("double", -0.0);
        values.put("double-infinite", Double.NEGATIVE_INFINITY);
        values.put("string", "grüße, 日本, \uD83D\uDE00");
        values.put("string-empty", "");
        values.put("string-with-zero", "a\u0000b");
        values.put("uuid", new UUID(1, -2));
        values.put("date", new Date(1_700_000_000_000L));
        values.put("big-integer", new BigInteger("-123456789012345678901234567890"));
        values.put("big-decimal", new BigDecimal("-12345678901234567890.5000"));
        values.put("local-date", LocalDate.of(2024, 2, 29));
        values.put("local-time", LocalTime.of(23, 59, 58, 7));
        values.put("local-date-time", LocalDateTime.of(-44, 3, 15, 12, 0));
        values.put("offset-date-time", OffsetDateTime.of(2024, 1, 2, 3, 4, 5, 6, ZoneOffset.ofHours(-7)));
        values.put("class", String.class);
        values.put("json", new HazelcastJsonValue("{\"a\": [1, 2.5, null, \"ü\"]}"));
        values.put("portable", new PortablePerson("Ann", 30, true, 1.7, 1, 2));
        values.put("compact", new CompactPerson("Bob", 40, false, null, new long[] {3}));
        values.put("java", new JavaPoint(1, -1));
        values.put("enum", Colour.GREEN);
        values.put("array-list", new ArrayList<>(Arrays.asList(1, "two", null, 4L)));
        values.put("linked-list", new LinkedList<>(List.of("a", "b")));
        values.put("tree-set", new TreeSet<>(List.of(3, 1, 2)));
        values.put("map", new LinkedHashMap<>(Map.of("a", 1)));
        values.put("bytes", new byte[] {0, 1, -1});
        values.put("bytes-empty", new byte[0]);
        values.put("booleans", new boolean[] {true, false});
        values.put("chars", new char[] {'a', 'ß'});
        values.put("shorts", new short[] {1, -1});
        values.put("ints", new int[] {1, -1});
        values.put("longs", new long[] {1, -1});
        values.put("floats", new float[] {1, -1});
        values.put("doubles", new double[] {1, -1});
        values.put("strings", new String[] {"a", "", "ü"});
        values.put("objects", new Object[] {1, "a"});
        return values;
    }

    static void add() {
        values().forEach((type, value) -> {
            Main.add("types.key-" + type, it -> key(it, value));
            Main.add("types.value-" + type, it -> value(it, value));
        });
        Main.add("types.all-keys-in-one-map", it -> {
            IMap<Object, Object> map = it.client().getMap(it.fresh());
            values().forEach(map::set);
            values().forEach((type, value) -> map.set(value, type));
            it.see(map::size);
            it.note(Text.sorted(map.keySet()));
            it.see(() -> map.getAll(new java.util.HashSet<>(List.of(1, 1L, "a", Long.MAX_VALUE, ""))));
        });
        Main.add("types.key-of-equal-bytes-but-other-type", it -> {
            IMap<Object, Object> map = it.client().getMap(it.fresh());
            it.see(() -> map.put(0, "int"));
            it.see(() -> map.put("", "string"));
            it.see(() -> map.put(new byte[0], "bytes"));
            it.see(() -> map.put(0f, "float"));
            it.see(() -> map.put(0L, "long"));
            it.see(() -> map.put(0.0, "double"));
            it.see(map::size);
            it.see(() -> map.get(0));
            it.see(() -> map.get(""));
        });
        Main.add("types.value-large", it -> {
            IMap<Object, Object> map = it.client().getMap(it.fresh());
            byte[] large = new byte[6 << 20];
            Arrays.fill(large, (byte) 5);
            it.see(() -> map.put("k", large));
            it.see(() -> Arrays.equals(large, (byte[]) map.get("k")));
            it.see(() -> map.getEntryView("k").getKey());
            it.see(() -> map.containsValue(large));
            it.see(() -> map.remove("k", large));
        });
        Main.add("types.key-large", it -> {
            IMap<Object, Object> map = it.client().getMap(it.fresh());
            String key = "k".repeat(16_000);
            it.see(() -> map.put(key, 1));
            it.see(() -> map.get(key));
            it.see(map::keySet);
        });
        Main.add("types.key-of-20000-bytes", it -> {
            IMap<Object, Object> map = it.client().getMap(it.fresh());
            String key = "k".repeat(20_000);
            it.see(() -> map.put(key, 1));
            it.see(() -> map.get(key));
        });
        Main.add("types.name-of-unicode", it -> {
            IMap<Object, Object> map = it.client().getMap(it.fresh() + " ü/日本:{x}@y*?");
            it.see(() -> map.put("k", 1));
            it.see(map::entrySet);
            it.see(() -> map.getName().startsWith(it.fresh()));
        });
        Main.add("types.name-long", it -> {
            IMap<Object, Object> map = it.client().getMap(it.fresh() + "n".repeat(300));
            it.see(() -> map.put("k", 1));
            it.see(map::entrySet);
        });
        Main.add("types.compact-schema-of-another-client", it -> {
            IMap<Object, Object> map = it.client().getMap(it.fresh());
            map.set("k", new CompactPerson("Eve", 7, true, 1.0, new long[0]));
            it.see(() -> it.another().getMap(it.fresh()).get("k"));
            it.see(() -> it.another().getMap(it.fresh()).values());
        });
    }

    private static void key(Case it, Object key) {
        IMap<Object, Object> map = it.client().getMap(it.fresh());
        it.see(() -> map.put(key, 1));
        it.see(() -> map.put(key, 2));
        it.see(() -> map.get(key));
        it.see(() -> map.containsKey(key));
        it.see(map::keySet);
        it.see(() -> map.getAll(java.util.Set.of(key)));
        it.see(() -> map.getEntryView(key).getKey());
        it.see(() -> map.remove(key));
        it.see(map::isEmpty);
    }

    private static void value(Case it, Object value) {
        IMap<Object, Object> map = it.client().getMap(it.fresh());
        it.see(() -> map.put("k", value));
        it.see(() -> map.get("k"));
        it.see(() -> map.containsValue(value));
        it.see(() -> map.replace("k", value, value));
        it.see(() -> map.putIfAbsent("k", 1));
        it.see(() -> {
            Collection<Object> values = map.values();
            return new ArrayList<>(values);
        });
        it.see(() -> map.remove("k", "other"));
        it.see(() -> map.remove("k", value));
        it.see(map::size);
    }
}
