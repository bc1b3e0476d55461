/*
 * grants.c
 *		Who may replay and read what.
 *
 * A grant is a row of acteon_grants: a PostgreSQL role, an application role
 * and four lists.  It counts for the PostgreSQL role itself and for members
 * that inherit it (has_privs_of_role).  It covers a record when each of its
 * lists does, and one grant that covers is enough.  A superuser needs no row.
 *
 * How the lists match follows the gateway: "*" matches everything; namespaces,
 * providers and action types match byte for byte; a tenant also matches those
 * below it in the hierarchy, whose parts are separated by dots (grant_index.c).
 *
 * A session keeps what it has read until the table, a role or a membership
 * changes.  A trigger of the table announces a change as the server announces
 * those of its catalogs, when it is committed.  A transaction that writes the table
 * itself keeps nothing and uses nothing kept: the trigger fires at the end of the
 * statement, and not if an error ends that before.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "access/grant_index.h"
#include "access/grants.h"
#include "base/catalog.h"
#include "base/table_access.h"
#include "base/text.h"

/* The trigger that announces changes. */
#define CHANGED_TRIGGER "acteon_grants_changed"

/* The column that lets an operator patch payloads; where others were added, its place varies. */
#define MAY_PATCH_COLUMN "may_patch"

/* Roles whose rights a session keeps at most. */
#define MAX_KEPT 100

/* What a grant lets its holder do, for a bit mask: one for each purpose. */
#define RightFor(purpose) (1 << (purpose))

struct Grants
{
	bool everything;   /* a superuser */
	bool may_replay;   /* any grant of an admin or operator */
	bool may_patch;    /* any of these that lets its holder patch payloads */
	bool may_deliver;  /* a grant of the gateway */
	GrantIndex *index; /* of admins, operators and viewers; NULL: of a superuser */
	/* Of those that a session keeps. */
	bool kept;
	int users;             /* that have not done with it yet */
	MemoryContext context; /* it lives in */
};

/* A user of kept grants, in a memory context that ends with it. */
typedef struct GrantsUser
{
	MemoryContextCallback done;
	Grants *grants;
} GrantsUser;

/* The rights that a session keeps, by role. */
typedef struct KeptGrants
{
	Oid role;
	Grants *grants;
} KeptGrants;

static HTAB *kept_grants = NULL; /* KeptGrants; NULL: nothing was ever kept */
static Oid kept_table = InvalidOid;
static uint64 kept_changes = 0; /* count of changes when they were read */
static uint64 changes = 1;      /* count of changes that were announced */

/* What acteon_authorized keeps from row to row, and for which role and snapshot. */
typedef struct AuthorizedCache
{
	Oid role;
	TransactionId xmax;
	uint32 xcnt;
	CommandId curcid;
	MemoryContext context;
	Grants *grants;
} AuthorizedCache;

PG_FUNCTION_INFO_V1(acteon_authorized);
PG_FUNCTION_INFO_V1(acteon_grants_changed);

/* ----------------------------------------------------------------
 * Reading
 * ----------------------------------------------------------------
 */

/*
 * A list of a row.
 */
static GrantList
read_list(TupleTableSlot *slot, AttrNumber column)
{
	GrantList list;
	bool *nulls;
	bool isnull;

	deconstruct_array(DatumGetArrayTypeP(slot_getattr(slot, column, &isnull)), TEXTOID, -1, false,
					  TYPALIGN_INT, &list.entries, &nulls, &list.count);
	return list;
}

/*
 * Add the grant in a row that counts for the role.  The column may_patch is not there
 * before the extension is updated to version 1.1.
 */
static void
add_grant(Grants *grants, TupleTableSlot *slot, AttrNumber may_patch)
{
	GrantList lists[NUM_GRANT_FIELDS];
	bool isnull;
	const text *app_role = DatumGetTextPP(slot_getattr(slot, Anum_grants_role, &isnull));
	int rights = RightFor(GRANT_READ);

	if (TextIs(app_role, "gateway"))
		grants->may_deliver = true;
	if (TextIs(app_role, "admin"))
		rights |= RightFor(GRANT_REPLAY) | RightFor(GRANT_STEER) | RightFor(GRANT_PATCH);
	else if (TextIs(app_role, "operator"))
		rights |= RightFor(GRANT_REPLAY);
	else if (!TextIs(app_role, "viewer"))
		return;
	if ((rights & RightFor(GRANT_REPLAY)) != 0 && may_patch != InvalidAttrNumber &&
		DatumGetBool(slot_getattr(slot, may_patch, &isnull)) && !isnull)
		rights |= RightFor(GRANT_PATCH);
	lists[GRANT_TENANT] = read_list(slot, Anum_grants_tenants);
	lists[GRANT_NAMESPACE] = read_list(slot, Anum_grants_namespaces);
	lists[GRANT_PROVIDER] = read_list(slot, Anum_grants_providers);
	lists[GRANT_ACTION_TYPE] = read_list(slot, Anum_grants_actions);
	IndexGrant(grants->index, rights, lists);
	grants->may_replay |= (rights & RightFor(GRANT_REPLAY)) != 0;
	grants->may_patch |= (rights & RightFor(GRANT_PATCH)) != 0;
}

/*
 * Read the rights of a role that is no superuser, as a snapshot shows them, into the
 * current memory context.
 */
static Grants *
read_grants(Relation rel, Oid role, Snapshot snapshot)
{
	Grants *grants = palloc0(sizeof(Grants));
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	MemoryContext row_context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay grant", ALLOCSET_SMALL_SIZES);
	MemoryContext old = CurrentMemoryContext;
	AttrNumber may_patch = get_attnum(RelationGetRelid(rel), MAY_PATCH_COLUMN);
	Oid last_grantee = InvalidOid;
	bool counts = false;

	grants->index = MakeGrantIndex();
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull;
		Oid grantee = DatumGetObjectId(slot_getattr(slot, Anum_grants_grantee, &isnull));

		if (grantee != last_grantee)
			counts = has_privs_of_role(role, grantee);
		last_grantee = grantee;
		if (!counts)
			continue;
		MemoryContextSwitchTo(row_context);
		add_grant(grants, slot, may_patch);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(row_context);
	return grants;
}

/* ----------------------------------------------------------------
 * Keeping
 * ----------------------------------------------------------------
 */

/*
 * A relation has changed; InvalidOid: any may have.
 */
static void
relation_changed(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || relid == kept_table)
		changes++;
}

/*
 * A role, a membership or the owner of a database, which is an implicit member, has
 * changed.
 */
static void
role_changed(Datum arg, int cache, uint32 hash)
{
	changes++;
}

/*
 * Forget kept grants, unless somebody uses them.
 */
static void
forget_grants(Grants *grants)
{
	grants->kept = false;
	if (grants->users == 0)
		MemoryContextDelete(grants->context);
}

/*
 * A user has done with grants that were kept.
 */
static void
end_use(void *argument)
{
	Grants *grants = ((GrantsUser *) argument)->grants;

	if (--grants->users == 0 && !grants->kept)
		MemoryContextDelete(grants->context);
}

/*
 * Use kept grants as long as the current memory context lives.
 */
static Grants *
use_grants(Grants *grants)
{
	GrantsUser *user = palloc(sizeof(GrantsUser));

	user->grants = grants;
	user->done.func = end_use;
	user->done.arg = user;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &user->done);
	grants->users++;
	return grants;
}

/*
 * Make room for what is kept, of which nothing is that was read before a change or from
 * another table.
 */
static void
prepare_keeping(Oid relid)
{
	HASH_SEQ_STATUS status;
	KeptGrants *kept;

	if (kept_grants == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid),
						   .entrysize = sizeof(KeptGrants),
						   .hcxt = TopMemoryContext};

		kept_grants = hash_create("acteon_replay kept grants", MAX_KEPT, &control,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, role_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, role_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(DATABASEOID, role_changed, (Datum) 0);
	}
	if (kept_table == relid && kept_changes == changes &&
		hash_get_num_entries(kept_grants) < MAX_KEPT)
		return;
	hash_seq_init(&status, kept_grants);
	while ((kept = hash_seq_search(&status)) != NULL)
	{
		Grants *grants = kept->grants;

		(void) hash_search(kept_grants, &kept->role, HASH_REMOVE, NULL);
		forget_grants(grants);
	}
	kept_table = relid;
	kept_changes = changes;
}

/*
 * Whether the current transaction may have changed the table.
 */
static bool
writes(Relation rel)
{
	return CheckRelationLockedByMe(rel, RowExclusiveLock, true);
}

/*
 * Whether each change of the table is announced: the trigger is there and cannot have
 * been passed over.
 */
static bool
announces_changes(Relation rel)
{
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (strcmp(trigger->tgname, CHANGED_TRIGGER) == 0)
			return trigger->tgenabled == TRIGGER_FIRES_ALWAYS && trigger->tgqual == NULL &&
				   trigger->tgnattr == 0 && TRIGGER_FOR_ROW(trigger->tgtype) &&
				   TRIGGER_FOR_INSERT(trigger->tgtype) && TRIGGER_FOR_UPDATE(trigger->tgtype) &&
				   TRIGGER_FOR_DELETE(trigger->tgtype);
	}
	return false;
}

/*
 * The kept rights of a role, read if they are not there yet, for the current memory
 * context.
 *
 * They are read as they are now: the changes behind the snapshot of a statement or of a
 * transaction have been announced before, and would not be again.
 */
static Grants *
keep_grants(Relation rel, Oid role)
{
	KeptGrants *kept;
	Grants *grants;
	MemoryContext context;
	MemoryContext old;
	Snapshot snapshot;

	prepare_keeping(RelationGetRelid(rel));
	kept = hash_search(kept_grants, &role, HASH_FIND, NULL);
	if (kept != NULL)
		return use_grants(kept->grants);

	context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay grants", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	grants = read_grants(rel, role, snapshot);
	UnregisterSnapshot(snapshot);
	MemoryContextSwitchTo(old);
	if (kept_changes != changes || kept_table != RelationGetRelid(rel))
		return grants; /* something has changed meanwhile */
	kept = hash_search(kept_grants, &role, HASH_ENTER, NULL);
	MemoryContextSetParent(context, TopMemoryContext);
	grants->context = context;
	grants->kept = true;
	kept->grants = grants;
	return use_grants(grants);
}

/*
 * Load the rights of a role from the acteon_grants of the given schema.  They are valid
 * as long as the current memory context.
 *
 * A transaction that has one snapshot for all sees them as that shows them, others as
 * they are now; one that changes them sees what its statement sees.
 */
Grants *
LoadGrants(Oid role, Oid schema)
{
	Grants *grants;
	Relation rel;

	if (superuser_arg(role))
	{
		grants = palloc0(sizeof(Grants));
		grants->everything = true;
		grants->may_replay = true;
		grants->may_patch = true;
		grants->may_deliver = true;
		return grants;
	}
	/* Opening the table does this only if the transaction has no lock on it yet. */
	AcceptInvalidationMessages();
	rel = table_open(OwnTable(schema, GRANTS_TABLE), AccessShareLock);
	/* A parallel query takes no snapshots of its own. */
	if (IsolationUsesXactSnapshot() || IsInParallelMode() || writes(rel) || !announces_changes(rel))
		grants = read_grants(rel, role, GetActiveSnapshot());
	else
		grants = keep_grants(rel, role);
	table_close(rel, AccessShareLock);
	return grants;
}

/*
 * The roles that hold grants of any kind, each once.
 */
List *
ListGrantees(Oid schema)
{
	Relation rel = table_open(OwnTable(schema, GRANTS_TABLE), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	List *grantees = NIL;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		grantees =
			list_append_unique_oid(grantees, DatumGetObjectId(
												 slot_getattr(slot, Anum_grants_grantee, &isnull)));
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return grantees;
}

/*
 * acteon_grants_changed() -> trigger
 *
 * Announces a change of a row of acteon_grants, to be fired after it.  Raises
 * e_r_i_e_trigger_protocol_violated if it is not called as a trigger.
 */
Datum
acteon_grants_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("acteon_grants_changed() can only be called as a trigger")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	PG_RETURN_POINTER(NULL);
}

/* ----------------------------------------------------------------
 * Asking
 * ----------------------------------------------------------------
 */

/*
 * Whether the role may replay anything at all: the check of the role, before
 * that of the record.
 */
bool
GrantsMayReplay(const Grants *grants)
{
	return grants->may_replay;
}

/*
 * Whether the role may patch any payload at all: a grant of an admin counts, and one of
 * an operator that says so.
 */
bool
GrantsMayPatch(const Grants *grants)
{
	return grants->may_patch;
}

/*
 * Whether the role may claim actions from the outbox and record their results:
 * only gateway grants count.
 */
bool
GrantsMayDeliver(const Grants *grants)
{
	return grants->may_deliver;
}

/*
 * Whether the role may read anything at all: a grant of an admin, operator or
 * viewer counts, that of the gateway does not.
 */
bool
GrantsMayRead(const Grants *grants)
{
	return grants->everything || IndexedGrants(grants->index) > 0;
}

/*
 * For which purpose a grant must cover a record that is only shown as it would be
 * replayed.  Who may replay nothing is shown what others could replay.
 */
GrantPurpose
PreviewPurpose(const Grants *grants)
{
	return GrantsMayReplay(grants) ? GRANT_REPLAY : GRANT_READ;
}

/*
 * Whether the role needs no grants, being a superuser.
 */
bool
GrantsEverything(const Grants *grants)
{
	return grants->everything;
}

/*
 * Whether a grant covers a record: for GRANT_REPLAY only those of admins and
 * operators count, for GRANT_READ those of viewers as well, for GRANT_STEER, which
 * is about other people's batches, only those of admins; for GRANT_PATCH those of admins,
 * and those of operators that have may_patch.
 */
bool
GrantsCover(Grants *grants, GrantPurpose purpose, const GrantTarget *target)
{
	const text *values[NUM_GRANT_FIELDS] = {[GRANT_TENANT] = target->tenant,
											[GRANT_NAMESPACE] = target->namespace,
											[GRANT_PROVIDER] = target->provider,
											[GRANT_ACTION_TYPE] = target->action_type};

	return grants->everything || IndexCovers(grants->index, RightFor(purpose), values);
}

/*
 * Whether a grant of an admin, operator or viewer covers a tenant, whatever else it asks
 * for.
 */
bool
GrantsCoverTenant(Grants *grants, const text *tenant)
{
	return grants->everything || IndexCoversValue(grants->index, GRANT_TENANT, tenant);
}

/*
 * List what the grants of admins, operators and viewers name in a field.  A record that
 * one of them covers has such a value; of tenants, or one of a tenant below.  Returns
 * false if it may have any.
 */
bool
GrantedValues(const Grants *grants, GrantField field, Datum **values, int *count)
{
	return !grants->everything && IndexedValues(grants->index, field, values, count);
}

/*
 * Whether the cache holds the rights of this role as this snapshot shows them.
 * With the same xmax, transactions can only have left the snapshot's list of
 * running ones, so its length tells whether any has.
 */
static bool
cache_is_valid(const AuthorizedCache *cache, Oid role, Snapshot snapshot)
{
	return cache->role == role && cache->xmax == snapshot->xmax && cache->xcnt == snapshot->xcnt &&
		   cache->curcid == snapshot->curcid;
}

/*
 * The rights of the current role.  They are loaded once for the rows of a
 * query; an expression that lives longer, as in a loop of PL/pgSQL, sees them
 * change.
 */
static Grants *
current_grants(FmgrInfo *flinfo)
{
	AuthorizedCache *cache = flinfo->fn_extra;
	Snapshot snapshot = GetActiveSnapshot();
	MemoryContext old;

	if (cache != NULL && cache_is_valid(cache, GetUserId(), snapshot))
		return cache->grants;
	if (cache == NULL)
	{
		cache = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(AuthorizedCache));
		cache->context =
			AllocSetContextCreate(flinfo->fn_mcxt, "acteon_replay grants", ALLOCSET_SMALL_SIZES);
		flinfo->fn_extra = cache;
	}
	cache->role = InvalidOid; /* in case of an error */
	MemoryContextReset(cache->context);
	old = MemoryContextSwitchTo(cache->context);
	cache->grants = LoadGrants(GetUserId(), get_func_namespace(flinfo->fn_oid));
	MemoryContextSwitchTo(old);
	cache->role = GetUserId();
	cache->xmax = snapshot->xmax;
	cache->xcnt = snapshot->xcnt;
	cache->curcid = snapshot->curcid;
	return cache->grants;
}

/*
 * acteon_authorized(tenant, namespace, provider, action_type text) → boolean
 *
 * Whether an admin, operator or viewer grant of the current role covers such a
 * record; false if an argument is NULL.  Raises no errors of its own.
 */
Datum
acteon_authorized(PG_FUNCTION_ARGS)
{
	GrantTarget target;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_BOOL(false);
	target.tenant = PG_GETARG_TEXT_PP(0);
	target.namespace = PG_GETARG_TEXT_PP(1);
	target.provider = PG_GETARG_TEXT_PP(2);
	target.action_type = PG_GETARG_TEXT_PP(3);
	PG_RETURN_BOOL(GrantsCover(current_grants(fcinfo->flinfo), GRANT_READ, &target));
}
