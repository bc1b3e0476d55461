/*
 * payload_kind.h
 *		What a payload holds: values that the gateway has redacted or encrypted.
 */
#ifndef ACTEON_PAYLOAD_KIND_H
#define ACTEON_PAYLOAD_KIND_H

/* Kinds of payloads. */
typedef enum PayloadKind
{
	PAYLOAD_PLAIN,
	PAYLOAD_REDACTED, /* it holds a value that the gateway has redacted */
	PAYLOAD_SEALED    /* it is encrypted */
} PayloadKind;

extern PayloadKind InspectPayload(Datum payload);

#endif /* ACTEON_PAYLOAD_KIND_H */
