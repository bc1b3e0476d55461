/*
 * api_keys.c
 *		API keys: who may call the HTTP server, and as which role.
 *
 * An API key is 32 random bytes in text form.  The database keeps its SHA-256
 * and never sees it again: the server hashes what a client sends and asks for
 * the key with that hash.  32 random bytes cannot be guessed, so the hash needs
 * no salt and can be looked up through its unique index, and how long that takes
 * tells nothing about keys.
 *
 * A key stands for a role, by its oid, and the grants of that role decide what a
 * request may do.  The HTTP server's own role needs no rights but to call the
 * functions made for it and to SET ROLE to the roles of keys.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "common/base64.h"
#include "common/hashfn.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "api/api_keys.h"
#include "base/api_key.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/error_reason.h"
#include "base/identity.h"
#include "base/numbers.h"
#include "base/result.h"
#include "base/rfc3339.h"
#include "base/table_access.h"
#include "batch/batch_row.h"
#include "batch/control_log.h"

/* What every key begins with, so that people and scanners for leaks know it. */
#define KEY_PREFIX "acteon_"
#define KEY_BYTES 32
/* The length of that many bytes in base64 without padding. */
#define KEY_CHARACTERS 43

/* Bytes of a name, as the table has it. */
#define MAX_NAME_BYTES 200

/* Keeps the lock apart from the others of the extension; see batch_flags.c. */
#define NAME_LOCK_CLASS 6

/* A call that makes or revokes a key; see begin_call. */
typedef struct KeyCall
{
	Oid schema; /* of the extension */
	Oid caller;
	text *name;
	Identity saved;
	TableWriter writer;
	TableFinder keys; /* by name */
} KeyCall;

PG_FUNCTION_INFO_V1(acteon_api_key_create);
PG_FUNCTION_INFO_V1(acteon_api_key_revoke);
PG_FUNCTION_INFO_V1(acteon_api_login);
PG_FUNCTION_INFO_V1(acteon_api_current_key);

/*
 * Read the name of a key, the first argument.
 */
static text *
name_argument(FunctionCallInfo fcinfo)
{
	text *name = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);
	int bytes = name == NULL ? 0 : VARSIZE_ANY_EXHDR(name);

	if (bytes < 1 || bytes > MAX_NAME_BYTES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("name must have 1 to %d bytes", MAX_NAME_BYTES),
						name == NULL ? errdetail("It is null.") : errdetail("It has %d.", bytes),
						errhint("Name the key after its user.")));
	return name;
}

/*
 * Begin to make or revoke the key that the first argument names: check that the
 * server can write, and the name; act as the tables' owner until end_call.
 */
static void
begin_call(KeyCall *call, FunctionCallInfo fcinfo, const char *function)
{
	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	call->schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	call->caller = GetUserId();
	call->name = name_argument(fcinfo);
	SwitchIdentity(&call->saved, TableOwner(OwnTable(call->schema, API_KEYS_TABLE)));
	OpenWriter(&call->writer, OwnTable(call->schema, API_KEYS_TABLE), true);
	OpenFinder(&call->keys, OwnTable(call->schema, API_KEYS_TABLE), Anum_api_keys_name);
}

/*
 * End such a call: be the caller again.
 */
static void
end_call(KeyCall *call)
{
	CloseFinder(&call->keys);
	CloseWriter(&call->writer);
	CommandCounterIncrement();
	RestoreIdentity(&call->saved);
}

/*
 * Find the key of the call's name, as it is now.
 */
static bool
find_by_name(KeyCall *call)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	bool found = FindRow(&call->keys, F_TEXTEQ, PointerGetDatum(call->name), snapshot);

	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * What a role is called; one that was dropped, by its number.
 */
static char *
role_label(Oid role)
{
	char *name = GetUserNameFromId(role, true);

	return name == NULL ? psprintf("%u", role) : name;
}

/*
 * Refuse a caller who may not create or revoke the keys of a role.
 *
 * A key is equivalent to SET ROLE, so it requires what SET ROLE requires: being
 * the role, or a direct or indirect member that may SET ROLE to it; inheriting
 * alone is not enough (PostgreSQL 16 distinguishes the two).  A superuser may
 * use any role.  What counts is the current role, not that of the session, as
 * everywhere in the extension.
 */
static void
check_may_set_role(Oid caller, Oid role)
{
	if (ActeonMaySetRole(caller, role))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		 errmsg("insufficient permissions: a key for role \"%s\" requires SET ROLE to it",
				role_label(role)),
		 errdetail("Role \"%s\" cannot SET ROLE to it.", GetUserNameFromId(caller, false)),
		 errhint(
			 "A role with ADMIN OPTION on it can grant it: GRANT … TO …, with the SET option.")));
}

/*
 * Read the role of a new key, the second argument.
 *
 * Superusers are always refused: grants do not limit them, so a leaked key
 * would give access to the whole database.
 */
static Oid
role_argument(FunctionCallInfo fcinfo, Oid caller)
{
	Oid role = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1);

	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("role must not be null"),
						errhint("Name the role whose grants determine what the key may do.")));
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("role with OID %u does not exist", role)));
	check_may_set_role(caller, role);
	if (superuser_arg(role))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("role \"%s\" is a superuser, and superusers cannot have API keys",
							   role_label(role)),
						errdetail("No grant would limit what the key can do."),
						errhint("Make a role for it, with a row in acteon_grants.")));
	return role;
}

/*
 * Read when a new key ends, the third argument; NULL for never, as infinity.
 */
static NullableDatum
expires_argument(FunctionCallInfo fcinfo)
{
	NullableDatum expires = {.isnull = PG_ARGISNULL(2)};

	if (!expires.isnull && TIMESTAMP_IS_NOEND(PG_GETARG_TIMESTAMPTZ(2)))
		expires.isnull = true;
	if (expires.isnull)
		return expires;
	expires.value = PG_GETARG_DATUM(2);
	if (DatumGetTimestampTz(expires.value) <= GetCurrentTimestamp())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("expires must be in the future"),
				 errdetail("It is %s.", timestamptz_to_str(expires.value)),
				 errhint("Leave it out for a key that does not expire.")));
	return expires;
}

/*
 * Draw a key.
 */
static text *
draw_key(void)
{
	char bytes[KEY_BYTES];
	char encoded[KEY_CHARACTERS + 2]; /* with padding, and pg_b64_encode wants no less */
	StringInfoData key;

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	if (pg_b64_encode((void *) bytes, sizeof(bytes), encoded, sizeof(encoded)) !=
		KEY_CHARACTERS + 1)
		elog(ERROR, "could not encode an API key");
	initStringInfo(&key);
	appendStringInfoString(&key, KEY_PREFIX);
	for (int i = 0; i < KEY_CHARACTERS; i++)
	{
		char c = encoded[i];

		/* base64url: what a header, a URL and a shell take as it is. */
		appendStringInfoChar(&key, c == '+' ? '-' : c == '/' ? '_' : c);
	}
	return cstring_to_text_with_len(key.data, key.len);
}

/*
 * Refuse a name that a key has, revoked or not, because a name in the log and
 * in the table must identify one key.  Of two calls with the same name the
 * second waits for the first, by a lock, because it could not continue after an
 * error of the unique index.
 */
static void
check_name_is_free(KeyCall *call)
{
	LOCKTAG tag;
	bool isnull;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, OwnTable(call->schema, API_KEYS_TABLE),
						 hash_bytes((unsigned char *) VARDATA_ANY(call->name),
									VARSIZE_ANY_EXHDR(call->name)),
						 NAME_LOCK_CLASS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	if (!find_by_name(call))
		return;
	(void) FoundColumn(&call->keys, Anum_api_keys_revoked_at, &isnull);
	ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
					errmsg("API key \"%s\" already exists", text_to_cstring(call->name)),
					isnull ? 0 : errdetail("It was revoked."),
					errhint("Names cannot be reused; choose another one.")));
}

/*
 * Write a new key down.
 */
static void
insert_key(KeyCall *call, const text *key, Oid role, NullableDatum expires)
{
	Datum values[Natts_api_keys] = {0};
	bool nulls[Natts_api_keys] = {false};

	values[Anum_api_keys_id - 1] =
		Int64GetDatum(NextNumber(call->schema, API_KEYS_SEQUENCE, API_KEYS_TABLE));
	values[Anum_api_keys_name - 1] = PointerGetDatum(call->name);
	/* A text and a bytea of the same bytes look the same. */
	values[Anum_api_keys_key_sha256 - 1] = DirectFunctionCall1(sha256_bytea, PointerGetDatum(key));
	values[Anum_api_keys_role - 1] = ObjectIdGetDatum(role);
	values[Anum_api_keys_created_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[Anum_api_keys_created_by - 1] = RoleName(call->caller);
	nulls[Anum_api_keys_last_used_at - 1] = true;
	values[Anum_api_keys_expires_at - 1] = expires.value;
	nulls[Anum_api_keys_expires_at - 1] = expires.isnull;
	nulls[Anum_api_keys_revoked_at - 1] = true;
	InsertRow(&call->writer, values, nulls, Natts_api_keys);
}

/*
 * Write down who has made or revoked a key.
 */
static void
log_key(const KeyCall *call, const char *event, Oid role, NullableDatum expires)
{
	LogDetails details;
	char formatted[RFC3339_MAXLEN];

	BeginDetails(&details);
	AddTextDetail(&details, "name", text_to_cstring(call->name));
	AddTextDetail(&details, "role", role_label(role));
	if (!expires.isnull)
	{
		FormatRfc3339(formatted, DatumGetTimestampTz(expires.value));
		AddTextDetail(&details, "expires", formatted);
	}
	LogControl(call->schema, call->caller, event, 0, NULL, EndDetails(&details));
}

/*
 * acteon_api_key_create(name text, role regrole, expires timestamptz) → text
 *
 * Makes a key for a role and returns it, which nothing can do again.  Raises
 * invalid_parameter_value, undefined_object, insufficient_privilege and
 * duplicate_object.
 */
Datum
acteon_api_key_create(PG_FUNCTION_ARGS)
{
	KeyCall call;
	Oid role;
	NullableDatum expires;
	text *key;

	begin_call(&call, fcinfo, "acteon_api_key_create()");
	role = role_argument(fcinfo, call.caller);
	expires = expires_argument(fcinfo);
	check_name_is_free(&call);
	key = draw_key();
	insert_key(&call, key, role, expires);
	log_key(&call, "api_key_create", role, expires);
	end_call(&call);
	PG_RETURN_TEXT_P(key);
}

/*
 * Mark the key that was found as revoked.  Returns false if its row was changed
 * meanwhile, by another session or by the statement that has called us; the
 * change is then visible.
 */
static bool
revoke_found(KeyCall *call, TimestampTz now)
{
	const AttrNumber column = Anum_api_keys_revoked_at;
	Datum value = TimestampTzGetDatum(now);
	bool isnull = false;

	if (ChangeRow(&call->writer, call->keys.slot, 1, &column, &value, &isnull, true))
		return true;
	CommandCounterIncrement();
	return false;
}

/*
 * acteon_api_key_revoke(name text) → timestamptz
 *
 * Revokes a key; returns when it was revoked, now or before.  Raises
 * no_data_found, insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_api_key_revoke(PG_FUNCTION_ARGS)
{
	const NullableDatum never = {.isnull = true};
	KeyCall call;
	TimestampTz revoked_at;
	bool is_revoked = false;

	begin_call(&call, fcinfo, "acteon_api_key_revoke()");
	do
	{
		bool isnull;
		Oid role;
		Datum before;

		CHECK_FOR_INTERRUPTS();
		if (!find_by_name(&call))
			ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
							errmsg("no such API key: \"%s\"", text_to_cstring(call.name)),
							errhint("The owner of acteon_api_keys can read the names there.")));
		role = DatumGetObjectId(FoundColumn(&call.keys, Anum_api_keys_role, &isnull));
		check_may_set_role(call.caller, role);
		before = FoundColumn(&call.keys, Anum_api_keys_revoked_at, &isnull);
		is_revoked = !isnull;
		revoked_at = isnull ? GetCurrentTimestamp() : DatumGetTimestampTz(before);
		if (!is_revoked && revoke_found(&call, revoked_at))
		{
			log_key(&call, "api_key_revoke", role, never);
			is_revoked = true;
		}
	} while (!is_revoked);
	end_call(&call);
	PG_RETURN_TIMESTAMPTZ(revoked_at);
}

/*
 * Whether the key that was found lets anybody in now: it was not revoked, has
 * not expired, and its role is there and not, by now, a superuser.
 */
static bool
is_good(TableFinder *keys)
{
	bool never;
	bool isnull;
	Datum expires = FoundColumn(keys, Anum_api_keys_expires_at, &never);
	Oid role = DatumGetObjectId(FoundColumn(keys, Anum_api_keys_role, &isnull));

	(void) FoundColumn(keys, Anum_api_keys_revoked_at, &isnull);
	return isnull && (never || DatumGetTimestampTz(expires) > GetCurrentTimestamp()) &&
		   SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)) && !superuser_arg(role);
}

/*
 * acteon_api_login(key_sha256 bytea) → (key_id bigint, key_name text, role name)
 *
 * The key with a hash, and the role as which it acts, as they are now, whatever
 * the transaction's snapshot: what was revoked is revoked.  Reads only.  Raises
 * invalid_authorization_specification, with the same text whatever the reason.
 */
Datum
acteon_api_login(PG_FUNCTION_ARGS)
{
	Oid schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	bytea *hash = PG_ARGISNULL(0) ? NULL : PG_GETARG_BYTEA_PP(0);
	TupleDesc desc = ResultRowType(fcinfo);
	Identity caller;
	TableFinder keys;
	Snapshot snapshot;
	Datum values[3];
	bool nulls[3] = {false};
	Datum row;
	bool isnull;

	SwitchIdentity(&caller, TableOwner(OwnTable(schema, API_KEYS_TABLE)));
	OpenFinder(&keys, OwnTable(schema, API_KEYS_TABLE), Anum_api_keys_key_sha256);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (hash == NULL || VARSIZE_ANY_EXHDR(hash) != PG_SHA256_DIGEST_LENGTH ||
		!FindRow(&keys, F_BYTEAEQ, PointerGetDatum(hash), snapshot) || !is_good(&keys))
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errreason(CODE_UNAUTHENTICATED),
						errmsg("API key is unknown, expired or revoked")));
	values[0] = FoundColumn(&keys, Anum_api_keys_id, &isnull);
	values[1] = FoundColumn(&keys, Anum_api_keys_name, &isnull);
	values[2] = RoleName(DatumGetObjectId(FoundColumn(&keys, Anum_api_keys_role, &isnull)));
	row = HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
	NoteApiKey(TextDatumGetCString(values[1]),
			   DatumGetObjectId(FoundColumn(&keys, Anum_api_keys_role, &isnull)),
			   NameStr(*DatumGetName(FoundColumn(&keys, Anum_api_keys_created_by, &isnull))));
	UnregisterSnapshot(snapshot);
	CloseFinder(&keys);
	RestoreIdentity(&caller);
	return row;
}

/*
 * Order of uses: by key, the last one last.
 */
static int
compare_uses(const void *a, const void *b)
{
	const KeyUse *ua = a;
	const KeyUse *ub = b;

	if (ua->key_id != ub->key_id)
		return ua->key_id < ub->key_id ? -1 : 1;
	return ua->used_at < ub->used_at ? -1 : ua->used_at > ub->used_at;
}

/*
 * Record when a key was used, if it exists and the time is later than the
 * recorded one.  A row that is locked is left alone.
 */
static void
note_use(TableWriter *writer, TableFinder *keys, const KeyUse *use)
{
	const AttrNumber column = Anum_api_keys_last_used_at;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Datum value = TimestampTzGetDatum(use->used_at);
	bool isnull;

	if (FindRow(keys, F_INT8EQ, Int64GetDatum(use->key_id), snapshot))
	{
		Datum before = FoundColumn(keys, column, &isnull);

		if (isnull || DatumGetTimestampTz(before) < use->used_at)
		{
			isnull = false;
			(void) ChangeRow(writer, keys->slot, 1, &column, &value, &isnull, false);
		}
	}
	UnregisterSnapshot(snapshot);
}

/*
 * Record when keys were used, as the tables' owner, which must be the current
 * user.  Does not wait for locks.
 */
void
NoteKeyUses(Oid schema, KeyUse *uses, int count)
{
	TableWriter writer;
	TableFinder keys;

	qsort(uses, count, sizeof(KeyUse), compare_uses);
	OpenWriter(&writer, OwnTable(schema, API_KEYS_TABLE), true);
	OpenFinder(&keys, OwnTable(schema, API_KEYS_TABLE), Anum_api_keys_id);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i == count - 1 || uses[i + 1].key_id != uses[i].key_id)
			note_use(&writer, &keys, &uses[i]);
	}
	CloseFinder(&keys);
	CloseWriter(&writer);
	CommandCounterIncrement();
}

/*
 * acteon_api_current_key() → text
 *
 * The name of the key with which acteon_api_login was called in this transaction, for
 * whichever role it acts as now; NULL if it was not.  Raises nothing.
 */
Datum
acteon_api_current_key(PG_FUNCTION_ARGS)
{
	const char *key = CurrentApiKey();

	if (key == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(key));
}
