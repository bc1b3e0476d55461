/*
 * grant_index.h
 *		Finding the grants that cover a record, however many there are.
 */
#ifndef ACTEON_GRANT_INDEX_H
#define ACTEON_GRANT_INDEX_H

/* What a grant is about: one list for each. */
typedef enum GrantField
{
	GRANT_TENANT,
	GRANT_NAMESPACE,
	GRANT_PROVIDER,
	GRANT_ACTION_TYPE,
	NUM_GRANT_FIELDS
} GrantField;

/* One list of a grant. */
typedef struct GrantList
{
	int count;
	Datum *entries; /* text */
} GrantList;

/* The index; see MakeGrantIndex. */
typedef struct GrantIndex GrantIndex;

extern GrantIndex *MakeGrantIndex(void);
extern void IndexGrant(GrantIndex *index, int rights, const GrantList *lists);
extern int IndexedGrants(const GrantIndex *index);
extern bool IndexCovers(GrantIndex *index, int right, const text *const *values);
extern bool IndexCoversValue(GrantIndex *index, GrantField field, const text *value);
extern bool IndexedValues(const GrantIndex *index, GrantField field, Datum **values, int *count);

#endif /* ACTEON_GRANT_INDEX_H */
