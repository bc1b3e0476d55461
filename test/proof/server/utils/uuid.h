/* The server's type of UUIDs. */
#ifndef UTILS_UUID_H
#define UTILS_UUID_H

#define UUID_LEN 16

typedef struct pg_uuid_t
{
	unsigned char data[UUID_LEN];
} pg_uuid_t;

#endif
