import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;

/** The main job of a library, repeated while a member is killed. */
public final class Job {
    /** Before the kill: steps that all succeed, for at least this time in milliseconds. */
    private static final int STEPS_BEFORE = 10;
    private static final long BEFORE = 2_000;
    /** After it: consecutive steps that succeed, for at least this time in milliseconds. */
    private static final int STEPS_AFTER = 10;
    private static final long AFTER = 3_000;
    /** From the kill until they have, in milliseconds. */
    private static final long RECOVERY_MAX = 60_000;
    /** Between two steps, and after one that failed, in milliseconds. */
    private static final long PAUSE = 10;
    private static final long PAUSE_AFTER_ERROR = 100;
    /** Errors that are printed. */
    private static final int ERRORS_SHOWN = 20;

    static final String HOST = "127.0.0.1";

    /** A step with its number. */
    interface Step {
        void run(int n) throws Exception;
    }

    /** What is checked at the end. */
    interface Verify {
        void run() throws Exception;
    }

    private Job() {}

    /** RESP ports of members, the first one first. */
    static List<Integer> ports() {
        List<Integer> ports = new ArrayList<>();
        for (String port : System.getenv("CONVOKE_PORTS").split(",")) {
            ports.add(Integer.valueOf(port));
        }
        return ports;
    }

    static boolean isCluster() {
        return "cluster".equals(System.getenv("CONVOKE_MODE"));
    }

    /** Fails the step unless the condition holds. */
    static void check(boolean condition, String what) {
        if (!condition) {
            throw new IllegalStateException(what);
        }
    }

    /** Waits until the probe is true. */
    static void waitFor(String what, long within, Callable<Boolean> probe) throws Exception {
        long deadline = System.currentTimeMillis() + within;
        while (!probe.call()) {
            check(System.currentTimeMillis() < deadline, "no " + what + " within " + within + " ms");
            Thread.sleep(20);
        }
    }

    private static int number;
    private static int inARow;
    private static long interruption;
    private static long succeededAt;
    private static volatile boolean isKilled;

    private static void succeeded() {
        long now = System.currentTimeMillis();
        if (number > 0) {
            interruption = Math.max(interruption, now - succeededAt);
        }
        succeededAt = now;
        inARow += 1;
    }

    /** Calls the step with 0, 1, … before, during and after the kill, then verifies, and exits. */
    static void run(Step step, Verify verify) {
        try {
            repeat(step, verify);
        } catch (Throwable error) {
            error.printStackTrace();
            System.err.println(error.toString().replace('\n', ' '));
            Runtime.getRuntime().halt(1);
        }
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private static void repeat(Step step, Verify verify) throws Exception {
        long started = System.currentTimeMillis();
        while (number < STEPS_BEFORE || System.currentTimeMillis() - started < BEFORE) {
            step.run(number);
            succeeded();
            number += 1;
            Thread.sleep(PAUSE);
        }
        long usual = interruption;
        Thread reader = new Thread(() -> {
            try {
                System.in.read();
            } catch (IOException ignored) {
                // The end of the input counts as well.
            }
            isKilled = true;
        });
        reader.setDaemon(true);
        reader.start();
        System.out.println("READY");
        int errors = 0;
        long killedAt = 0;
        while (true) {
            try {
                step.run(number);
                succeeded();
                Thread.sleep(PAUSE);
            } catch (Exception error) {
                errors += 1;
                inARow = 0;
                if (errors <= ERRORS_SHOWN) {
                    System.err.println("step " + number + ": " + error);
                }
                Thread.sleep(PAUSE_AFTER_ERROR);
            }
            number += 1;
            long now = System.currentTimeMillis();
            if (killedAt == 0) {
                if (isKilled) {
                    killedAt = now;
                    inARow = 0;
                }
            } else if (inARow >= STEPS_AFTER && now - killedAt >= AFTER) {
                break;
            } else {
                check(now - killedAt < RECOVERY_MAX,
                        "the job has not recovered within " + RECOVERY_MAX + " ms");
            }
        }
        if (verify != null) {
            verify.run();
        }
        System.err.println(number + " steps, " + errors + " errors");
        System.out.println("DONE interruption_ms=" + (interruption - usual));
    }
}
