/*
 * text.h
 *		Comparing texts byte for byte.
 */
#ifndef ACTEON_TEXT_H
#define ACTEON_TEXT_H

#include "catalog/pg_attribute.h"
#include "catalog/pg_collation.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"

/*
 * Whether a text is the given string.
 */
static inline bool
TextIs(const text *value, const char *string)
{
	return VARSIZE_ANY_EXHDR(value) == strlen(string) &&
		   memcmp(VARDATA_ANY(value), string, strlen(string)) == 0;
}

/*
 * Whether two texts are the same.
 */
static inline bool
SameText(const text *a, const text *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		   memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/*
 * The order of two texts by their bytes, as memcmp tells it.
 */
static inline int
CompareTexts(const text *a, const text *b)
{
	int length = Min(VARSIZE_ANY_EXHDR(a), VARSIZE_ANY_EXHDR(b));
	int order = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), length);

	return order != 0 ? order : (int) VARSIZE_ANY_EXHDR(a) - (int) VARSIZE_ANY_EXHDR(b);
}

/*
 * SameText for texts that may be NULL.
 */
static inline bool
SameOptionalText(const text *a, const text *b)
{
	return a == NULL || b == NULL ? a == b : SameText(a, b);
}

/*
 * Whether the server, too, compares the values of a column for equality byte for
 * byte: the column has no nondeterministic collation.  A database's own collation is
 * none of those.
 */
static inline bool
HasExactCollation(Form_pg_attribute column)
{
	Oid collation = column->attcollation;

	return !OidIsValid(collation) || collation == DEFAULT_COLLATION_OID ||
		   collation == C_COLLATION_OID || get_collation_isdeterministic(collation);
}

/*
 * Whether an index's k-th key column has the collation of the table's column, without
 * which it neither finds nor orders what a comparison of that column asks for.
 */
static inline bool
HasCollationOf(Relation index, int k, Relation rel)
{
	AttrNumber column = index->rd_index->indkey.values[k];

	return column == InvalidAttrNumber ||
		   index->rd_indcollation[k] ==
			   TupleDescAttr(RelationGetDescr(rel), column - 1)->attcollation;
}

#endif /* ACTEON_TEXT_H */
