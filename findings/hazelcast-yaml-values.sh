#!/usr/bin/env bash
# Hazelcast reads a plain `1.50` of its YAML as "1.5", and `enabled: yes` as false.
#
# Hazelcast's parser follows YAML 1.2 (no yes, no octal 007), and converts each scalar back to
# text afterwards. So the cluster name `1.50` is "1.5", `1e3` is "1000.0" and `12345678.5` is
# "1.23456785E7": a member whose file quotes the name is in another cluster than one whose file
# does not. `007`, `1_000`, `0x1F` and dates are not numbers for it and stay as written. The words
# yes, on and y are strings as well, and switches are read with Boolean.parseBoolean, which
# returns false for every string but "true" in any case: `enabled: yes` switches off, without a
# warning. Seen with Hazelcast 5.7.0 (com.hazelcast:hazelcast).
#
# Write true or false, and quote names and versions.
set -euo pipefail

for tool in java mvn; do
    if ! command -v "$tool" > /dev/null; then
        echo "SKIPPED: there is no $tool"
        exit 0
    fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
    -Dartifact=com.hazelcast:hazelcast:5.7.0 -DoutputDirectory="$work" > "$work/log" 2>&1; then
    cat "$work/log"
    exit 1
fi
cat > "$work/Read.java" <<'JAVA'
import com.hazelcast.config.Config;

public class Read {
    private static Config yaml(String text) {
        return Config.loadFromString("hazelcast:\n" + text);
    }

    public static void main(String[] none) {
        for (String name : new String[] {
            "\"1.50\"", "1.50", "1e3", "12345678.5", "007", "1_000", "0x1F", "2026-11-28"}) {
            System.out.println("cluster-name: " + name + " is "
                    + yaml("  cluster-name: " + name + "\n").getClusterName());
        }
        for (String word : new String[] {"true", "TRUE", "yes", "on", "y"}) {
            boolean isLite = yaml("  lite-member:\n    enabled: " + word + "\n").isLiteMember();
            // The default is true here.
            boolean goesOn = yaml("  network:\n    port:\n      auto-increment: " + word + "\n")
                    .getNetworkConfig().isPortAutoIncrement();
            System.out.println("enabled: " + word + " is " + isLite
                    + ", auto-increment: " + word + " is " + goesOn);
        }
    }
}
JAVA
echo "Hazelcast 5.7.0"
printed=$(java -cp "$work/hazelcast-5.7.0.jar" "$work/Read.java" 2> "$work/log")
echo "$printed"
echo "lines of log: $(wc -l < "$work/log")"
seen='cluster-name: "1.50" is 1.50
cluster-name: 1.50 is 1.5
cluster-name: 1e3 is 1000.0
cluster-name: 12345678.5 is 1.23456785E7
cluster-name: 007 is 007
cluster-name: 1_000 is 1_000
cluster-name: 0x1F is 0x1F
cluster-name: 2026-11-28 is 2026-11-28
enabled: true is true, auto-increment: true is true
enabled: TRUE is true, auto-increment: TRUE is true
enabled: yes is false, auto-increment: yes is false
enabled: on is false, auto-increment: on is false
enabled: y is false, auto-increment: y is false'
if [ "$printed" != "$seen" ]; then
    printf 'this has changed: expected\n%s\n' "$seen"
    exit 1
fi
echo "1.50 is read as 1.5, and yes as false"
