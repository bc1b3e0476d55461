/*
 * record_cursor.h
 *		Where a list of records continues, as the gateway writes it.
 */
#ifndef ACTEON_RECORD_CURSOR_H
#define ACTEON_RECORD_CURSOR_H

#include "audit/record_list.h"

extern char *MakeRecordCursor(const ListPlace *place);
extern void FindRecordCursor(ListPlace *place, const AuditTable *table, const char *cursor);

#endif /* ACTEON_RECORD_CURSOR_H */
