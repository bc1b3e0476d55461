/*
 * jsonb_parts.h
 *		The parts of jsonb containers, read and written as they lie in memory.
 */
#ifndef ACTEON_JSONB_PARTS_H
#define ACTEON_JSONB_PARTS_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* A key, a value or an element. */
typedef struct JsonbPart
{
	const char *data; /* without the padding before it */
	uint32 len;
	uint32 type; /* JENTRY_ISSTRING, JENTRY_ISCONTAINER, … */
} JsonbPart;

/* The next part of a container that is being read. */
typedef struct JsonbReader
{
	const JsonbContainer *container;
	const char *data;
	uint32 index;
	uint32 offset; /* in data */
} JsonbReader;

/* A container that is being written: where in the output its entries and its data begin. */
typedef struct JsonbFrame
{
	int entries;
	int data;
} JsonbFrame;

extern void BeginParts(JsonbReader *reader, const JsonbContainer *container, uint32 index);
extern void ReadJsonbPart(JsonbReader *reader, JsonbPart *part);
extern void PartOfJsonb(JsonbPart *part, const Jsonb *value);
extern const JsonbContainer *PartContainer(const JsonbPart *part);
extern JsonbFrame BeginContainer(StringInfo out, uint32 header, int entries);
extern void AppendPart(StringInfo out, const JsonbPart *part);
extern void EndPart(StringInfo out, const JsonbFrame *frame, uint32 type, int index, int start);

#endif /* ACTEON_JSONB_PARTS_H */
