"""Runs the cases whose names begin with one of the arguments, or all, against the members at
`PEER_PORTS` of the cluster `PEER_CLUSTER`. Prints the name and the outcome of each."""

import concurrent.futures
import logging
import os
import sys
import threading

import hazelcast

import case
import collection_cases  # noqa: F401
import map_cases  # noqa: F401
import query_cases  # noqa: F401
import shared_cases  # noqa: F401

# Cases that run at the same time.
THREADS = 4
# From the start of a case to its end, in seconds.
CASE_MAX = 60

logging.disable(logging.CRITICAL)
printing = threading.Lock()


def run(name, body, client):
    it = case.Case(name, client)

    def whole():
        try:
            body(it)
        except Exception as error:  # pylint: disable=broad-except
            it.note("ended")
            it.note(error)

    thread = threading.Thread(target=whole, daemon=True)
    thread.start()
    thread.join(CASE_MAX)
    if thread.is_alive():
        it.note("did not end")
    else:
        it.close()
    with printing:
        print(f"{name}\t{it.outcome()}", flush=True)


def main():
    wanted = tuple(sys.argv[1:])
    client = hazelcast.HazelcastClient(**case.options())
    chosen = [name for name in case.CASES if not wanted or name.startswith(wanted)]
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for name in chosen:
            pool.submit(run, name, case.CASES[name], client)
    print("done\t", flush=True)
    os._exit(0)


main()
