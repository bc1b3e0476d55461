/*
 * openapi.c
 *		The description of the interface: openapi.json beside this file, which
 *		follows OpenAPI 3.1, as part of the program.
 */
#include "http/openapi.h"

#include <stdint.h>

__asm__(".section .rodata\n"
		".global openapi_text\n"
		".global openapi_end\n"
		"openapi_text:\n"
		".incbin \"src/programs/http/openapi.json\"\n"
		"openapi_end:\n"
		".byte 0\n"
		".previous\n");

extern const char openapi_end[];

/*
 * How long it is, in bytes.
 */
size_t
OpenapiLength(void)
{
	return (size_t) ((uintptr_t) openapi_end - (uintptr_t) openapi_text);
}
