/*
 * jsonb_writer.h
 *		jsonb values written straight in their binary form.
 */
#ifndef ACTEON_JSONB_WRITER_H
#define ACTEON_JSONB_WRITER_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* One pair of a flat object: a key and a scalar that is no number. */
typedef struct JsonPair
{
	const char *key;
	const char *value; /* of a string, else NULL */
	uint32 key_len;
	uint32 value_len;
	uint32 type; /* JENTRY_ISSTRING, JENTRY_ISBOOL_TRUE, … */
} JsonPair;

/* An array of flat objects that grows; see JsonArrayInit. */
typedef struct JsonArray
{
	StringInfoData data;
	StringInfoData ends; /* uint32 for each element: where it ends */
	int count;
} JsonArray;

extern int CompareJsonKeys(const char *a, uint32 a_len, const char *b, uint32 b_len);
extern JEntry MakeJsonEntry(uint32 type, int index, uint32 len, uint32 end);
extern Jsonb *JsonObject(const JsonPair *pairs, int count);
extern void JsonArrayInit(JsonArray *array);
extern void JsonArrayAdd(JsonArray *array, const JsonPair *pairs, int count);
extern Jsonb *JsonArrayFinish(JsonArray *array);

#endif /* ACTEON_JSONB_WRITER_H */
