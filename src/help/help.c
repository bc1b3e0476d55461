/*
 * help.c
 *		acteon_replay_help: what the caller can do now.
 *
 * Without a topic it returns what there is to do, by what the caller may and what is
 * going on: the batches that need somebody (help_batches.c), what was lost in the last
 * day, circuit breakers that are open.  The topics of these rows are names that it can be
 * asked about in turn (help_topic.c).  It only reads, and how much does not depend on
 * the size of the audit table.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "audit/recent_losses.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/settings.h"
#include "base/subtransaction.h"
#include "base/table_access.h"
#include "batch/notification.h"
#include "help/help_batches.h"
#include "help/help_topic.h"
#include "replay/survey.h"

/* Roles that a caller can become, of which so many are named at most. */
#define MOST_ROLES 5

/* What was lost lately; see look_for_losses. */
typedef struct Losses
{
	Help *help;
	bool is_known;
	RecentLosses recent;
	int64 replayable;
} Losses;

/* The providers' circuit breakers; %s is the extension's schema. */
#define READ_BREAKERS "SELECT name, breaker, held, open_reason FROM %s.acteon_replay_read_limits()"

PG_FUNCTION_INFO_V1(acteon_replay_help);

/*
 * Who can give the caller a grant, as a sentence about a statement that does.
 */
static const char *
who_grants(Help *help)
{
	Oid table = OwnTable(help->schema, GRANTS_TABLE);

	if (pg_class_aclcheck(table, help->caller, ACL_INSERT) == ACLCHECK_OK)
		return "You may insert one like this";
	return psprintf("Ask \"%s\", which owns acteon_grants, for one like this",
					GetUserNameFromId(TableOwner(table), false));
}

/*
 * Roles that may replay and that the caller can become by SET ROLE.
 */
static void
help_on_roles(Help *help)
{
	int count = 0;
	ListCell *lc;

	foreach (lc, ListGrantees(help->schema))
	{
		Oid grantee = lfirst_oid(lc);
		char *name = GetUserNameFromId(grantee, true);

		CHECK_FOR_INTERRUPTS();
		if (name == NULL || !ActeonMaySetRole(help->caller, grantee) ||
			!GrantsMayReplay(LoadGrants(grantee, help->schema)))
			continue;
		PutHelp(help, "grants", psprintf("SET ROLE %s;", quote_identifier(name)),
				psprintf("You may act as role %s, which has a grant to replay.",
						 quote_literal_cstr(name)));
		if (++count == MOST_ROLES)
			break;
	}
}

/*
 * What a caller can do who may not replay: whom to ask for which grant, and, who may look, what
 * tells what others have done.
 */
static void
help_on_grants(Help *help)
{
	char *role = quote_literal_cstr(GetUserNameFromId(help->caller, false));
	bool may_read = GrantsMayRead(help->grants);
	const char *lacks =
		may_read
			? "may look, but not replay or steer anything; that takes a grant as operator or admin"
			: "has no grant; one as viewer is enough to look";

	help_on_roles(help);
	PutHelp(
		help, "grants",
		psprintf(
			"INSERT INTO %sacteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES (%s, 'operator', '{TENANT}', '{*}', '{*}', '{*}');",
			help->prefix, role),
		psprintf("Role %s %s. %s, with the tenants that you look after.", role, lacks,
				 who_grants(help)));
	if (may_read)
		PutHelp(
			help, "log",
			psprintf("SELECT * FROM %sacteon_replay_log ORDER BY id DESC LIMIT 20;", help->prefix),
			"Shows who did what with the batches that you may see as a whole. acteon_replay_proof(batch_id) compares a batch with the audit table, and acteon_replay_lineage(action_id) shows the replays of an action.");
}

/*
 * Count what a replay would replay.
 */
static void
count_replayable(void *arg, ReplayItem *items, int count)
{
	Losses *losses = arg;

	for (int i = 0; i < count; i++)
		losses->replayable += items[i].status == ITEM_PENDING;
}

/*
 * Find out what was lost in the last day and would be replayed.  Done in a subtransaction,
 * which is not kept: there may be no audit table, or one that cannot be read.
 */
static bool
look_for_losses(void *arg)
{
	Losses *losses = arg;
	ReplayCall call;

	OpenShowingCall(&call, losses->help->schema);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(call.context);
	losses->is_known = FindRecentLosses(&call.audit, call.grants, call.now, &losses->recent);
	if (losses->recent.action_ids != NULL)
	{
		ReplayQuery query;

		InitReplayQuery(&query, true);
		query.lost = true;
		query.from = (OptionalTime){true, losses->recent.from};
		query.to = (OptionalTime){true, losses->recent.newest};
		TextListFromArray(&query.action_ids, "action_ids", losses->recent.action_ids);
		CheckReplayQuery(&query);
		SurveyRecords(&call, &query, count_replayable, losses);
	}
	SPI_finish();
	MemoryContextSwitchTo(call.context);
	CloseAuditTable(&call.audit);
	return false;
}

/*
 * A time for a statement: in the format of ISO 8601, which any session reads.
 */
static char *
shown_time(TimestampTz time)
{
	return pstrdup(timestamptz_to_str(time));
}

/*
 * What was lost in the last day, for who may replay it or look at it.
 */
static void
help_on_losses(Help *help)
{
	Losses losses = {.help = help};
	ErrorData *error = TryInSubtransaction(look_for_losses, &losses, CurrentMemoryContext);
	char *from;

	if (error != NULL)
	{
		/* A cancelled statement is no trouble with the table. */
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		PutHelp(help, "audit_table", "SHOW acteon_replay.audit_table;",
				psprintf("What was lost cannot be told: %s.", error->message));
		return;
	}
	if (!losses.is_known || losses.replayable == 0)
	{
		PutHelp(
			help, "causes",
			psprintf(
				"SELECT provider, outcome, signature, records, first_at, last_at FROM %sacteon_replay_causes(lost => true);",
				help->prefix),
			losses.is_known
				? psprintf("Nothing that can be replayed was found among the newest records of "
						   "the day before %s. This shows all that was ever lost, by cause.",
						   shown_time(losses.recent.newest))
				: "Shows what was lost, by cause. With from_time it takes less long.");
		return;
	}
	from = quote_literal_cstr(shown_time(losses.recent.from));
	PutHelp(
		help, "causes",
		psprintf(
			"SELECT provider, outcome, signature, records, tenants FROM %sacteon_replay_causes(lost => true, from_time => %s);",
			help->prefix, from),
		psprintf("Lost actions of the day before %s that can be replayed: " INT64_FORMAT
				 "%s. This shows why they were lost.",
				 shown_time(losses.recent.newest), losses.replayable,
				 losses.recent.has_more ? " or more" : ""));
	PutHelp(
		help, "preview",
		psprintf("SELECT * FROM %sacteon_replay_preview(lost => true, from_time => %s);",
				 help->prefix, from),
		GrantsMayReplay(help->grants)
			? "Shows what a replay of them would do, and changes nothing. CALL acteon_replay_all with the same arguments does it."
			: "Shows what a replay of them would do, and changes nothing. To replay them, a role needs a grant as operator or admin.");
}

/*
 * Circuit breakers of providers that are open, as far as the caller sees them.
 */
static void
help_on_breakers(Help *help)
{
	if (SPI_execute(psprintf(READ_BREAKERS, help->quoted), true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the limits: %s", SPI_result_code_string(SPI_result));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char *provider = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		char *breaker = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);
		char *held = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3);
		char *reason = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 4);

		if (breaker == NULL || (strcmp(breaker, "open") != 0 && strcmp(breaker, "trial") != 0))
			continue;
		PutHelp(
			help, "breaker_close",
			psprintf("SELECT %sacteon_replay_breaker_close(%s);", help->prefix,
					 quote_literal_cstr(provider)),
			psprintf(
				"The circuit breaker of provider \"%s\" is open (%s); actions that wait for it: %s. A single action is tried from time to time. This sends the others at once, when the provider works again.",
				provider, reason == NULL ? "for an unknown reason" : reason,
				held == NULL ? "0" : held));
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * How to be told about batches, for who may set that and sees any, while nobody is told.
 */
static void
help_on_notifications(Help *help)
{
	if (help->batches == 0 || RecoveryInProgress() || AnyNotification(help->schema) ||
		!MayNotifyOfAll(help->grants))
		return;
	PutHelp(
		help, "notify_set",
		psprintf(
			"SELECT %sacteon_replay_notify_set('NAME', provider => 'PROVIDER', action_type => 'TYPE', namespace => 'NAMESPACE', tenant => 'TENANT', payload => '{\"text\": \"{{summary}} - {{what_to_do}}\"}'%s);",
			help->prefix, RequireReason ? ", reason => 'why'" : ""),
		"Nobody is told when a batch ends, pauses itself or needs a person. This enqueues an action each time, for example a message to a chat.");
}

/*
 * What the caller can do now.
 */
static void
help_now(Help *help)
{
	bool may_read = GrantsMayRead(help->grants);

	if (may_read || GrantsMayDeliver(help->grants))
	{
		MemoryContext old = CurrentMemoryContext;

		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		MemoryContextSwitchTo(old);
		HelpOnBatches(help);
		help_on_breakers(help);
		SPI_finish();
		MemoryContextSwitchTo(old);
		if (may_read)
			help_on_losses(help);
		else if (help->rows == 0)
			PutHelp(help, "batches",
					psprintf("SELECT * FROM %sacteon_replay_batches;", help->prefix),
					"No batch needs anybody. This shows those that you may see.");
		help_on_notifications(help);
	}
	/* A relay's role is not to do more than deliver. */
	if (may_read ? !GrantsMayReplay(help->grants) : !GrantsMayDeliver(help->grants))
		help_on_grants(help);
	PutHelp(help, "help", psprintf("SELECT * FROM %sacteon_replay_help('pause');", help->prefix),
			"Short help on a function, a view, an argument or a setting, by any part of its name.");
}

/*
 * acteon_replay_help(topic text) → setof (topic, statement, why)
 *
 * What the caller can do now, each with a statement to copy; or, with a topic, what the
 * functions, views, arguments and settings are for whose names have it in them.  Raises a
 * NOTICE if there are none, and no errors of its own.
 */
Datum
acteon_replay_help(PG_FUNCTION_ARGS)
{
	Help help = {.caller = GetUserId(), .now = GetCurrentTimestamp()};

	InitMaterializedSRF(fcinfo, 0);
	help.result = (ReturnSetInfo *) fcinfo->resultinfo;
	help.schema = CalledSchema(fcinfo);
	help.quoted = quote_identifier(get_namespace_name(help.schema));
	help.prefix =
		RelationIsVisible(OwnTable(help.schema, BATCH_TABLE)) ? "" : psprintf("%s.", help.quoted);
	help.grants = LoadGrants(help.caller, help.schema);
	if (PG_ARGISNULL(0))
		help_now(&help);
	else
		HelpOnTopic(&help, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	return (Datum) 0;
}
