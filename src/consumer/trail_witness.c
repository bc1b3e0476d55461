/*
 * trail_witness.c
 *		acteon_replay_witness: a line that tells what the end of the chain is.
 *
 * Whoever may change everything in the database can compute the chain again, or cut off its
 * end, so that nothing in the database tells.  A line that is kept where they cannot change
 * it does: the chain must have that link at that position for ever.  The line is
 *
 *	acteon-witness 1 <installation> <position> <hash> <time> <check>
 *
 * with the time of the link, and a check against mistakes in copying: the beginning of the
 * SHA-256 of everything before it.  The installation is a hash of the namespace of its ids,
 * which is not for everybody's eyes.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "access/grants.h"
#include "base/catalog.h"
#include "base/error_reason.h"
#include "base/installation.h"
#include "base/message.h"
#include "base/table_access.h"
#include "consumer/trail_witness.h"

#define WITNESS_NAME "acteon-witness"
#define WITNESS_VERSION 1

/* Hexadecimal digits of the check. */
#define CHECK_DIGITS 8

/* Room for a line. */
#define LINE_LEN 256

/* %1$s is the extension's schema; see redrive.c about the search path. */
#define READ_END \
	"SELECT h.position, h.hash, t.hash, t.linked_at, h.xmin FROM %1$s.acteon_replay_trail_head AS h" \
	"	LEFT JOIN %1$s.acteon_replay_trail AS t ON t.position = h.position"

/* Witnesses that were read. */
typedef struct WitnessList
{
	TrailWitness *witnesses;
	int count;
	int allocated;
} WitnessList;

PG_FUNCTION_INFO_V1(acteon_replay_witness);

/* ----------------------------------------------------------------
 * Who may
 * ----------------------------------------------------------------
 */

/*
 * Begin a call about the whole trail, and act as the owner of the extension's tables until
 * EndConsumerCall.
 *
 * The caller needs a grant as gateway, or a grant as admin, operator or viewer that covers
 * everything, of its own or of a role whose rights it inherits: what is found may be about
 * anybody's actions.  A superuser needs none.
 */
void
BeginTrailCall(ConsumerCall *call, FunctionCallInfo fcinfo, const char *function)
{
	Oid caller = GetUserId();
	const text *any = cstring_to_text("*");
	GrantTarget everything = {.tenant = any, .namespace = any, .provider = any, .action_type = any};
	Grants *grants;

	call->schema = CalledSchema(fcinfo);
	call->now = GetCurrentTimestamp();
	grants = LoadGrants(caller, call->schema);
	if (!GrantsMayDeliver(grants) && !GrantsCover(grants, GRANT_READ, &everything))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_NO_ROLE),
				 errmsg("insufficient permissions: %s requires gateway role, or viewer role for "
						"everything",
						function),
				 errdetail("Role \"%s\" has no such grant in acteon_grants.",
						   GetUserNameFromId(caller, false)),
				 errhint(
					 "A grant for everything has only '*' in its lists. See \"Who may do what\" "
					 "in doc/operations.md.")));
	SwitchIdentity(&call->caller, TableOwner(OwnTable(call->schema, OUTBOX_TABLE)));
}

/* ----------------------------------------------------------------
 * Lines
 * ----------------------------------------------------------------
 */

/*
 * The first digits, and a terminator, of the SHA-256 of some bytes, in hexadecimal.
 */
static void
short_hash(const void *bytes, int len, char *digits, int count)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	uint8 whole[PG_SHA256_DIGEST_LENGTH];

	if (hash == NULL || pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, bytes, len) < 0 ||
		pg_cryptohash_final(hash, whole, sizeof(whole)) < 0)
		elog(ERROR, "could not compute a hash: %s", pg_cryptohash_error(hash));
	pg_cryptohash_free(hash);
	hex_encode((const char *) whole, count / 2, digits);
	digits[count] = '\0';
}

/*
 * The name of the installation in a witness, zeros if nothing was ever replayed here: that
 * is when its namespace is drawn.
 */
void
NameInstallation(Oid schema, char *name)
{
	pg_uuid_t namespace;

	if (ReadNamespace(schema, &namespace))
		short_hash(namespace.data, UUID_LEN, name, INSTALLATION_DIGITS);
	else
	{
		memset(name, '0', INSTALLATION_DIGITS);
		name[INSTALLATION_DIGITS] = '\0';
	}
}

/*
 * Write a witness as a line, into LINE_LEN bytes.
 */
static void
write_line(const TrailWitness *witness, char *line)
{
	int len = snprintf(line, LINE_LEN - CHECK_DIGITS, "%s %d %s " INT64_FORMAT " %s %s",
					   WITNESS_NAME, WITNESS_VERSION, witness->installation, witness->position,
					   witness->hash, witness->linked_at);
	char check[CHECK_DIGITS + 1];

	short_hash(line, len, check, CHECK_DIGITS);
	snprintf(line + len, LINE_LEN - len, " %s", check);
}

/*
 * Read a witness at the beginning of some text.  Returns what is behind it, NULL if there is
 * none, or one that is damaged.
 */
static const char *
read_one(const char *start, TrailWitness *witness)
{
	int version;
	int end = 0;
	char position[20];
	char check[CHECK_DIGITS + 1];
	char again[LINE_LEN];

	StaticAssertStmt(INSTALLATION_DIGITS == 16 && LINK_HASH_BYTES == 32 && RFC3339_MAXLEN > 35 &&
						 CHECK_DIGITS == 8,
					 "another width in the format");
	if (sscanf(start,
			   WITNESS_NAME " %d %16[0-9a-f] %19[0-9] %64[0-9a-f] %35[0-9TZ:.+-] %8[0-9a-f]%n",
			   &version, witness->installation, position, witness->hash, witness->linked_at, check,
			   &end) != 6)
		return NULL;
	witness->position = strtoi64(position, NULL, 10);
	write_line(witness, again);
	return version == WITNESS_VERSION && strcmp(strrchr(again, ' ') + 1, check) == 0 ? start + end
																					 : NULL;
}

/*
 * Whether some text has nothing but blanks.
 */
static bool
is_blank(const char *text)
{
	return text[strspn(text, " \t\r")] == '\0';
}

/*
 * Read the witnesses of a line behind those that are there: more than one if ends of lines
 * became blanks.  Something else may stand in front of each, as in a log, but not behind the
 * last one: that may be a witness that is damaged.  Returns false for another line, and if
 * there is no witness in it.
 */
static bool
read_line(const char *line, WitnessList *list)
{
	const char *at = strstr(line, WITNESS_NAME " ");
	const char *rest = line;

	if (at == NULL)
		return false;
	while (at != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (list->count == list->allocated)
		{
			list->allocated *= 2;
			list->witnesses =
				repalloc_huge(list->witnesses, list->allocated * sizeof(TrailWitness));
		}
		rest = read_one(at, &list->witnesses[list->count]);
		if (rest == NULL)
			return false;
		list->count++;
		at = strstr(rest, WITNESS_NAME " ");
	}
	return is_blank(rest);
}

/*
 * Read witnesses, which are in lines; lines of blanks count as none.  NULL has none.  Raises
 * invalid_parameter_value for other lines, and if there is no witness at all.
 */
TrailWitness *
ReadWitnesses(const text *lines, int *count)
{
	char *line = lines == NULL ? NULL : text_to_cstring(lines);
	WitnessList list = {.witnesses = palloc(sizeof(TrailWitness)), .allocated = 1};
	int number = 0;

	while (line != NULL)
	{
		char *end = strchr(line, '\n');

		CHECK_FOR_INTERRUPTS();
		number++;
		if (end != NULL)
			*end++ = '\0';
		if (!is_blank(line) && !read_line(line, &list))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("line %d of witness is not a witness", number),
							errdetail("It is \"%s\".", ClipForMessage(line, strlen(line))),
							errhint("Pass lines as acteon_replay_witness() has returned them, each "
									"of them whole, with nothing behind it. This one may be "
									"damaged.")));
		line = end;
	}
	if (lines != NULL && list.count == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("witness is empty"),
						errhint("Leave it out to verify without a witness.")));
	*count = list.count;
	return list.witnesses;
}

/* ----------------------------------------------------------------
 * The witness of now
 * ----------------------------------------------------------------
 */

/*
 * Read the end of the chain, which must be one that stays: not written by a transaction that
 * may still be rolled back.  Needs an SPI connection.
 */
static void
read_end(const char *schema, TrailWitness *witness)
{
	HeapTuple row;
	TupleDesc desc;
	bool isnull, lost;
	bytea *hash, *linked;
	TimestampTz linked_at;
	Datum value;

	if (SPI_execute(psprintf(READ_END, schema), true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the trail: %s", SPI_result_code_string(SPI_result));
	row = SPI_processed == 0 ? NULL : SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	witness->position = row == NULL ? 0 : DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	if (witness->position == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("nothing is linked in the trail yet"),
						errhint("Call acteon_replay_trail_link() first, in a transaction of its "
								"own.")));
	if (TransactionIdIsCurrentTransactionId(
			DatumGetTransactionId(SPI_getbinval(row, desc, 5, &isnull))))
		ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
						errmsg("the last links of the trail were written by this transaction"),
						errdetail("If it were rolled back, their witness would be wrong."),
						errhint("Commit first.")));
	hash = DatumGetByteaPP(SPI_getbinval(row, desc, 2, &isnull));
	value = SPI_getbinval(row, desc, 3, &lost);
	linked = lost ? NULL : DatumGetByteaPP(value);
	linked_at = DatumGetTimestampTz(SPI_getbinval(row, desc, 4, &isnull));
	if (lost || !IsRfc3339Time(linked_at) || VARSIZE_ANY_EXHDR(hash) != LINK_HASH_BYTES ||
		VARSIZE_ANY_EXHDR(linked) != LINK_HASH_BYTES ||
		memcmp(VARDATA_ANY(hash), VARDATA_ANY(linked), LINK_HASH_BYTES) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("the head of the trail is not its last link"),
						errdetail("One of them was changed."),
						errhint("acteon_replay_verify() tells what is wrong.")));
	hex_encode(VARDATA_ANY(hash), LINK_HASH_BYTES, witness->hash);
	witness->hash[2 * LINK_HASH_BYTES] = '\0';
	FormatRfc3339(witness->linked_at, linked_at);
	SPI_freetuptable(SPI_tuptable);
}

/*
 * acteon_replay_witness() → text
 *
 * The line to keep elsewhere.  Reads only, so it works on a standby, and links nothing: what
 * is not committed yet must have no witness.  Raises insufficient_privilege,
 * object_not_in_prerequisite_state, active_sql_transaction and data_corrupted.
 */
Datum
acteon_replay_witness(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	ConsumerCall call;
	TrailWitness witness;
	char line[LINE_LEN];

	BeginTrailCall(&call, fcinfo, "acteon_replay_witness()");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	read_end(quote_identifier(get_namespace_name(call.schema)), &witness);
	SPI_finish();
	NameInstallation(call.schema, witness.installation);
	EndConsumerCall(&call);
	write_line(&witness, line);
	MemoryContextSwitchTo(context);
	PG_RETURN_TEXT_P(cstring_to_text(line));
}
