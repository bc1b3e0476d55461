/*
 * audit_table.c
 *		The gateway's audit table: finding it, and checking that it is an audit table.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tupdesc.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_subscription_rel.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "audit/audit_table.h"
#include "base/compat.h"
#include "base/error_reason.h"
#include "base/operators.h"
#include "base/partial_index.h"
#include "base/settings.h"
#include "base/text.h"

const char *const RecordColumnNames[NUM_RECORD_COLUMNS] = {
	[COL_ID] = "id",
	[COL_ACTION_ID] = "action_id",
	[COL_NAMESPACE] = "namespace",
	[COL_TENANT] = "tenant",
	[COL_PROVIDER] = "provider",
	[COL_ACTION_TYPE] = "action_type",
	[COL_OUTCOME] = "outcome",
	[COL_DISPATCHED_AT] = "dispatched_at",
	[COL_PAYLOAD] = "action_payload",
	[COL_METADATA] = "metadata",
	[COL_DETAILS] = "outcome_details",
	[COL_DURATION] = "duration_ms",
	[COL_ATTACHMENTS] = "attachment_metadata",
	[COL_CHAIN_ID] = "chain_id",
	[COL_SIGNER_ID] = "signer_id",
};

static const Oid record_types[NUM_RECORD_COLUMNS] = {
	[COL_ID] = TEXTOID,           [COL_ACTION_ID] = TEXTOID,
	[COL_NAMESPACE] = TEXTOID,    [COL_TENANT] = TEXTOID,
	[COL_PROVIDER] = TEXTOID,     [COL_ACTION_TYPE] = TEXTOID,
	[COL_OUTCOME] = TEXTOID,      [COL_DISPATCHED_AT] = TIMESTAMPTZOID,
	[COL_PAYLOAD] = JSONBOID,     [COL_METADATA] = JSONBOID,
	[COL_DETAILS] = JSONBOID,     [COL_DURATION] = INT8OID,
	[COL_ATTACHMENTS] = JSONBOID, [COL_CHAIN_ID] = TEXTOID,
	[COL_SIGNER_ID] = TEXTOID,
};

ACTEON_NORETURN static void
report_no_table(void)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_UNDEFINED_TABLE),
		 errmsg("audit table \"%s\" does not exist", AuditTableSetting),
		 errhint(
			 "Is auditing enabled in the gateway? If the table has another name or schema, set acteon_replay.audit_table. See doc/install.md.")));
}

/*
 * Refuse a schema in which everybody may create tables: records must not come
 * from a table that anybody could have made.
 */
static void
check_schema(Oid schema)
{
	char *name = get_namespace_name(schema);

	if (DatumGetBool(DirectFunctionCall3(has_schema_privilege_name_id, CStringGetDatum("public"),
										 ObjectIdGetDatum(schema),
										 PointerGetDatum(cstring_to_text("CREATE")))))
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("audit table \"%s\" is in schema %s, where every role may create tables",
					AuditTableSetting, quote_identifier(name)),
			 errhint(
				 "Set acteon_replay.audit_table to \"%s.%s\" to trust it, or revoke CREATE on that schema from PUBLIC.",
				 quote_identifier(name), AuditTableSetting)));
}

/*
 * Find the table that acteon_replay.audit_table names.  The caller's search
 * path plays no role.  A name without a schema is looked for beside the
 * extension and then in public.
 */
static Oid
find_audit_table(Oid extension_schema)
{
	char *setting = pstrdup(AuditTableSetting);
	List *names;
	Oid schemas[2] = {extension_schema, InvalidOid};
	int candidates = 1;

	if (!SplitIdentifierString(setting, '.', &names))
		elog(ERROR, "acteon_replay.audit_table is not a name: \"%s\"", AuditTableSetting);
	if (list_length(names) == 2)
		schemas[0] = get_namespace_oid(linitial(names), true);
	else
		schemas[candidates++] = get_namespace_oid("public", true);

	for (int i = 0; i < candidates; i++)
	{
		Oid relid =
			OidIsValid(schemas[i]) ? get_relname_relid(llast(names), schemas[i]) : InvalidOid;

		if (!OidIsValid(relid))
			continue;
		if (list_length(names) == 1)
			check_schema(schemas[i]);
		return relid;
	}
	report_no_table();
}

/*
 * Number of a column of the table, or InvalidAttrNumber.
 */
AttrNumber
AuditColumn(const AuditTable *table, const char *name)
{
	TupleDesc desc = RelationGetDescr(table->rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (!attr->attisdropped && strcmp(NameStr(attr->attname), name) == 0)
			return attr->attnum;
	}
	return InvalidAttrNumber;
}

/*
 * Raise an error unless the table has a column of exactly this type.  Another
 * type could bring its owner's operators and casts into the statement.
 */
void
CheckAuditColumn(const AuditTable *table, const char *name, Oid type)
{
	AttrNumber column = AuditColumn(table, name);
	Oid found;

	if (column == InvalidAttrNumber)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("audit table %s has no column \"%s\"", table->quoted_name, name),
						errhint("Does acteon_replay.audit_table name the gateway's audit table?")));
	found = TupleDescAttr(RelationGetDescr(table->rel), column - 1)->atttypid;
	if (found != type)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of audit table %s must be of type %s", name,
							   table->quoted_name, format_type_be(type)),
						errdetail("It is of type %s.", format_type_be(found))));
}

/*
 * The condition that a text column of the table, or of a subquery with its columns,
 * has the same bytes as a value; equals is the operator "=" and what is on its other
 * side, which must not begin with that column.  A nondeterministic collation takes
 * different texts for the same.  So the plain comparison, which is the one that an
 * index on the column supports, finds too much then, and the result is compared
 * again in the collation C.
 */
char *
TextTest(const AuditTable *table, const char *alias, const char *column, const char *equals)
{
	AttrNumber place = AuditColumn(table, column);
	Form_pg_attribute attribute;

	Assert(place != InvalidAttrNumber);
	attribute = TupleDescAttr(RelationGetDescr(table->rel), place - 1);
	if (HasExactCollation(attribute))
		return psprintf("%s.%s%s", alias, column, equals);
	return psprintf("(%s.%s%s AND %s.%s" C_ORDER "%s)", alias, column, equals, alias, column,
					equals);
}

/*
 * Whether a column is one that the gateway added in later versions.
 */
static bool
is_later_column(RecordColumn column)
{
	return column == COL_ATTACHMENTS || column == COL_CHAIN_ID || column == COL_SIGNER_ID;
}

/*
 * Refuse a table that cannot be read as its owner, whom the server's own error would
 * not name: the caller would look for the fault with its own role.  SELECT on some
 * columns may be enough; the statements show that.
 */
static void
check_owner_may_read(const AuditTable *table)
{
	Oid relid = RelationGetRelid(table->rel);
	Oid schema = RelationGetNamespace(table->rel);
	bool in_schema = ActeonMayUseSchema(schema, table->owner);

	if (in_schema &&
		(pg_class_aclcheck(relid, table->owner, ACL_SELECT) == ACLCHECK_OK ||
		 pg_attribute_aclcheck_all(relid, table->owner, ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_AUDIT_UNREADABLE),
					errmsg("audit table %s cannot be read by its owner", table->quoted_name),
					errdetail("It is read as its owner, role \"%s\", which lacks %s.",
							  GetUserNameFromId(table->owner, false),
							  in_schema ? "SELECT on the table" : "USAGE on its schema"),
					in_schema ? errhint("Run GRANT SELECT ON %s TO %s.", table->quoted_name,
										quote_identifier(GetUserNameFromId(table->owner, false)))
							  : errhint("Run GRANT USAGE ON SCHEMA %s TO %s.",
										quote_identifier(get_namespace_name(schema)),
										quote_identifier(GetUserNameFromId(table->owner, false)))));
}

/*
 * Refuse what is no table.  A view would run its own expressions with other rights
 * than the table's, may show a record twice or leave one out, and no index or lock
 * of it is that of the table; a materialized view is a copy of unknown age.
 */
static void
check_kind(const AuditTable *table)
{
	char kind = table->rel->rd_rel->relkind;

	if (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE ||
		kind == RELKIND_FOREIGN_TABLE)
		return;
	if (kind == RELKIND_VIEW || kind == RELKIND_MATVIEW)
		ereport(
			ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 kind == RELKIND_VIEW
				 ? errmsg("audit table %s is a view", table->quoted_name)
				 : errmsg("audit table %s is a materialized view", table->quoted_name),
			 kind == RELKIND_VIEW
				 ? errdetail("A view can show other records than the gateway wrote, or fewer.")
				 : errdetail(
					   "It shows the records as they were when it was refreshed: an action that was executed since would look lost."),
			 errhint(
				 "Set acteon_replay.audit_table to the gateway's table, to a foreign table that names it, or to a table that a subscription fills. See doc/scale.md.")));
	ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
					errmsg("audit table %s is not a table", table->quoted_name),
					errhint("Does acteon_replay.audit_table name the gateway's audit table?")));
}

/*
 * Open the audit table for reading and check that it is one: a table, perhaps a
 * partitioned or a foreign one, with the columns that every version of the gateway
 * creates.
 */
void
OpenAuditTable(AuditTable *table, Oid schema)
{
	table->rel = try_relation_open(find_audit_table(schema), AccessShareLock);
	if (table->rel == NULL)
		report_no_table();
	table->owner = table->rel->rd_rel->relowner;
	table->grants = NULL;
	table->quoted_name =
		quote_qualified_identifier(get_namespace_name(RelationGetNamespace(table->rel)),
								   RelationGetRelationName(table->rel));
	check_kind(table);
	check_owner_may_read(table);
	for (int i = 0; i < NUM_RECORD_COLUMNS; i++)
	{
		table->columns[i] = AuditColumn(table, RecordColumnNames[i]);
		table->has[i] = !is_later_column(i) || table->columns[i] != InvalidAttrNumber;
		if (table->has[i])
			CheckAuditColumn(table, RecordColumnNames[i], record_types[i]);
	}
}

/*
 * Whether a column cannot be NULL.
 */
bool
IsNeverNull(const AuditTable *table, RecordColumn column)
{
	AttrNumber place = AuditColumn(table, RecordColumnNames[column]);

	return TupleDescAttr(RelationGetDescr(table->rel), place - 1)->attnotnull;
}

/*
 * Whether an index allows no two rows with the same id and time: it is unique, on all
 * rows, at any moment, and on nothing else.
 */
static bool
keeps_places_unique(const AuditTable *table, Relation index)
{
	Form_pg_index form = index->rd_index;
	AttrNumber id = AuditColumn(table, RecordColumnNames[COL_ID]);
	AttrNumber time = AuditColumn(table, RecordColumnNames[COL_DISPATCHED_AT]);

	if (!form->indisunique || !form->indimmediate || !form->indisvalid || IsPartialIndex(index))
		return false;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		if (form->indkey.values[i] != id && form->indkey.values[i] != time)
			return false;
	}
	return true;
}

/*
 * Whether no two records have the same time and id, by which they are ordered.  An
 * index says nothing about tables that inherit.
 */
bool
HasUniquePlaces(const AuditTable *table)
{
	List *indexes = RelationGetIndexList(table->rel);
	bool unique = false;
	ListCell *lc;

	if (AuditTableIsRemote(table))
		return true; /* the foreign servers are supposed to have the gateway's primary key */
	if (table->rel->rd_rel->relkind == RELKIND_RELATION && table->rel->rd_rel->relhassubclass)
		return false;
	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		unique |= keeps_places_unique(table, index);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return unique;
}

/*
 * Whether a subscription fills one of these tables.
 */
static bool
is_subscribed(List *relids)
{
	Relation catalog = table_open(SubscriptionRelRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	bool found = false;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = list_member_oid(relids, ((Form_pg_subscription_rel) GETSTRUCT(tuple))->srrelid);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

/*
 * Whether there are foreign tables in the database at all.
 */
static bool
has_foreign_tables(void)
{
	Relation catalog = table_open(ForeignTableRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	bool found = HeapTupleIsValid(systable_getnext(scan));

	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

/*
 * Whether a foreign server has the records, or some of them: the table is foreign,
 * or one of its partitions is.
 */
bool
AuditTableIsRemote(const AuditTable *table)
{
	List *parts;
	ListCell *lc;
	bool found = false;

	if (table->rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		return true;
	if (!table->rel->rd_rel->relhassubclass || !has_foreign_tables())
		return false;
	parts = find_all_inheritors(RelationGetRelid(table->rel), NoLock, NULL);
	foreach (lc, parts)
		found |= get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE;
	list_free(parts);
	return found;
}

/*
 * Whether the table is filled from elsewhere (by a foreign server or a subscription,
 * completely or in part), so that it may lag behind what the gateway writes.  A
 * subscription may name the table, a part of it, or one that it is a part of.
 */
bool
AuditTableIsCopy(const AuditTable *table)
{
	List *relids;

	if (AuditTableIsRemote(table))
		return true;
	relids = find_all_inheritors(RelationGetRelid(table->rel), NoLock, NULL);
	if (table->rel->rd_rel->relispartition)
		relids = list_concat(relids, get_partition_ancestors(RelationGetRelid(table->rel)));
	return is_subscribed(relids);
}

/*
 * Whether the absence of a record can prove something.  Unless
 * acteon_replay.audit_is_live is set, it cannot in a copy.
 */
bool
AuditTableIsLive(const AuditTable *table)
{
	if (AuditIsLiveIsSaid || !AuditIsLive)
		return AuditIsLive;
	return !AuditTableIsCopy(table);
}

/*
 * Done with reading.  The lock stays until the transaction ends.
 */
void
CloseAuditTable(AuditTable *table)
{
	relation_close(table->rel, NoLock);
}
