"""The scenarios: what goes wrong while actions are delivered.

A scenario has the configuration of the gateway (in the gateway's own times, which
are divided by the scale), what is told about records, how its actions differ, and
what is done meanwhile.  It begins when the relays run, with none delivered.
"""

import signal
import time

import psycopg

from servers import Trouble, wait_until

OK_PROVIDER = {"*": {"delay_ms": 40}}


class Scenario:
    """What all have in common: nothing goes wrong."""

    name = None
    gateway = {"providers": OK_PROVIDER}
    audit = {}
    rules = []
    record = {}             # arguments of make_record, as SQL in which n is the number
    actions = None          # of them, if not as many as are asked for
    own_cluster = False     # whether the server itself suffers
    relays = 1
    lost_by_failover = False
    seconds = 600           # it must be over by then, however slow the machine

    def before(self, run):
        """What is there before the replay."""

    def meanwhile(self, run):
        """What happens while the relays deliver."""

    def after(self, run):
        """What is done when all has ended."""


class TenantLimit(Scenario):
    """Each tenant may have 50 requests in a window, and has 200 to replay."""

    name = "tenant-limit"
    gateway = {"providers": OK_PROVIDER, "tenant_limit": {"*": {"limit": 50, "window_seconds": 60}}}
    record = {"tenant": "'t' || n / 200"}


class ConcurrencyLimit(Scenario):
    """Eight dispatches at once."""

    name = "concurrency-limit"
    gateway = {"providers": {"*": {"delay_ms": 400}}, "max_concurrent_dispatch": 8}


class Slow(Scenario):
    """A provider that takes four seconds."""

    name = "slow"
    gateway = {"providers": {"*": {"delay_ms": 4000}}}


class Hanging(Scenario):
    """A provider that hangs 14 seconds, and then is well."""

    name = "hanging"
    gateway = {"providers": {"*": {"delay_ms": 14000, "after": 80, "then": {"delay_ms": 40}}}}


class Own500(Scenario):
    """Compliance mode: an intent that cannot be written is a 500 of the gateway, and nothing was executed."""

    name = "500-before"
    audit = {"compliance": True, "fail_intents": 0.2}


class LostOutcomes(Scenario):
    """Compliance mode: an outcome that cannot be written leaves the intent alone, and the answer is 200."""

    name = "lost-outcomes"
    audit = {"compliance": True, "fail_outcomes": 0.2}


class Proxy502(Scenario):
    """A proxy answers 502 to what was executed, and to what it has not let through."""

    name = "proxy-502"
    rules = [{"probability": 0.08, "answer": {"status": 502, "text": "<html>Bad Gateway</html>", "effect": True}},
             {"probability": 0.03, "answer": {"status": 502, "text": "<html>Bad Gateway</html>"}},
             {"probability": 0.02, "answer": {"reset": "body", "effect": True}}]


class BurntAfterPurge(Scenario):
    """All of it was delivered to a provider that was down, was purged, and is replayed again."""

    name = "burnt-after-purge"
    gateway = {"providers": {"*": {"refuse": True}}, "executor": {"max_retries": 0}}

    def meanwhile(self, run):
        run.wait_until_ended()
        run.settle_down()
        run.gateway.providers(OK_PROVIDER)
        with run.connect() as connection:
            purged = connection.execute("SELECT * FROM acteon_outbox_purge('0 s')").fetchone()
        if not purged[0]:
            raise Trouble(f"nothing was purged: {purged}")
        run.first_effects = run.gateway.effects()
        run.batches = []
        run.replay(include_replayed="true")


class GatewayKilled(Scenario):
    """The gateway is killed in mid-flight, three times; the restarted one remembers no id."""

    name = "gateway-killed"

    def meanwhile(self, run):
        for share in run.moments(3):
            run.wait_for_effects(share)
            run.gateway.kill()
            time.sleep(0.5)
            run.gateway.start()


class AuditAway(Scenario):
    """The audit database is away for a while: what is executed then never has a record."""

    name = "audit-away"

    def meanwhile(self, run):
        run.wait_for_effects(0.2)
        run.gateway.tell(audit={"fail": True})
        run.wait_for_effects(0.6)
        run.gateway.tell(audit={"fail": False})


class Retention(Scenario):
    """Records are pruned soon after they were written."""

    name = "retention"

    def meanwhile(self, run):
        while run.left() > 0 and not run.is_late():
            with run.connect() as connection:
                connection.execute("DELETE FROM acteon_audit WHERE completed_at < clock_timestamp() - interval '2 s'")
            time.sleep(0.5)


class DatabaseKilled(Scenario):
    """The database is killed, twice, and comes again."""

    name = "database-killed"
    own_cluster = True

    def meanwhile(self, run):
        for share in run.moments(2):
            run.wait_for_effects(share)
            run.cluster.kill()
            time.sleep(0.3)
            run.cluster.start()


class Failover(Scenario):
    """An asynchronous standby is promoted that has lost the newest commits, with a batch that nobody knows of any more.

    It is asked for again where the gateway knows its ids; where it does not, nobody can
    tell what was done of it, but who replays what the records say was done.
    """

    name = "failover"
    own_cluster = True
    lost_by_failover = True

    def before(self, run):
        run.standby = run.cluster.standby()
        run.hosts = [run.cluster, run.standby]

    def meanwhile(self, run):
        run.wait_for_effects(0.3)
        self.cut_off(run)
        # What only the old primary knows: deliveries, and a batch.
        known = list(run.batches)
        run.make_records("late", run.count // 10)
        run.replay(name="late")
        before = run.gateway.effects()
        wait_until(lambda: (found := run.gateway.effects()) >= before + run.count // 5 or run.left() == 0 or found, "some are delivered that the standby does not know")
        run.cluster.kill()
        run.standby.tool("pg_ctl", "-D", run.standby.data, "-w", "-t", "120", "promote")
        run.cluster = run.standby
        run.batches = known
        # It is asked for again, and so is another one, which gets the same numbers.
        run.make_records("late", run.count // 10)
        run.make_records("new", run.count // 10)
        run.replay(name="new")
        if run.options.protection:
            run.replay(name="late")

    @staticmethod
    def cut_off(run):
        """From now on the standby learns nothing more."""
        with psycopg.connect(run.standby.dsn("postgres"), autocommit=True) as connection:
            def receivers():
                return [status for status, in connection.execute("SELECT status FROM pg_stat_wal_receiver").fetchall()]
            wait_until(lambda: True if receivers() == ["streaming"] else receivers(), "the standby follows")
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
            wait_until(lambda: True if receivers() == [] else receivers(), "the standby does not follow any more")


class StoppedRelay(Scenario):
    """Two relays, one of which is stopped past its lease, and goes on."""

    name = "stopped-relay"
    relays = 2

    def meanwhile(self, run):
        for share in (0.2, 0.6):
            run.wait_for_effects(share)
            run.relays[0].signal(signal.SIGSTOP)
            time.sleep(run.options.lease + 2)
            run.relays[0].signal(signal.SIGCONT)


class Steering(Scenario):
    """Lanes, a pause and a cancel, with actions in doubt."""

    name = "steering"
    rules = Proxy502.rules
    record = {"metadata": "jsonb_build_object('__fingerprint', 'f' || n % 40)"}

    def meanwhile(self, run):
        run.wait_for_effects(0.2)
        with run.connect() as connection:
            for batch in run.batches:
                connection.execute("SELECT acteon_replay_pause(%s, 'a look')", (batch,))
            time.sleep(1)
            for batch in run.batches:
                connection.execute("SELECT acteon_replay_resume(%s, 'on')", (batch,))
            run.wait_for_effects(0.5)
            # What is in doubt is not cancelled, and what waits behind it in its lane is.
            for batch in run.batches:
                connection.execute("SELECT acteon_replay_cancel(%s, 'enough')", (batch,))


ALL = [TenantLimit, ConcurrencyLimit, Slow, Hanging, Own500, LostOutcomes, Proxy502, BurntAfterPurge, GatewayKilled, AuditAway,
       Retention, DatabaseKilled, Failover, StoppedRelay, Steering]
