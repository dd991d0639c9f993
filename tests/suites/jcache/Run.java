import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.jar.JarFile;
import org.junit.runner.Description;
import org.junit.runner.JUnitCore;
import org.junit.runner.Result;
import org.junit.runner.notification.Failure;
import org.junit.runner.notification.RunListener;

/** Runs the tests of a jar of the TCK, and counts failures by their reason. */
public class Run {
    /** Not run: injection of caches by annotations, which is optional and not the provider's. */
    private static final String ANNOTATIONS = "org.jsr107.tck.annotation.";

    /** Part of an exception's text, or name of a test class, and why a test fails with it. */
    private static final String[][] REASONS = {
        {"a cache loader is not supported", "cache loaders"},
        {"a cache writer is not supported", "cache writers"},
        {"Cache.entryProcessor", "entry processors"},
        {"an expiry policy that is neither", "expiry policies of the application"},
        {"invokeAllEntryProcessorReturnsNullResult", "entry processors"},
        {"org.jsr107.tck.management.", "MBeans of a member that is another process"},
        {"dummyTest(org.jsr107.tck.CachingTest)", "a test that always fails"},
    };

    public static void main(String[] args) throws Exception {
        List<Class<?>> classes = new ArrayList<>();
        try (JarFile jar = new JarFile(args[0])) {
            for (String name : new TreeSet<>(jar.stream().map(Object::toString).toList())) {
                String type = name.replace('/', '.').replaceAll("\\.class$", "");
                boolean isTest = name.endsWith("Test.class") && !type.contains("$");
                if (isTest && !type.startsWith(ANNOTATIONS)) {
                    classes.add(Class.forName(type));
                }
            }
        }
        Map<String, Set<String>> failed = new TreeMap<>();
        Set<String> names = new TreeSet<>();
        JUnitCore core = new JUnitCore();
        core.addListener(new RunListener() {
            @Override
            public void testFailure(Failure failure) {
                Description test = failure.getDescription();
                // A test may fail once more when it cleans up.
                if (names.add(test.getDisplayName())) {
                    String reason = reason(test, failure.getException());
                    failed.computeIfAbsent(reason, any -> new TreeSet<>()).add(test.getDisplayName());
                }
            }
        });
        Result result = core.run(classes.toArray(new Class<?>[0]));
        failed.forEach((reason, tests) -> System.out.println(tests.size() + " failed: " + reason));
        Set<String> unknown = failed.getOrDefault("unknown", Set.of());
        unknown.forEach(test -> System.out.println("unknown: " + test));
        int passed = result.getRunCount() - names.size();
        System.out.println(passed + " passed, " + names.size() + " failed");
        System.exit(unknown.isEmpty() ? 0 : 1);
    }

    private static String reason(Description test, Throwable exception) {
        StringBuilder text = new StringBuilder(test.getDisplayName());
        for (Throwable cause = exception; cause != null; cause = cause.getCause()) {
            text.append(' ').append(cause);
        }
        for (String[] reason : REASONS) {
            if (text.indexOf(reason[0]) >= 0) {
                return reason[1];
            }
        }
        return "unknown";
    }
}
