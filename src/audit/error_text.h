/*
 * error_text.h
 *		Why an action was not executed, as its record has it.
 */
#ifndef ACTEON_ERROR_TEXT_H
#define ACTEON_ERROR_TEXT_H

#include "audit/record.h"
#include "base/error_signature.h"

/* Why an action was not executed; see ReadErrorText. */
typedef struct ErrorText
{
	const char *text; /* without a zero at its end */
	int len;
	bool is_name; /* of a rule and the like, which is its own signature */
} ErrorText;

extern bool ReadErrorText(ErrorText *error, const AuditRecord *record);
extern int SignatureOfError(char *signature, const ErrorText *error, SignatureRules rules);
extern int SignatureOfRecord(char *signature, const AuditRecord *record, SignatureRules rules);

#endif /* ACTEON_ERROR_TEXT_H */
