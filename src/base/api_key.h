/*
 * api_key.h
 *		The API key with which the transaction acts.
 */
#ifndef ACTEON_API_KEY_H
#define ACTEON_API_KEY_H

extern void NoteApiKey(const char *name, Oid role, const char *created_by);
extern const char *CurrentApiKey(void);
extern Oid LoginRole(Oid caller);

#endif /* ACTEON_API_KEY_H */
