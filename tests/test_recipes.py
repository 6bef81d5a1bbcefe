"""The manual's recipes for job queues and schedulers, with a real Redis."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from judge import Judge
from manifests import PROBES, complaints, spec_of, unexplained_numbers
from manual import example
from services import Redis
from stage import ROOT, kill_session, until

Run = Callable[[str], "subprocess.Popen[bytes]"]

# The work that both queues have.
WORK = """
import os, pathlib, signal, time

def done(number):
    pathlib.Path(f"done-{number}").touch()

def fail():
    raise ValueError("this job fails")

def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)

def hang():
    time.sleep(600)
"""


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as service:
        yield service


@pytest.fixture
def run(redis: Redis, rundir: Path, tmp_path: Path) -> Iterator[Run]:
    """Runs Python with the work above at hand, and ends it with its children."""
    started: list[subprocess.Popen[bytes]] = []
    (tmp_path / "work.py").write_text(WORK)

    def run(code: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ, "LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u", "REDIS_URL": redis.location,
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "examples" / "rq", tmp_path))),
            "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        (tmp_path / "program.py").write_text(code)
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "program.py"], cwd=tmp_path, env=environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        started.append(process)
        return started[-1]

    yield run
    for process in started:
        # RQ gives the process of a job a process group of its own, but not a session.
        kill_session(process)


def healthy_until(judge: Judge, fact: Callable[[], object], seconds: float = 20) -> None:
    """Waits for the fact, and fails if any verdict until then is not healthy."""

    def is_so() -> bool:
        said = judge.python()
        assert said.startswith("healthy"), said
        return bool(fact())

    until(is_so, seconds)


# RQ: examples/rq/worker.py

#: With other numbers than its own: it beats every second.
WORKER = """
import worker
worker.WORKER_TTL, worker.TTL, worker.LIMIT = 16, 3, {limit}
worker.main(["default"], job_monitoring_interval=1)
"""


def enqueue(redis: Redis, tmp_path: Path, function: str, *arguments: object, timeout: int = 100) -> str:
    code = (
        "import sys, redis, rq, work\n"
        f"queue = rq.Queue(connection=redis.Redis.from_url({redis.location!r}))\n"
        f"print(queue.enqueue_call(getattr(work, {function!r}), {arguments!r}, timeout={timeout}).id)"
    )
    path = f"{ROOT}{os.pathsep}{tmp_path}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_an_idle_rq_worker_is_healthy_for_ten_times_the_ttl(run: Run, judge: Judge) -> None:
    run(WORKER.format(limit=60))
    until(lambda: judge.python().startswith("healthy"))
    begin = time.monotonic()
    healthy_until(judge, lambda: time.monotonic() - begin > 30, 40)


def test_a_job_of_rq_that_raises_or_is_killed_restarts_nothing(
    run: Run, judge: Judge, redis: Redis, tmp_path: Path, rundir: Path
) -> None:
    run(WORKER.format(limit=60))
    until(lambda: judge.python().startswith("healthy"))
    for function in ("fail", "be_killed"):
        enqueue(redis, tmp_path, function)
    enqueue(redis, tmp_path, "done", 1)
    healthy_until(judge, (tmp_path / "done-1").exists)
    # That of the killed job is removed with the next.
    healthy_until(judge, lambda: os.listdir(rundir / "u" / "job") == [])


def test_a_job_of_rq_that_hangs_is_found_and_forgotten_when_rq_ends_it(
    run: Run, judge: Judge, redis: Redis, tmp_path: Path
) -> None:
    run(WORKER.format(limit=1))
    until(lambda: judge.python().startswith("healthy"))
    enqueue(redis, tmp_path, "hang", timeout=5)
    until(lambda: re.fullmatch(r"job '\d+-1' has run for \d+ s \(limit 1 s\)", judge.python()))
    until(lambda: judge.python().startswith("healthy"))


def test_an_rq_worker_beats_while_a_job_takes_longer_than_the_ttl(
    run: Run, judge: Judge, redis: Redis, tmp_path: Path, rundir: Path
) -> None:
    run(WORKER.format(limit=60))
    until(lambda: judge.python().startswith("healthy"))
    enqueue(redis, tmp_path, "hang", timeout=8)
    healthy_until(judge, lambda: os.path.isdir(rundir / "u" / "job") and os.listdir(rundir / "u" / "job"))
    healthy_until(judge, lambda: not os.listdir(rundir / "u" / "job"))


def test_an_rq_worker_that_hangs_is_found(run: Run, judge: Judge) -> None:
    worker = run(WORKER.format(limit=60))
    until(lambda: judge.python().startswith("healthy"))
    worker.send_signal(signal.SIGSTOP)
    until(lambda: judge.python().startswith("no heartbeat 'main' for "))


def test_redis_that_is_away_makes_no_rq_worker_unhealthy(
    run: Run, judge: Judge, redis: Redis, tmp_path: Path, rundir: Path
) -> None:
    run(WORKER.format(limit=60).replace("worker.main", "worker.LiveWorker.max_connection_wait_time = 1\nworker.main"))
    # RQ ends if Redis goes away before it waits for jobs. A worker with three different beats does.
    main = rundir / "u" / "beat" / "main"
    until(main.exists)
    for _ in range(3):
        before = main.read_text()
        until(lambda before=before: main.read_text() != before)  # type: ignore[misc]
    redis.stop(signal.SIGKILL)
    begin = time.monotonic()
    healthy_until(judge, lambda: time.monotonic() - begin > 8)
    redis.start()
    enqueue(redis, tmp_path, "done", 1)
    healthy_until(judge, (tmp_path / "done-1").exists)


def test_a_suspended_rq_worker_is_healthy_and_beats_again_when_it_is_resumed(
    run: Run, judge: Judge, redis: Redis, tmp_path: Path
) -> None:
    run(WORKER.format(limit=60))
    until(lambda: judge.python().endswith("fresh heartbeats: 1"))
    suspension(redis, "suspend")
    # RQ looks for a suspension after each job.
    enqueue(redis, tmp_path, "done", 1)
    healthy_until(judge, lambda: judge.python().endswith("fresh heartbeats: 0"))
    begin = time.monotonic()
    healthy_until(judge, lambda: time.monotonic() - begin > 6)
    suspension(redis, "resume")
    healthy_until(judge, lambda: judge.python().endswith("fresh heartbeats: 1"))


def suspension(redis: Redis, verb: str) -> None:
    code = f"import redis, rq.suspension; rq.suspension.{verb}(redis.Redis.from_url({redis.location!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_rq_worker_ends_its_life_when_it_ends(run: Run, judge: Judge, tmp_path: Path) -> None:
    worker = run(WORKER.format(limit=60))
    until(lambda: judge.python().startswith("healthy"))
    until(lambda: "Listening on default" in (tmp_path / "log").read_text())
    worker.terminate()
    assert worker.wait(20) == 0
    assert judge().startswith("not loaded")


def test_the_class_in_the_manual_is_that_of_the_example(run: Run, judge: Judge) -> None:
    code = f"import rq, liveness, worker\n{example('rq')}\nworker.LiveWorker = LiveWorker\nworker.main(['default'])"
    run(code)
    until(lambda: judge.python().endswith("fresh heartbeats: 1"))
    source = re.sub(r"  +#.*\n", "", (ROOT / "examples" / "rq" / "worker.py").read_text())
    for line in ("if not self.is_horse:", "super().perform_job(*args, **kwargs)", "liveness.end_beat()"):
        assert line in example("rq")
        assert line in source


def test_the_manifest_of_the_rq_worker_is_valid_and_explained() -> None:
    file = ROOT / "examples" / "rq" / "worker.yaml"
    assert complaints([file]) == ""
    assert unexplained_numbers(file) == []
    (container,) = spec_of(file)["containers"]
    for probe in PROBES:
        ready = ["ready"] if probe == "readinessProbe" else []
        assert container[probe]["exec"]["command"] == ["health.sh", *ready]


# Dramatiq

DRAMATIQ = """
import os, threading
import dramatiq, liveness, work
from dramatiq.brokers.redis import RedisBroker
{middleware}
dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))
dramatiq.get_broker().add_middleware(Deadlines())
done, hang = dramatiq.actor(work.done), dramatiq.actor(work.hang)
fail = dramatiq.actor(work.fail, max_retries=1, min_backoff=1)
"""


def test_a_message_of_dramatiq_that_hangs_is_found_and_one_that_raises_restarts_nothing(
    run: Run, judge: Judge, redis: Redis, tmp_path: Path, rundir: Path
) -> None:
    (tmp_path / "tasks.py").write_text(DRAMATIQ.format(middleware=example("dramatiq").replace("600", "2")))
    options = ["-m", "liveness", "run", "--", sys.executable, "-m", "dramatiq", "tasks", "--processes=1", "--threads=2"]
    run(f"import os, sys; os.execv(sys.executable, [sys.executable, *{options!r}])")
    until(lambda: judge.python().startswith("healthy"))
    send(redis, tmp_path, "fail.send(); tasks.done.send(1)")
    healthy_until(judge, (tmp_path / "done-1").exists)
    healthy_until(judge, lambda: os.listdir(rundir / "u" / "job") == [])
    send(redis, tmp_path, "hang.send()")
    until(lambda: re.match(r"job '\d+-\d+' has run for \d+ s \(limit 2 s\)", judge.python()))


def send(redis: Redis, tmp_path: Path, call: str) -> None:
    environment = {**os.environ, "REDIS_URL": redis.location, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    subprocess.run([sys.executable, "-c", f"import tasks; tasks.{call}"], env=environment, cwd=tmp_path, check=True)


# Poll loops: a topic of Kafka, and a stream of Redis

POLL = """
import os, time
import liveness, redis, work

class Consumer:
    def __init__(self):
        self._redis, self._last = redis.Redis.from_url(os.environ["REDIS_URL"]), "$"
    def poll(self, timeout):
        for _, messages in self._redis.xread({{"topic": self._last}}, count=1, block=timeout * 1000):
            ((self._last, fields),) = messages
            return fields[b"call"].decode()

def work_on(message):
    getattr(work, message.split()[0])(*message.split()[1:])

consumer = Consumer()
liveness.load()
liveness.set()
{loop}
"""


def test_an_idle_topic_restarts_nothing_and_a_message_that_hangs_is_found(
    run: Run, judge: Judge, redis: Redis, tmp_path: Path
) -> None:
    run(POLL.format(loop=example("poll").replace("30", "3").replace("timeout=5", "timeout=1")))
    until(lambda: judge.python().endswith("fresh heartbeats: 1"))
    begin = time.monotonic()
    healthy_until(judge, lambda: time.monotonic() - begin > 9)
    publish(redis, "done 1")
    healthy_until(judge, (tmp_path / "done-1").exists)
    publish(redis, "hang")
    until(lambda: judge.python().startswith("no heartbeat 'consumer' for "))


# librdkafka's own broker for tests, which speaks Kafka's protocol. Any client can connect to it.
BROKER = """
import sys
from confluent_kafka import Producer
producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "unused"})
(broker,) = producer.list_topics(timeout=30).brokers.values()
print(f"{broker.host}:{broker.port}", flush=True)
for call in sys.stdin:
    producer.produce("topic", call.strip())
    producer.flush(10)
"""
CONSUMER = """
from confluent_kafka import Consumer
import liveness, work

def work_on(message):
    if message.error() is None:
        function, *arguments = message.value().decode().split()
        getattr(work, function)(*arguments)

settings = {{"bootstrap.servers": {broker!r}, "group.id": "workers", "auto.offset.reset": "earliest"}}
consumer = Consumer({{**settings, "topic.metadata.refresh.interval.ms": 500}})
consumer.subscribe(["topic"])
liveness.load()
liveness.set()
{loop}
"""


class Kafka:
    """A broker in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", BROKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin
        self.address = self._process.stdout.readline().decode().strip()

    def publish(self, call: str) -> None:
        self._input.write(f"{call}\n".encode())
        self._input.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def kafka() -> Iterator[Kafka]:
    pytest.importorskip("confluent_kafka", reason="confluent-kafka has no wheel for this Python")
    broker = Kafka()
    yield broker
    broker.kill()


def start_consumer(run: Run, judge: Judge, kafka: Kafka) -> None:
    loop = example("poll").replace("30", "3").replace("timeout=5", "timeout=1")
    run(CONSUMER.format(broker=kafka.address, loop=loop))
    until(lambda: judge.python().endswith("fresh heartbeats: 1"))


def test_an_idle_topic_of_kafka_and_a_broker_that_dies_restart_nothing(
    run: Run, judge: Judge, kafka: Kafka, tmp_path: Path
) -> None:
    start_consumer(run, judge, kafka)
    kafka.publish("done 1")
    healthy_until(judge, (tmp_path / "done-1").exists, 60)
    idle_since = time.monotonic()
    healthy_until(judge, lambda: time.monotonic() - idle_since > 7)
    kafka.kill()
    away_since = time.monotonic()
    healthy_until(judge, lambda: time.monotonic() - away_since > 7)


def test_a_message_of_kafka_that_hangs_is_found(run: Run, judge: Judge, kafka: Kafka) -> None:
    start_consumer(run, judge, kafka)
    kafka.publish("hang")
    until(lambda: judge.python().startswith("no heartbeat 'consumer' for "), 60)


def publish(redis: Redis, call: str) -> None:
    code = f"import redis; redis.Redis.from_url({redis.location!r}).xadd('topic', {{'call': {call!r}}})"
    subprocess.run([sys.executable, "-c", code], check=True)


# APScheduler

SCHEDULER = """
import threading, time
import liveness, work
from apscheduler.events import EVENT_JOB_SUBMITTED
from apscheduler.schedulers.background import BackgroundScheduler
scheduler = BackgroundScheduler()
liveness.load()
liveness.set()
{recipe}
scheduler.add_job(work.hang, "interval", seconds=1)
time.sleep({seconds})
# A listener is called in the thread of the scheduler, which hangs in it.
scheduler.add_listener(lambda event: time.sleep(600), EVENT_JOB_SUBMITTED)
time.sleep(600)
"""


def test_the_thread_of_a_scheduler_that_hangs_is_found_and_a_job_that_hangs_does_not_stop_the_heartbeat(
    run: Run, judge: Judge, rundir: Path
) -> None:
    recipe = example("apscheduler").replace("30", "3").replace("seconds=5", "seconds=1")
    run(SCHEDULER.format(recipe=recipe, seconds=9))
    main = rundir / "u" / "beat" / "main"
    until(main.exists)
    begin = time.monotonic()
    healthy_until(judge, lambda: time.monotonic() - begin > 7)
    until(lambda: judge.python().startswith("no heartbeat 'main' for "))
