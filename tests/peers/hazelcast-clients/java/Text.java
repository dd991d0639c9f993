import com.hazelcast.core.HazelcastJsonValue;
import java.lang.reflect.Array;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.zip.CRC32;

/** Results in one canonical form: types are visible, and what has no order is sorted. */
final class Text {
    /** Longer texts and arrays are printed as their length and checksum. */
    private static final int LENGTH_MAX = 80;

    private Text() {}

    static String of(Object value) {
        if (value == null) {
            return "null";
        } else if (value instanceof String text) {
            return text.length() > LENGTH_MAX ? large("string", text.length(), text) : quoted(text);
        } else if (value instanceof Long) {
            return value + "L";
        } else if (value instanceof Float) {
            return value + "f";
        } else if (value instanceof Short) {
            return value + "s";
        } else if (value instanceof Byte) {
            return value + "b";
        } else if (value instanceof Character letter) {
            return "'" + quoted(letter.toString()) + "'";
        } else if (value instanceof HazelcastJsonValue json) {
            return "json " + json;
        } else if (value instanceof Throwable error) {
            return "!" + name(error);
        } else if (value instanceof Map<?, ?> map) {
            return entries(map.entrySet(), "{", "}");
        } else if (value instanceof Map.Entry<?, ?> entry) {
            return of(entry.getKey()) + ": " + of(entry.getValue());
        } else if (value instanceof List<?> list) {
            List<String> texts = new ArrayList<>();
            list.forEach(item -> texts.add(of(item)));
            return "[" + joined(texts) + "]";
        } else if (value instanceof Collection<?> collection) {
            return entries(collection, "(", ")");
        } else if (value.getClass().isArray()) {
            return array(value);
        }
        return value.toString();
    }

    /** The class of an error; of wrappers of asynchronous calls, that of the cause. */
    static String name(Throwable error) {
        boolean isWrapper = error instanceof ExecutionException || error instanceof CompletionException;
        if (isWrapper && error.getCause() != null) {
            return name(error.getCause());
        }
        return error.getClass().getSimpleName();
    }

    /** A collection whose order does not count. */
    static String sorted(Collection<?> collection) {
        return entries(collection, "(", ")");
    }

    private static String entries(Collection<?> collection, String open, String close) {
        List<String> texts = new ArrayList<>();
        collection.forEach(item -> texts.add(of(item)));
        Collections.sort(texts);
        return open + joined(texts) + close;
    }

    private static String joined(List<String> texts) {
        String text = String.join(", ", texts);
        return text.length() > 8 * LENGTH_MAX ? large("of " + texts.size(), text.length(), text) : text;
    }

    private static String array(Object array) {
        List<String> texts = new ArrayList<>();
        for (int index = 0; index < Array.getLength(array); index++) {
            texts.add(of(Array.get(array, index)));
        }
        String type = array.getClass().getComponentType().getSimpleName();
        String text = String.join(", ", texts);
        if (text.length() > LENGTH_MAX) {
            return large(type + "[]", texts.size(), text);
        }
        return type + "[" + text + "]";
    }

    private static String large(String what, int length, String text) {
        CRC32 checksum = new CRC32();
        checksum.update(text.getBytes(StandardCharsets.UTF_8));
        return "<" + what + ", length " + length + ", checksum " + checksum.getValue() + ">";
    }

    private static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char letter : text.toCharArray()) {
            if (letter == '"' || letter == '\\') {
                quoted.append('\\').append(letter);
            } else if (letter < ' ') {
                quoted.append(String.format("\\u%04x", (int) letter));
            } else {
                quoted.append(letter);
            }
        }
        return quoted.append('"').toString();
    }
}
