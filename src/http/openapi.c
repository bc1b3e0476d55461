/*
 * openapi.c
 *		The description of the interface: openapi.json beside this file, which
 *		follows OpenAPI 3.1, as part of the program.
 */
#include "openapi.h"

#include <string.h>

__asm__(".section .rodata\n"
		".global openapi_text\n"
		"openapi_text:\n"
		".incbin \"src/http/openapi.json\"\n"
		".byte 0\n"
		".previous\n");

/*
 * How long it is, in bytes.
 */
size_t
OpenapiLength(void)
{
	return strlen(openapi_text);
}
