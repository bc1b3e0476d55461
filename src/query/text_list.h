/*
 * text_list.h
 *		Lists of texts, such as hand-picked ids.
 */
#ifndef ACTEON_TEXT_LIST_H
#define ACTEON_TEXT_LIST_H

#include "utils/array.h"
#include "utils/jsonb.h"

#include "base/replay_id.h"

/* Texts that a list has at most. */
#define MAX_LISTED 100000

/* A list, which names each text once, in the order of their bytes. */
typedef struct TextList
{
	bool given; /* else all of the following is 0; an empty list is one */
	int count;
	Datum *texts;
	ArrayType *array;                  /* the same */
	char digest[QUERY_DIGEST_LEN + 1]; /* of them */
} TextList;

extern void TextListFromArray(TextList *list, const char *name, ArrayType *array);
extern bool TextListFromJson(TextList *list, const char *name, const JsonbValue *value);
extern void PushTextList(JsonbParseState **state, const char *name, const TextList *list);
extern bool TextListHas(const TextList *list, const text *value);

#endif /* ACTEON_TEXT_LIST_H */
