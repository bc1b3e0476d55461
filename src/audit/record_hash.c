/*
 * record_hash.c
 *		The hash that the gateway writes into a record in its compliance mode.
 *
 * It is the SHA-256 of ten of the columns, as a JSON object in UTF-8 whose members are
 * ordered by their names.  The time in it has nanoseconds, of which the database keeps
 * microseconds: what was hashed is found by trying the 1,000 times that the stored one
 * may have been.  That weakens nothing: only digits are tried that the database never
 * had, and each candidate has to have the whole hash.
 *
 * The time comes third among the members, so what is in front of its last digits is hashed
 * once, and that state is copied for each candidate.  A candidate takes 0.24 µs with the
 * SHA instructions of the processor (0.19 µs with the functions of OpenSSL that are
 * deprecated, which are not used).
 *
 * An intent and the outcome of the same action have the same time, to the nanosecond, and
 * ids that differ by a suffix.  What was found for the intent is remembered, and tried
 * first for the outcome.
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "audit/record_hash.h"
#include "base/compat.h"
#include "base/json_text.h"
#include "base/rfc3339.h"

#define HASH_BYTES 32

/* The id of an intent is that of the outcome with this behind it. */
#define INTENT_SUFFIX "-intent"

/* So many times may have become one in the database. */
#define CANDIDATES 1000

/* Intents that are remembered; one more takes the place of another. */
#define REMEMBERED 65536

/* Longer ones the gateway does not write; each candidate would cost so much. */
#define LONGEST_RECORD (1024 * 1024)

/* Length of a time up to its seconds, as it is hashed. */
#define SECONDS_LEN 19

/* The last digits that were found for an intent. */
typedef struct Remembered
{
	uint64 id; /* hashed, of the outcome; 0: nothing is remembered here */
	int digits;
} Remembered;

struct RecordHasher
{
	EVP_MD_CTX *head;       /* what is in front of the digits was added */
	EVP_MD_CTX *candidate;  /* the whole */
	StringInfoData text;    /* what is in front of the fraction */
	StringInfoData tail;    /* what is behind it */
	Remembered *remembered; /* NULL until an intent is to be remembered */
	uint8 wanted[HASH_BYTES];
};

/*
 * Free what OpenSSL allocated; with the memory context of the hasher.
 */
static void
free_contexts(void *argument)
{
	RecordHasher *hasher = argument;

	EVP_MD_CTX_free(hasher->head);
	EVP_MD_CTX_free(hasher->candidate);
}

/*
 * Make a hasher, which lives as long as the current memory context.
 */
RecordHasher *
MakeRecordHasher(void)
{
	RecordHasher *hasher = palloc0(sizeof(RecordHasher));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	initStringInfo(&hasher->text);
	initStringInfo(&hasher->tail);
	callback->func = free_contexts;
	callback->arg = hasher;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	hasher->head = EVP_MD_CTX_new();
	hasher->candidate = EVP_MD_CTX_new();
	if (hasher->head == NULL || hasher->candidate == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return hasher;
}

/*
 * Raise an error unless OpenSSL has done what it was asked for.
 */
static inline void
check_done(int result)
{
	if (unlikely(result != 1))
		elog(ERROR, "could not compute a SHA-256");
}

/*
 * Append a member of the object, whose name is preceded by what is given.
 */
static void
append_member(StringInfo out, const char *name, const text *value)
{
	appendStringInfoString(out, name);
	if (value == NULL)
		appendStringInfoString(out, "null");
	else
		AppendJsonString(out, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

/*
 * Make a text, which is in the database's encoding, one in UTF-8.  Nothing is known of the
 * encoding of texts in SQL_ASCII: they stay as they are.  Returns false if that cannot be
 * done: then the gateway has not written it.
 */
static bool
convert(StringInfo text)
{
	int encoding = GetDatabaseEncoding();
	StringInfoData utf8;
	Oid conversion;
	bool is_whole;

	if (encoding == PG_SQL_ASCII || encoding == PG_UTF8)
		return true;
	conversion = FindDefaultConversionProc(encoding, PG_UTF8);
	if (!OidIsValid(conversion))
		return false;
	initStringInfo(&utf8);
	enlargeStringInfo(&utf8, text->len * MAX_CONVERSION_GROWTH + 1);
	is_whole =
		pg_do_encoding_conversion_buf(conversion, encoding, PG_UTF8, (unsigned char *) text->data,
									  text->len, (unsigned char *) utf8.data, utf8.maxlen,
									  true) == text->len;
	if (is_whole)
	{
		resetStringInfo(text);
		appendStringInfoString(text, utf8.data);
	}
	pfree(utf8.data);
	return is_whole;
}

/*
 * Whether a record is longer than any that the gateway writes.
 */
static bool
is_too_long(const HashedRecord *record)
{
	const text *const texts[] = {record->id,      record->action_id, record->namespace,
								 record->tenant,  record->provider,  record->action_type,
								 record->verdict, record->outcome,   record->previous_hash};
	Size len = 0;

	for (int i = 0; i < lengthof(texts); i++)
		len += texts[i] == NULL ? 0 : VARSIZE_ANY_EXHDR(texts[i]);
	return len > LONGEST_RECORD;
}

/*
 * Write what is hashed in front of the fraction of the time and behind it.  Returns false
 * if it has no form in UTF-8.
 */
static bool
write_text(RecordHasher *hasher, const HashedRecord *record)
{
	char time[RFC3339_MAXLEN];

	FormatRfc3339(time, record->dispatched_at);
	resetStringInfo(&hasher->text);
	append_member(&hasher->text, "{\"action_id\":", record->action_id);
	append_member(&hasher->text, ",\"action_type\":", record->action_type);
	appendStringInfo(&hasher->text, ",\"dispatched_at\":\"%.*s", SECONDS_LEN, time);
	resetStringInfo(&hasher->tail);
	append_member(&hasher->tail, "+00:00\",\"id\":", record->id);
	append_member(&hasher->tail, ",\"namespace\":", record->namespace);
	append_member(&hasher->tail, ",\"outcome\":", record->outcome);
	append_member(&hasher->tail, ",\"previous_hash\":", record->previous_hash);
	append_member(&hasher->tail, ",\"provider\":", record->provider);
	append_member(&hasher->tail, ",\"tenant\":", record->tenant);
	append_member(&hasher->tail, ",\"verdict\":", record->verdict);
	appendStringInfoChar(&hasher->tail, '}');
	return convert(&hasher->text) && convert(&hasher->tail);
}

/*
 * Read the hash of a record.  Returns false if it is not in the form that the gateway
 * gives it: 64 lower-case digits.
 */
static bool
read_hash(RecordHasher *hasher, const text *hash)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = VARDATA_ANY(hash);

	if (VARSIZE_ANY_EXHDR(hash) != 2 * HASH_BYTES)
		return false;
	for (int i = 0; i < HASH_BYTES; i++)
	{
		const char *high = at[2 * i] == '\0' ? NULL : strchr(digits, at[2 * i]);
		const char *low = at[2 * i + 1] == '\0' ? NULL : strchr(digits, at[2 * i + 1]);

		if (high == NULL || low == NULL)
			return false;
		hasher->wanted[i] = (uint8) ((high - digits) << 4 | (low - digits));
	}
	return true;
}

/*
 * Whether the text whose beginning was added, and which ends so, has the hash.
 */
static bool
fits_with(RecordHasher *hasher, const char *end, int len)
{
	uint8 found[HASH_BYTES];

	check_done(EVP_MD_CTX_copy_ex(hasher->candidate, hasher->head));
	check_done(EVP_DigestUpdate(hasher->candidate, end, len));
	check_done(EVP_DigestFinal_ex(hasher->candidate, found, NULL));
	return memcmp(found, hasher->wanted, HASH_BYTES) == 0;
}

/*
 * Whether the hash is that of a time without nanoseconds, whose fraction is as short as
 * it can be.
 */
static bool
fits_without_nanoseconds(RecordHasher *hasher, int fraction)
{
	StringInfoData end;
	bool fits;

	initStringInfo(&end);
	if (fraction % 1000 != 0)
		appendStringInfo(&end, ".%06d", fraction);
	else if (fraction != 0)
		appendStringInfo(&end, ".%03d", fraction / 1000);
	appendBinaryStringInfo(&end, hasher->tail.data, hasher->tail.len);
	fits = fits_with(hasher, end.data, end.len);
	pfree(end.data);
	return fits;
}

/*
 * Where the digits of a record's time are remembered: sets *id to what is remembered of the
 * id.  Returns NULL if nothing is remembered at all.
 */
static Remembered *
remembered_place(RecordHasher *hasher, const text *record_id, int len, uint64 *id)
{
	*id = hash_bytes_extended((const unsigned char *) VARDATA_ANY(record_id), len, 0);
	*id += *id == 0;
	return hasher->remembered == NULL ? NULL : &hasher->remembered[*id % REMEMBERED];
}

/*
 * Remember the digits that were found for an intent.
 */
static void
remember(RecordHasher *hasher, const text *record_id, int digits)
{
	int len = VARSIZE_ANY_EXHDR(record_id) - (int) strlen(INTENT_SUFFIX);
	Remembered *place;
	uint64 id;

	if (len < 0 || memcmp(VARDATA_ANY(record_id) + len, INTENT_SUFFIX, strlen(INTENT_SUFFIX)) != 0)
		return;
	if (hasher->remembered == NULL)
		hasher->remembered =
			MemoryContextAllocZero(GetMemoryChunkContext(hasher), REMEMBERED * sizeof(Remembered));
	place = remembered_place(hasher, record_id, len, &id);
	*place = (Remembered){.id = id, .digits = digits};
}

/*
 * The digits that were found for the intent of a record; -1 if nothing is remembered.
 */
static int
recall(RecordHasher *hasher, const text *record_id)
{
	uint64 id;
	const Remembered *place =
		remembered_place(hasher, record_id, VARSIZE_ANY_EXHDR(record_id), &id);

	return place == NULL || place->id != id ? -1 : place->digits;
}

/*
 * Find the last three digits of the nanoseconds with which a record has its hash; -1 if
 * there are none.  What is in front of the fraction was written.
 */
static int
find_digits(RecordHasher *hasher, int fraction, int likely_digits)
{
	char end_head[] = ".123456";
	StringInfoData end;
	int found = -1;

	check_done(EVP_DigestInit_ex(hasher->head, EVP_sha256(), NULL));
	check_done(EVP_DigestUpdate(hasher->head, hasher->text.data, hasher->text.len));
	if (fits_without_nanoseconds(hasher, fraction))
		return 0;
	snprintf(end_head, sizeof(end_head), ".%06d", fraction);
	check_done(EVP_DigestUpdate(hasher->head, end_head, strlen(end_head)));
	initStringInfo(&end);
	appendStringInfoString(&end, "000");
	appendBinaryStringInfo(&end, hasher->tail.data, hasher->tail.len);
	/* The likely ones come first, in place of 0, which was tried. */
	for (int i = 0; i < CANDIDATES && found < 0; i++)
	{
		int digits = i == 0 ? likely_digits : i;

		CHECK_FOR_INTERRUPTS();
		if (digits <= 0)
			continue;
		end.data[0] = '0' + digits / 100;
		end.data[1] = '0' + digits / 10 % 10;
		end.data[2] = '0' + digits % 10;
		if (fits_with(hasher, end.data, end.len))
			found = digits;
	}
	pfree(end.data);
	return found;
}

/*
 * Whether a record has the hash of what is in it.  It does not have if a column that is
 * hashed is NULL, other than the previous hash, or has no form in UTF-8, if they are longer
 * than those of any record of the gateway, or if its time is none that the gateway writes.
 */
bool
RecordHashFits(RecordHasher *hasher, const HashedRecord *record)
{
	int digits;

	if (record->id == NULL || record->action_id == NULL || record->namespace == NULL ||
		record->tenant == NULL || record->provider == NULL || record->action_type == NULL ||
		record->verdict == NULL || record->outcome == NULL || record->record_hash == NULL ||
		!IsRfc3339Time(record->dispatched_at) || is_too_long(record) ||
		!read_hash(hasher, record->record_hash) || !write_text(hasher, record))
		return false;
	digits = find_digits(hasher,
						 (int) (((record->dispatched_at % USECS_PER_SEC) + USECS_PER_SEC) %
								USECS_PER_SEC),
						 recall(hasher, record->id));
	if (digits >= 0)
		remember(hasher, record->id, digits);
	return digits >= 0;
}
