"""The job store, on SQLite and on PostgreSQL: one holder of a job at a time, nothing lost, final is final."""

from __future__ import annotations

import itertools
import os
import sqlite3
import tempfile
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from geoseg.errors import GeosegError, RequestError
from geoseg_api.store import JobStore, KeyStore, NewJob, StoreUnavailableError, dialects, open_database
from geoseg_api.store.dialects import SqliteDatabase
from geoseg_api.store.schema import MIGRATIONS, VERSION, migrate
from tests.api import postgres

PLENTY = {"most_queued": 10**6, "in_flight": 10**6, "km2_per_day": 1e12}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def cluster():
    if postgres.programs() is None:
        # Where the services are said to be there, as in .ci/run, their absence is a failure.
        assert "SERVICES_REQUIRED" not in os.environ, "no PostgreSQL: make setup-services installs it"
        pytest.skip("needs PostgreSQL's initdb: make setup-services")
    with postgres.running() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    if request.param == "sqlite":
        database = open_database(tmp_path)
    else:
        cluster = request.getfixturevalue("cluster")
        database = open_database(tmp_path, cluster.url)
        database.do(lambda c: [c.run(f"DELETE FROM {table}") for table in ("job", "event", "used", "apikey")])
    yield database
    database.close()


@pytest.fixture
def store(database):
    return JobStore(database)


def job(owner="", km2=0.0, **more):
    return NewJob(str(uuid.uuid4()), "demo", "key", owner, {"outputs": None}, {"a": 1}, km2=km2, **more)


def test_a_job_from_its_acceptance_to_its_end(store):
    new = job(owner="me", plan={"tiles": 3})
    accepted = store.add(new, **PLENTY)
    assert accepted.is_new
    assert (accepted.job.status, accepted.job.plan) == ("accepted", {"tiles": 3})
    lease = store.claim("w")
    assert (lease.job.id, lease.epoch, lease.job.status) == (new.id, 1, "running")
    assert store.beat(lease, 40, "computing").holds
    assert store.beat(lease, 30).holds
    assert store.get(new.id).progress == 40
    assert store.finish(lease, "successful", None, 60.0)
    assert store.finish(lease, "successful", None, 60.0), "told twice, where the first answer was lost"
    done = store.get(new.id)
    assert (done.status, done.progress) == ("successful", 100)
    assert done.created <= done.started <= done.finished <= done.updated < done.expires
    assert [event["status"] for event in store.events(new.id)] == ["accepted", "running", "successful"]
    assert store.claim("w") is None


def test_two_workers_never_take_the_same_job(store):
    wanted = {store.add(job(), **PLENTY).job.id for _ in range(40)}
    taken = []

    def work(name):
        while (lease := store.claim(name)) is not None:
            taken.append(lease.job.id)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, "abcd"))
    assert sorted(taken) == sorted(wanted)


def test_who_waited_longest_comes_first_unless_somebody_is_more_urgent(store):
    first, urgent, last = (store.add(job(priority=p), **PLENTY).job.id for p in (0, 1, 0))
    assert [store.claim("w").job.id for _ in range(3)] == [urgent, first, last]


def test_what_a_lost_worker_says_counts_for_nothing(database):
    over = JobStore(database, lease_s=-1.0)  # a lease that is over as it is given
    kept = JobStore(database)
    new = kept.add(job(), **PLENTY).job
    old = over.claim("zombie")
    now = kept.claim("heir")
    assert (now.job.id, now.epoch) == (new.id, old.epoch + 1)
    assert "begun again" in now.job.message
    assert not kept.beat(old).holds
    assert not kept.finish(old, "failed", {"detail": "late"}, None)
    kept.give_back(old)
    assert kept.get(new.id).status == "running"
    assert kept.finish(now, "successful", None, None)
    assert not kept.finish(old, "failed", {"detail": "later"}, None)
    assert kept.get(new.id).status == "successful"


def test_a_job_that_loses_every_worker_is_given_up(database):
    over = JobStore(database, lease_s=-1.0, attempts=3)
    new = over.add(job(), **PLENTY).job
    assert [over.claim(f"w{n}").epoch for n in range(3)] == [1, 2, 3]
    assert over.claim("w4", keep_s=60.0) is None
    ended = over.get(new.id)
    assert ended.status == "failed"
    assert "3 times" in ended.problem["detail"]
    assert ended.expires == pytest.approx(ended.finished + 60, abs=5), "given up is no reason to be kept for ever"


def test_the_reason_why_a_job_is_given_up_is_what_its_last_worker_said(database):
    kept, over = JobStore(database, lease_s=30.0, attempts=2), JobStore(database, lease_s=-1.0, attempts=2)
    new = kept.add(job(), **PLENTY).job
    for words in ("ended by signal 11", "ended by signal 9"):
        lease = over.claim("w")
        assert over.beat(lease, message=words).holds
    assert over.claim("w") is None
    assert over.get(new.id).problem["detail"].endswith("last: ended by signal 9")


def test_who_reads_waits_for_nobody_who_writes(database):
    store, keys = JobStore(database), KeyStore(database)
    new = store.add(job(), **PLENTY).job
    done = store.claim("w")
    other = database.connect()
    with other.transaction():
        other.run("UPDATE job SET message = 'not said yet'")
        assert store.get(new.id).message == "started"
        assert store.find(None)[0].id == new.id
        assert store.counts() == {"running": 1}
        assert store.events(new.id)
        assert (store.expired(), keys.list(), keys.check("none")) == ([], [], None)
        assert store.claim("idle") is None
        assert store.free_lost(lambda worker: worker == "other") == 0
    other.close()
    assert store.finish(done, "successful", None, None)


def test_a_lost_worker_of_this_machine_is_replaced_at_once(store):
    store.add(job(), **PLENTY)
    assert store.claim("gone").epoch == 1
    assert store.claim("next") is None
    assert store.free_lost(lambda worker: worker == "other") == 0
    assert store.free_lost(lambda worker: worker == "gone") == 1
    assert store.claim("next").epoch == 2


def test_given_back_does_not_count_as_an_attempt(store):
    store.add(job(), **PLENTY)
    for _ in range(10):
        store.give_back(store.claim("w"))
    assert store.claim("w").job.attempt == 1


def test_dismissed_is_noticed_and_never_undone(store):
    new = store.add(job(), **PLENTY).job
    lease = store.claim("w")
    assert store.dismiss(new.id, 60.0).status == "dismissed"
    beat = store.beat(lease)
    assert (beat.holds, beat.cancel) == (False, True)
    assert not store.finish(lease, "successful", None, None)
    assert store.dismiss(new.id).status == "dismissed"
    assert store.dismiss("none") is None


@pytest.mark.fault(96)
def test_fault_96_requests_at_once_never_pass_the_quota(store):
    def ask(_):
        return store.add(job("me", km2=10.0), most_queued=10**6, in_flight=10**6, km2_per_day=50.0)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(24)))
    assert sum(answer.is_new for answer in answers) == 5
    assert {answer.refusal for answer in answers if not answer.is_new} == {"km2"}
    assert store.add(job("you", km2=10.0), **PLENTY).is_new
    assert ask(0).left == 0.0


@pytest.mark.fault(82)
def test_fault_82_a_full_queue_refuses(store):
    limits = {"most_queued": 3, "in_flight": 2, "km2_per_day": 1e9}
    answers = [store.add(job(owner), **limits) for owner in ("a", "a", "a", "b", "c")]
    assert [answer.refusal for answer in answers] == ["", "", "in-flight", "", "queue"]


def test_the_same_job_added_twice_is_one(store):
    new = job()
    assert [store.add(new, **PLENTY).is_new for _ in range(2)] == [True, False]
    keyed = [job("me", idempotency="k", digest=digest) for digest in ("same", "same", "other")]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda one: store.add(one, **PLENTY), keyed[:2]))
    assert sorted(answer.is_new for answer in answers) == [False, True]
    assert answers[0].job.id == answers[1].job.id
    assert store.add(keyed[2], **PLENTY).refusal == "other-request"
    assert store.add(job("you", idempotency="k"), **PLENTY).is_new
    assert store.asked_before("me", "k").owner == "me"
    assert store.asked_before("you", "k").owner == "you"
    assert store.asked_before("me", "other") is None


@pytest.mark.fault(95)
def test_keys_are_kept_as_hashes_and_can_be_revoked(database):
    keys = KeyStore(database)
    text = keys.add("me", ["read"], km2_per_day=5.0)
    key = keys.check(text)
    assert (key.name, key.scopes, key.km2_per_day) == ("me", {"read"}, 5.0)
    assert keys.check(text[:-1] + ("0" if text[-1] != "0" else "1")) is None
    assert [keys.check(wrong) for wrong in ("", "geoseg", "geoseg__", text.replace("geoseg", "other"))] == [None] * 4
    dump = str(database.do(lambda connection: connection.rows("SELECT * FROM apikey")))
    assert text.rpartition("_")[2] not in dump
    assert keys.revoke(key.id)
    assert keys.check(text) is None
    assert not keys.revoke("none")


@pytest.mark.fault(85)
def test_a_restart_of_postgresql_loses_nothing(cluster, tmp_path):
    database = open_database(tmp_path, cluster.url)
    store = JobStore(database)
    told, stopping = [], threading.Event()

    def ask():
        while not stopping.is_set():
            with suppress(StoreUnavailableError):  # the caller is told, and nothing was promised
                told.append(store.add(job("restart"), **PLENTY).job.id)

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        while len(told) < 5:
            assert not any(one.done() for one in asking)
        cluster.stop("immediate")  # as a crash
        cluster.start()
        before = len(told)
        while len(told) < before + 5:
            assert not any(one.done() for one in asking)
        stopping.set()
    assert all(one.exception() is None for one in asking)
    kept = {one.id for one in store.find("restart", limit=10**6)}
    assert set(told) <= kept
    assert len(told) == len(set(told))
    database.close()


# SQLite alone: clocks, locks, versions


@pytest.mark.fault(69)
def test_fault_69_leases_do_not_follow_the_calendar(tmp_path):
    monotonic, wall = [1000.0], [1e9]
    database = SqliteDatabase(tmp_path / "s.db", lambda: monotonic[0], lambda: wall[0])
    connection = database.connect()
    migrate(connection)
    connection.close()
    store = JobStore(database, lease_s=30.0)
    store.add(job(), **PLENTY)
    lease = store.claim("w")
    for jump in (1e7, -2e7):  # the calendar is set
        wall[0] += jump
        assert store.claim("other") is None, "no mass expiry"
        assert store.beat(lease).holds
    done = store.get(lease.job.id)
    assert done.created <= done.started <= done.updated, "times never go back"
    monotonic[0] += 31.0
    assert store.claim("other").epoch == 2, "no immortal lease"
    monotonic[0] = 5.0  # the machine was started again: its clock begins anew
    assert store.claim("third").epoch == 3
    database.boot = "another start"
    assert store.claim("fourth").epoch == 4
    database.close()


@pytest.mark.fault(85)
def test_fault_85_a_locked_store_is_waited_for_and_then_told(tmp_path, monkeypatch):
    monkeypatch.setattr(dialects, "_WAIT_S", 0.2)
    database = open_database(tmp_path)
    store = JobStore(database)
    other = sqlite3.connect(tmp_path / "service.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailableError):
        store.add(job(), **PLENTY)
    threading.Timer(0.1, lambda: other.execute("COMMIT")).start()
    assert store.add(job(), **PLENTY).is_new
    other.close()
    database.close()


@pytest.mark.fault(86)
def test_fault_86_an_older_store_is_brought_up_to_date_and_a_newer_one_is_left_alone(tmp_path):
    raw = sqlite3.connect(tmp_path / "service.db")
    raw.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    raw.execute("INSERT INTO meta VALUES ('schema_version', '1')")
    words = {"serial": "INTEGER PRIMARY KEY AUTOINCREMENT", "real": "REAL"}
    for statement in MIGRATIONS[0]:
        raw.execute(statement.format_map(words))
    raw.commit()
    database = open_database(tmp_path)
    assert JobStore(database).add(job(), **PLENTY).is_new
    database.close()
    assert raw.execute("SELECT value FROM meta").fetchall() == [(str(VERSION),)]
    assert raw.execute("SELECT name FROM sqlite_master WHERE name = 'job_status'").fetchall()
    raw.execute("UPDATE meta SET value = '99'")
    raw.commit()
    before = list(raw.iterdump())
    with pytest.raises(GeosegError, match="version 99"):
        open_database(tmp_path)
    assert list(raw.iterdump()) == before
    raw.close()


def test_another_kind_of_database_is_refused(tmp_path):
    with pytest.raises(RequestError, match="postgresql://"):
        open_database(tmp_path, "mysql://host/name")


class Life(RuleBasedStateMachine):
    """Whatever happens in whatever order: one holder per job, no lost job, final is final."""

    def __init__(self):
        super().__init__()
        self.now = [100.0]
        self.folder = tempfile.TemporaryDirectory()
        self.database = SqliteDatabase(Path(self.folder.name) / "life.db", lambda: self.now[0])
        connection = self.database.connect()
        migrate(connection)
        connection.close()
        self.store = JobStore(self.database, lease_s=30.0, attempts=3)
        self.added, self.final, self.leases, self.progress = [], {}, [], {}

    @rule(priority=st.integers(-2, 2))
    def submit(self, priority):
        self.added.append(self.store.add(job(priority=priority), **PLENTY).job.id)

    @rule()
    def claim(self):
        lease = self.store.claim(f"w{next(_numbers)}")
        if lease is not None:
            assert lease.job.id not in self.final
            self.leases.append(lease)

    @rule(seconds=st.sampled_from([1.0, 29.0, 31.0, -50.0]))
    def time_passes(self, seconds):
        self.now[0] += seconds

    @rule(pick=st.integers(0, 10), progress=st.integers(0, 120))
    def beat(self, pick, progress):
        if self.leases:
            lease = self.leases[pick % len(self.leases)]
            newest = max(one.epoch for one in self.leases if one.job.id == lease.job.id)
            holds = self.store.beat(lease, progress).holds
            assert not holds or (lease.epoch == newest and lease.job.id not in self.final)

    @rule(pick=st.integers(0, 10), status=st.sampled_from(["successful", "failed"]))
    def finish(self, pick, status):
        if self.leases:
            lease = self.leases[pick % len(self.leases)]
            before = self.store.get(lease.job.id).status
            if self.store.finish(lease, status, None if status == "successful" else {"detail": "x"}, None):
                assert before in {"running", status}

    @rule(pick=st.integers(0, 10))
    def give_back(self, pick):
        if self.leases:
            self.store.give_back(self.leases[pick % len(self.leases)])

    @rule(pick=st.integers(0, 10))
    def dismiss(self, pick):
        if self.added:
            chosen = self.added[pick % len(self.added)]
            assert self.store.dismiss(chosen).status == "dismissed"
            self.final[chosen] = "dismissed"

    @invariant()
    def nothing_is_lost_and_final_is_final(self):
        jobs = {one.id: one for one in self.store.find(None, limit=1000)}
        assert set(jobs) == set(self.added)
        for identity, one in jobs.items():
            assert one.progress >= self.progress.get(identity, 0)
            assert (one.progress == 100) <= (one.status in {"successful", "dismissed"})
            self.progress[identity] = one.progress
            if identity in self.final:
                assert one.status == self.final[identity]
            elif one.is_final:
                self.final[identity] = one.status

    def teardown(self):
        self.database.close()
        self.folder.cleanup()


Life.TestCase.settings = hypothesis.settings(max_examples=15, stateful_step_count=20, deadline=None)
test_life = Life.TestCase


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "data").write_text("mine")
    for place in ("data", "data/below"):
        with pytest.raises(RequestError) as refused:
            open_database(tmp_path / place)
        assert f"--data {tmp_path / place}" in refused.value.given
    assert (tmp_path / "data").read_text() == "mine"


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path):
    (tmp_path / "service.db").write_bytes(b"junk" * 2000)
    with pytest.raises(RequestError) as refused:
        open_database(tmp_path)
    assert "service.db" in refused.value.given
    assert (tmp_path / "service.db").read_bytes() == b"junk" * 2000


@pytest.mark.fault(85)
@pytest.mark.fault(94)
def test_fault_85_a_database_that_is_away_at_the_start_is_named_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setattr(dialects, "_WAIT_S", 0.2)
    with pytest.raises(StoreUnavailableError) as refused:
        open_database(tmp_path, "postgresql://somebody:canary@127.0.0.1:9/jobs")
    assert refused.value.exit_code == 1
    assert "127.0.0.1:9" in refused.value.given
    assert "refused" in refused.value.given
    assert "canary" not in str(refused.value)
