/*
 * abandoned.c
 *		Backends that were given up and may still be there.
 *
 * A backend that hangs does not notice that its client has disconnected.  If a
 * client gave up one after the other, they would use up all connections of the
 * server.
 */
#include "common/abandoned.h"

#include <stdlib.h>

#include "common/buffer.h"

const char abandoned_sql[] = "SELECT pid FROM pg_catalog.pg_stat_activity "
							 "WHERE pid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int4[])";

/*
 * A backend is about to be given up.  Returns false if that would be one too many.
 */
bool
AbandonedAdd(Abandoned *abandoned, int pid)
{
	if (abandoned->count >= MAX_ABANDONED)
		return false;
	abandoned->pids[abandoned->count++] = pid;
	return true;
}

/*
 * Is there none?
 */
bool
AbandonedIsEmpty(const Abandoned *abandoned)
{
	return abandoned->count == 0;
}

/*
 * The process ids, as an array in the server's form; NULL if there is none.  The
 * caller frees it.
 */
char *
AbandonedList(const Abandoned *abandoned)
{
	Buffer list = {0};

	for (int i = 0; i < abandoned->count; i++)
		BufferPrint(&list, "%c%d", i == 0 ? '{' : ',', abandoned->pids[i]);
	if (abandoned->count > 0)
		BufferAppendChar(&list, '}');
	return list.data;
}

/*
 * Keep those that the server has told of.
 */
void
AbandonedRead(Abandoned *abandoned, const PGresult *result)
{
	abandoned->count = 0;
	for (int i = 0; i < PQntuples(result) && i < MAX_ABANDONED; i++)
		abandoned->pids[abandoned->count++] = atoi(PQgetvalue(result, i, 0));
}
