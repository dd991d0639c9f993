"""redis-py during a rolling restart: `rolling_restart.py HOST PORT`. Reads and writes until
a line arrives on standard input; each error of the client is one of the program."""

import sys
import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

THREADS = 4
# Pause of a thread between two rounds, in seconds.
PAUSE = 0.002

# Without retries, a connection that is closed in use is an error.
retry = Retry(NoBackoff(), 0)
client = redis.Redis(sys.argv[1], int(sys.argv[2]), protocol=3, retry=retry)
stopped = threading.Event()
rounds, errors = [0] * THREADS, []


def work(number):
    key = f"rolling:{number}"
    while not stopped.is_set():
        rounds[number] += 1
        try:
            client.set(key, rounds[number])
            value = int(client.get(key))
            if value != rounds[number]:
                errors.append(f"{key} is {value} instead of {rounds[number]}")
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
        time.sleep(PAUSE)


threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
for thread in threads:
    thread.start()
while sum(rounds) < 100 * THREADS:
    time.sleep(PAUSE)
print("READY")
sys.stdin.readline()
stopped.set()
for thread in threads:
    thread.join()
if errors:
    sys.exit(f"{len(errors)} errors in {sum(rounds)} rounds, the first: {errors[0]}")
print(f"redis-py {redis.__version__}: {sum(rounds)} checks passed")
