/*
 * buffer.c
 *		Memory that is never short, and bytes that grow.
 *
 * A daemon that cannot get memory ends: its leases run out and others take
 * the actions, which is better than a half-working relay.
 */
#include "common/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

/*
 * End the program.
 */
static void __attribute__((noreturn)) out_of_memory(void)
{
	fputs("out of memory\n", stderr);
	abort();
}

/*
 * Zeroed memory.
 */
void *
Allocate(size_t size)
{
	void *memory = calloc(1, size > 0 ? size : 1);

	if (memory == NULL)
		out_of_memory();
	return memory;
}

/*
 * Memory of another size, as realloc gives it.
 */
void *
Reallocate(void *memory, size_t size)
{
	memory = realloc(memory, size > 0 ? size : 1);
	if (memory == NULL)
		out_of_memory();
	return memory;
}

/*
 * A copy of some bytes, with a zero byte after them.
 */
char *
Duplicate(const char *data, size_t len)
{
	char *copy;

	if (len == SIZE_MAX)
		out_of_memory();
	copy = Reallocate(NULL, len + 1);
	if (len > 0)
		memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

/*
 * A copy of a string, or NULL of NULL.
 */
char *
DuplicateText(const char *text)
{
	return text == NULL ? NULL : Duplicate(text, strlen(text));
}

/*
 * Make room for more bytes, and for a zero byte after them.
 */
void
BufferReserve(Buffer *buffer, size_t more)
{
	size_t need;
	size_t size = buffer->size > 0 ? buffer->size : 256;

	if (__builtin_add_overflow(buffer->len, more, &need) || need > SIZE_MAX / 4)
		out_of_memory();
	if (need < buffer->size)
		return;
	while (size <= need)
		size *= 2;
	buffer->data = Reallocate(buffer->data, size);
	buffer->size = size;
}

/*
 * The same for a buffer with a secret: if the bytes have to move, the old ones are
 * overwritten.
 */
void
BufferReserveWiping(Buffer *buffer, size_t more)
{
	Buffer larger = {0};

	if (more < buffer->size - buffer->len)
		return;
	if (more > SIZE_MAX - buffer->len)
		out_of_memory();
	BufferReserve(&larger, buffer->len + more);
	BufferAppend(&larger, BufferText(buffer), buffer->len);
	BufferWipe(buffer);
	*buffer = larger;
}

/*
 * Append bytes.
 */
void
BufferAppend(Buffer *buffer, const void *data, size_t len)
{
	BufferReserve(buffer, len);
	if (len > 0)
		memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
	buffer->data[buffer->len] = '\0';
}

/*
 * Append a string.
 */
void
BufferAppendText(Buffer *buffer, const char *text)
{
	BufferAppend(buffer, text, strlen(text));
}

/*
 * Append one byte.
 */
void
BufferAppendChar(Buffer *buffer, char c)
{
	BufferAppend(buffer, &c, 1);
}

/*
 * Append what printf would print.
 */
static void
buffer_vprint(Buffer *buffer, const char *format, va_list args)
{
	va_list again;
	int len;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (len < 0)
		out_of_memory();
	BufferReserve(buffer, len);
	vsnprintf(buffer->data + buffer->len, (size_t) len + 1, format, args);
	buffer->len += len;
}

/*
 * Append what printf would print.
 */
void
BufferPrint(Buffer *buffer, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buffer_vprint(buffer, format, args);
	va_end(args);
}

/*
 * What printf would print, as a string of its own.
 */
char *
Format(const char *format, ...)
{
	Buffer buffer = {0};
	va_list args;

	va_start(args, format);
	buffer_vprint(&buffer, format, args);
	va_end(args);
	return buffer.data;
}

/*
 * Forget the bytes, and keep the memory for the next ones.
 */
void
BufferClear(Buffer *buffer)
{
	buffer->len = 0;
	if (buffer->data != NULL)
		buffer->data[0] = '\0';
}

/*
 * Give the memory back.
 */
void
BufferFree(Buffer *buffer)
{
	free(buffer->data);
	*buffer = (Buffer){0};
}

/*
 * Overwrite the bytes, then give the memory back.  Only for a buffer that has
 * not grown since the secret came in: a growing one leaves copies behind.
 */
void
BufferWipe(Buffer *buffer)
{
	if (buffer->data != NULL)
		OPENSSL_cleanse(buffer->data, buffer->size);
	BufferFree(buffer);
}

/*
 * The bytes as a string, also when there are none.
 */
const char *
BufferText(const Buffer *buffer)
{
	return buffer->data != NULL ? buffer->data : "";
}
