/*
 * digest.c
 *		Hashes of rows, the same wherever the rows are.
 *
 * A hash is SHA-256 over the values of a row, of which the first bytes are kept.  The
 * values are written in a form that a dump, a logical subscriber, another byte order and
 * another encoding of the database do not change: numbers in network order, texts in
 * UTF-8, a jsonb member by member with its keys in the order that they have in UTF-8,
 * and everything whose length varies behind its length, so that no two rows look alike.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/compat.h"
#include "base/digest.h"
#include "base/json_text.h"

/* Bytes that are hashed at once, about. */
#define DIGEST_BYTES (64 * 1024)

static void add_container(Digest *digest, const JsonbContainer *container);

ACTEON_NORETURN static void
report_failure(Digest *digest)
{
	elog(ERROR, "could not compute a hash: %s", pg_cryptohash_error(digest->hash));
}

/*
 * Begin to compute hashes, in the current memory context, until CloseDigest, which must
 * be called unless an error ends the transaction or subtransaction.
 */
void
OpenDigest(Digest *digest)
{
	digest->hash = pg_cryptohash_create(PG_SHA256);
	if (digest->hash == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	initStringInfo(&digest->bytes);
	digest->converts = GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII;
}

/*
 * Done with hashes.
 */
void
CloseDigest(Digest *digest)
{
	pg_cryptohash_free(digest->hash);
	digest->hash = NULL;
	pfree(digest->bytes.data);
}

/*
 * Hash what has been collected.
 */
static void
flush(Digest *digest)
{
	if (pg_cryptohash_update(digest->hash, (const uint8 *) digest->bytes.data, digest->bytes.len) <
		0)
		report_failure(digest);
	resetStringInfo(&digest->bytes);
}

/*
 * Add some bytes.
 */
void
AddBytesToDigest(Digest *digest, const void *bytes, int len)
{
	if (digest->bytes.len + len > DIGEST_BYTES)
	{
		flush(digest);
		if (len > DIGEST_BYTES)
		{
			if (pg_cryptohash_update(digest->hash, bytes, len) < 0)
				report_failure(digest);
			return;
		}
	}
	appendBinaryStringInfo(&digest->bytes, bytes, len);
}

/*
 * Add a number.
 */
void
AddNumberToDigest(Digest *digest, int64 number)
{
	uint64 word = pg_hton64((uint64) number);

	AddBytesToDigest(digest, &word, sizeof(word));
}

/*
 * Begin a hash of a kind of thing: hashes of different kinds differ.
 */
void
BeginDigest(Digest *digest, const char *kind)
{
	resetStringInfo(&digest->bytes);
	if (pg_cryptohash_init(digest->hash) < 0)
		report_failure(digest);
	AddBytesToDigest(digest, kind, strlen(kind) + 1);
}

/*
 * End a hash, of which the first len bytes are the result.
 */
void
EndDigest(Digest *digest, uint8 *result, int len)
{
	uint8 whole[PG_SHA256_DIGEST_LENGTH];

	flush(digest);
	if (pg_cryptohash_final(digest->hash, whole, sizeof(whole)) < 0)
		report_failure(digest);
	memcpy(result, whole, len);
}

/*
 * Add what sort of value follows, and how long it is.
 */
static inline void
add_head(Digest *digest, char sort, uint32 len)
{
	char head[1 + sizeof(uint32)];
	uint32 word = pg_hton32(len);

	head[0] = sort;
	memcpy(head + 1, &word, sizeof(word));
	AddBytesToDigest(digest, head, sizeof(head));
}

/*
 * Whether all characters of a text are ASCII.
 */
static bool
is_ascii(const char *text, int len)
{
	for (int i = 0; i < len; i++)
	{
		if (IS_HIGHBIT_SET(text[i]))
			return false;
	}
	return true;
}

/*
 * A text in UTF-8.  What UTF-8 does not have stays as it is.
 */
static char *
in_utf8(const Digest *digest, const char *text, int len, int *utf8_len)
{
	Oid conversion;
	char *result;
	Size room = (Size) len * MAX_CONVERSION_GROWTH + 1;

	*utf8_len = len;
	if (!digest->converts || is_ascii(text, len))
		return unconstify(char *, text);
	conversion = FindDefaultConversionProc(GetDatabaseEncoding(), PG_UTF8);
	if (!OidIsValid(conversion))
		return unconstify(char *, text);
	result = MemoryContextAllocHuge(CurrentMemoryContext, room);
	if (pg_do_encoding_conversion_buf(conversion, GetDatabaseEncoding(), PG_UTF8,
									  (unsigned char *) unconstify(char *, text), len,
									  (unsigned char *) result, (int) Min(room, PG_INT32_MAX),
									  true) < len)
	{
		pfree(result);
		return unconstify(char *, text);
	}
	*utf8_len = strlen(result);
	return result;
}

/*
 * Add a text.
 */
static void
add_text(Digest *digest, char sort, const char *text, int len)
{
	int utf8_len;
	char *utf8 = in_utf8(digest, text, len, &utf8_len);

	add_head(digest, sort, utf8_len);
	AddBytesToDigest(digest, utf8, utf8_len);
	if (utf8 != text)
		pfree(utf8);
}

/*
 * Add one value of a container, which lies at base + offset.
 */
static void
add_entry(Digest *digest, JEntry entry, const char *base, uint32 offset, uint32 end)
{
	if (JBE_ISSTRING(entry))
		add_text(digest, 's', base + offset, end - offset);
	else if (JBE_ISNUMERIC(entry))
	{
		char *number = DatumGetCString(
			DirectFunctionCall1(numeric_out, PointerGetDatum(base + INTALIGN(offset))));

		add_text(digest, '1', number, strlen(number));
		pfree(number);
	}
	else if (JBE_ISCONTAINER(entry))
		add_container(digest, (const JsonbContainer *) (base + INTALIGN(offset)));
	else
		AddBytesToDigest(digest, JBE_ISNULL(entry) ? "n" : JBE_ISBOOL_TRUE(entry) ? "t" : "f", 1);
}

/* A member of an object. */
typedef struct Member
{
	const char *key; /* in UTF-8 */
	int len;
	JEntry entry;
	uint32 offset;
	uint32 end;
} Member;

/*
 * The order of keys in a jsonb.
 */
static int
compare_members(const void *a, const void *b)
{
	const Member *ma = a;
	const Member *mb = b;

	if (ma->len != mb->len)
		return ma->len < mb->len ? -1 : 1;
	return memcmp(ma->key, mb->key, ma->len);
}

/*
 * Add an object whose keys may have another order than in UTF-8.
 */
static void
add_converted_object(Digest *digest, const JsonbContainer *object)
{
	int count = JsonContainerSize(object);
	const char *base = (const char *) &object->children[2 * count];
	uint32 key_offset = 0;
	uint32 offset = getJsonbOffset(object, count);
	Member *members = palloc(Max(count, 1) * sizeof(Member));

	for (int i = 0; i < count; i++)
	{
		uint32 key_end = JsonbEntryEnd(object->children[i], key_offset);

		members[i].key = in_utf8(digest, base + key_offset, key_end - key_offset, &members[i].len);
		members[i].entry = object->children[count + i];
		members[i].offset = offset;
		members[i].end = offset = JsonbEntryEnd(members[i].entry, offset);
		key_offset = key_end;
	}
	qsort(members, count, sizeof(Member), compare_members);
	for (int i = 0; i < count; i++)
	{
		add_head(digest, 'k', members[i].len);
		AddBytesToDigest(digest, members[i].key, members[i].len);
		add_entry(digest, members[i].entry, base, members[i].offset, members[i].end);
	}
	pfree(members);
}

/*
 * Add an object: its keys come first in memory, then its values.
 */
static void
add_object(Digest *digest, const JsonbContainer *object)
{
	int count = JsonContainerSize(object);
	const JEntry *values = object->children + count;
	const char *base = (const char *) &object->children[2 * count];
	uint32 key_offset = 0;
	uint32 offset = getJsonbOffset(object, count);

	for (int i = 0; i < count; i++)
	{
		uint32 key_end = JsonbEntryEnd(object->children[i], key_offset);
		uint32 end = JsonbEntryEnd(values[i], offset);

		add_head(digest, 'k', key_end - key_offset);
		AddBytesToDigest(digest, base + key_offset, key_end - key_offset);
		add_entry(digest, values[i], base, offset, end);
		key_offset = key_end;
		offset = end;
	}
}

/*
 * Add the elements of an array.
 */
static void
add_elements(Digest *digest, const JsonbContainer *array)
{
	int count = JsonContainerSize(array);
	const char *base = (const char *) &array->children[count];
	uint32 offset = 0;

	for (int i = 0; i < count; i++)
	{
		uint32 end = JsonbEntryEnd(array->children[i], offset);

		add_entry(digest, array->children[i], base, offset, end);
		offset = end;
	}
}

/*
 * Add an array or an object, however deep.
 */
static void
add_container(Digest *digest, const JsonbContainer *container)
{
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (JsonContainerIsObject(container))
	{
		add_head(digest, '{', JsonContainerSize(container));
		if (digest->converts)
			add_converted_object(digest, container);
		else
			add_object(digest, container);
	}
	else
	{
		add_head(digest, JsonContainerIsScalar(container) ? 'v' : '[',
				 JsonContainerSize(container));
		add_elements(digest, container);
	}
}

/*
 * Add a jsonb.
 */
static void
add_jsonb(Digest *digest, Datum value)
{
	Jsonb *json = DatumGetJsonbP(value);

	add_container(digest, &json->root);
	if ((Pointer) json != DatumGetPointer(value))
		pfree(json);
}

/*
 * Add a text or bytea.
 */
static void
add_varlena(Digest *digest, Oid type, Datum value)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

	if (type == TEXTOID)
		add_text(digest, 'S', VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	else
	{
		add_head(digest, 'B', VARSIZE_ANY_EXHDR(bytes));
		AddBytesToDigest(digest, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	}
	if ((Pointer) bytes != DatumGetPointer(value))
		pfree(bytes);
}

/*
 * The numbers of a bigint[], without its nulls, which our tables have only if somebody else
 * has written them.
 */
const int64 *
StoredNumbers(const ArrayType *array, int *count)
{
	*count = (ARR_SIZE(array) - ARR_DATA_OFFSET(array)) / sizeof(int64);
	return (const int64 *) ARR_DATA_PTR(array);
}

/*
 * Add a bigint[].
 */
static void
add_numbers(Digest *digest, Datum value)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	int items = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	int count;
	const int64 *numbers = StoredNumbers(array, &count);

	add_head(digest, ARR_HASNULL(array) ? 'a' : 'A', items);
	if (ARR_HASNULL(array))
		AddBytesToDigest(digest, ARR_NULLBITMAP(array), (items + 7) / 8);
	for (int i = 0; i < count; i++)
		AddNumberToDigest(digest, numbers[i]);
	if ((Pointer) array != DatumGetPointer(value))
		pfree(array);
}

/*
 * Add a value of a column, of one of the types that our tables have.
 */
void
AddToDigest(Digest *digest, Oid type, Datum value, bool isnull)
{
	if (isnull)
	{
		AddBytesToDigest(digest, "N", 1);
		return;
	}
	switch (type)
	{
		case INT8OID:
			AddBytesToDigest(digest, "I", 1);
			AddNumberToDigest(digest, DatumGetInt64(value));
			break;
		case INT4OID:
			AddBytesToDigest(digest, "I", 1);
			AddNumberToDigest(digest, DatumGetInt32(value));
			break;
		case BOOLOID:
			AddBytesToDigest(digest, DatumGetBool(value) ? "T" : "F", 1);
			break;
		case TIMESTAMPTZOID:
			AddBytesToDigest(digest, "Z", 1);
			AddNumberToDigest(digest, DatumGetTimestampTz(value));
			break;
		case UUIDOID:
			AddBytesToDigest(digest, "U", 1);
			AddBytesToDigest(digest, DatumGetUUIDP(value)->data, UUID_LEN);
			break;
		case NAMEOID:
			add_text(digest, 'S', NameStr(*DatumGetName(value)),
					 strlen(NameStr(*DatumGetName(value))));
			break;
		case TEXTOID:
		case BYTEAOID:
			add_varlena(digest, type, value);
			break;
		case JSONBOID:
			add_jsonb(digest, value);
			break;
		case INT8ARRAYOID:
			add_numbers(digest, value);
			break;
		default:
			elog(ERROR, "no hash of type %u", type);
	}
}
