/*
 * cppcheck.h
 *		What cppcheck has to know of the server's macros to read our code.
 */
#define PG_VERSION_NUM 150000
#define PG_FUNCTION_INFO_V1(function)
#define PG_MODULE_MAGIC
#define pg_attribute_noreturn()
#define ACTEON_NORETURN
#define foreach(cell, list) for (cell = list_head(list); cell != NULL; cell = lnext(list, cell))
#define INT64_FORMAT "%ld"
#define CppAsString(identifier) #identifier
#define CppAsString2(x) CppAsString(x)
