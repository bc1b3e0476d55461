/*
 * request_id.h
 *		The id of a request, by which it is found in logs.
 */
#ifndef REQUEST_ID_H
#define REQUEST_ID_H

/* Bytes of one.  With "acteon-replay-http " before it, it fits into application_name. */
#define MAX_REQUEST_ID 40

extern void RequestIdMake(char *id);
extern void RequestIdTake(char *id, const char *given);

#endif
