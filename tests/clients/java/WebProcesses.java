import java.io.File;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Two processes of the web application on a page of the documentation, and its users. The first argument is what is
 * tested: logins, or a cache; the others are the command of a process.
 */
public final class WebProcesses {
    /** From the start of a process to its first page, in milliseconds. */
    private static final long START_MAX = 120_000;
    /** For one page, in seconds. */
    private static final int PAGE_MAX = 20;
    /** Logins before the job begins: classes are loaded. */
    private static final int WARM_UP = 20;

    private static final String LOGGED_OUT = "Nobody is logged in.\n";

    private static final HttpClient HTTP = HttpClient.newHttpClient();

    /** A web process, and where it listens. */
    private record Web(Process process, int port) {
        static Web start(List<String> command, String name) throws IOException {
            int port;
            try (ServerSocket free = new ServerSocket(0)) {
                port = free.getLocalPort();
            }
            String members = Job.ports().stream().map(member -> Job.HOST + ":" + member)
                    .collect(Collectors.joining(","));
            var values = Map.of("PORT", String.valueOf(port), "MEMBERS", members,
                    "CLUSTER", System.getenv("CONVOKE_CLUSTER"), "NAME", name);
            // A value that the command needs as an argument is written as ${NAME}.
            List<String> line = new ArrayList<>();
            for (String word : command) {
                for (var value : values.entrySet()) {
                    word = word.replace("${" + value.getKey() + "}", value.getValue());
                }
                line.add(word);
            }
            var builder = new ProcessBuilder(line).directory(new File(System.getenv("APPLICATION")))
                    .redirectErrorStream(true).redirectOutput(new File("web-" + name + ".log"));
            builder.environment().putAll(values);
            return new Web(builder.start(), port);
        }

        void waitUntilReady() throws Exception {
            Job.waitFor("page of a web process", START_MAX, () -> {
                Job.check(process.isAlive(), "a web process has ended");
                try {
                    return new Browser().get(this, "/").statusCode() == 200;
                } catch (IOException refused) {
                    return false;
                }
            });
        }
    }

    /** A browser with the cookies of a site. */
    private static final class Browser {
        private final Map<String, String> cookies = new HashMap<>();

        HttpResponse<String> get(Web web, String path) throws IOException, InterruptedException {
            var request = HttpRequest.newBuilder(
                    URI.create("http://" + Job.HOST + ":" + web.port + path))
                    .timeout(Duration.ofSeconds(PAGE_MAX));
            if (!cookies.isEmpty()) {
                request.header("Cookie", cookies.entrySet().stream()
                        .map(cookie -> cookie.getKey() + "=" + cookie.getValue())
                        .collect(Collectors.joining("; ")));
            }
            var response = HTTP.send(request.build(), BodyHandlers.ofString());
            for (String cookie : response.headers().allValues("Set-Cookie")) {
                String[] pair = cookie.split(";", 2)[0].split("=", 2);
                cookies.put(pair[0], pair[1]);
            }
            return response;
        }

        /** The text of a page. Fails unless its status is 200. */
        String text(Web web, String path) throws IOException, InterruptedException {
            var response = get(web, path);
            Job.check(response.statusCode() == 200, path + ": status " + response.statusCode());
            return response.body();
        }
    }

    /** A user who has logged in. */
    private static final class User {
        final String name;
        final Browser browser = new Browser();
        int visits;

        User(String name, Web web) throws Exception {
            this.name = name;
            String page = browser.text(web, "/login?name=" + encoded(name));
            Job.check(page.equals("Welcome, " + name + ".\n"), "the page at login: " + page);
        }

        /** Visits the first page, which counts the visits. */
        void visit(Web web) throws Exception {
            String page = browser.text(web, "/");
            String start = "Hello, " + name + ". Visits: ";
            if (!page.startsWith(start)) {
                lost(name + " was logged in, and gets: " + page.strip());
            }
            int count = Integer.parseInt(page.substring(start.length()).strip());
            // A visit whose response did not arrive may have been counted.
            if (count <= visits) {
                lost(name + " had " + visits + " visits, and gets: " + page.strip());
            }
            visits = count;
        }
    }

    private static List<Web> webs;

    private WebProcesses() {}

    /** Ends the job: an acknowledged change was not there later. */
    private static void lost(String what) {
        System.err.println("lost: " + what);
        Runtime.getRuntime().halt(1);
    }

    public static void main(String[] arguments) throws Exception {
        List<String> command = List.of(arguments).subList(1, arguments.length);
        webs = List.of(Web.start(command, "A"), Web.start(command, "B"));
        for (Web web : webs) {
            web.waitUntilReady();
        }
        switch (arguments[0]) {
            case "logins" -> logins(false);
            case "logins-by-name" -> logins(true);
            case "logins-that-stay" -> loginsThatStay();
            case "cache" -> cache();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static Web web(int n) {
        return webs.get(n % webs.size());
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    private static void warmUp() throws Exception {
        for (int n = 0; n < WARM_UP; n++) {
            new User("warm-up " + n, web(n)).visit(web(n));
        }
    }

    /** Users log in at one process, and are known to the other one. */
    private static void logins(boolean byName) throws Exception {
        warmUp();
        // She is logged in all the time.
        var ada = new User("Ada Zoë", web(0));
        List<User> acknowledged = new ArrayList<>(List.of(ada));
        Job.run(n -> {
            ada.visit(web(n));
            var user = new User("user " + n, web(n));
            acknowledged.add(user);
            user.visit(web(n + 1));
            user.visit(web(n));
            Job.check(user.visits == 2, user.name + " has made two visits, not " + user.visits);
            if (byName) {
                String page = user.browser.text(web(n + 1), "/logins?name=" + encoded(user.name));
                Job.check(page.equals("1\n"), "the logins of " + user.name + ": " + page);
            }
            if (n % 4 == 0) {
                acknowledged.remove(user);
                Job.check(user.browser.text(web(n), "/logout").equals("Goodbye.\n"), "the page at logout");
                Job.check(user.browser.text(web(n + 1), "/").equals(LOGGED_OUT), "logged out on one process only");
            }
        }, () -> {
            for (var user : acknowledged) {
                user.visit(web(0));
                user.visit(web(1));
            }
            String page = new Browser().text(web(0), "/");
            Job.check(page.equals(LOGGED_OUT), "the page of a user without login: " + page);
            finish();
        });
    }

    /**
     * Users stay at the process where they log in, which stores sessions after its response. At the end they are
     * known to the other one.
     */
    private static void loginsThatStay() throws Exception {
        warmUp();
        List<User> acknowledged = new ArrayList<>(List.of(new User("Ada Zoë", web(0)), new User("Ben", web(1))));
        List<Integer> at = new ArrayList<>(List.of(0, 1));
        Job.run(n -> {
            acknowledged.get(n % 2).visit(web(n));
            var user = new User("user " + n, web(n));
            user.visit(web(n));
            user.visit(web(n));
            Job.check(user.visits == 2, user.name + " has made two visits, not " + user.visits);
            if (n % 4 == 0) {
                Job.check(user.browser.text(web(n), "/logout").equals("Goodbye.\n"), "the page at logout");
                Job.check(user.browser.text(web(n), "/").equals(LOGGED_OUT), "the page after the logout");
            } else {
                acknowledged.add(user);
                at.add(n);
            }
        }, () -> {
            // What was visited last is stored when the others have been.
            for (int other = 0; other < webs.size(); other++) {
                for (int user = 0; user < at.size(); user++) {
                    acknowledged.get(user).visit(web(at.get(user) + other));
                }
            }
            finish();
        });
    }

    /** A value that one process has computed is returned by the other one, until it is changed. */
    private static void cache() {
        var browser = new Browser();
        Job.run(n -> {
            String path = "/price?item=" + n;
            String first = browser.text(web(n), path);
            Job.check(first.startsWith("Item " + n + " costs "), "the page of an item: " + first);
            Job.check(first.equals(browser.text(web(n + 1), path)), "the value of the cache is not used");
            browser.text(web(n + 1), "/change?item=" + n);
            String second = browser.text(web(n), path);
            if (second.equals(first)) {
                lost("the value of item " + n + " was evicted, and is returned: " + second.strip());
            }
            Job.check(second.equals(browser.text(web(n + 1), path)), "the new value is not used");
        }, WebProcesses::finish);
    }

    private static void finish() {
        for (Web web : webs) {
            Job.check(web.process.isAlive(), "a web process has ended");
        }
    }
}
