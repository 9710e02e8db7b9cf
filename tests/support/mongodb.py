"""A server of MongoDB's protocol for the tests. Its arguments are its folder, its port, and the
seconds between two searches for expired documents. It prints its address when it listens, and ends
at SIGTERM."""

import signal
import sys
import threading

from secantus import SecantusDBServer

folder, port, sweep = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
with SecantusDBServer(
    host="127.0.0.1",
    port=port,
    storage_path=folder,
    replica_set_name=None,
    ttl_sweep_seconds=sweep,
    enable_test_commands=True,
    cache_size="256M",
) as server:
    print(server.uri, flush=True)
    stop.wait()
