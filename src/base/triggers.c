/*
 * triggers.c
 *		Triggers and rules that others have put on our tables.
 *
 * Rows are written without the executor's INSERT, UPDATE and DELETE nodes, so what
 * these do about triggers is done here.  AFTER triggers FOR EACH ROW run, with the
 * server's own functions: foreign keys to and from our tables, deferrable unique
 * constraints, the triggers by which pg_repack follows a table, and those of a DBA.
 * They run directly after the row was written.  All other triggers that would
 * fire are refused, and so are rules; what is disabled does not count.
 *
 * Everything runs as the table's owner and as a security-restricted operation, in
 * which no trigger may be deferred: it would run at the commit, as the caller.  The
 * server's own constraint triggers may, because they do not depend on who runs
 * them.  Those that can be deferred only look; those that change other tables, as
 * ON DELETE CASCADE does, cannot be, and stay restricted with all that these
 * changes fire.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "rewrite/prs2lock.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/error_reason.h"
#include "base/triggers.h"

/*
 * Whether a trigger, or a rule, that is enabled in this way fires in this session.
 */
static bool
is_enabled(char enabled)
{
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return enabled == TRIGGER_FIRES_ALWAYS || enabled == TRIGGER_FIRES_ON_REPLICA;
	return enabled == TRIGGER_FIRES_ALWAYS || enabled == TRIGGER_FIRES_ON_ORIGIN;
}

/*
 * Whether a trigger is one of the server's own, which enforces a constraint.
 */
static bool
is_servers_own(const Trigger *trigger)
{
	return trigger->tgisinternal && (RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_NONE ||
									 trigger->tgfoid == F_UNIQUE_KEY_RECHECK);
}

/*
 * Whether a trigger is of a kind that we run.  Which columns are named in an update
 * is not known, so UPDATE OF is not; one that is deferred would run as the caller.
 */
static bool
is_runnable(const Trigger *trigger)
{
	return TRIGGER_FOR_AFTER(trigger->tgtype) && TRIGGER_FOR_ROW(trigger->tgtype) &&
		   trigger->tgnattr == 0 && trigger->tgoldtable == NULL && trigger->tgnewtable == NULL &&
		   (!trigger->tginitdeferred || is_servers_own(trigger));
}

/*
 * Refuse a table with an enabled trigger that we would not run: for rows that are
 * inserted, or with changes also for rows that are updated and deleted.
 */
void
CheckTriggers(Relation rel, bool changes)
{
	TriggerDesc *desc = rel->trigdesc;

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		const Trigger *trigger = &desc->triggers[i];
		bool concerns = TRIGGER_FOR_INSERT(trigger->tgtype) ||
						(changes && (TRIGGER_FOR_UPDATE(trigger->tgtype) ||
									 TRIGGER_FOR_DELETE(trigger->tgtype)));

		if (!concerns || !is_enabled(trigger->tgenabled) || is_runnable(trigger))
			continue;
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errreason(CODE_BROKEN_INSTALLATION),
			 errmsg("acteon_replay cannot run trigger \"%s\" of table \"%s\"", trigger->tgname,
					RelationGetRelationName(rel)),
			 errdetail(
				 "Only AFTER triggers FOR EACH ROW are run on this table, without column lists and transition tables, and not deferred."),
			 errhint(
				 "Create it as such a trigger, or disable it with ALTER TABLE %s DISABLE TRIGGER; to follow the table, LISTEN or use logical decoding.",
				 RelationGetRelationName(rel))));
	}
}

/*
 * Refuse a table with an enabled rule: it would not be obeyed, or would rewrite our
 * statements.
 */
void
CheckRules(Relation rel)
{
	for (int i = 0; rel->rd_rules != NULL && i < rel->rd_rules->numLocks; i++)
	{
		const RewriteRule *rule = rel->rd_rules->rules[i];
		ObjectAddress address;

		if (!is_enabled(rule->enabled))
			continue;
		ObjectAddressSet(address, RewriteRelationId, rule->ruleId);
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errreason(CODE_BROKEN_INSTALLATION),
				 errmsg("acteon_replay cannot obey %s", getObjectDescription(&address, false)),
				 errhint("Use an AFTER trigger FOR EACH ROW in its place, or disable it with "
						 "ALTER TABLE %s DISABLE RULE.",
						 RelationGetRelationName(rel))));
	}
}

/*
 * Whether triggers have to be fired for rows that are inserted.
 */
bool
HasInsertTriggers(Relation rel)
{
	return rel->trigdesc != NULL && rel->trigdesc->trig_insert_after_row;
}

/* Triggers of a table that fire together. */
typedef enum TriggerSet
{
	SERVERS_IMMEDIATE,
	SERVERS_DEFERRABLE,
	OTHERS,
	NUM_SETS
} TriggerSet;

static TriggerSet
set_of(const Trigger *trigger)
{
	if (!is_servers_own(trigger))
		return OTHERS;
	return trigger->tgdeferrable ? SERVERS_DEFERRABLE : SERVERS_IMMEDIATE;
}

/*
 * Leave only the triggers of a set enabled in a copy of a table's triggers.  Returns
 * whether one of them fires in this session.
 */
static bool
keep_set(TriggerDesc *desc, TriggerSet set)
{
	bool any = false;

	for (int i = 0; i < desc->numtriggers; i++)
	{
		Trigger *trigger = &desc->triggers[i];

		if (set_of(trigger) != set)
			trigger->tgenabled = TRIGGER_DISABLED;
		any |= is_enabled(trigger->tgenabled);
	}
	return any;
}

/* Rows whose triggers are to be fired; either was inserted, updated or deleted. */
typedef struct Written
{
	ItemPointer old;        /* where the old version is; NULL: there was none */
	TupleTableSlot **slots; /* the new ones */
	int count;              /* of the new ones; 0: it was deleted */
} Written;

/*
 * Tell the server what was written, so that it notes which triggers are to be run.
 */
static void
note_events(ResultRelInfo *rri, EState *estate, const Written *written)
{
	/* Which unique constraints are in question is not known here, so all are checked. */
	List *rechecks = written->count == 0 ? NIL : RelationGetIndexList(rri->ri_RelationDesc);

	if (written->count == 0)
		ExecARDeleteTriggers(estate, rri, written->old, NULL, NULL, false);
	else if (written->old != NULL)
		ExecARUpdateTriggers(estate, rri, NULL, NULL, written->old, NULL, written->slots[0],
							 rechecks, NULL, false);
	for (int i = 0; written->old == NULL && i < written->count; i++)
		ExecARInsertTriggers(estate, rri, written->slots[i], rechecks, NULL);
	list_free(rechecks);
}

/*
 * Fire the triggers of one set.  Nothing that this opens stays open: the caller may
 * be in a subtransaction that is rolled back.
 */
static void
fire_set(Relation rel, TriggerSet set, const Written *written)
{
	EState *estate = CreateExecutorState();
	ResultRelInfo *rri = makeNode(ResultRelInfo);
	Oid user;
	int sec_context;

	InitResultRelInfo(rri, rel, 0, NULL, 0);
	if (keep_set(rri->ri_TrigDesc, set))
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		AfterTriggerBeginQuery();
		note_events(rri, estate, written);
		GetUserIdAndSecContext(&user, &sec_context);
		if (set == SERVERS_DEFERRABLE)
			SetUserIdAndSecContext(user, sec_context & ~SECURITY_RESTRICTED_OPERATION);
		AfterTriggerEndQuery(estate);
		SetUserIdAndSecContext(user, sec_context);
		PopActiveSnapshot();
		ExecResetTupleTable(estate->es_tupleTable, false);
		ExecCloseResultRelations(estate);
	}
	FreeExecutorState(estate);
	pfree(rri);
}

static void
fire(Relation rel, const Written *written)
{
	for (TriggerSet set = 0; set < NUM_SETS; set++)
		fire_set(rel, set, written);
}

/*
 * Fire the triggers for rows that were inserted, as they are in the slots, with
 * their places.
 */
void
FireInserted(Relation rel, TupleTableSlot **slots, int count)
{
	Written written = {.slots = slots, .count = count};

	if (HasInsertTriggers(rel) && count > 0)
		fire(rel, &written);
}

/*
 * Fire the triggers for a row that was updated: the old version at a place was
 * replaced by the one in the slot.
 */
void
FireUpdated(Relation rel, ItemPointer old, TupleTableSlot *slot)
{
	Written written = {.old = old, .slots = &slot, .count = 1};

	if (rel->trigdesc != NULL && rel->trigdesc->trig_update_after_row)
		fire(rel, &written);
}

/*
 * Fire the triggers for the row at a place, which was deleted.
 */
void
FireDeleted(Relation rel, ItemPointer old)
{
	Written written = {.old = old};

	if (rel->trigdesc != NULL && rel->trigdesc->trig_delete_after_row)
		fire(rel, &written);
}

/*
 * Which sets have triggers that fire in this session when a row is deleted, as a bit
 * mask.
 */
static int
sets_for_delete(Relation rel)
{
	TriggerDesc *desc = rel->trigdesc;
	int sets = 0;

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		if (TRIGGER_FOR_DELETE(desc->triggers[i].tgtype) && is_enabled(desc->triggers[i].tgenabled))
			sets |= 1 << set_of(&desc->triggers[i]);
	}
	return sets;
}

/*
 * Allow that a DELETE that follows defers triggers of a table, if those that it fires
 * are all the server's own and deferrable.  Returns the security context that the
 * caller must set again afterwards.
 */
int
AllowDeferring(Relation rel)
{
	Oid user;
	int sec_context;

	GetUserIdAndSecContext(&user, &sec_context);
	if (sets_for_delete(rel) == 1 << SERVERS_DEFERRABLE)
		SetUserIdAndSecContext(user, sec_context & ~SECURITY_RESTRICTED_OPERATION);
	return sec_context;
}

/*
 * Whether a DELETE would fire some triggers that may have to be deferred, together with
 * others of the server's own that must not run where that is allowed.
 */
bool
DeletesApart(Relation rel)
{
	return sets_for_delete(rel) == (1 << SERVERS_DEFERRABLE | 1 << SERVERS_IMMEDIATE);
}
