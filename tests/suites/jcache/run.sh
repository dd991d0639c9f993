#!/bin/bash
# Runs the TCK of JCache (JSR 107) through the caching provider of Hazelcast's client in Java, against
# a member that listens on this port of this machine. Needs a JDK 17 and Maven.
#
#   run.sh PORT FOLDER      jars, classes and the log are stored in FOLDER
#
# The exit code is 0 if no test fails except for the reasons that README.md lists.
set -euo pipefail
port=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
here=$(cd "$(dirname "$0")" && pwd)

if [ ! -e "$folder/complete" ]; then
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$folder/lib"
    touch "$folder/complete"
fi
mkdir -p "$folder/classes"
javac -cp "$folder/lib/*" -d "$folder/classes" "$here/Run.java"
# Tests of the TCK that it excludes itself are listed in a file, which is empty.
touch "$folder/classes/ExcludeList"
cat > "$folder/classes/hazelcast-client.xml" <<XML
<hazelcast-client xmlns="http://www.hazelcast.com/schema/client-config">
  <cluster-name>dev</cluster-name>
  <network><cluster-members><address>127.0.0.1:$port</address></cluster-members></network>
</hazelcast-client>
XML
timeout 900 java -Xmx512m -Djava.net.preferIPv4Stack=true \
    -Dhazelcast.jcache.provider.type=client -Dhazelcast.logging.type=none \
    -Djavax.management.builder.initial=com.hazelcast.cache.impl.TCKMBeanServerBuilder \
    -Dorg.jsr107.tck.management.agentId=TCKMbeanServer \
    -Djavax.cache.CacheManager=com.hazelcast.client.cache.impl.HazelcastClientCacheManager \
    -Djavax.cache.Cache=com.hazelcast.cache.ICache \
    -Djavax.cache.Cache.Entry=com.hazelcast.cache.impl.CacheEntry \
    -cp "$folder/classes:$folder/lib/*" Run "$folder"/lib/cache-tests-*-tests.jar \
    2> "$folder/log.txt"
