#!/usr/bin/env bash
# Hazelcast uses the multicast group of a block with enabled="false".
#
# A file that disables multicast and enables no other join method does not start a
# standalone member. Auto-detection is on by default, and outside of a cloud it uses
# multicast, with the group and the port of the disabled block: MulticastConfig.isEnabled()
# is false, but the kernel lists the group as joined. Seen with Hazelcast 5.7.0
# (com.hazelcast:hazelcast), whose own default file disables multicast in the same way.
#
# Add `<auto-detection enabled="false"/>` for a standalone member.
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
if ! unshare --net --map-root-user true 2> /dev/null || ! command -v ip > /dev/null; then
    echo "SKIPPED: no network namespace can be made here (unshare --net --map-root-user, ip)"
    exit 0
fi
cat > "$work/Member.java" <<'JAVA'
import com.hazelcast.config.Config;
import com.hazelcast.config.JoinConfig;
import com.hazelcast.core.Hazelcast;
import java.nio.file.Files;
import java.nio.file.Path;

public class Member {
    public static void main(String[] file) throws Exception {
        Config config = Config.loadFromString(Files.readString(Path.of(file[0])));
        config.setProperty("hazelcast.phone.home.enabled", "false");
        JoinConfig join = config.getNetworkConfig().getJoin();
        Hazelcast.newHazelcastInstance(config);
        // 224.2.2.88 and 54888 as the kernel writes them.
        boolean isJoined = Files.readString(Path.of("/proc/net/igmp")).contains("580202E0");
        boolean isBound = (Files.readString(Path.of("/proc/net/udp"))
                + Files.readString(Path.of("/proc/net/udp6"))).contains(":D668 ");
        System.out.println("multicast is enabled: " + join.getMulticastConfig().isEnabled()
                + ", auto-detection: " + join.isAutoDetectionEnabled()
                + ", in the group 224.2.2.88: " + isJoined + ", on its port: " + isBound);
        Hazelcast.shutdownAll();
    }
}
JAVA
cat > "$work/network" <<'SH'
ip link set lo up multicast on
ip route add 224.0.0.0/4 dev lo
exec java -cp "$1/hazelcast-5.7.0.jar" "$1/Member.java" "$1/hazelcast.xml" 2> "$1/log"
SH
# Starts a member, with one more element in its file, where only the loopback interface is.
start() {
    cat > "$work/hazelcast.xml" <<XML
<hazelcast xmlns="http://www.hazelcast.com/schema/config">
    <network><join>
        $1
        <multicast enabled="false">
            <multicast-group>224.2.2.88</multicast-group>
            <multicast-port>54888</multicast-port>
        </multicast>
        <tcp-ip enabled="false"/>
    </join></network>
</hazelcast>
XML
    unshare --net --map-root-user sh "$work/network" "$work"
    grep -ohE 'Using .* discovery|No join method.*' "$work/log" >&2 || true
}
echo "Hazelcast 5.7.0"
printed="$(start '')
$(start '<auto-detection enabled="false"/>')"
echo "$printed"
seen='multicast is enabled: false, auto-detection: true, in the group 224.2.2.88: true, on its port: true
multicast is enabled: false, auto-detection: false, in the group 224.2.2.88: false, on its port: false'
if [ "$printed" != "$seen" ]; then
    printf 'this has changed: expected\n%s\n' "$seen"
    exit 1
fi
echo "with multicast off the member is in the multicast group, until auto-detection is off too"
