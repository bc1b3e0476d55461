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
 * below it in the hierarchy, whose parts are separated by dots.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "access/grants.h"
#include "base/catalog.h"
#include "base/table_access.h"
#include "base/text.h"

/* One list of a grant. */
typedef struct GrantList
{
	int count;
	text **entries;
} GrantList;

typedef struct Grant
{
	bool may_replay;
	bool is_admin;
	GrantList tenants;
	GrantList namespaces;
	GrantList providers;
	GrantList actions;
} Grant;

struct Grants
{
	bool everything;  /* a superuser */
	bool may_replay;  /* any grant of an admin or operator */
	bool may_deliver; /* a grant of the gateway */
	int count;
	int allocated;
	int last_hit; /* the grant that covered last, which is tried first */
	Grant *grants;
};

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

/*
 * Copy a list out of a row.
 */
static GrantList
read_list(Datum array)
{
	GrantList list;
	Datum *values;
	bool *nulls;

	deconstruct_array(DatumGetArrayTypePCopy(array), TEXTOID, -1, false, TYPALIGN_INT, &values,
					  &nulls, &list.count);
	list.entries = palloc(list.count * sizeof(text *));
	for (int i = 0; i < list.count; i++)
		list.entries[i] = DatumGetTextPP(values[i]);
	return list;
}

/*
 * Add the grant in a row, if it counts for the role.
 */
static void
add_grant(Grants *grants, Oid role, TupleTableSlot *slot)
{
	Grant *grant;
	char *app_role;
	bool may_replay;
	bool isnull;

	if (!has_privs_of_role(role,
						   DatumGetObjectId(slot_getattr(slot, Anum_grants_grantee, &isnull))))
		return;
	app_role = TextDatumGetCString(slot_getattr(slot, Anum_grants_role, &isnull));
	may_replay = strcmp(app_role, "admin") == 0 || strcmp(app_role, "operator") == 0;
	if (strcmp(app_role, "gateway") == 0)
		grants->may_deliver = true;
	if (!may_replay && strcmp(app_role, "viewer") != 0)
		return;

	if (grants->count == grants->allocated)
	{
		grants->allocated = Max(8, grants->allocated * 2);
		grants->grants = grants->grants == NULL
							 ? palloc(grants->allocated * sizeof(Grant))
							 : repalloc(grants->grants, grants->allocated * sizeof(Grant));
	}
	grant = &grants->grants[grants->count++];
	grant->may_replay = may_replay;
	grant->is_admin = strcmp(app_role, "admin") == 0;
	grant->tenants = read_list(slot_getattr(slot, Anum_grants_tenants, &isnull));
	grant->namespaces = read_list(slot_getattr(slot, Anum_grants_namespaces, &isnull));
	grant->providers = read_list(slot_getattr(slot, Anum_grants_providers, &isnull));
	grant->actions = read_list(slot_getattr(slot, Anum_grants_actions, &isnull));
	grants->may_replay |= may_replay;
}

/*
 * Load the rights of a role from the acteon_grants of the given schema, as the
 * active snapshot shows them, into the current memory context.
 */
Grants *
LoadGrants(Oid role, Oid schema)
{
	Grants *grants = palloc0(sizeof(Grants));
	Relation rel;
	TableScanDesc scan;
	TupleTableSlot *slot;

	if (superuser_arg(role))
	{
		grants->everything = true;
		grants->may_replay = true;
		grants->may_deliver = true;
		return grants;
	}
	rel = table_open(OwnTable(schema, GRANTS_TABLE), AccessShareLock);
	slot = table_slot_create(rel, NULL);
	scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		add_grant(grants, role, slot);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return grants;
}

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
	return grants->everything || grants->count > 0;
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
 * Whether an entry of a list is "*".
 */
static inline bool
is_wildcard(const text *entry)
{
	return TextIs(entry, "*");
}

/*
 * Whether a list of namespaces, providers or action types covers a value:
 * "*" or the same bytes.
 */
static bool
list_covers(const GrantList *list, const text *value)
{
	for (int i = 0; i < list->count; i++)
	{
		const text *entry = list->entries[i];

		if (is_wildcard(entry) || SameText(entry, value))
			return true;
	}
	return false;
}

/*
 * Whether a list of tenants covers a tenant: "*", the same bytes, or an
 * ancestor.  acme covers acme and acme.us-east; neither acme-corp nor "acme."
 * alone, which has nothing behind the dot.
 */
static bool
tenants_cover(const GrantList *list, const text *tenant)
{
	const char *name = VARDATA_ANY(tenant);
	size_t len = VARSIZE_ANY_EXHDR(tenant);

	for (int i = 0; i < list->count; i++)
	{
		const text *entry = list->entries[i];
		size_t entry_len = VARSIZE_ANY_EXHDR(entry);

		if (is_wildcard(entry))
			return true;
		if (entry_len <= len && memcmp(VARDATA_ANY(entry), name, entry_len) == 0 &&
			(entry_len == len || (name[entry_len] == '.' && entry_len + 1 < len)))
			return true;
	}
	return false;
}

/*
 * Whether one grant covers a record for a purpose.
 */
static bool
grant_covers(const Grant *grant, GrantPurpose purpose, const GrantTarget *target)
{
	if ((purpose == GRANT_REPLAY && !grant->may_replay) ||
		(purpose == GRANT_STEER && !grant->is_admin))
		return false;
	return tenants_cover(&grant->tenants, target->tenant) &&
		   list_covers(&grant->namespaces, target->namespace) &&
		   list_covers(&grant->providers, target->provider) &&
		   list_covers(&grant->actions, target->action_type);
}

/*
 * Whether a grant covers a record: for GRANT_REPLAY only those of admins and
 * operators count, for GRANT_READ those of viewers as well, for GRANT_STEER, which
 * is about other people's batches, only those of admins.
 */
bool
GrantsCover(Grants *grants, GrantPurpose purpose, const GrantTarget *target)
{
	if (grants->everything)
		return true;
	if (grants->last_hit < grants->count &&
		grant_covers(&grants->grants[grants->last_hit], purpose, target))
		return true;
	for (int i = 0; i < grants->count; i++)
	{
		if (grant_covers(&grants->grants[i], purpose, target))
		{
			grants->last_hit = i;
			return true;
		}
	}
	return false;
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
