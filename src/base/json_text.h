/*
 * json_text.h
 *		JSON as text.
 */
#ifndef ACTEON_JSON_TEXT_H
#define ACTEON_JSON_TEXT_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/*
 * Levels of nesting for which there is stack enough in any session.  The gateway
 * itself reads no more than 128.
 */
#define MAX_JSON_LEVELS 2000

/*
 * appendBinaryStringInfo, without a call for the few bytes that most of JSON consists of.
 */
static inline void
AppendBytes(StringInfo json, const char *bytes, int len)
{
	if (unlikely(json->len + len >= json->maxlen))
		enlargeStringInfo(json, len);
	memcpy(json->data + json->len, bytes, len);
	json->len += len;
	json->data[json->len] = '\0';
}

/*
 * Where an entry of a container ends that begins at an offset.
 */
static inline uint32
JsonbEntryEnd(JEntry entry, uint32 offset)
{
	return JBE_HAS_OFF(entry) ? JBE_OFFLENFLD(entry) : offset + JBE_OFFLENFLD(entry);
}

extern void AppendJsonString(StringInfo json, const char *text, int len);
extern void AppendJsonb(StringInfo json, const Jsonb *value);
extern int JsonbLevels(const Jsonb *value);
extern void CheckJsonbDepth(const Jsonb *value);

#endif /* ACTEON_JSON_TEXT_H */
