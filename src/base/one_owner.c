/*
 * one_owner.c
 *		That the tables of the queue belong to one role.
 *
 * Statements over several of the extension's tables run as the owner of one of them.
 * Planning one evaluates the conditions and expressions of the indexes and statistics of
 * all its tables, and what the owner of one table has planted there must not run as the
 * owner of another.  So calls are refused while the tables belong to several roles.  Grants and
 * API keys are in no such statement, and may belong to others.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/error_reason.h"
#include "base/one_owner.h"
#include "base/own_table.h"
#include "base/partition.h"

static const char *const whole[] = {BATCH_TABLE,  INSTALLATION_TABLE, SEGMENT_TABLE,
									TALLY_TABLE,  LOG_TABLE,          BEGUN_TABLE,
									ACTION_TABLE, LIMIT_TABLE,        REFUSED_TABLE,
									NOTIFY_TABLE, POLICY_TABLE,       POLICY_PROVIDER_TABLE,
									TRAIL_TABLE,  TRAIL_HEAD_TABLE,   REMOVAL_TABLE};
static const char *const parted[] = {OUTBOX_TABLE, DELIVERY_TABLE};

#define MAX_TABLES (lengthof(whole) + lengthof(parted) * PARTITIONS)

/* The tables whose owners this session knows to be one, in a schema; it has none if it is invalid. */
static Oid known_schema;
static Oid tables[MAX_TABLES];
static int table_count;
static uint64 changes; /* of these tables, as far as the session has heard */

/*
 * A table, or any, has changed.
 */
static void
table_changed(Datum arg, Oid relid)
{
	bool is_ours = !OidIsValid(relid);

	for (int i = 0; i < table_count && !is_ours; i++)
		is_ours = tables[i] == relid;
	if (!is_ours)
		return;
	changes++;
	known_schema = InvalidOid;
}

/*
 * Add a table, if it is there: who needs it says so if it is not.
 */
static void
add_table(Oid schema, const char *name)
{
	Oid relid = get_relname_relid(name, schema);

	if (OidIsValid(relid))
		tables[table_count++] = relid;
}

/*
 * Refuse a table that has another owner than the first one.
 */
ACTEON_NORETURN static void
refuse_owners(Oid first, Oid other)
{
	const char *owner = GetUserNameFromId(TableOwner(first), false);

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(CODE_BROKEN_INSTALLATION),
			 errmsg("the tables of extension acteon_replay belong to several roles"),
			 errdetail("\"%s\" belongs to \"%s\", \"%s\" to \"%s\".", get_rel_name(first), owner,
					   get_rel_name(other), GetUserNameFromId(TableOwner(other), false)),
			 errhint("Give them to one role: ALTER TABLE %s OWNER TO %s, or the reverse. The "
					 "parts of a table have to be given one by one.",
					 get_rel_name(other), quote_identifier(owner))));
}

/*
 * Raise an error if the tables of the queue do not all belong to one role.  Costs nothing
 * once the session knows, until one of them changes.
 */
void
RequireOneOwner(Oid schema)
{
	static bool registered = false;
	uint64 changes_before;

	if (schema == known_schema)
		return;
	if (!registered)
		CacheRegisterRelcacheCallback(table_changed, (Datum) 0);
	registered = true;
	known_schema = InvalidOid;
	table_count = 0;
	for (int i = 0; i < lengthof(whole); i++)
		add_table(schema, whole[i]);
	for (int part = 0; part < PARTITIONS; part++)
	{
		for (int i = 0; i < lengthof(parted); i++)
			add_table(schema, PartitionName(parted[i], part));
	}
	changes_before = changes;
	for (int i = 1; i < table_count; i++)
	{
		if (TableOwner(tables[i]) != TableOwner(tables[0]))
			refuse_owners(tables[0], tables[i]);
	}
	if (changes == changes_before)
		known_schema = schema;
}
