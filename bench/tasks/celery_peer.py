"""The side of Celery: acknowledgements after the end, confirmed publishing, a quorum queue.

Prints `RATE P50 P99`, times in microseconds; a worker prints `ready` before.
"""

import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

COMMAND = sys.argv[1]
POOL = sys.argv[3] if COMMAND == "work" else ""
if POOL == "gevent":
    from gevent import monkey

    monkey.patch_all()

from celery import Celery  # noqa: E402
from celery.signals import worker_ready  # noqa: E402
from kombu import Queue  # noqa: E402

HAS_RESULTS = COMMAND == "answer" or (COMMAND == "work" and sys.argv[4] == "1")
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 0

# Celery has another scheme for a socket than Redis.
REDIS = os.environ["BENCH_REDIS"].replace("unix://", "redis+socket://", 1)

app = Celery("bench", broker=os.environ["BENCH_AMQP"], backend=REDIS)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=not HAS_RESULTS,
    broker_transport_options={"confirm_publish": True},
    broker_pool_limit=64,
    task_default_queue="bench.celery",
    task_queues=[Queue("bench.celery", queue_arguments={"x-queue-type": "quorum"})],
    worker_detect_quorum_queues=True,
    worker_prefetch_multiplier=64,
)

started = multiprocessing.Value("i", 0)
first = multiprocessing.Value("d", 0.0)
last = multiprocessing.Value("d", 0.0)
times = multiprocessing.Array("d", max(COUNT, 1), lock=False)


@app.task(name="echo", ignore_result=not HAS_RESULTS)
def echo(text):
    now = time.time()
    with started.get_lock():
        if started.value == 0:
            first.value = now
        if started.value < len(times):
            times[started.value] = now - int(text, 16) / 1e9
        started.value += 1
        last.value = now
    return text


def stamp():
    return f"{time.time_ns():016x}"


# The worker prints a banner, and takes the standard output for its log.
output = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def report(count, seconds, taken=(0.0,)):
    taken = sorted(taken)
    p50, p99 = (taken[int(len(taken) * share)] * 1e6 for share in (0.5, 0.99))
    print(count / max(seconds, 1e-9), p50, p99, file=output, flush=True)


def send():
    in_flight = int(sys.argv[3])
    echo.delay(stamp())  # Declares the queue.
    began = time.monotonic()
    if in_flight == 1:
        for _ in range(COUNT - 1):
            echo.delay(stamp())
    else:
        with ThreadPoolExecutor(in_flight) as threads:
            list(threads.map(lambda _: echo.delay(stamp()), range(COUNT - 1)))
    report(COUNT - 1, time.monotonic() - began)


def delay():
    with ThreadPoolExecutor(64) as threads:
        list(threads.map(lambda _: echo.apply_async((stamp(),), countdown=3600), range(COUNT)))
    time.sleep(5)  # The worker takes what is left.
    report(COUNT, 1)


def answer():
    taken = []
    for _ in range(COUNT):
        began = time.monotonic()
        echo.delay(stamp()).get(timeout=60)
        taken.append(time.monotonic() - began)
    report(COUNT, sum(taken), taken)


def wait():
    while started.value < COUNT:
        time.sleep(0.05)
    time.sleep(0.5)  # Acknowledgements and results.
    report(COUNT, last.value - first.value, times)
    os._exit(0)


@worker_ready.connect
def ready(**_):
    print("ready", file=output, flush=True)
    threading.Thread(target=wait, daemon=True).start()


def work():
    concurrency = {"prefork": 2, "threads": 16, "gevent": 64}[POOL]
    worker = ["worker", f"--pool={POOL}", f"--concurrency={concurrency}", "--loglevel=ERROR"]
    app.worker_main([*worker, "--without-gossip", "--without-mingle", "--without-heartbeat"])


def purge():
    app.control.purge()
    report(1, 1)


{"send": send, "delay": delay, "answer": answer, "work": work, "purge": purge}[COMMAND]()
