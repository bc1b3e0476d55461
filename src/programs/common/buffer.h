/*
 * buffer.h
 *		Memory that is never short, and bytes that grow.
 */
#ifndef BUFFER_H
#define BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that grow.  data is NULL or has a zero byte after the len bytes. */
typedef struct Buffer
{
	char *data;
	size_t len;
	size_t size;
} Buffer;

extern void *Allocate(size_t size);
extern void *Reallocate(void *memory, size_t size);
extern char *Duplicate(const char *data, size_t len);
extern char *DuplicateText(const char *text);
extern char *Format(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern void BufferReserve(Buffer *buffer, size_t more);
extern void BufferReserveWiping(Buffer *buffer, size_t more);
extern void BufferAppend(Buffer *buffer, const void *data, size_t len);
extern void BufferAppendText(Buffer *buffer, const char *text);
extern void BufferAppendChar(Buffer *buffer, char c);
extern void
BufferPrint(Buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
extern void BufferClear(Buffer *buffer);
extern void BufferFree(Buffer *buffer);
extern void BufferWipe(Buffer *buffer);
extern const char *BufferText(const Buffer *buffer);

#endif
