/*
 * own_table.h
 *		The extension's own tables: where they are, and whose.
 */
#ifndef ACTEON_OWN_TABLE_H
#define ACTEON_OWN_TABLE_H

extern Oid OwnTable(Oid schema, const char *name);
extern Oid TableOwner(Oid relid);

#endif /* ACTEON_OWN_TABLE_H */
