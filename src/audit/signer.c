/*
 * signer.c
 *		Who has signed an action.
 *
 * The record of an action tells, if its gateway records that.  Nothing here depends on
 * it, so the record is read only where that takes no statement: by the index on action
 * ids, of a table that is on this server.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "audit/audit_table.h"
#include "audit/find_record.h"
#include "audit/signer.h"
#include "base/subtransaction.h"
#include "base/text.h"

/* What is searched for, and found. */
typedef struct SignerSearch
{
	Oid schema;
	const char *action_id;
	const text *namespace;
	const text *tenant;
	Grants *grants;
	char *signer;
} SignerSearch;

/*
 * A text column of the row that was found; an empty one if it is NULL.
 */
static text *
found_text(const ActionSearch *row, RecordColumn column)
{
	return row->nulls[column] ? cstring_to_text("") : DatumGetTextPP(row->values[column]);
}

/*
 * Whether the row is of the namespace and tenant, and the caller may read it.
 */
static bool
may_tell(const SignerSearch *search, const ActionSearch *row)
{
	GrantTarget target = {.namespace = found_text(row, COL_NAMESPACE),
						  .tenant = found_text(row, COL_TENANT),
						  .provider = found_text(row, COL_PROVIDER),
						  .action_type = found_text(row, COL_ACTION_TYPE)};

	return SameText(target.namespace, search->namespace) &&
		   SameText(target.tenant, search->tenant) &&
		   GrantsCover(search->grants, GRANT_READ, &target);
}

/*
 * Look at the record of the action.
 */
static bool
find_signer(void *argument)
{
	SignerSearch *search = argument;
	AuditTable table;
	ActionSearch row = {.action_id = CStringGetTextDatum(search->action_id),
						.from = DT_NOBEGIN,
						.to = DT_NOEND};

	OpenAuditTable(&table, search->schema);
	row.at_any_time = table.rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE;
	if (table.has[COL_SIGNER_ID] && FindRecordDirectly(&table, &row) && OidIsValid(row.found_in) &&
		!row.nulls[COL_SIGNER_ID] && may_tell(search, &row))
		search->signer = TextDatumGetCString(row.values[COL_SIGNER_ID]);
	CloseAuditTable(&table);
	return true;
}

/*
 * The signer of an action of a tenant, by its newest record, if the grants cover that for
 * reading.  NULL if there is none, or if it cannot be found out, which is no error.
 */
char *
FindSigner(Oid schema, const char *action_id, const text *namespace, const text *tenant,
		   Grants *grants)
{
	SignerSearch search = {.schema = schema,
						   .action_id = action_id,
						   .namespace = namespace,
						   .tenant = tenant,
						   .grants = grants};
	ErrorData *error = TryInSubtransaction(find_signer, &search, CurrentMemoryContext);

	if (error != NULL && EndsTransaction(error))
		ReThrowError(error);
	return search.signer;
}
