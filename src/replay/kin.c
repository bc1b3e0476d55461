/*
 * kin.c
 *		Which record of an action and its replays is replayed as lost.
 *
 * A replay is an action of its own, with records of its own.  While an outage
 * lasts, the records of an action, of its replay, and of the replay's replay
 * may all say that nothing happened, although a client asked for one thing
 * once.  Such actions are called kin.  Of the records of kin one is replayed, the
 * latest that matches, and none while one of the replays has not ended, or if
 * one has had an effect.
 *
 * Kin are found through the outbox: upwards by the original action ids,
 * downwards by the ids of the replays, which are known beforehand (replay_id.c).  A
 * record whose action is a replay has a label with the id of the original.
 *
 * Replays to another target than production have no records here.  So a replay to
 * production makes kin for a query of any target, but the results of replays matter only
 * for queries of their own target.
 *
 * Two calls whose windows contain different records of the same kin would each
 * replay one, because neither sees what the other has not committed.  So calls
 * that meet the same kin take turns, until their transactions end.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "audit/action_set.h"
#include "audit/audit_scan.h"
#include "audit/error_filter.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/identity.h"
#include "base/text.h"
#include "base/replay_id.h"
#include "queue/outbox_row.h"
#include "replay/generations.h"
#include "replay/kin.h"
#include "replay/reconstruct.h"

/* Keeps the lock of calls that meet kin apart from what users lock. */
#define KIN_LOCK_CLASS 9

/* Maximum number of kin of one action that are examined; in practice there are fewer. */
#define MAX_KIN 1000

/* An action that is kin to a record's. */
typedef struct Relative
{
	const text *action_id;
	bool is_replay; /* of ours; this is what became of it */
	ActionState state;
	bool had_no_effect;
	bool leads_here; /* it is the record's action, or one that this was replayed from */
} Relative;

/* All kin of a record. */
typedef struct Kin
{
	const AuditRecord *record;
	int count;
	int allocated;
	Relative *relatives;
} Kin;

/* What kin are looked for with. */
typedef struct KinReader
{
	ChainReader chains;
	StateReader states;
	Snapshot snapshot;
	const char *target; /* of the query; NULL: production */
} KinReader;

/* The last record that says that an action was lost. */
typedef struct LastLost
{
	uint64 action; /* hashed */
	TimestampTz time;
	text *id;
} LastLost;

/*
 * Add a relative, and return it.
 */
static Relative *
add_relative(Kin *kin, const text *action_id)
{
	Relative *relative;

	if (kin->count == kin->allocated)
	{
		kin->allocated = Max(8, kin->allocated * 2);
		kin->relatives = kin->relatives == NULL
							 ? palloc(kin->allocated * sizeof(Relative))
							 : repalloc(kin->relatives, kin->allocated * sizeof(Relative));
	}
	relative = &kin->relatives[kin->count++];
	memset(relative, 0, sizeof(*relative));
	relative->action_id = action_id;
	return relative;
}

/*
 * Whether the replay that was found last is of the namespace and the tenant of a
 * record.
 */
static bool
found_same_tenant(KinReader *reader, const AuditRecord *record)
{
	return OutboxRowIsOf(reader->chains.actions.outbox.slot, record->namespace, record->tenant);
}

/*
 * The action that an action of a record's tenant was replayed from, or NULL.
 */
static const text *
find_original(KinReader *reader, const AuditRecord *record, const text *action_id)
{
	TableFinder *outbox = &reader->chains.actions.outbox;
	pg_uuid_t id;
	bool isnull;

	if (!TextToUuid(VARDATA_ANY(action_id), VARSIZE_ANY_EXHDR(action_id), &id) ||
		FindAction(&reader->chains.actions, &id, reader->snapshot) != ACTION_FOUND ||
		!found_same_tenant(reader, record))
		return NULL;
	return DatumGetTextPCopy(FoundColumn(outbox, Anum_outbox_original_action_id, &isnull));
}

/*
 * Collect the actions that a record's was replayed from, after that itself; the
 * first of all is the last.  A replay that was given a new id since is not in the
 * outbox under that, so the record's label is asked, too.
 */
static void
collect_ancestors(KinReader *reader, Kin *kin)
{
	const text *action_id = kin->record->action_id;

	add_relative(kin, action_id)->leads_here = true;
	if (!IsLabelledReplay(kin->record))
		return;
	for (;;)
	{
		const text *original = find_original(reader, kin->record, action_id);

		CHECK_FOR_INTERRUPTS();
		if (original == NULL && kin->count == 1)
			original = ReplayedFrom(kin->record);
		if (original == NULL || kin->count == MAX_KIN)
			return;
		add_relative(kin, original)->leads_here = true;
		action_id = original;
	}
}

/*
 * The place of an action among kin, -1 if it is not there.
 */
static int
place_of(const Kin *kin, const text *action_id)
{
	for (int i = 0; i < kin->count; i++)
	{
		if (SameText(kin->relatives[i].action_id, action_id))
			return i;
	}
	return -1;
}

/*
 * Note a replay under one of the ids under which it was sent.  What became of it matters
 * only if it went where the query's replays go.
 */
static void
note_replay(Kin *kin, const pg_uuid_t *id, bool matters, ActionState state, bool had_no_effect)
{
	char string[UUID_TEXT_LEN + 1] = {0};
	Relative *relative;
	text *action_id;
	int place;

	UuidToText(string, id);
	action_id = cstring_to_text(string);
	place = place_of(kin, action_id);
	relative = place >= 0 ? &kin->relatives[place] : add_relative(kin, action_id);
	if (!matters)
		return;
	relative->is_replay = true;
	relative->state = state;
	relative->had_no_effect = had_no_effect;
}

/*
 * Collect the replays of an action to a target (NULL: production), generation by
 * generation, under all their ids.  Those that were purged are none any more.
 */
static void
collect_replays(KinReader *reader, Kin *kin, const text *action_id, const char *target)
{
	TableFinder *outbox = &reader->chains.actions.outbox;
	int generation = 0;

	reader->chains.target = target;
	while (kin->count < MAX_KIN && (generation = NextInChain(&reader->chains, action_id, generation,
															 reader->snapshot)) != 0)
	{
		ActionState state;
		bool isnull;
		int64 outbox_id;

		CHECK_FOR_INTERRUPTS();
		if (!found_same_tenant(reader, kin->record))
			continue;
		outbox_id = DatumGetInt64(FoundColumn(outbox, Anum_outbox_id, &isnull));
		state = ReadActionState(&reader->states, outbox_id, reader->snapshot);
		for (int resend = 0; resend <= reader->states.resend; resend++)
		{
			pg_uuid_t id;

			ResendId(&id, &reader->chains.namespace, VARDATA_ANY(action_id),
					 VARSIZE_ANY_EXHDR(action_id), target, generation, resend);
			note_replay(kin, &id, target == reader->target, state, reader->states.had_no_effect);
		}
	}
}

/*
 * Collect all kin of a record.
 */
static void
collect_kin(KinReader *reader, Kin *kin)
{
	collect_ancestors(reader, kin);
	/* From the first of all downwards; what is found is looked at in turn. */
	for (int i = 0; i < kin->count; i++)
	{
		collect_replays(reader, kin, kin->relatives[i].action_id, NULL);
		if (reader->target != NULL)
			collect_replays(reader, kin, kin->relatives[i].action_id, reader->target);
	}
}

/*
 * Why a record is not replayed, by the results of its kin.  A replay of the
 * record's action, or beside it, prevents another one unless it had no effect;
 * one that led to it does only if it has not ended: its failure is the reason
 * for the later one.
 */
static Reason
judge_replays(const Kin *kin, bool include_replayed)
{
	for (int i = 0; i < kin->count && !include_replayed; i++)
	{
		const Relative *relative = &kin->relatives[i];
		Reason reason = StateReason(relative->state);

		if (!relative->is_replay || reason == REASON_NONE)
			continue;
		if (relative->state != ACTION_DELIVERED ||
			(!relative->had_no_effect && !relative->leads_here))
			return reason;
	}
	return REASON_NONE;
}

/*
 * Whether a record is later than another one, of which this is the time and the id:
 * of those of one time, the one with the greater id is.
 */
static bool
is_later(const AuditRecord *record, TimestampTz time, const text *id)
{
	int order = memcmp(VARDATA_ANY(record->id), VARDATA_ANY(id),
					   Min(VARSIZE_ANY_EXHDR(record->id), VARSIZE_ANY_EXHDR(id)));

	if (record->dispatched_at != time)
		return record->dispatched_at > time;
	if (order != 0)
		return order > 0;
	return VARSIZE_ANY_EXHDR(record->id) > VARSIZE_ANY_EXHDR(id);
}

/*
 * Find the last records that say that the actions of kin were lost, as the query has
 * it, and note them in a table.
 */
static HTAB *
find_lost(const AuditTable *table, const ReplayQuery *query, ArrayBuildState *action_ids,
		  ActionSet *hasher)
{
	HASHCTL control = {.keysize = sizeof(uint64),
					   .entrysize = sizeof(LastLost),
					   .hcxt = CurrentMemoryContext};
	HTAB *found =
		hash_create("acteon_replay kin", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ReplayQuery anywhere = *query;
	MemoryContext old = CurrentMemoryContext;
	AuditRecord *records;
	AuditScan scan;
	int count;

	anywhere.cursor_text = NULL;
	anywhere.is_limited = false;
	IgnoreErrors(&anywhere); /* the last record counts, whatever its error */
	AuditScanBeginAmong(&scan, table, &anywhere,
						DatumGetArrayTypeP(makeArrayResult(action_ids, CurrentMemoryContext)));
	while ((count = AuditScanTake(&scan, MAX_RECORDS_LIMIT, &records)) > 0)
	{
		for (int i = 0; i < count; i++)
		{
			uint64 action;
			LastLost *entry;
			bool is_there;
			Effect effect;

			if (records[i].missing != NULL || !IsLost(&records[i], &effect) ||
				(query->certain && effect != EFFECT_NONE))
				continue;
			action = HashAction(hasher, &records[i]);
			entry = hash_search(found, &action, HASH_ENTER, &is_there);
			if (is_there && !is_later(&records[i], entry->time, entry->id))
				continue;
			entry->time = records[i].dispatched_at;
			entry->id = cstring_to_text_with_len(VARDATA_ANY(records[i].id),
												 VARSIZE_ANY_EXHDR(records[i].id));
		}
	}
	AuditScanEnd(&scan);
	MemoryContextSwitchTo(old);
	return found;
}

/*
 * Whether a later record of kin is lost, too.
 */
static bool
has_later(const Kin *kin, HTAB *found, ActionSet *hasher)
{
	for (int i = 0; i < kin->count; i++)
	{
		AuditRecord record = {.action_id = unconstify(text *, kin->relatives[i].action_id),
							  .namespace = kin->record->namespace,
							  .tenant = kin->record->tenant};
		uint64 action = HashAction(hasher, &record);
		const LastLost *entry = hash_search(found, &action, HASH_FIND, NULL);

		if (entry != NULL && !is_later(kin->record, entry->time, entry->id) &&
			!SameText(entry->id, kin->record->id))
			return true;
	}
	return false;
}

/*
 * Judge pending items by their kin, which are looked for as the owner of the
 * extension's tables.  Returns those that have any and are left; sets *left to how
 * many.
 */
static Kin *
judge_by_replays(Oid schema, const ReplayQuery *query, ReplayItem *items, int count,
				 Snapshot snapshot, int *left)
{
	KinReader reader = {.snapshot = snapshot, .target = TargetOf(query)};
	Kin *kin = palloc0(count * sizeof(Kin));
	Identity saved;

	*left = 0;
	SwitchIdentity(&saved, TableOwner(OwnTable(schema, OUTBOX_TABLE)));
	if (OpenChains(&reader.chains, schema))
	{
		InitStateReader(&reader.states, schema);
		for (int i = 0; i < count; i++)
		{
			Reason reason;

			if (items[i].status != ITEM_PENDING)
				continue;
			kin[i].record = items[i].record;
			collect_kin(&reader, &kin[i]);
			reason = judge_replays(&kin[i], query->include_replayed);
			if (reason != REASON_NONE)
				SetReason(&items[i], reason, query);
			else
				*left += kin[i].count > 1;
		}
		CloseStateReader(&reader.states);
		CloseChains(&reader.chains);
	}
	RestoreIdentity(&saved);
	return kin;
}

/*
 * Lock kin against other calls until the transaction ends.  Returns false if this
 * one has locked them before.
 */
bool
LockKin(Oid schema)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, OwnTable(schema, OUTBOX_TABLE), 0, KIN_LOCK_CLASS);
	if (ActeonLockHeldByMe(&tag, ExclusiveLock))
		return false;
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	return true;
}

/*
 * Judge pending items of a search for what was lost by their kin, as a snapshot
 * shows these, in the current memory context.  Returns whether any that is left has
 * kin.  Needs an SPI connection.
 */
bool
JudgeKin(Oid schema, const AuditTable *table, const ReplayQuery *query, ReplayItem *items,
		 int count, Snapshot snapshot)
{
	int left;
	Kin *kin = judge_by_replays(schema, query, items, count, snapshot, &left);
	ArrayBuildState *action_ids = NULL;
	ActionSet hasher;
	HTAB *found;

	if (left == 0)
		return false;
	for (int i = 0; i < count; i++)
	{
		for (int k = 0; k < kin[i].count && items[i].status == ITEM_PENDING && kin[i].count > 1;
			 k++)
			action_ids =
				accumArrayResult(action_ids, PointerGetDatum(kin[i].relatives[k].action_id), false,
								 TEXTOID, CurrentMemoryContext);
	}
	InitActionSet(&hasher);
	found = find_lost(table, query, action_ids, &hasher);
	for (int i = 0; i < count; i++)
	{
		if (items[i].status == ITEM_PENDING && kin[i].count > 1 &&
			has_later(&kin[i], found, &hasher))
			SetReason(&items[i], REASON_NEWER, query);
	}
	return true;
}
