/*
 * help_topic.c
 *		Short help on a topic.
 *
 * The texts are those that are there anyway: the comments of functions and views, the
 * descriptions of settings, and the table of options (query/options.def).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "base/identity.h"
#include "base/message.h"
#include "base/table_access.h"
#include "help/help_topic.h"
#include "query/query.h"

/* Rows at most for what only has the topic in its name. */
#define MOST_SIMILAR 20

/* How what is looked for is related to a topic. */
typedef enum TopicMatch
{
	TOPIC_NAMED,    /* it is its name, without a prefix of ours */
	TOPIC_IN_NAME,  /* its name has it in it */
	TOPIC_MENTIONED /* its comment has it in it */
} TopicMatch;

/* What has no name in the database. */
static const struct
{
	const char *topic;
	const char *statement;
	const char *why;
} others[] = {
	{"relay", "acteon-relay --check",
	 "Tells whether a relay could deliver, and what it lacks; acteon-relay starts one. It takes actions from the outbox to the gateway. See doc/relay.md."},
	{"http", "acteon-replay-http --check",
	 "Tells whether the HTTP server could answer, and what it lacks; acteon-replay-http starts it. See doc/http.md."},
};

/*
 * Words for what somebody wants to do that no name of ours has, and what helps with that.
 * They are looked up before comments, which mention many words in passing.
 */
static const struct
{
	const char *word;
	const char *topic;
} wishes[] = {
	{"auditor", "proof"},
	{"auditor", "log"},
	{"auditor", "acteon_replay_verify"},
	{"auditor", "acteon_replay_witness"},
	{"colleague", "hand_over"},
	{"csv", "items"},
	{"customer", "tenant"},
	{"duplicate", "lineage"},
	{"duplicate", "include_replayed"},
	{"export", "items"},
	{"faster", "set_rate"},
	{"how_far", "batches"},
	{"permission", "grants"},
	{"progress", "batches"},
	{"rights", "grants"},
	{"schedule", "start_at"},
	{"schedule", "set_start"},
	{"shift", "hand_over"},
	{"skip", "exclude"},
	{"skip", "exclude_ids"},
	{"slow", "set_rate"},
	{"slower", "set_rate"},
	{"staging", "target"},
	{"staging", "shadow"},
	{"status", "batches"},
	{"stop", "pause"},
	{"stop", "pause_all"},
	{"stop", "cancel"},
	{"twice", "lineage"},
	{"twice", "include_replayed"},
	{"undo", "cancel"},
};

/* The arguments of function p as a call has them: those with a default by name, if they are few. */
#define CALL_ARGUMENTS \
	"(SELECT string_agg(CASE WHEN n <= p.pronargs - p.pronargdefaults THEN name ELSE name || ' => ...' END," \
	"		', ' ORDER BY n)" \
	"	|| CASE WHEN p.pronargdefaults > 6 THEN ', ...' ELSE '' END" \
	"	FROM (SELECT name, mode, row_number() OVER (ORDER BY place) AS n" \
	"		FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS a (name, mode, place)" \
	"		WHERE coalesce(mode, 'i') IN ('i', 'b')) AS a" \
	"	WHERE n <= p.pronargs - p.pronargdefaults" \
	"		OR (p.pronargdefaults <= 6 AND coalesce(mode, 'i') = 'i'))"

/*
 * What the extension has that is related to $1 as $3 says, a TopicMatch: its name, a
 * statement and the first paragraph of its comment, without its errors.  $2 is the prefix of names in
 * statements.  What is there for the server only is left out.
 */
#define FIND_TOPIC \
	"WITH member AS MATERIALIZED (" \
	"	SELECT d.classid, d.objid FROM pg_depend AS d JOIN pg_extension AS x ON x.oid = d.refobjid" \
	"	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND x.extname = 'acteon_replay'), " \
	"thing AS (" \
	"	SELECT p.proname::text AS name, CASE p.prokind WHEN 'p' THEN 'CALL ' ELSE 'SELECT * FROM ' END" \
	"			|| $2 || p.proname || '(' || coalesce(" CALL_ARGUMENTS \
	", CASE WHEN p.pronargs > 0 THEN '...' END, '') || ');' AS statement," \
	"		obj_description(p.oid, 'pg_proc') AS comment" \
	"	FROM member AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid" \
	"	WHERE p.prorettype NOT IN ('trigger'::regtype, 'cstring'::regtype)" \
	"		AND p.proname !~ '^acteon_(outcome|role|canary)(_|$)|_read_'" \
	"	UNION ALL SELECT c.relname::text, 'SELECT * FROM ' || $2 || c.relname || ';', obj_description(c.oid, 'pg_class')" \
	"	FROM member AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid" \
	"	WHERE c.relkind IN ('r', 'v') AND c.relname !~ '_[0-9]+$'" \
	"	UNION ALL SELECT name, 'SHOW ' || name || ';', concat_ws(' ', short_desc, extra_desc)" \
	"	FROM pg_settings WHERE starts_with(name, 'acteon_replay.')) " \
	"SELECT name, statement, split_part(split_part(comment, repeat(chr(10), 2), 1), ' Errors: ', 1) FROM thing " \
	"WHERE CASE $3" \
	"	WHEN 0 THEN regexp_replace(name, '^acteon_(replay[._]|outbox_|dispatch_|api_)?', '') = $1 OR name = $1" \
	"	WHEN 1 THEN strpos(name, $1) > 0" \
	"	ELSE length($1) > 3 AND strpos(lower(comment), replace($1, '_', ' ')) > 0 END " \
	"ORDER BY name COLLATE \"C\", statement COLLATE \"C\""

/*
 * A topic as names are: in small letters, without what stands around it.
 */
static char *
normal_topic(const char *topic)
{
	char *name = pstrdup(topic);
	char *end = name + strlen(name);

	while (end > name && strchr(" ();\t\n", end[-1]) != NULL)
		*--end = '\0';
	name += strspn(name, " \t\n");
	for (char *c = name; *c != '\0'; c++)
		*c = *c == ' ' || *c == '-' ? '_' : pg_ascii_tolower((unsigned char) *c);
	return name;
}

/*
 * Say what a topic is that has no name in the database.
 */
static void
help_on_others(Help *help, const char *topic)
{
	for (int i = 0; i < lengthof(others); i++)
	{
		if (strcmp(others[i].topic, topic) == 0)
			PutHelp(help, others[i].topic, others[i].statement, others[i].why);
	}
}

/*
 * A value of an argument as it stands in a call.
 */
static const char *
shown_value(const ReplayOption *option)
{
	if (option->kind == KIND_BOOLEAN)
		return "true";
	if (option->example == NULL)
		return "...";
	if (option->kind == KIND_INTEGER || option->kind == KIND_NUMBER)
		return option->example;
	if (option->kind == KIND_TEXTS)
		return psprintf("ARRAY[%s]", quote_literal_cstr(option->example));
	return quote_literal_cstr(option->example);
}

/*
 * Say what the arguments of replays mean that have a name, or have it in theirs.
 */
static void
help_on_options(Help *help, const char *topic, bool exactly)
{
	for (int i = 0; i < NUM_OPTIONS; i++)
	{
		const ReplayOption *option = &ReplayOptions[i];
		if (option->argument == NULL || (option->calls & CALLS_REPLAY) == 0 ||
			(exactly ? strcmp(option->argument, topic) != 0
					 : strstr(option->argument, topic) == NULL))
			continue;
		PutHelp(help, option->argument, psprintf("%s => %s", option->argument, shown_value(option)),
				psprintf("An argument of replays: %s.%s%s%s", option->help,
						 option->in_sql == NULL ? "" : " ",
						 option->in_sql == NULL ? "" : option->in_sql,
						 option->in_sql == NULL ? "" : "."));
	}
}

/*
 * Say what the functions, views and settings are that are related to a topic in this way.
 */
static void
help_on_names(Help *help, const char *topic, TopicMatch match)
{
	Oid types[] = {TEXTOID, TEXTOID, INT4OID};
	Datum values[] = {CStringGetTextDatum(topic), CStringGetTextDatum(help->prefix),
					  Int32GetDatum(match)};
	MemoryContext old = CurrentMemoryContext;
	Identity saved;

	/* The search path finds nothing of the caller's. */
	SwitchIdentity(&saved, TableOwner(OwnTable(help->schema, BATCH_TABLE)));
	SetLocally("jit", "off");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(FIND_TOPIC, lengthof(types), types, values, NULL, true,
							  MOST_SIMILAR + 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the catalogue: %s", SPI_result_code_string(SPI_result));
	if (SPI_processed > MOST_SIMILAR)
		ereport(NOTICE, (errmsg("more than %d topics match \"%s\"; these are the first",
								MOST_SIMILAR, ClipForMessage(topic, strlen(topic))),
						 errhint("A longer part of a name finds fewer.")));
	for (uint64 i = 0; i < Min(SPI_processed, MOST_SIMILAR); i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		char *why = SPI_getvalue(tuple, desc, 3);

		PutHelp(help, SPI_getvalue(tuple, desc, 1), SPI_getvalue(tuple, desc, 2),
				why == NULL ? "" : why);
	}
	SPI_finish();
	RestoreIdentity(&saved);
	MemoryContextSwitchTo(old);
}

/*
 * Say what helps with something that somebody wants to do.
 */
static void
help_on_wish(Help *help, const char *word)
{
	for (int i = 0; i < lengthof(wishes); i++)
	{
		if (strcmp(wishes[i].word, word) != 0)
			continue;
		help_on_names(help, wishes[i].topic, TOPIC_NAMED);
		help_on_options(help, wishes[i].topic, true);
	}
}

/*
 * Say what a topic is about: what has its name, or else what has it in its name, or what it
 * is a wish for, or else what mentions it.  An argument of that name does not keep what has
 * it in its name from being shown: who asks for the rate may want to set it.  Raises a NOTICE
 * if there is nothing.
 */
void
HelpOnTopic(Help *help, const char *topic)
{
	char *name = normal_topic(topic);

	if (name[0] != '\0')
	{
		bool is_named;

		help_on_names(help, name, TOPIC_NAMED);
		help_on_others(help, name);
		is_named = help->rows > 0;
		help_on_options(help, name, true);
		if (!is_named)
			help_on_names(help, name, TOPIC_IN_NAME);
		if (help->rows == 0)
			help_on_options(help, name, false);
		if (help->rows == 0)
			help_on_wish(help, name);
		if (help->rows == 0)
			help_on_names(help, name, TOPIC_MENTIONED);
	}
	if (help->rows == 0)
		ereport(
			NOTICE,
			(errmsg("there is no help on \"%s\"", ClipForMessage(topic, strlen(topic))),
			 errhint(
				 "Topics are names of functions, views, arguments and settings, or parts of them, such as pause, dead_letters, canary or approval.")));
}
