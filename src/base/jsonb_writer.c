/*
 * jsonb_writer.c
 *		jsonb values written straight in their binary form.
 *
 * A bulk replay makes two small objects for each action: its labels, and its
 * entry in the results.  Their keys are known to come in order, so they can be
 * written in one go, at a fraction of what pushJsonbValue() and
 * JsonbValueToJsonb() take.  The format is the on-disk one of jsonb.h, and
 * convertJsonbObject() and convertJsonbArray() in jsonb_util.c are the
 * reference for it.
 */
#include "postgres.h"

#include "base/jsonb_writer.h"

/*
 * Order of keys in a jsonb object: by length, then by bytes.
 */
int
CompareJsonKeys(const char *a, uint32 a_len, const char *b, uint32 b_len)
{
	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	return memcmp(a, b, a_len);
}

/*
 * Describe the index-th child of a container, which is len bytes long and
 * ends at byte end of the container's data.
 */
JEntry
MakeJsonEntry(uint32 type, int index, uint32 len, uint32 end)
{
	if (index % JB_OFFSET_STRIDE == 0)
		return type | JENTRY_HAS_OFF | end;
	return type | len;
}

/*
 * Size of the container of an object, or 0 if it is larger than jsonb allows.
 */
static Size
object_size(const JsonPair *pairs, int count)
{
	uint64 data = 0;

	for (int i = 0; i < count; i++)
		data += (uint64) pairs[i].key_len + pairs[i].value_len;
	if (data > JENTRY_OFFLENMASK || count > JB_CMASK / 2)
		return 0;
	return offsetof(JsonbContainer, children) + 2 * count * sizeof(JEntry) + data;
}

/*
 * Write the container of an object to dst, which has room for it.
 */
static void
write_object(char *dst, const JsonPair *pairs, int count)
{
	JsonbContainer *container = (JsonbContainer *) dst;
	char *data = (char *) &container->children[2 * count];
	uint32 end = 0;

	container->header = count | JB_FOBJECT;
	for (int i = 0; i < count; i++)
	{
		const JsonPair *pair = &pairs[i];

		Assert(i == 0 || CompareJsonKeys(pairs[i - 1].key, pairs[i - 1].key_len, pair->key,
										 pair->key_len) < 0);
		memcpy(data + end, pair->key, pair->key_len);
		end += pair->key_len;
		container->children[i] = MakeJsonEntry(JENTRY_ISSTRING, i, pair->key_len, end);
	}
	for (int i = 0; i < count; i++)
	{
		const JsonPair *pair = &pairs[i];

		if (pair->value_len > 0)
			memcpy(data + end, pair->value, pair->value_len);
		end += pair->value_len;
		container->children[count + i] = MakeJsonEntry(pair->type, count + i, pair->value_len, end);
	}
}

/*
 * Make an object of pairs whose keys are distinct and in jsonb's order.
 * Returns NULL if it would be larger than a jsonb value can be (256 MB).
 */
Jsonb *
JsonObject(const JsonPair *pairs, int count)
{
	Size size = object_size(pairs, count);
	Jsonb *result;

	if (size == 0)
		return NULL;
	result = palloc(VARHDRSZ + size);
	SET_VARSIZE(result, VARHDRSZ + size);
	write_object((char *) &result->root, pairs, count);
	return result;
}

/*
 * Begin an empty array in the current memory context.
 */
void
JsonArrayInit(JsonArray *array)
{
	initStringInfo(&array->data);
	initStringInfo(&array->ends);
	array->count = 0;
}

/*
 * Append an object of pairs whose keys are distinct and in jsonb's order.
 * Raises program_limit_exceeded where a jsonb value would become too large.
 */
void
JsonArrayAdd(JsonArray *array, const JsonPair *pairs, int count)
{
	Size size = object_size(pairs, count);
	int padded = INTALIGN(array->data.len);
	uint32 end;

	if (size == 0 || padded + size > JENTRY_OFFLENMASK)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("results of the replay are too large for jsonb"),
						errhint("Request fewer records in one call.")));
	enlargeStringInfo(&array->data, padded - array->data.len + (int) size);
	/* Padding belongs to the element behind it, as in convertJsonbObject(). */
	memset(array->data.data + array->data.len, 0, padded - array->data.len);
	write_object(array->data.data + padded, pairs, count);
	array->data.len = padded + (int) size;
	array->data.data[array->data.len] = '\0';
	end = array->data.len;
	appendBinaryStringInfo(&array->ends, (char *) &end, sizeof(end));
	array->count++;
}

/*
 * Turn the array into a value.
 */
Jsonb *
JsonArrayFinish(JsonArray *array)
{
	const uint32 *ends = (const uint32 *) array->ends.data;
	Size size = offsetof(Jsonb, root.children) + array->count * sizeof(JEntry) + array->data.len;
	Jsonb *result = palloc(size);

	SET_VARSIZE(result, size);
	result->root.header = array->count | JB_FARRAY;
	for (int i = 0; i < array->count; i++)
		result->root.children[i] =
			MakeJsonEntry(JENTRY_ISCONTAINER, i, ends[i] - (i == 0 ? 0 : ends[i - 1]), ends[i]);
	memcpy(&result->root.children[array->count], array->data.data, array->data.len);
	return result;
}
